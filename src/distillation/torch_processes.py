"""Several processes: who writes, on which device a process runs, and which batches it gets.

    accelerate launch --config_file configs/accelerate/ddp.yaml program.py

The processes share one optimizer step: together they hold the examples that one process would hold,
and where the last step of an epoch does not go round, a process without work runs a batch without a
label, so that nobody waits for its gradients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import PartialState
from torch import Tensor
from torch.utils.data import Sampler

from .setting_names import IGNORED


class EpochOrder(Protocol):
    """An order of micro-batches that depends on the epoch alone, as `BatchOrder`."""

    batch_size: int

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        ...

    def __iter__(self) -> Iterator[list[int]]:
        """Give the micro-batches of the chosen epoch."""
        ...

    def __len__(self) -> int:
        """Count micro-batches."""
        ...


class DealtOrder(Sampler[list[int]]):
    """Deal the micro-batches of an epoch to the processes, one each in turn.

    All processes get equally many; at the end of an epoch some may be empty.

    Args:
        order: Of all processes together.
        processes: How many there are.
        index: Of this process, counted from 0.
    """

    drop_last = False  # accelerate reads it

    def __init__(self, order: EpochOrder, processes: int, index: int) -> None:
        """Keep the order, which stands at the same epoch in all processes."""
        self.order, self.processes, self.index = order, processes, index
        self.batch_size = order.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls it."""
        self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        """Give this process's micro-batches of the chosen epoch."""
        batches = list(self.order)
        batches += [[] for _ in range(-len(batches) % self.processes)]
        return iter(batches[self.index :: self.processes])

    def __len__(self) -> int:
        """Count this process's micro-batches."""
        return -(-len(self.order) // self.processes)


@dataclass(frozen=True)
class CollateOrIdle:
    """Collate a micro-batch; of an empty one make a batch in which nothing is supervised."""

    collator: Callable[[Sequence[Any]], dict[str, Tensor]]
    spare: Any
    """Any example: it is run, but has no label."""

    def __call__(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Build one batch."""
        if items:
            return self.collator(items)
        batch = self.collator([self.spare])
        return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}


def join_processes(device: torch.device) -> None:
    """Connect this process to the others that a launcher started with it; alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        PartialState(cpu=device.type == "cpu")


def local_device(device: torch.device) -> torch.device:
    """Give each process on one machine its own GPU; a GPU that is named, and the CPU, stay."""
    if str(device) != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def is_main_process() -> bool:
    """Tell whether this process writes files; alone, it does."""
    return not _together() or torch.distributed.get_rank() == 0


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process run the block before the others, which then find what it wrote."""
    if not is_main_process():
        torch.distributed.barrier()
    yield
    if is_main_process() and _together():
        torch.distributed.barrier()


def wait_for_everyone() -> None:
    """Go on when all processes are here."""
    if _together():
        torch.distributed.barrier()


def mean_over_processes(values: Tensor) -> Tensor:
    """Average a tensor over all processes; each of them must call this."""
    if not _together():
        return values
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def _together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
