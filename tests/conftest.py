"""What every test may use; tests make their own models and need no network."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from project_paths import SHARED_DATA

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}.items():
    os.environ.setdefault(name, value)

# No test may reach another machine, neither here nor in a process that it starts.
_HOOK_FOLDER = str(Path(__file__).parent / "only_loopback")
sys.path.append(_HOOK_FOLDER)
_paths = [_HOOK_FOLDER, os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _paths))

import loopback_hook  # noqa: E402

_tried = Path(tempfile.mkdtemp(prefix="stillroom-tests-"), "connections.jsonl")
_tried.touch()
os.environ[loopback_hook.FILE] = str(_tried)
loopback_hook.watch()

# No test is judged by the clock: a loaded machine must not turn a property into a failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_unconfigure() -> None:
    """Remove the file of refused connections."""
    shutil.rmtree(_tried.parent, ignore_errors=True)


@pytest.fixture(autouse=True)
def _only_loopback():
    """Fail a test that reaches for another machine, even if it has caught the error."""
    yield
    if _tried.stat().st_size:
        tried = _tried.read_text(encoding="utf-8")
        _tried.write_text("", encoding="utf-8")
        pytest.fail(f"a connection to another machine was tried and refused:\n{tried}")


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
