"""What makes these tests quick: they set a training up some hundred times."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def few_objects_to_collect():
    """accelerate collects garbage at the start of each training; imported modules are none."""
    import kd_models  # noqa: F401 - imports torch and transformers

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """Draw the loss curve only in the tests that are about it."""
    if "curve" not in request.node.name:
        monkeypatch.setattr("stillroom.distillation.loss_curve.draw_losses", lambda *_: None)
