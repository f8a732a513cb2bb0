"""What tests of the steps that ask a model share: the server of the labelling benchmark."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import pytest
from project_paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests" / "labeling"))

from labeling_server import LabelServer, serving


@pytest.fixture
def serve():
    """Give a function that starts servers; they end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(LabelServer(**settings)))
