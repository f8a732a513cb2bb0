"""The examples in the docstrings of the reports."""

import doctest
import importlib

import pytest
from project_paths import ROOT

NAMES = sorted(path.stem for path in (ROOT / "src" / "labeling" / "reports").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_run(name):
    module = importlib.import_module(f"stillroom.labeling.reports.{name}")
    assert doctest.testmod(module).failed == 0
