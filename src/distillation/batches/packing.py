"""Packing: several examples in one row that do not see each other, instead of padding.

Rows have no mask; restarting `position_ids` tell transformers where an example begins. Whether that
separates examples depends on the architecture and on the release of transformers, so it is tried
with every model before training (`packing_fault`).

Micro-batches hold the same examples as without packing, and the loss is divided by the same tokens,
so the trained student is the same.

Sizes: R rows, L positions of a row.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from .batching import TokenizedExample, fill_rows
from .forward import document_spans, model_inputs, trial_of

LONGEST_ROW: Final = 4
"""Longest row that is tried, in multiples of the longest example."""
TRIALS: Final = 7
"""One less than the numbers of rows that are tried: 0.5 ms for 32 examples, 2 ms for 128."""
POSITIONS_PER_WIDTH: Final = 6
"""At L = 6 H attention over a row, 4 L H operations per token, costs as much as the matrices of a
layer, 24 H^2."""


@dataclass(frozen=True)
class PackingCollator:
    """Pack token ids into few rows; replaces `Collator`."""

    pad_id: int
    """Id written after the last example of a row; never supervised."""
    width: int = 256
    """Hidden size of the student, H, for the choice of row lengths."""

    def __call__(self, items: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """Build the fields of a packed batch, each (R, L); see `forward`."""
        rows = choose_rows([len(item.input_ids) for item in items], width=self.width)
        return fill_rows(rows, items, self.pad_id)


def choose_rows(lengths: Sequence[int], *, width: int) -> list[list[int]]:
    """Choose the rows of least cost.

    Longer rows have less padding, but attention computes all pairs of positions of a row before it
    masks those of other examples. One example per row is among the choices, so packing never costs
    more than padding.

    Returns:
        For each row its indices into `lengths`; each index occurs once.
    """
    longest, total = max(lengths), sum(lengths)
    most, fewest = -(-total // longest), max(1, total // (LONGEST_ROW * longest))
    counts = {fewest + (most - fewest) * n // TRIALS for n in range(TRIALS + 1)}
    tried = [[[place] for place in range(len(lengths))]]
    for count in sorted(counts):
        # A capacity of 1 % above the mean lets first-fit place the last examples too.
        tried.append(first_fit_decreasing(lengths, max(longest, total * 101 // (100 * count) + 1)))
        tried.append(longest_first(lengths, count))

    def cost(rows: list[list[int]]) -> int:
        row_length = max(sum(lengths[place] for place in row) for row in rows)
        return len(rows) * row_length * (POSITIONS_PER_WIDTH * width + row_length)

    return min(tried, key=cost)


def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put the longest first, each into the first row with enough free tokens (Johnson 1973).

    At most 11/9 of the fewest possible rows, plus one; better than `longest_first` for many
    examples.

    Returns:
        For each row its indices into `lengths`.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        needed = lengths[place]
        row = next((r for r, left in enumerate(free) if left >= needed), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(capacity)
        rows[row].append(place)
        free[row] -= needed
    return rows


def longest_first(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Put the longest first, each into the emptiest row (Graham 1969).

    The longest row has at most 4/3 of the fewest possible tokens; better than
    `first_fit_decreasing` for few examples.

    Returns:
        For each row its indices into `lengths`.
    """
    rows: list[list[int]] = [[] for _ in range(count)]
    filled = [(0, row) for row in range(count)]
    for place in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        tokens, row = filled[0]
        rows[row].append(place)
        heapq.heapreplace(filled, (tokens + lengths[place], row))
    return rows


def packing_fault(model: Any, items: Sequence[TokenizedExample]) -> str | None:  # noqa: ANN401
    """Try on the first two or three examples whether a causal model separates packed examples.

    Returns:
        What is wrong; None when packed logits equal those of separate passes.
    """
    tried = [TokenizedExample(i.id, i.input_ids[:32], 0) for i in items[:3]]
    reference = next(p for p in model.parameters() if p.is_floating_point())
    device, allowed = reference.device, 1e-4 if reference.dtype == torch.float32 else 3e-2
    batch = _on(device, fill_rows([range(len(tried))], tried, 0))
    worst = 0.0
    try:
        with trial_of(model):
            packed = model(**model_inputs(batch)).logits.float()
            for span in document_spans(batch):
                alone = _on(device, fill_rows([[0]], [tried[span.example]], 0))
                expected = model(**model_inputs(alone)).logits.float()
                found = packed[span.row, span.start : span.stop]
                worst = max(worst, float((found - expected[0]).abs().max() / expected.abs().max()))
    except TypeError as fault:  # forward takes no position_ids
        return f"{type(model).__name__} cannot be given packed examples ({fault})"
    if worst <= allowed:
        return None
    return (
        f"{type(model).__name__} lets packed examples see each other (its logits move by "
        f"{worst:.1g} of their size)"
    )


def _on(device: torch.device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in batch.items()}
