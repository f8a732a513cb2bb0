"""The universal logit loss: distillation from a teacher with another vocabulary.

Tokens of two vocabularies cannot be matched, so the cost of moving probability from one token to
any other is set to 1. The optimal transport between two distributions then needs no plan: sort both
by probability, fill the shorter one up with zeros, and sum the absolute differences.

    [alpha T^2 sum over aligned positions D + (1 - alpha) sum over all CE] / N_tok

N_tok are the supervised tokens of the optimizer step, as for every other objective: a position
without a teacher counts with a distance of 0.

Source: universal logit distillation, Boizard et al. 2024, sec. 3 (arXiv 2402.12030).

Sizes: N supervised positions, P of them aligned, V the student's vocabulary, W the teacher's, C
rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .dense import dense_distillation
from .fused import CHUNK_BYTES, SMALLEST_CHUNK, fused_distillation, pieces
from .mixture import Mixture, SumAndCount
from .rows import AlignedTeacherRows, HeadRows, StudentRows


def universal_distillation(
    rows: StudentRows,
    labels: Tensor,
    teacher: AlignedTeacherRows,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
    chunk: int | None = None,
) -> SumAndCount:
    """Sum alpha T^2 D(teacher, student) over aligned rows and (1 - alpha) CE over all rows.

    Arguments as for `distillation_sum`. Sorting needs most memory, so logits are computed for
    `chunk` rows at a time, and once more in the backward pass; None chooses the number.

    Returns:
        The sum in nats (for D: of probability), connected to the rows, and N.
    """
    cross_entropy = _cross_entropy(rows, labels, mixture.alpha, weights)
    ours, theirs = rows[teacher.aligned], teacher.rows  # P rows each
    kept = None if weights is None else weights[teacher.aligned]  # (P,)

    def distances(part: slice, probabilities: Tensor) -> Tensor:
        return sorted_distance(_logits(ours[part]), probabilities, mixture.temperature)  # (C,)

    size = chunk or max(CHUNK_BYTES // (4 * max(_classes(ours), _classes(theirs))), SMALLEST_CHUNK)
    total = cross_entropy.new_zeros(())
    for part in pieces(int(teacher.aligned.sum()), size):
        probabilities = sorted_probabilities(_logits(theirs[part]), mixture.temperature)  # (C, W)
        distance = checkpoint(
            distances, part, probabilities, use_reentrant=False, preserve_rng_state=False
        )
        total = total + (distance if kept is None else distance * kept[part]).sum()
    return mixture.mix(total, cross_entropy), len(labels)


def _cross_entropy(
    rows: StudentRows, labels: Tensor, alpha: float, weights: Tensor | None
) -> Tensor:
    """Sum CE over all rows; at alpha 1 over none, which keeps the sum connected to the graph."""
    chosen = slice(None) if alpha < 1.0 else slice(0)
    ours, targets = rows[chosen], labels[chosen]
    kept = None if weights is None else weights[chosen]
    only_labels = Mixture(alpha=0.0)
    if isinstance(ours, HeadRows):
        return fused_distillation(ours, targets, None, only_labels, weights=kept)[0]
    return dense_distillation(ours, targets, None, only_labels, weights=kept)[0]


def _classes(rows: StudentRows) -> int:
    return rows.shape[1] if isinstance(rows, Tensor) else rows.classes


def _logits(rows: StudentRows) -> Tensor:
    return rows if isinstance(rows, Tensor) else rows.logits()


# ------------------------------------------------------------------------------------ the distance


def universal_logit(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum over rows the distance of sorted probabilities, both softened by `temperature`.

    Args:
        student: Logits (N, V).
        teacher: Logits (N, W) of the same rows; treated as constant.
        temperature: Above 0. The factor T^2 is not applied here.

    Returns:
        The sum, a scalar between 0 and 2 N, and N. It can be differentiated once.
    """
    theirs = sorted_probabilities(teacher, temperature)
    return sorted_distance(student, theirs, temperature).sum(), len(student)


def sorted_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Return softened probabilities in falling order, (N, W), without a gradient."""
    return _probabilities(logits.detach(), temperature).sort(dim=-1, descending=True).values


def sorted_distance(logits: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    """Return the distance of each row, (N,).

    The gradient is computed with the value, and only one (N, V) tensor is kept for it; autograd
    would keep probabilities, their order (int64) and their signs, five times as much.

    Args:
        logits: The student's (N, V).
        theirs: The teacher's probabilities (N, W), in falling order.
        temperature: Above 0.
    """
    distance: Tensor = _SortedDistance.apply(  # type: ignore[no-untyped-call]
        logits, theirs, temperature
    )
    return distance


class _SortedDistance(torch.autograd.Function):
    """With s_i the sign of (q - p) at the rank of q_i: dD/dz_i = q_i (s_i - sum_j q_j s_j) / T."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not type it
        logits: Tensor,
        theirs: Tensor,
        temperature: float,
    ) -> Tensor:
        q = _probabilities(logits, temperature)  # (N, V)
        ours, order = q.sort(dim=-1, descending=True)
        width = max(ours.shape[-1], theirs.shape[-1])
        gaps = _filled(ours, width) - _filled(theirs.to(q.dtype), width)  # (N, max(V, W))
        signs = torch.empty_like(q).scatter_(-1, order, gaps[:, : q.shape[-1]].sign())
        mean = (q * signs).sum(-1, keepdim=True)
        ctx.save_for_backward((q * (signs - mean)).div_(temperature).to(logits.dtype))
        return gaps.abs().sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_row: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (gradient,) = ctx.saved_tensors
        return gradient * by_row[:, None].to(gradient.dtype), None, None


def _probabilities(logits: Tensor, temperature: float) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.softmax(logits.to(wide) / temperature, dim=-1)


def _filled(values: Tensor, width: int) -> Tensor:
    return functional.pad(values, (0, width - values.shape[-1]))
