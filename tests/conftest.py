"""What every test may use; tests make their own models and need no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from project_paths import SHARED_DATA

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}.items():
    os.environ.setdefault(name, value)

# No test is judged by the clock: a loaded machine must not turn a property into a failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def shared_data():
    """Give a function that finds a shared data set, or skips the test."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"shared data not found: ../shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def real_model():
    """Give a function that finds a packaged model in the model cache, or skips the test."""
    from stillroom.errors import ModelNotFoundError
    from stillroom.inference.sources.find_model import find_model

    def find(name: str) -> Path:
        try:
            return Path(find_model(name))
        except ModelNotFoundError as fault:
            pytest.skip(str(fault))

    return find
