from __future__ import annotations

import pytest
import torch
from stillroom.inference.checkpoints.load_student import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tiny_model import make_model, make_tokenizer, make_trained


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    """A model that knows `tiny_model.PAIRS` by heart."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    checkpoint = make_trained()
    torch.set_num_threads(threads)
    return checkpoint


@pytest.fixture(scope="session")
def saved(tiny, tmp_path_factory):
    """The same model as a folder; do not change it."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    return save_checkpoint(folder, tiny.model, tiny.tokenizer, {"seed": 0}, {"README.md": "tiny"})


@pytest.fixture(scope="session")
def loaded(saved) -> Checkpoint:
    return load_checkpoint(saved, device="cpu")


@pytest.fixture(scope="session")
def restless() -> Checkpoint:
    """A model of large random weights: it says something else at every token and rarely ends."""
    tokenizer = make_tokenizer()
    return Checkpoint(make_model(tokenizer, initializer_range=0.3), tokenizer, None, "restless", {})
