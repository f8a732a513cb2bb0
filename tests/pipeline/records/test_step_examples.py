"""The examples in the docstrings of the steps, and that each public name is there."""

import doctest
import importlib

import pytest
from project_paths import ROOT

FOLDER = ROOT / "src" / "pipeline" / "records" / "steps"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_the_examples_run(name):
    module = importlib.import_module(f"stillroom.pipeline.records.steps.{name}")
    assert doctest.testmod(module).failed == 0


def test_every_public_name_is_there():
    from stillroom.pipeline import records

    for name in records.__all__:
        assert getattr(records, name).__name__ == name
