"""The divergences against SciPy, torch and closed forms; the mixture against its contract."""

import inspect
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from stillroom.distillation.losses.distillation_loss import (
    DIVERGENCES,
    DistillationLoss,
    cross_entropy,
)
from stillroom.distillation.losses.mixture import temperature_scale
from stillroom.errors import ConfigError
from torch.nn import functional

OBJECTIVES = sorted(DIVERGENCES)
forward_kl, reverse_kl = DIVERGENCES["forward_kl"], DIVERGENCES["reverse_kl"]
jsd, skew_forward, tvd = (DIVERGENCES[name] for name in ("jsd", "skew_forward", "tvd"))


def logits(seed=0, rows=7, size=11, scale=3.0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    student = scale * torch.randn(rows, size, generator=source, dtype=torch.float64)
    teacher = scale * torch.randn(rows, size, generator=source, dtype=torch.float64)
    return student.to(dtype), teacher.to(dtype)


def distributions(temperature):
    student, teacher = logits()
    return (
        (teacher / temperature).softmax(-1).numpy(),
        (student / temperature).softmax(-1).numpy(),
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_divergences_are_those_of_scipy(temperature):
    p, q = distributions(temperature)
    m = 0.1 * p + 0.9 * q
    n = 0.9 * p + 0.1 * q
    expected = {
        "forward_kl": rel_entr(p, q).sum(),
        "reverse_kl": rel_entr(q, p).sum(),
        "jsd": (jensenshannon(p, q, axis=-1) ** 2).sum(),
        "skew_forward": rel_entr(p, m).sum(),
        "skew_reverse": rel_entr(q, n).sum(),
        "tvd": 0.5 * np.abs(p - q).sum(),
    }
    for name, value in expected.items():
        total, count = DIVERGENCES[name](*logits(), temperature)
        assert float(total) == pytest.approx(value, rel=1e-12), name
        assert count == 7


def test_forward_kl_is_kl_div_of_torch():
    student, teacher = logits()
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    expected = functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    assert float(forward_kl(student, teacher)[0]) == pytest.approx(float(expected))


@pytest.mark.parametrize(("b", "name"), [(0.0, "forward_kl"), (1.0, "reverse_kl")])
def test_jsd_ends_are_the_kls(b, name):
    student, teacher = logits()
    assert torch.equal(
        jsd(student, teacher, 2.0, b=b)[0],
        DIVERGENCES[name](student, teacher, 2.0)[0],
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_equal_distributions_are_at_distance_zero(name):
    student, _ = logits(dtype=torch.float32)
    assert float(DIVERGENCES[name](student, student.clone(), 2.0)[0]) == pytest.approx(0, abs=1e-6)
    if name.endswith("_kl"):
        assert float(DIVERGENCES[name](student, student.clone(), 2.0)[0]) == 0.0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_shift_of_logits_and_order_of_the_vocabulary_change_nothing(name):
    student, teacher = logits()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    expected = float(DIVERGENCES[name](student, teacher, 2.0)[0])
    shifted = DIVERGENCES[name](student + 5.0, teacher - 3.0, 2.0)[0]
    permuted = DIVERGENCES[name](student[:, order], teacher[:, order], 2.0)[0]
    assert float(shifted) == pytest.approx(expected, rel=1e-12)
    assert float(permuted) == pytest.approx(expected, rel=1e-12)


def test_bounds_and_symmetry():
    for seed in range(5):
        student, teacher = logits(seed, rows=1)
        kl = float(forward_kl(student, teacher)[0])
        divergence = float(jsd(student, teacher)[0])
        variation = float(tvd(student, teacher)[0])
        assert 0.0 <= divergence <= math.log(2)
        assert divergence == pytest.approx(float(jsd(teacher, student)[0]))
        assert 0.0 <= variation <= min(1.0, math.sqrt(kl / 2))  # Pinsker


def test_hintons_limit():
    """At high temperature the gradient is that of matching centred logits (Hinton, sec. 2.1)."""
    student, teacher = logits(rows=1, scale=1.0)
    centred = (student - student.mean()) - (teacher - teacher.mean())
    errors = []
    for temperature in (100.0, 1000.0):
        z = student.clone().requires_grad_()
        distance, _ = forward_kl(z, teacher, temperature)
        (temperature_scale(temperature) * distance).backward()
        errors.append(float((z.grad - centred / 11).norm() / (centred / 11).norm()))
    assert errors[1] < 1e-2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.1)  # first order in 1 / T


def test_gradient_of_forward_kl_at_temperature_one_is_q_minus_p():
    student, teacher = logits()
    student.requires_grad_()
    forward_kl(student, teacher)[0].backward()
    expected = student.detach().softmax(-1) - teacher.softmax(-1)
    torch.testing.assert_close(student.grad, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradcheck(name, temperature):
    student, teacher = logits(rows=3, size=5, scale=1.0)
    labels = torch.tensor([4, -100, 0])
    student.requires_grad_()
    for alpha, given in ((1.0, None), (0.5, labels)):
        loss_fn = DistillationLoss(temperature, alpha, objective=name)
        assert torch.autograd.gradcheck(lambda z: loss_fn(z, teacher, given), (student,))  # noqa: B023


@pytest.mark.parametrize("name", OBJECTIVES)
def test_jacobian_of_a_second_implementation_of_autograd(name):
    student, teacher = logits(rows=2, size=5)
    expected = torch.func.jacrev(lambda z: DIVERGENCES[name](z, teacher, 2.0)[0])(student)
    student.requires_grad_()
    DIVERGENCES[name](student, teacher, 2.0)[0].backward()
    torch.testing.assert_close(student.grad, expected)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_gradient_reaches_the_teacher(name):
    student, teacher = logits()
    DIVERGENCES[name](student.requires_grad_(), teacher.requires_grad_(), 2.0)[0].backward()
    assert teacher.grad is None


INFINITE = float("-inf")


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ([[1.0, 2.0, INFINITE]], [[2.0, 1.0, INFINITE]]),
        ([[1.0, 2.0, 3.0]], [[0.0, INFINITE, INFINITE]]),
        ([[1.0, INFINITE, 3.0]], [[1.0, 2.0, 3.0]]),
        ([[INFINITE] * 3], [[1.0, 2.0, 3.0]]),
        ([[1.0, 2.0, 3.0]], [[INFINITE] * 3]),
        ([[0.0, 500.0, -500.0]], [[500.0, 0.0, -500.0]]),
    ],
    ids=["both", "one-hot teacher", "student", "student row", "teacher row", "far apart"],
)
def test_infinite_logits_give_finite_values_and_gradients(name, student, teacher):
    z = torch.tensor(student, requires_grad=True)
    loss = DistillationLoss(2.0, 0.5, objective=name)(z, torch.tensor(teacher), torch.tensor([0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5)])
def test_nothing_supervised_is_a_connected_zero(name, shape):
    z = torch.randn(shape, requires_grad=True)
    labels = torch.full(shape[:-1], -100)
    loss = DistillationLoss(objective=name)(z, torch.randn(shape), labels)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(z.grad, torch.zeros(shape))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision_is_widened(name):
    exact = DIVERGENCES[name](*logits(dtype=torch.bfloat16), 2.0)[0]
    student, teacher = logits(dtype=torch.bfloat16)
    reference = DIVERGENCES[name](student.double(), teacher.double(), 2.0)[0]
    assert exact.dtype == torch.float32
    assert float(exact) >= 0.0
    assert float(exact) == pytest.approx(float(reference), rel=1e-5)


STUDENT = """1.1250 -0.4102 -0.0879 -2.5000 0.2676 0.3535 0.8711 -1.4688 -0.1084 1.6641 0.0084
 0.1196
 0.5000 -0.6406 -0.2236 -1.5938 -1.5312 -1.9219 0.0000 -0.5039 -1.5391 1.5312 0.5820 0.2695
 -0.3887 1.2188 0.0000 0.6055 0.5000 1.3828 0.1309 -1.0312"""
TEACHER = """-0.0381 -1.2578 -1.2031 0.0947 -0.7852 0.4492 1.5547 0.0972 0.8203 0.0012 0.7656 0.3477
 -1.5781 0.4297 0.5977 0.3926 1.5156 0.1641 2.0781 -0.7734 -0.5898 0.4453 -0.7969 0.6328
 0.6289 -0.8359 0.9258 0.2109 0.0006 0.5195 3.2344 -1.5781"""


def test_constants_of_torchtune():
    """From torchtune (BSD-3), tests/torchtune/modules/loss/test_kd_losses.py."""
    student, teacher = (
        torch.tensor([float(v) for v in text.split()]).bfloat16().reshape(8, 4)
        for text in (STUDENT, TEACHER)
    )
    p = teacher.double().softmax(-1)
    entropy = float(-(p * p.log()).sum()) / 8
    forward = float(forward_kl(student, teacher)[0]) / 8
    reverse = float(reverse_kl(student, teacher)[0]) / 8
    assert forward + entropy == pytest.approx(1.7209, abs=1e-4)  # theirs is a cross-entropy
    assert reverse == pytest.approx(0.6775, abs=1e-4)
    assert 0.5 * (forward + entropy) + 0.5 * reverse == pytest.approx(1.1992, abs=1e-4)


# ------------------------------------------------------------------------- the mixture

GOLDEN_STUDENT = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
GOLDEN_TEACHER = torch.tensor([[3.0, 2.0, 1.0], [1.0, 0.0, -1.0]])
GOLDEN_LABELS = torch.tensor([0, 2])


def test_golden_vector():
    loss_fn = DistillationLoss(2.0, 0.5)
    rows = [
        float(forward_kl(GOLDEN_STUDENT[i : i + 1], GOLDEN_TEACHER[i : i + 1], 2.0)[0])
        for i in (0, 1)
    ]
    assert rows == pytest.approx([0.3201567, 0.0784210], abs=1e-7)
    assert float(loss_fn(GOLDEN_STUDENT, GOLDEN_TEACHER)) == pytest.approx(0.7971552, abs=1e-6)
    assert float(cross_entropy(GOLDEN_STUDENT, GOLDEN_LABELS)[0]) / 2 == pytest.approx(
        1.7531091, abs=1e-6
    )
    assert float(loss_fn(GOLDEN_STUDENT, GOLDEN_TEACHER, GOLDEN_LABELS)) == pytest.approx(
        1.2751322, abs=1e-6
    )


def test_sequences_are_shifted_once_and_masked():
    source = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 6, 5, generator=source) for _ in range(2))
    labels = torch.randint(5, (2, 6), generator=source)
    labels[:, :3] = -100  # prompt 3 + completion 3
    student.requires_grad_()
    loss = DistillationLoss(2.0, 0.5)(student, teacher, labels)
    loss.backward()
    touched = student.grad.abs().sum(-1) > 0
    assert touched.tolist() == [[False, False, True, True, True, False]] * 2
    rows = DistillationLoss(2.0, 0.5)(
        student[:, 2:5].reshape(-1, 5), teacher[:, 2:5].reshape(-1, 5), labels[:, 3:].reshape(-1)
    )
    assert loss.item() == pytest.approx(rows.item())


def test_prompt_and_padding_change_nothing():
    source = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 6, 5, generator=source) for _ in range(2))
    labels = torch.full((2, 6), -100)
    labels[:, 3:5] = 1
    expected = DistillationLoss()(student, teacher, labels)
    for place in (0, 1, 4, 5):  # logits that score nothing supervised
        student[:, place] += 100.0
        teacher[:, place] -= torch.randn(5)
    assert torch.equal(DistillationLoss()(student, teacher, labels), expected)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_token_repeated_is_the_same_loss(name):
    student, teacher = logits(rows=1)
    loss_fn = DistillationLoss(2.0, 0.5, objective=name)
    values = [
        float(loss_fn(student.repeat(n, 1), teacher.repeat(n, 1), torch.full((n,), 3)))
        for n in (1, 2, 50)
    ]
    assert values == pytest.approx([values[0]] * 3)


def test_alpha_chooses_between_labels_and_teacher():
    student, teacher = logits(size=3, rows=2)
    labels = torch.tensor([0, 1])
    other = teacher.flip(0)
    only_labels = DistillationLoss(2.0, 0.0)
    assert torch.equal(only_labels(student, teacher, labels), only_labels(student, other, labels))
    only_teacher = DistillationLoss(2.0, 1.0)
    assert torch.equal(
        only_teacher(student, teacher, labels), only_teacher(student, teacher, labels.flip(0))
    )


def test_gradient_keeps_its_size_when_the_temperature_changes():
    norms = []
    for temperature in (4.0, 8.0, 16.0):
        student, teacher = logits(scale=0.5)
        student.requires_grad_()
        DistillationLoss(temperature, 1.0)(student, teacher).backward()
        norms.append(float(student.grad.norm()))
    assert max(norms) / min(norms) < 1.1


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(2, 3\).*labels have shape"):
        DistillationLoss()(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(3, dtype=torch.long))


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError, match=r"temperature is 0.*alpha is 1\.5.*objective is 'kl'"):
        DistillationLoss(0, 1.5, objective="kl")
    with pytest.raises(ConfigError, match=r"b is 1\.5"):
        jsd(torch.zeros(1, 2), torch.zeros(1, 2), b=1.5)
    with pytest.raises(ConfigError, match="skew is 0"):
        skew_forward(torch.zeros(1, 2), torch.zeros(1, 2), skew=0.0)


def test_signatures():
    parameters = list(inspect.signature(DistillationLoss).parameters.values())
    assert [(p.name, p.default) for p in parameters[:2]] == [("temperature", 2.0), ("alpha", 0.5)]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[2:])
    forward = inspect.signature(DistillationLoss.forward).parameters
    assert list(forward) == ["self", "student_logits", "teacher_logits", "labels"]
    assert forward["labels"].default is None
    assert issubclass(DistillationLoss, torch.nn.Module)
