"""From the logits of a few rows to the gradient of their loss, in place.

The loss of a row is w [alpha T^2 D(teacher, student) + (1 - alpha) CE]. With g_i = dD/d(log q_i)
and G = sum_i g_i, the gradient of T^2 D on the logits is T (g_j - q_j G) for a kept id and
T r_j (g_tail - q_tail G) for one of the tail, whose share of the tail is r_j (training.md section
2.2).

torch's softmax kernels are the cheap way to an exponential on the CPU (a quarter of `exp`), so
probabilities come from them, and the normaliser from the largest probability of a row.

Sizes: R rows, V vocabulary, K kept classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .class_gradients import ClassProbabilities, class_gradients
from .divergences import Mixture
from .mixture import LOWEST_LOGIT, LOWEST_TEACHER_LOG_PROBABILITY, temperature_scale
from .teacher_rows import SparseTeacherRows


def logits_to_gradient(
    z: Tensor,
    labels: Tensor,
    teacher: SparseTeacherRows | Tensor | None,
    mixture: Mixture,
    weights: Tensor | None,
) -> Tensor:
    """Overwrite logits by the gradient of their rows' loss.

    Args:
        z: (R, V) float32 or float64; overwritten.
        labels: (R,) token ids.
        teacher: Its side of the rows; a tensor is logits (R, V). None only where alpha is
            0.
        mixture: The settings.
        weights: (R,), None for 1 everywhere.

    Returns:
        The loss of each row (R,) in nats.
    """
    alpha, temperature = mixture.alpha, mixture.temperature
    values = z.new_zeros(len(z))
    z.clamp_(min=LOWEST_LOGIT)  # a softmax without any class would be NaN
    if alpha < 1.0:  # first: the divergence overwrites the logits
        cross_entropies, by_label = _cross_entropy(z, labels)  # (R,), (R, V)
        values += (1.0 - alpha) * cross_entropies
    if teacher is not None and alpha > 0.0:
        z.div_(temperature)
        if isinstance(teacher, SparseTeacherRows):
            distances = _sparse(z, teacher, mixture)
        else:
            distances = _dense(z, teacher, mixture)
        values += alpha * temperature_scale(temperature) * distances
        z.mul_(alpha * temperature)  # T^2 of the loss, 1 / T of the softened logits
        if alpha < 1.0:
            z.add_(by_label, alpha=1.0 - alpha)
    else:
        z.copy_(by_label)
    return values if weights is None else _weighted(values, z, weights)


def _cross_entropy(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Give the cross-entropy of each row (R,) at temperature 1, and its gradient (R, V)."""
    q = torch.softmax(z, dim=-1)
    places = labels[:, None]
    values = (_normaliser(z, q) - z.gather(1, places)).squeeze(1)
    return values, q.scatter_add_(1, places, -torch.ones_like(q[:, :1]))


def _sparse(z: Tensor, teacher: SparseTeacherRows, mixture: Mixture) -> Tensor:
    """Overwrite softened logits by dD / dz over the kept classes and the tail; give D (R,).

    The tail is summed over the logits that are left, in which the kept ones are masked: as 1 - sum
    of the kept it would lose its logarithm in float32 (training.md section 2.3). The mask is
    finite, so a tail without any mass stays finite too.
    """
    log_p = torch.cat([teacher.log_kept, teacher.log_tail[:, None]], dim=1).to(z.dtype)
    log_p.clamp_(min=LOWEST_TEACHER_LOG_PROBABILITY)  # (R, K + 1)
    kept = z.gather(1, teacher.ids)  # (R, K)
    z.scatter_(1, teacher.ids, LOWEST_LOGIT / mixture.temperature)
    share = torch.softmax(z, dim=-1)  # (R, V), of the tail
    tail = _normaliser(z, share)  # (R, 1)
    log_q = torch.cat([kept, tail], dim=1).log_softmax(dim=1)
    q = log_q.exp()
    values, g = class_gradients(ClassProbabilities(log_p, log_p.exp(), log_q, q), mixture)
    by_class = g - q * g.sum(-1, keepdim=True)  # (R, K + 1)
    torch.mul(share, by_class[:, -1:], out=z)
    z.scatter_(1, teacher.ids, by_class[:, :-1])
    return values


def _dense(z: Tensor, teacher: Tensor, mixture: Mixture) -> Tensor:
    """Overwrite softened logits by dD / dz over the vocabulary; give D (R,).

    Forward KL is sum p (theirs - ours), less the difference of the normalisers, with the gradient
    q - p: it needs no logarithm of either distribution, two passes less over the vocabulary.
    """
    theirs = teacher.to(z.dtype).clamp(min=LOWEST_LOGIT).div_(mixture.temperature)
    p, q = torch.softmax(theirs, dim=-1), torch.softmax(z, dim=-1)
    if mixture.divergence == "forward_kl":
        apart = _normaliser(z, q) - _normaliser(theirs, p)  # (R, 1)
        values = theirs.sub_(z).mul_(p).sum(-1) + apart.squeeze(1)
        torch.sub(q, p, out=z)
        return values
    log_p = theirs.log_softmax(dim=-1).clamp_(min=LOWEST_TEACHER_LOG_PROBABILITY)
    values, g = class_gradients(ClassProbabilities(log_p, p, z.log_softmax(dim=-1), q), mixture)
    torch.addcmul(g, q, g.sum(-1, keepdim=True), value=-1.0, out=z)
    return values


def _normaliser(z: Tensor, probabilities: Tensor) -> Tensor:
    """Give the logarithm of each row's sum of exponentials (R, 1), from its softmax."""
    return z.amax(-1, keepdim=True) - probabilities.amax(-1, keepdim=True).log()


def _weighted(values: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    z.mul_(weights[:, None])
    return values * weights
