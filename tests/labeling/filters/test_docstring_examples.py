"""The examples in docstrings of filter packages."""

import doctest
import importlib
import pkgutil

import pytest
import stillroom.labeling.filters as filters

MODULES = [one.name for one in pkgutil.walk_packages(filters.__path__, f"{filters.__name__}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder()
    found = [finder.find(importlib.import_module(name)) for name in MODULES]
    assert sum(bool(one.examples) for own in found for one in own) >= 12
