"""Distance between distributions over different vocabularies: their sorted probabilities.

Where tokens cannot be matched, the cost of moving mass from one token to any other is set to 1. The
optimal transport between the two distributions then needs no plan: both are sorted, the shorter one
is filled up with zeros, and the absolute differences are summed.

Source: universal logit distillation, Boizard et al. 2024, sec. 3 (arXiv 2402.12030).

Sizes: N rows, V the student's vocabulary, W the teacher's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def universal_logit(
    student: Tensor, teacher: Tensor, temperature: float = 1.0
) -> tuple[Tensor, int]:
    """Sum over rows the distance of sorted probabilities, both softened by `temperature`.

    Args:
        student: Logits (N, V).
        teacher: Logits (N, W) of the same rows; treated as constant.
        temperature: Above 0. The factor T^2 is not applied here, see `temperature_scale`.

    Returns:
        The sum, a scalar between 0 and 2 N, and N. It can be differentiated once.
    """
    theirs = sorted_probabilities(teacher, temperature)
    return sorted_distance(student, theirs, temperature).sum(), len(student)


def sorted_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Give softened probabilities in falling order, (N, W), without a gradient."""
    return _probabilities(logits.detach(), temperature).sort(dim=-1, descending=True).values


def sorted_distance(logits: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    """Give the distance of each row, (N,).

    The gradient is made beside the value and is all that is kept, one (N, V) tensor; autograd
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
