"""TRL's generalised JSD, which nobody here wrote, against ours: values and gradients."""

import warnings

import pytest
import torch
from loss_cases import random_rows, value_and_gradients
from stillroom.distillation.losses.distillation_loss import DIVERGENCES, IGNORED, DistillationLoss
from stillroom.distillation.losses.mixture import Mixture, temperature_scale

jsd = DIVERGENCES["jsd"]


@pytest.fixture(scope="module")
def generalized_jsd_loss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns about experimental parts and old SWIG
        gkd = pytest.importorskip("trl.experimental.gkd")
    return gkd.GKDTrainer.generalized_jsd_loss


def shifted_tensors():
    source = torch.Generator().manual_seed(0)
    student, teacher = (
        3 * torch.randn(2, 5, 7, generator=source, dtype=torch.float64) for _ in range(2)
    )
    labels = torch.randint(7, (2, 5), generator=source)
    labels[0, :3] = IGNORED
    labels[1, 4:] = IGNORED
    return student.requires_grad_(), teacher, labels


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("b", [0.0, 0.1, 0.5, 1.0])
def test_generalized_jsd(generalized_jsd_loss, b, temperature):
    student, teacher, labels = shifted_tensors()
    theirs = generalized_jsd_loss(student, teacher, labels, beta=b, temperature=temperature)
    (their_gradient,) = torch.autograd.grad(theirs, student)
    kept = labels != IGNORED
    total, count = jsd(student[kept], teacher[kept], temperature, b=b)
    (our_gradient,) = torch.autograd.grad(total / count, student)
    assert total.item() / count == pytest.approx(theirs.item(), rel=1e-10)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("b", [0.0, 0.1, 0.5, 1.0])
def test_the_fused_loss_is_theirs_times_temperature_squared(generalized_jsd_loss, b, temperature):
    rows = random_rows(N=9).with_gradients()
    theirs = generalized_jsd_loss(
        rows.logits[None],
        rows.teacher_logits[None],
        rows.labels[None],
        beta=b,
        temperature=temperature,
    )
    expected = torch.autograd.grad(theirs, rows.parameters)
    for signal in (rows.theirs, rows.signal("sparse", temperature, k=rows.vocabulary - 1)):
        mixture = Mixture(temperature, 1.0, "jsd", b=b)
        total, gradients = value_and_gradients("fused", rows, signal, mixture, chunk=4)
        scale = temperature_scale(temperature) * 9  # theirs is a mean over 9 rows
        assert total.item() == pytest.approx(scale * theirs.item(), rel=1e-10)
        for ours, their in zip(gradients, expected, strict=True):
            torch.testing.assert_close(ours, scale * their, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_distillation_loss_is_theirs_times_temperature_squared(generalized_jsd_loss, temperature):
    student, teacher, labels = shifted_tensors()
    theirs = generalized_jsd_loss(
        student[:, :-1], teacher[:, :-1], labels[:, 1:], beta=0, temperature=temperature
    )
    ours = DistillationLoss(temperature, 1.0)(student, teacher, labels)
    assert ours.item() == pytest.approx(temperature_scale(temperature) * theirs.item())


def test_their_own_cases(generalized_jsd_loss):
    """TestGeneralizedJSDLoss: [.1, .9] against [.9, .1]; symmetric at .5 only."""
    one, other = torch.tensor([[0.1, 0.9]]).log(), torch.tensor([[0.9, 0.1]]).log()
    uniform = torch.zeros(1, 2)
    for b in (0.1, 0.5, 0.9):
        ours = float(jsd(one, other, b=b)[0])
        assert ours == pytest.approx(float(generalized_jsd_loss(one, other, beta=b)), rel=1e-5)
        assert float(jsd(uniform, uniform, b=b)[0]) == pytest.approx(0.0, abs=1e-7)
    skewed = torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([[0.1, 0.2, 0.7]]).log()
    assert float(jsd(*skewed, b=0.5)[0]) == pytest.approx(float(jsd(*skewed[::-1], b=0.5)[0]))
    assert float(jsd(*skewed, b=0.1)[0]) != pytest.approx(float(jsd(*skewed[::-1], b=0.1)[0]))
