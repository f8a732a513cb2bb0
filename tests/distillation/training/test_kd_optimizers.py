"""Muon and AdamW under one roof, against torch's own two optimizers."""

import copy
import inspect

import kd_models
import pytest
import torch
from stillroom.distillation.training.optimizers import MuonAdamW, make_optimizer, orthogonalize
from stillroom.errors import ConfigError


def with_gradients(model, seed=0):
    source = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=source)
    return model


def inner_names(model):
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and not any(w in name for w in ("embed", "lm_head", "wte", "wpe"))
    }


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_muon_is_that_of_torch(weight_decay):
    ours, theirs = kd_models.llama(), kd_models.llama()
    optimizer = make_optimizer(
        ours, kind="muon", learning_rate=3e-3, matrix_learning_rate=4e-3, weight_decay=weight_decay
    )
    inner = inner_names(theirs)
    named = dict(theirs.named_parameters())
    rest = [p for n, p in named.items() if n not in inner]
    muon = torch.optim.Muon([named[n] for n in inner], lr=4e-3, weight_decay=weight_decay)
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=3e-3,
        betas=(0.9, 0.95),
    )
    for seed in range(3):
        for model, steps in ((ours, [optimizer.step]), (theirs, [muon.step, adamw.step])):
            with_gradients(model, seed)
            for step in steps:
                step()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # bf16 products round differently in a batch: the update is 1 % exact, the weights far more
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-4, msg=name)


def test_adamw_is_that_of_torch():
    ours, theirs = kd_models.llama(), kd_models.llama()
    optimizer = make_optimizer(ours, learning_rate=3e-3)
    reference = torch.optim.AdamW(theirs.parameters(), lr=3e-3, weight_decay=0.0)
    for seed in range(3):
        with_gradients(ours, seed)
        with_gradients(theirs, seed)
        optimizer.step()
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 16, 6), (1, 6, 16)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    source = torch.Generator().manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape, generator=source)).float())
    assert 0.5 < values.min() < values.max() < 1.3


@pytest.mark.parametrize("make", [kd_models.llama, kd_models.gpt2])
def test_each_parameter_is_in_one_group_and_tables_are_left_to_adamw(make):
    model = make()
    optimizer = make_optimizer(model, kind="muon")
    placed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(placed) == sorted(id(p) for p in model.parameters())
    names = {id(p): n for n, p in model.named_parameters()}
    muon = {
        names[id(p)] for g in optimizer.param_groups if g["kind"] == "muon" for p in g["params"]
    }
    assert muon == inner_names(model)
    decayed = make_optimizer(model, weight_decay=0.1)
    assert all(p.ndim > 1 for p in decayed.param_groups[0]["params"])
    assert [g["weight_decay"] for g in decayed.param_groups] == [0.1, 0.0]


def test_frozen_parameters_are_left_out():
    model = kd_models.llama()
    model.model.embed_tokens.requires_grad_(False)
    placed = [p for g in make_optimizer(model, kind="muon").param_groups for p in g["params"]]
    assert all(p is not model.model.embed_tokens.weight for p in placed)
    with pytest.raises(ConfigError, match="no parameter"):
        make_optimizer(model.requires_grad_(False))


def test_state_goes_through_a_file(tmp_path):
    one = kd_models.llama()
    optimizer = make_optimizer(one, kind="muon", learning_rate=1e-2)
    with_gradients(one)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    two = copy.deepcopy(one)
    restored = make_optimizer(two, kind="muon", learning_rate=1e-2)
    restored.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for model, step in ((one, optimizer.step), (two, restored.step)):
        with_gradients(model, seed=1)
        step()
    assert kd_models.same(one.state_dict(), two.state_dict())


def test_a_schedule_scales_both_rates():
    optimizer = make_optimizer(
        kd_models.llama(), kind="muon", learning_rate=1.0, matrix_learning_rate=2.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    schedule.step()
    assert sorted({group["lr"] for group in optimizer.param_groups}) == [0.5, 1.0]


def test_a_closure_is_evaluated():
    assert make_optimizer(kd_models.llama(), kind="muon").step(lambda: 3.0) == 3.0


def test_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError, match=r"'sgd'.*learning_rate is 0.*weight_decay is 2"):
        make_optimizer(kd_models.llama(), kind="sgd", learning_rate=0.0, weight_decay=2.0)
    with pytest.raises(ConfigError, match=r"group 0: kind is 'x'.*group 1: Muon takes matrices"):
        MuonAdamW(
            [
                {"params": [torch.zeros(2, requires_grad=True)], "kind": "x"},
                {"params": [torch.zeros(2, requires_grad=True)], "kind": "muon"},
            ]
        )


def test_signature():
    parameters = inspect.signature(make_optimizer).parameters
    assert list(parameters) == [
        "model",
        "kind",
        "learning_rate",
        "matrix_learning_rate",
        "weight_decay",
    ]
