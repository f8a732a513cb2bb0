"""The distance of sorted probabilities: value, gradient, chunks, and the mixture with labels."""

import numpy as np
import pytest
import torch
from loss_cases import SIGNALS, random_rows
from scipy.special import softmax
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.losses.mixture import Mixture
from stillroom.distillation.losses.rows import AlignedTeacherRows, HeadRows
from stillroom.distillation.losses.universal import (
    sorted_distance,
    sorted_probabilities,
    universal_distillation,
    universal_logit,
)
from torch.nn import functional

SIZES = [(11, 7), (7, 11), (9, 9)]


def logits(V, W, *, N=6, seed=0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    return tuple(2.0 * torch.randn(N, size, generator=source, dtype=dtype) for size in (V, W))


def by_numpy(student, teacher, temperature):
    """Row by row: sort, fill up with zeros, add the gaps."""
    total = 0.0
    for one, other in zip(student.numpy(), teacher.numpy(), strict=True):
        q = sorted(softmax(one / temperature).tolist(), reverse=True)
        p = sorted(softmax(other / temperature).tolist(), reverse=True)
        width = max(len(q), len(p))
        q, p = (np.array(side + [0.0] * (width - len(side))) for side in (q, p))
        total += np.abs(q - p).sum()
    return total


@pytest.mark.parametrize(("V", "W"), SIZES)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_value_is_that_of_sorting_by_hand(V, W, temperature):
    student, teacher = logits(V, W)
    total, count = universal_logit(student, teacher, temperature)
    assert float(total) == pytest.approx(by_numpy(student, teacher, temperature), rel=1e-12)
    assert count == 6


def test_value_of_the_papers_case_by_hand():
    """[.5 .3 .2] against [.6 .4]: |.6-.5| + |.4-.3| + .2."""
    student, teacher = (torch.tensor([p]).log() for p in ([0.2, 0.5, 0.3], [0.4, 0.6]))
    assert float(universal_logit(student, teacher)[0]) == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize(("V", "W"), SIZES)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_gradient_is_the_derivative_of_the_value(V, W, temperature):
    student, teacher = logits(V, W)
    theirs = sorted_probabilities(teacher, temperature)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: sorted_distance(z, theirs, temperature), student)


@pytest.mark.parametrize(("V", "W"), SIZES)
def test_gradient_is_that_of_autograd_through_the_sort(V, W):
    student, teacher = logits(V, W)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    ours, reference = (student.clone().requires_grad_() for _ in range(2))
    (weights * sorted_distance(ours, sorted_probabilities(teacher, 2.0), 2.0)).sum().backward()
    q = (reference / 2.0).softmax(-1).sort(descending=True).values
    p = (teacher / 2.0).softmax(-1).sort(descending=True).values
    width = max(V, W)
    gaps = functional.pad(q, (0, width - V)) - functional.pad(p, (0, width - W))
    (weights * gaps.abs().sum(-1)).sum().backward()
    assert torch.allclose(ours.grad, reference.grad, atol=1e-14)


def test_order_of_either_vocabulary_changes_nothing():
    student, teacher = logits(11, 7)
    order, other = torch.randperm(11), torch.randperm(7)
    ours, moved = student.clone().requires_grad_(), student[:, order].requires_grad_()
    one, _ = universal_logit(ours, teacher)
    two, _ = universal_logit(moved, teacher[:, other])
    one.backward()
    two.backward()
    assert one.item() == pytest.approx(two.item(), rel=1e-12)
    assert torch.allclose(ours.grad[:, order], moved.grad, atol=1e-14)


def test_the_same_probabilities_elsewhere_are_at_distance_0():
    student, _ = logits(9, 9)
    wide = functional.pad(student[:, torch.randperm(9)], (2, 3), value=-torch.inf)
    student.requires_grad_()
    total, _ = universal_logit(student, wide)
    total.backward()
    assert total.item() == pytest.approx(0.0, abs=1e-13)
    assert bool(torch.isfinite(student.grad).all())


def test_half_precision_is_widened_and_stays_near():
    student, teacher = logits(300, 200, dtype=torch.float32)
    exact, _ = universal_logit(student, teacher)
    narrow = student.bfloat16().requires_grad_()
    total, _ = universal_logit(narrow, teacher.bfloat16())
    total.backward()
    assert total.dtype == torch.float32
    assert narrow.grad.dtype == torch.bfloat16
    assert total.item() == pytest.approx(float(exact), rel=0.02)


def test_the_public_loss_takes_logits_of_unlike_width():
    student, teacher = logits(11, 7)
    loss_fn = DistillationLoss(2.0, 0.5, objective="universal_logit")
    expected = 4.0 * by_numpy(student, teacher, 2.0) / 6
    assert float(loss_fn(student, teacher)) == pytest.approx(expected, rel=1e-12)
    labels = torch.arange(6)
    mixed = 0.5 * expected + 0.5 * float(functional.cross_entropy(student, labels))
    assert float(loss_fn(student, teacher, labels)) == pytest.approx(mixed, rel=1e-12)
    with pytest.raises(ValueError, match="teacher_logits have shape"):
        loss_fn(student, teacher[:3])


# ------------------------------------------------------------------------- beside the labels


ALIGNED = torch.tensor([True, False, True, True, False, True, True])


def case(signal="head", form="head", **given):
    """Seven rows of a student, five of a teacher with another vocabulary."""
    rows = random_rows(**given).with_gradients()
    theirs = random_rows(5, N=int(ALIGNED.sum()), V=17).theirs
    if signal == "logits":
        theirs = functional.linear(theirs.hidden, theirs.weight, theirs.bias)
    ours = (
        HeadRows(rows.hidden, rows.weight, rows.bias, rows.vocabulary)
        if form == "head"
        else rows.logits
    )
    return rows, ours, AlignedTeacherRows(theirs, ALIGNED)


def result(rows, ours, teacher, mixture, **options):
    total, count = universal_distillation(
        ours, rows.labels, teacher, mixture, weights=rows.weights, **options
    )
    total.backward()
    return total.item(), count, [p.grad for p in rows.parameters]


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("form", ["head", "logits"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("signal", [s for s in SIGNALS if s != "sparse"])
def test_mixture_is_aligned_distance_and_cross_entropy_of_all(alpha, form, weighted, signal):
    rows, ours, teacher = case(signal, form, padding=3, weighted=weighted)
    mixture = Mixture(2.0, alpha, "universal_logit")
    total, count, gradients = result(rows, ours, teacher, mixture, chunk=2)
    twin, _, _ = case(signal, form, padding=3, weighted=weighted)
    rest = teacher.rows
    if isinstance(rest, HeadRows):
        rest = functional.linear(rest.hidden, rest.weight, rest.bias)
    weights = torch.ones(7, dtype=torch.float64) if twin.weights is None else twin.weights
    distance = sorted_distance(twin.logits[ALIGNED], sorted_probabilities(rest, 2.0), 2.0)
    supervised = functional.cross_entropy(twin.logits, twin.labels, reduction="none")
    expected = alpha * 4.0 * (weights[ALIGNED] * distance).sum()
    expected = expected + (1 - alpha) * (weights * supervised).sum()
    expected.backward()
    assert total == pytest.approx(expected.item(), rel=1e-12)
    assert count == 7
    for found, parameter in zip(gradients, twin.parameters, strict=True):
        assert torch.allclose(found, parameter.grad, atol=1e-12)


@pytest.mark.parametrize("form", ["head", "logits"])
def test_chunks_change_nothing(form):
    mixture = Mixture(2.0, 0.5, "universal_logit")
    one = result(*case(form=form), mixture)
    for chunk in (1, 2, 3, 5):
        other = result(*case(form=form), mixture, chunk=chunk)
        assert other[0] == pytest.approx(one[0], rel=1e-12)
        for found, expected in zip(other[2], one[2], strict=True):
            assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("form", ["head", "logits"])
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_without_an_aligned_row_the_labels_are_left_and_all_is_finite(form, alpha):
    rows, ours, teacher = case(form=form)
    none = AlignedTeacherRows(
        HeadRows(teacher.rows.hidden[:0], teacher.rows.weight, teacher.rows.bias),
        torch.zeros_like(ALIGNED),
    )
    total, _, gradients = result(rows, ours, none, Mixture(2.0, alpha, "universal_logit"))
    expected = functional.cross_entropy(rows.logits, rows.labels, reduction="sum")
    assert total == pytest.approx((1 - alpha) * expected.item(), rel=1e-12)
    assert all(bool(torch.isfinite(g).all()) for g in gradients)
    assert (alpha == 1.0) == all(bool((g == 0).all()) for g in gradients)
