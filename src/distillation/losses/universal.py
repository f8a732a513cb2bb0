"""Training on a teacher with another tokenizer: its rows where the texts meet, labels everywhere.

    [alpha T^2 sum over aligned positions D + (1 - alpha) sum over all CE] / N_tok

N_tok are the supervised tokens of the optimizer step, as for every other objective, so a position
without a teacher is one with a distance of 0 and gradients do not depend on how a step is split.

Sizes: N supervised positions, P of them aligned, H hidden size, V and W the vocabularies of student
and teacher.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .dense import dense_distillation
from .fused import CHUNK_BYTES, SMALLEST_CHUNK, HeadRows, fused_distillation, pieces
from .mixture import Mixture, SumAndCount
from .teacher_rows import AlignedTeacherRows, DenseTeacherRows
from .universal_alignment import sorted_distance, sorted_probabilities


def universal_distillation(
    rows: HeadRows | Tensor,
    labels: Tensor,
    teacher: AlignedTeacherRows,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
    chunk: int | None = None,
) -> SumAndCount:
    """Sum alpha T^2 D(teacher, student) over aligned rows and (1 - alpha) CE over all.

    Logits are made for some rows at a time, and once more in the backward pass, so that sorting,
    which costs most, never holds more than a chunk.

    Args:
        rows: The student's N rows: hidden states with the whole head, or logits (N, V).
        labels: (N,) token ids.
        teacher: Its P rows.
        mixture: Temperature and alpha.
        weights: (N,) of the rows; None for 1 everywhere.
        chunk: Rows that are sorted together; None chooses.

    Returns:
        The sum in nats (for D: of probability), connected to the rows, and N.
    """
    temperature = mixture.temperature
    cross_entropy = _cross_entropy(rows, labels, mixture.alpha, weights)
    ours = _selected(rows, teacher.aligned)  # P rows
    kept = None if weights is None else weights[teacher.aligned]  # (P,)

    def distances(part: slice, theirs: Tensor) -> Tensor:
        return sorted_distance(_logits(ours, part), theirs, temperature)  # (C,)

    widest = max(_classes(ours), _classes(teacher.rows))
    size = chunk or max(CHUNK_BYTES // (4 * widest), SMALLEST_CHUNK)
    total = cross_entropy.new_zeros(())
    for part in pieces(int(teacher.aligned.sum()), size):
        theirs = sorted_probabilities(_logits(teacher.rows, part), temperature)  # (C, W)
        distance = checkpoint(
            distances, part, theirs, use_reentrant=False, preserve_rng_state=False
        )
        if kept is not None:
            distance = distance * kept[part]
        total = total + distance.sum()
    return mixture.mix(total, cross_entropy), len(labels)


def _cross_entropy(
    rows: HeadRows | Tensor, labels: Tensor, alpha: float, weights: Tensor | None
) -> Tensor:
    """Sum the labels' part; of no row, but still connected to the graph, where alpha is 1."""
    asked = slice(None) if alpha < 1.0 else slice(0)
    ours, targets = _selected(rows, asked), labels[asked]
    kept = None if weights is None else weights[asked]
    only_labels = Mixture(alpha=0.0)
    if isinstance(ours, HeadRows):
        return fused_distillation(ours, targets, None, only_labels, weights=kept)[0]
    return dense_distillation(ours, targets, None, only_labels, weights=kept)[0]


def _selected(rows: HeadRows | Tensor, which: Tensor | slice) -> HeadRows | Tensor:
    if isinstance(rows, Tensor):
        return rows[which]
    return replace(rows, hidden=rows.hidden[which])


def _classes(rows: HeadRows | DenseTeacherRows | Tensor) -> int:
    if isinstance(rows, Tensor):
        return rows.shape[1]
    vocabulary = rows.vocabulary if isinstance(rows, HeadRows) else None
    return len(rows.weight) if vocabulary is None else vocabulary


def _logits(rows: HeadRows | DenseTeacherRows | Tensor, part: slice) -> Tensor:
    """Make the logits of some rows."""
    if isinstance(rows, Tensor):
        return rows[part]
    shared = slice(_classes(rows))
    bias = None if rows.bias is None else rows.bias[shared]
    return functional.linear(rows.hidden[part], rows.weight[shared], bias)
