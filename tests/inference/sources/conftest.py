import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def references():
    """What llama.cpp answered (`make_references.py`)."""
    return json.loads((Path(__file__).parent / "reference_ids.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path, request):
    """Give every test an empty model cache, unless it reads a packaged model."""
    if "real_model" not in request.fixturenames:
        monkeypatch.setenv("STILLROOM_MODELS", str(tmp_path / "models"))
