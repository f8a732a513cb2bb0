"""Written-out gradients against autograd, and the identities that hold for every objective."""

import pytest
import torch
from stillroom.distillation.losses.divergences import (
    ROW_DIVERGENCES,
    ClassProbabilities,
    row_divergence,
    value_and_gradient,
)
from stillroom.distillation.losses.mixture import Mixture
from stillroom.errors import ConfigError

OBJECTIVES = sorted(ROW_DIVERGENCES)
MIXTURES = [
    *(Mixture(objective=name) for name in OBJECTIVES),
    *(Mixture(objective="jsd", b=b) for b in (0.0, 0.1, 1.0)),
    *(Mixture(objective=name, skew=0.6) for name in ("skew_forward", "skew_reverse")),
]


def distributions(seed=0, rows=6, classes=5, scale=3.0):
    source = torch.Generator().manual_seed(seed)
    z, zt = (
        scale * torch.randn(rows, classes, generator=source, dtype=torch.float64) for _ in "ab"
    )
    return z, zt.log_softmax(-1)


def at(z, log_p):
    log_q = z.log_softmax(-1)
    return ClassProbabilities(log_p, log_p.exp(), log_q, log_q.exp())


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_values_and_gradients_are_those_of_autograd(mixture):
    z, log_p = distributions()
    z.requires_grad_()
    expected = row_divergence(z.log_softmax(-1), log_p, mixture)
    (gradient,) = torch.autograd.grad(expected.sum(), z)
    place = at(z.detach(), log_p)
    values, g = value_and_gradient(place, mixture)
    torch.testing.assert_close(values, expected.detach(), rtol=1e-12, atol=1e-14)
    ours = g - place.q * g.sum(-1, keepdim=True)
    torch.testing.assert_close(ours, gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_inputs_are_left_alone_and_results_are_new(mixture):
    place = at(*distributions())
    before = [t.clone() for t in (place.log_p, place.p, place.log_q, place.q)]
    _, g = value_and_gradient(place, mixture)
    g.fill_(7.0)
    now = (place.log_p, place.p, place.log_q, place.q)
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_at_equal_distributions_value_and_gradient_are_zero(mixture):
    z, _ = distributions()
    place = at(z, z.log_softmax(-1))
    values, g = value_and_gradient(place, mixture)
    torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=1e-14)
    ours = g - place.q * g.sum(-1, keepdim=True)
    torch.testing.assert_close(ours, torch.zeros_like(ours), rtol=0, atol=1e-14)


def test_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError, match=r"temperature is 0.*alpha is 2.*b is -1.*skew is 1"):
        Mixture(0.0, 2.0, "jsd", b=-1.0, skew=1.0)
