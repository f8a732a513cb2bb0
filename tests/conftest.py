"""What every test may use; tests make their own models and need no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from project_paths import SHARED_DATA

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}.items():
    os.environ.setdefault(name, value)


@pytest.fixture
def shared_data():
    """Give a function that finds a shared data set, or skips the test."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"shared data not found: ../shared/data/{name}")
        return path

    return find
