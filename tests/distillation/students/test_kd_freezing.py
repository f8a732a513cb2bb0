"""Frozen parameters stay as they are, bit for bit; thawed ones learn and are optimised once."""

import kd_models
import kd_resume
import pytest
import torch
from kd_models import kd_trainer, llama, random_items
from stillroom.distillation.students.freezing import (
    GradualUnfreezing,
    matching_parameters,
    only_trainable,
)
from stillroom.distillation.training.resuming import last_whole_checkpoint
from stillroom.errors import ConfigError
from transformers import TrainerCallback


class Epochs(TrainerCallback):
    """Keep the weights at the end of each epoch."""

    def __init__(self):
        self.weights = []

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        self.weights.append(kd_models.weights(model))


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


PLAN = (r"lm_head|norm\.weight", r"layers\.1\.")


def test_only_named_parameters_learn(tmp_path):
    model = llama()
    before, names = kd_models.weights(model), {n for n, _ in model.named_parameters()}
    with only_trainable(model, r"layers\.1\."):
        trainer = kd_trainer(tmp_path, model, teacher=llama(1), steps=3)
        placed = [id(p) for group in trainer.optimizer.param_groups for p in group["params"]]
        trainer.train()
    expected = {name for name in names if "layers.1." in name}
    assert changed(before, kd_models.weights(model)) == expected
    assert len(placed) == len(set(placed)) == len(expected)
    assert all(p.requires_grad for p in model.parameters())  # thawed again


def test_what_was_frozen_before_stays_frozen():
    model = llama()
    model.lm_head.weight.requires_grad_(False)
    with only_trainable(model, "layers"):
        assert not model.lm_head.weight.requires_grad
    assert not model.lm_head.weight.requires_grad
    with pytest.raises(ConfigError, match="found in no name"), only_trainable(model, "lm_head"):
        pass


@pytest.mark.parametrize(
    ("pattern", "message"),
    [(r"layers\.7\.", r"found in no name .*embed_tokens"), ("(", "no regular expression")],
)
def test_a_pattern_that_matches_nothing_is_an_error(pattern, message):
    with pytest.raises(ConfigError, match=message):
        matching_parameters(llama(), pattern)


def unfrozen(folder, *, stop=None, resume=None):
    """Two epochs of four steps and one more step, with half of the model thawed in the second."""
    model, epochs = llama(), Epochs()
    plan = GradualUnfreezing(PLAN)
    stops = [] if stop is None else [kd_resume.StopAfter(stop)]
    trainer = kd_trainer(
        folder,
        model,
        teacher=llama(1),
        items=random_items(16),
        steps=9,
        save_steps=3,
        callbacks=[plan, epochs, *stops],
    )
    before = kd_models.weights(model)
    trainer.train(resume)
    return before, epochs.weights, trainer


def test_epochs_thaw_more_and_more(tmp_path):
    before, (first, second, *_), trainer = unfrozen(tmp_path)
    names = {name for name, _ in trainer.model.named_parameters()}
    head = {n for n in names if "lm_head" in n or n.endswith("norm.weight")}
    upper = {n for n in names if "layers.1." in n}
    assert changed(before, first) == head  # the rest is bit-identical after the first epoch
    assert changed(first, second) == head | upper  # and part of it changes in the next
    placed = [id(p) for group in trainer.optimizer.param_groups for p in group["params"]]
    assert sorted(placed) == sorted(id(p) for p in trainer.model.parameters())  # each once
    assert all(p.requires_grad for p in trainer.model.parameters())


@pytest.mark.parametrize("stop", [3, 6])
def test_unfreezing_resumes_in_either_epoch(tmp_path, stop):
    _, _, whole = unfrozen(tmp_path / "a")
    unfrozen(tmp_path / "b", stop=stop)
    _, _, trainer = unfrozen(tmp_path / "b", resume=last_whole_checkpoint(tmp_path / "b"))
    assert kd_models.same(kd_models.weights(trainer.model), kd_models.weights(whole.model))
    assert trainer.history.losses == whole.history.losses


def test_an_old_gradient_is_dropped():
    model = llama()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    plan = GradualUnfreezing(PLAN)

    class Args:
        world_size = 1

    class State:
        epoch = 0.0

    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = kd_models.weights(model)
    plan.on_train_begin(Args, State, None, model=model, optimizer=optimizer)
    plan.on_epoch_begin(Args, State, None, model=model)
    optimizer.step()
    assert not any("layers.0.mlp" in name for name in changed(before, kd_models.weights(model)))


def test_an_optimizer_made_too_late_is_refused(tmp_path):
    model = llama()
    model.lm_head.weight.requires_grad_(False)
    trainer = kd_trainer(
        tmp_path, model, teacher=llama(1), steps=1, callbacks=[GradualUnfreezing(["lm_head"])]
    )
    model.lm_head.weight.requires_grad_(True)
    with pytest.raises(ConfigError, match=r"made without 'lm_head\.weight'"):
        trainer.train()


def test_several_processes_are_refused():
    class Args:
        world_size = 2

    with pytest.raises(ConfigError, match=r"one process only.*stages"):
        GradualUnfreezing(["lm_head"]).on_train_begin(Args, None, None, model=llama())
    with pytest.raises(ConfigError, match="no pattern"):
        GradualUnfreezing([])
