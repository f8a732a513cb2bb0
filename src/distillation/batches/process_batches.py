"""Divide the micro-batches of an epoch between several processes.

In each optimizer step the processes together have the examples that a single process would have. If
the last step of an epoch has too few micro-batches, a process without one runs a batch without
labels, so that the others do not wait for its gradients forever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ..setting_names import IGNORED
from .batching import BatchOrder


class DealtOrder(Sampler[list[int]]):
    """Sampler that deals the micro-batches of an epoch to the processes in turn.

    All processes get equally many; at the end of an epoch some may be empty.
    """

    drop_last = False  # accelerate reads it

    def __init__(self, order: BatchOrder, processes: int, index: int) -> None:
        """Keep the order, which is at the same epoch in all processes."""
        self.order, self.processes, self.index = order, processes, index
        self.batch_size = order.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls it."""
        self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this process's micro-batches of the chosen epoch."""
        batches = list(self.order)
        batches += [[] for _ in range(-len(batches) % self.processes)]
        return iter(batches[self.index :: self.processes])

    def __len__(self) -> int:
        """Count this process's micro-batches."""
        return -(-len(self.order) // self.processes)


@dataclass(frozen=True)
class CollateOrIdle:
    """Collate a micro-batch; from an empty one make a batch in which nothing is supervised."""

    collator: Callable[[Sequence[Any]], dict[str, Tensor]]
    spare: Any
    """Any example, which an idle process runs without labels."""

    def __call__(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Build one batch."""
        if items:
            return self.collator(items)
        batch = self.collator([self.spare])
        return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}
