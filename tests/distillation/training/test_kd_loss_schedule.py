"""Temperature and alpha over a run: values per step, the same after a resume, only grid values."""

import kd_models
import kd_resume
import pytest
import torch
from kd_models import kd_trainer, llama
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.training.resuming import last_whole_checkpoint
from stillroom.distillation.training.schedules import LossSchedule, Ramp
from stillroom.errors import ConfigError
from transformers import TrainerCallback


class Seen(TrainerCallback):
    """Note what the loss is set to in each step."""

    def __init__(self, loss_fn):
        self.loss_fn, self.values = loss_fn, []

    def on_substep_end(self, args, state, control, **kwargs):
        self.values.append((self.loss_fn.temperature, self.loss_fn.alpha))

    on_step_end = on_substep_end


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (Ramp(4.0, 1.0), [4.0, 3.25, 2.5, 1.75, 1.0]),
        (Ramp(1.0, 0.0, "cosine"), [1.0, 0.8535534, 0.5, 0.1464466, 0.0]),
        (Ramp(2.0, 2.0), [2.0] * 5),
    ],
)
def test_values_of_a_ramp(ramp, expected):
    assert [ramp.at(step, 5) for step in range(5)] == pytest.approx(expected)
    assert ramp.at(0, 1) == ramp.start  # a run of one step has only a beginning


def scheduled(folder, *, stop=None, resume=None, accumulation=1):
    loss_fn = DistillationLoss(2.0, 0.5)
    schedule = LossSchedule(loss_fn, temperature=Ramp(4.0, 1.0), alpha=Ramp(1.0, 0.0, "cosine"))
    seen = Seen(loss_fn)
    stops = [] if stop is None else [kd_resume.StopAfter(stop)]
    trainer = kd_trainer(
        folder,
        llama(),
        teacher=llama(1),
        loss_fn=loss_fn,
        steps=5,
        save_steps=2,
        accumulation=accumulation,
        callbacks=[schedule, seen, *stops],
    )
    trainer.train(resume)
    return seen.values, trainer, loss_fn


def test_the_loss_follows_and_is_restored(tmp_path):
    values, trainer, loss_fn = scheduled(tmp_path, accumulation=2)
    assert [t for t, _ in values[::2]] == pytest.approx([4.0, 3.25, 2.5, 1.75, 1.0])
    assert values[::2] == values[1::2]  # both micro-batches of a step have the same
    assert values[-1][1] == 0.0
    assert (loss_fn.temperature, loss_fn.alpha) == (2.0, 0.5)
    assert len(trainer.history.losses) == 5


def test_a_resumed_run_goes_on_with_the_same_values(tmp_path):
    values, whole, _ = scheduled(tmp_path / "a")
    scheduled(tmp_path / "b", stop=3)
    resumed, trainer, _ = scheduled(tmp_path / "b", resume=last_whole_checkpoint(tmp_path / "b"))
    assert resumed == values[2:]
    assert trainer.history.losses == whole.history.losses
    assert kd_models.same(kd_models.weights(trainer.model), kd_models.weights(whole.model))


@pytest.mark.parametrize(("end", "fine"), [(2.0, True), (1.0, False)])
def test_only_grid_temperatures(tmp_path, end, fine):
    """A temperature that the cache does not hold is refused before the first step."""
    loss_fn = DistillationLoss(2.0, 0.5)
    schedule = LossSchedule(loss_fn, temperature=Ramp(2.0, end), grid=(1.0, 2.0, 4.0))
    model = llama()
    before = kd_models.weights(model)
    trainer = kd_trainer(
        tmp_path, model, teacher=llama(1), loss_fn=loss_fn, steps=3, callbacks=[schedule]
    )
    if fine:
        trainer.train()
    else:
        with pytest.raises(ConfigError, match=r"needs 1\.5 .* it has \[1\.0, 2\.0, 4\.0\]"):
            trainer.train()
        assert kd_models.same(kd_models.weights(model), before)


def test_a_loss_without_the_attribute_is_refused():
    with pytest.raises(ConfigError, match="Linear has no alpha"):
        LossSchedule(torch.nn.Linear(2, 2), alpha=Ramp(1.0, 0.0))
