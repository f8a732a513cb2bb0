"""Head, loss and gradient in one pass over supervised positions, without the logits of all rows.

The gradient by the logits is known in closed form. So a chunk of rows is multiplied by the head,
its logits are overwritten by their gradient, and that is multiplied into the gradients of hidden
states and head. This takes three matrix products, as plain cross-entropy does, and two where the
head is frozen. On the CPU a chunk is processed in blocks of a few rows, which fit into its cache.

The loss of a row is w [alpha T^2 D(teacher, student) + (1 - alpha) CE]. With g_i = dD/d(log q_i)
and G = sum_i g_i, the gradient of T^2 D by the logits is T (g_j - q_j G) for a kept id and
T r_j (g_tail - q_tail G) for an id of the tail, where r_j is its share of the tail.

On the CPU torch's softmax costs a quarter of `exp`, so probabilities come from it, and the
normaliser from the largest probability of a row.

Sizes: N supervised positions, H hidden size, V shared vocabulary, C rows of a chunk, R rows of a
block, K kept classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...errors import ConfigError
from .divergences import (
    LOWEST_LOGIT,
    LOWEST_TEACHER_LOG_PROBABILITY,
    ClassProbabilities,
    value_and_gradient,
)
from .mixture import Mixture, SumAndCount
from .rows import HeadRows, SparseTeacherRows, TeacherRows

CHUNK_BYTES: Final = 192 * 2**20
"""Largest chunk of logits. Each chunk reads the whole head and its gradient again: at V = 151,936
and width 256, one chunk of 310 rows is a sixth faster than three, on one CPU core."""
BLOCK_BYTES: Final = 2 * 2**20
"""Largest block of logits; its temporaries take a few times as much."""
SMALLEST_CHUNK: Final = 32
"""Rows; in a product of fewer rows, reading the head takes the time."""


def fused_distillation(
    rows: HeadRows,
    labels: Tensor,
    teacher: TeacherRows | None,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
    chunk: int | None = None,
) -> SumAndCount:
    """Compute `distillation_sum` from hidden states and head; it can be differentiated once.

    Matrix products are in the head's type, or in autocast's if it is on; sums and softmax
    statistics in float32 (float64 for float64). `chunk` is the number of rows that are multiplied
    together, which changes speed and memory only; None chooses.
    """
    size = rows.classes
    teacher = teacher if mixture.alpha > 0.0 else None
    faults = _faults(rows, labels, teacher, mixture, size)
    if faults:
        raise ValueError("; ".join(faults))
    products = product_type(rows.weight)
    job = _Job(
        labels=labels,
        teacher=(
            _as_type(teacher, product_type(teacher.weight))
            if isinstance(teacher, HeadRows)
            else teacher
        ),
        weights=weights,
        mixture=mixture,
        vocabulary=size,
        chunk=chunk or max(CHUNK_BYTES // (4 * size), SMALLEST_CHUNK),
        products=products,
        wide=torch.promote_types(products, torch.float32),
        differentiate=torch.is_grad_enabled(),
    )
    total: Tensor = _FusedLoss.apply(  # type: ignore[no-untyped-call]
        rows.hidden, rows.weight, rows.bias, job
    )
    return total, len(rows)


def product_type(weight: Tensor) -> torch.dtype:
    """Return the type in which a head is multiplied: autocast's if it is on, else its own.

    Raises:
        ConfigError: It is float16.
    """
    device = weight.device.type
    autocast = torch.is_autocast_enabled(device) and weight.dtype != torch.float64
    dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
    if dtype == torch.float16:
        raise ConfigError(
            ["the head computes in torch.float16, whose range is too small for gradients; allowed "
             "are bfloat16, float32 and float64"]
        )  # fmt: skip
    return dtype


@dataclass(frozen=True)
class _Job:
    """What the loss depends on, other than the tensors it is differentiated by."""

    labels: Tensor
    teacher: SparseTeacherRows | HeadRows | Tensor | None
    weights: Tensor | None
    mixture: Mixture
    vocabulary: int
    chunk: int
    products: torch.dtype
    """Type of the operands of matrix products."""
    wide: torch.dtype
    """Type of everything else."""
    differentiate: bool


class _FusedLoss(torch.autograd.Function):
    """Compute value and gradients in the forward pass; the backward pass only scales them.

    The kept gradients are of the order of 1: `grad_output` brings the division by the step's
    tokens.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not type it
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        job: _Job,
    ) -> Tensor:
        needed = [job.differentiate and needs for needs in ctx.needs_input_grad[:3]]
        with torch.autocast(hidden.device.type, enabled=False):
            rows = HeadRows(hidden, weight, bias, job.vocabulary)
            total, gradients = _value_and_gradients(rows, job, needed)
        ctx.save_for_backward(*gradients)
        ctx.types = [None if t is None else t.dtype for t in (hidden, weight, bias)]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        # Unless the graph is kept, backward runs once, and the gradients need not be copied.
        scale = torch.mul if _keeps_graph() else Tensor.mul_
        scaled = [
            None if gradient is None else scale(gradient, grad_output).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.types, strict=True)
        ]
        return (*scaled, None)


def _keeps_graph() -> bool:
    """Tell whether the running backward pass was called with `retain_graph`."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return ask is None or bool(ask())


def _value_and_gradients(
    rows: HeadRows, job: _Job, needed: list[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the sum and the needed ones of its gradients by hidden states, head and bias."""
    N, V, wide = len(rows), job.vocabulary, job.wide
    by_hidden = torch.empty_like(rows.hidden) if needed[0] else None  # (N, H)
    by_weight = torch.empty_like(rows.weight, dtype=wide) if needed[1] else None  # (V or more, H)
    if by_weight is not None:  # the first chunk overwrites the other rows, so they stay unset
        by_weight[V if N else 0 :].zero_()
    by_bias = None
    if rows.bias is not None and needed[2]:
        by_bias = torch.zeros_like(rows.bias, dtype=wide)
    student = _Logits(_as_type(rows, job.products), job)
    theirs = _Logits(job.teacher, job) if isinstance(job.teacher, HeadRows) else None
    given = None if isinstance(job.teacher, HeadRows) else job.teacher
    values = torch.empty(N, dtype=wide, device=rows.hidden.device)
    for part in pieces(N, job.chunk):
        z = student.of(part)  # (C, V)
        signal = theirs.of(part) if theirs else None if given is None else given[part]
        values[part] = _chunk_to_gradient(z, signal, part, job)
        gradient = student.narrowed(z)  # (C, V)
        if by_hidden is not None:
            by_hidden[part] = gradient @ student.weight
        if by_weight is not None:
            _add_product(by_weight[:V], gradient.T, student.hidden[part], first=part.start == 0)
        if by_bias is not None:
            by_bias[:V] += z.sum(0)
    return values.sum(), [by_hidden, by_weight, by_bias]


def _chunk_to_gradient(
    z: Tensor, teacher: SparseTeacherRows | Tensor | None, part: slice, job: _Job
) -> Tensor:
    """Overwrite a chunk's logits by their gradient, in blocks; give the loss of each row."""
    labels, weights = job.labels[part], None if job.weights is None else job.weights[part]
    fits = max(BLOCK_BYTES // (z.element_size() * z.shape[1]), 1)
    values = [
        logits_to_gradient(
            z[block],
            labels[block],
            None if teacher is None else teacher[block],
            job.mixture,
            None if weights is None else weights[block],
        )
        for block in pieces(len(z), fits if z.device.type == "cpu" else len(z))
    ]
    return torch.cat(values)


def _add_product(into: Tensor, left: Tensor, right: Tensor, *, first: bool) -> None:
    """Add a product to a wide sum; the first product overwrites it."""
    if left.dtype == into.dtype:
        into.addmm_(left, right, beta=0.0 if first else 1.0)  # 0 ignores even a NaN
    elif first:
        into.copy_(left @ right)
    else:
        into += left @ right


class _Logits:
    """Compute the logits of one chunk of rows at a time, always in the same memory.

    The only large tensors are a chunk's logits in the wide type and, where products have a narrower
    type, a second copy in that.
    """

    def __init__(self, rows: HeadRows, job: _Job) -> None:
        self.hidden, self.weight, self.bias = rows.hidden, rows.weight, rows.bias
        shape = (min(job.chunk, len(rows)), job.vocabulary)
        self._narrow = rows.weight.new_empty(shape)
        same = rows.weight.dtype == job.wide
        self._wide = self._narrow if same else rows.weight.new_empty(shape, dtype=job.wide)

    def of(self, part: slice) -> Tensor:
        """Compute the logits of at most a chunk of rows; they overwrite those given before."""
        hidden = self.hidden[part]
        z = self._narrow[: len(hidden)]
        if self.bias is None:
            torch.mm(hidden, self.weight.T, out=z)
        else:
            torch.addmm(self.bias, hidden, self.weight.T, out=z)
        return z if self._wide is self._narrow else self._wide[: len(z)].copy_(z)

    def narrowed(self, z: Tensor) -> Tensor:
        """Convert the gradient that overwrote a chunk's logits to the type of products."""
        return z if self._wide is self._narrow else self._narrow[: len(z)].copy_(z)


def _as_type(rows: HeadRows, dtype: torch.dtype) -> HeadRows:
    """Convert rows to a type, and cut their head to the vocabulary."""
    bias = None if rows.bias is None else rows.bias[: rows.classes].to(dtype)
    return HeadRows(rows.hidden.to(dtype), rows.weight[: rows.classes].to(dtype), bias)


def pieces(total: int, most: int) -> Iterator[slice]:
    """Cut rows into pieces of almost equal size, because a small last one would cost as much.

    >>> list(pieces(5, 3))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    count = -(-total // most)
    for number in range(count):
        yield slice(number * total // count, (number + 1) * total // count)


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
        teacher: Its rows; a tensor is logits (R, V). None only where alpha is 0.
        mixture: The settings.
        weights: (R,), None for 1 everywhere.

    Returns:
        The loss of each row (R,) in nats.
    """
    alpha, temperature = mixture.alpha, mixture.temperature
    distances = cross_entropies = None  # (R,) each
    z.clamp_(min=LOWEST_LOGIT)  # the softmax of a row of -inf would be NaN
    if alpha < 1.0:  # comes first, because the divergence overwrites the logits
        cross_entropies, by_label = _cross_entropy(z, labels)  # (R,), (R, V)
    if teacher is not None and alpha > 0.0:
        z.div_(temperature)
        if isinstance(teacher, SparseTeacherRows):
            distances = _sparse(z, teacher, mixture)
        else:
            distances = _dense(z, teacher, mixture)
        z.mul_(alpha * temperature)  # T^2 of the loss, 1 / T of the softened logits
        if alpha < 1.0:
            z.add_(by_label, alpha=1.0 - alpha)
    else:
        z.copy_(by_label)
    values = mixture.mix(distances, cross_entropies)
    if weights is None:
        return values
    z.mul_(weights[:, None])
    return values * weights


def _cross_entropy(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each row (R,) at temperature 1, and its gradient (R, V)."""
    q = torch.softmax(z, dim=-1)
    places = labels[:, None]
    values = (_normaliser(z, q) - z.gather(1, places)).squeeze(1)
    return values, q.scatter_add_(1, places, -torch.ones_like(q[:, :1]))


def _sparse(z: Tensor, teacher: SparseTeacherRows, mixture: Mixture) -> Tensor:
    """Overwrite softened logits by dD / dz over the kept classes and the tail; give D (R,).

    The tail is summed over the logits with the kept ones masked, see `kept_log_probabilities`. The
    mask is finite, so the tail's logarithm stays finite where all ids are kept.
    """
    log_p = torch.cat([teacher.log_kept, teacher.log_tail[:, None]], dim=1).to(z.dtype)
    log_p.clamp_(min=LOWEST_TEACHER_LOG_PROBABILITY)  # (R, K + 1)
    kept = z.gather(1, teacher.ids)  # (R, K)
    z.scatter_(1, teacher.ids, LOWEST_LOGIT / mixture.temperature)
    share = torch.softmax(z, dim=-1)  # (R, V), of the tail
    tail = _normaliser(z, share)  # (R, 1)
    log_q = torch.cat([kept, tail], dim=1).log_softmax(dim=1)
    q = log_q.exp()
    values, g = value_and_gradient(ClassProbabilities(log_p, log_p.exp(), log_q, q), mixture)
    by_class = g - q * g.sum(-1, keepdim=True)  # (R, K + 1)
    torch.mul(share, by_class[:, -1:], out=z)
    z.scatter_(1, teacher.ids, by_class[:, :-1])
    return values


def _dense(z: Tensor, teacher: Tensor, mixture: Mixture) -> Tensor:
    """Overwrite softened logits by dD / dz over the vocabulary; give D (R,).

    Forward KL is sum p (theirs - ours) less the difference of the normalisers, and its gradient is
    q - p. It needs no logarithm of either distribution, which saves two passes over the vocabulary.
    """
    theirs = teacher.to(z.dtype).clamp(min=LOWEST_LOGIT).div_(mixture.temperature)
    p, q = torch.softmax(theirs, dim=-1), torch.softmax(z, dim=-1)
    if mixture.divergence == "forward_kl":
        apart = _normaliser(z, q) - _normaliser(theirs, p)  # (R, 1)
        values = theirs.sub_(z).mul_(p).sum(-1) + apart.squeeze(1)
        torch.sub(q, p, out=z)
        return values
    log_p = theirs.log_softmax(dim=-1).clamp_(min=LOWEST_TEACHER_LOG_PROBABILITY)
    values, g = value_and_gradient(ClassProbabilities(log_p, p, z.log_softmax(dim=-1), q), mixture)
    torch.addcmul(g, q, g.sum(-1, keepdim=True), value=-1.0, out=z)
    return values


def _normaliser(z: Tensor, probabilities: Tensor) -> Tensor:
    """Compute the log of each row's sum of exponentials (R, 1) from its softmax."""
    return z.amax(-1, keepdim=True) - probabilities.amax(-1, keepdim=True).log()


def _faults(
    rows: HeadRows, labels: Tensor, teacher: TeacherRows | None, mixture: Mixture, vocabulary: int
) -> list[str]:
    """List what does not belong together."""
    N, faults = len(rows), []
    if labels.shape != (N,):
        faults.append(f"labels have shape {tuple(labels.shape)}; {(N,)} for {N} hidden states")
    if not 0 < vocabulary <= len(rows.weight):
        faults.append(f"vocabulary is {vocabulary}; the head has {len(rows.weight)} rows")
    if teacher is None:
        if mixture.alpha > 0.0:
            faults.append(f"alpha is {mixture.alpha} and there are no teacher rows")
        return faults
    classes = vocabulary  # ids of a cache are below the vocabulary, which the cache checks
    if not isinstance(teacher, SparseTeacherRows):
        classes = teacher.shape[1] if isinstance(teacher, Tensor) else teacher.classes
    if (len(teacher), classes) != (N, vocabulary):
        faults.append(
            f"the teacher has {len(teacher)} rows of {classes} classes, the student {N} of "
            f"{vocabulary}; cut both to the shared vocabulary"
        )
    return faults
