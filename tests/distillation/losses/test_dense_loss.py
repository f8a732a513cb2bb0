"""The loss from logits: kept classes and their tail against SciPy and closed forms."""

import numpy as np
import pytest
import torch
from loss_cases import kept_rows, random_rows
from scipy.special import rel_entr
from stillroom.distillation.losses.dense import (
    dense_distillation,
    kept_log_probabilities,
    teacher_divergence,
)
from stillroom.distillation.losses.distillation_loss import DIVERGENCES, DistillationLoss
from stillroom.distillation.losses.divergences import ROW_DIVERGENCES
from stillroom.distillation.losses.mixture import Mixture

OBJECTIVES = sorted(ROW_DIVERGENCES)


def coarse(logits, ids, temperature):
    """Probabilities of the kept ids and of the rest, by plain sums in float64."""
    p = np.exp(logits.double().numpy() / temperature)
    p /= p.sum(-1, keepdims=True)
    kept = np.take_along_axis(p, ids.numpy(), 1)
    np.put_along_axis(p, ids.numpy(), 0.0, 1)
    return np.concatenate([kept, p.sum(-1, keepdims=True)], 1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_kept_classes_and_tail_are_those_of_scipy(temperature):
    rows = random_rows(N=9, V=13)
    signal = rows.signal("sparse", temperature)
    p = coarse(rows.teacher_logits, signal.ids, temperature)
    q = coarse(rows.logits, signal.ids, temperature)
    m = 0.5 * (p + q)
    expected = {
        "forward_kl": rel_entr(p, q),
        "reverse_kl": rel_entr(q, p),
        "jsd": 0.5 * (rel_entr(p, m) + rel_entr(q, m)),
        "skew_forward": rel_entr(p, 0.1 * p + 0.9 * q),
        "skew_reverse": rel_entr(q, 0.9 * p + 0.1 * q),
        "tvd": 0.5 * abs(p - q),
    }
    for name, terms in expected.items():
        ours = teacher_divergence(rows.logits, signal, Mixture(temperature, 1.0, name))
        np.testing.assert_allclose(ours.numpy(), terms.sum(-1), rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_full_teachers_give_the_divergence_of_the_vocabulary(name):
    rows = random_rows()
    expected, _ = DIVERGENCES[name](rows.logits, rows.teacher_logits, 2.0)
    for kind in ("head", "logits"):
        ours = teacher_divergence(rows.logits, rows.signal(kind), Mixture(2.0, 1.0, name))
        torch.testing.assert_close(ours.sum(), expected)


@pytest.mark.parametrize("log_tail", [-5.0, -8.5, -13.8])
def test_a_small_tail_keeps_its_logarithm_in_float32(log_tail):
    """As 1 - sum of the kept it would be 0.2 nats off at 2e-4, and 2.6 at 1e-6."""
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 4000, generator=source, dtype=torch.float64)
    ids = logits.topk(64).indices
    tail = logits.scatter(1, ids, float("-inf")).logsumexp(-1)
    lift = torch.zeros_like(logits).scatter(1, ids, 1.0)
    kept = logits.gather(1, ids).logsumexp(-1)
    logits += lift * (tail - kept - log_tail)[:, None]
    exact = kept_log_probabilities(logits, ids, 1.0)
    ours = kept_log_probabilities(logits.float(), ids, 1.0)
    assert float(exact[:, -1].mean()) == pytest.approx(log_tail, abs=0.01)
    assert ours.dtype == torch.float32
    assert float((ours - exact).abs().max()) < 1e-5


def test_the_mean_over_rows_is_that_of_the_public_loss():
    rows = random_rows()
    for alpha in (0.0, 0.3, 1.0):
        total, count = dense_distillation(
            rows.logits, rows.labels, rows.teacher_logits, Mixture(2.0, alpha)
        )
        expected = DistillationLoss(2.0, alpha)(rows.logits, rows.teacher_logits, rows.labels)
        assert float(total) / count == pytest.approx(float(expected), rel=1e-12)


def test_weighted_rows_count_as_often_as_their_weight():
    rows = random_rows(N=5)
    signal, mixture = rows.signal("sparse", 2.0), Mixture(2.0, 0.5)
    weights = torch.tensor([1, 3, 0, 2, 3])
    total, count = dense_distillation(rows.logits, rows.labels, signal, mixture, weights=weights)
    repeated = torch.arange(5).repeat_interleave(weights)
    expected, _ = dense_distillation(
        rows.logits[repeated],
        rows.labels[repeated],
        kept_rows(rows.teacher_logits[repeated], 4, 2.0),
        mixture,
    )
    assert float(total) == pytest.approx(float(expected), rel=1e-12)
    assert count == 5


def test_no_gradient_reaches_the_teacher():
    rows = random_rows()
    theirs = rows.teacher_logits.requires_grad_()
    logits = rows.logits.requires_grad_()
    dense_distillation(logits, rows.labels, theirs, Mixture())[0].backward()
    assert theirs.grad is None
    assert logits.grad is not None
