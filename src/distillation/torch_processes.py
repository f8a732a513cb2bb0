"""Several processes: which one writes files, on which device each runs, and how they wait.

accelerate launch --config_file configs/accelerate/ddp.yaml program.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from torch import Tensor


def join_processes(device: torch.device) -> None:
    """Connect this process to the others of its launcher; no-op for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        PartialState(cpu=device.type == "cpu")


def local_device(device: torch.device) -> torch.device:
    """Choose a GPU of its own for each process on a machine; keep a numbered GPU and the CPU."""
    if str(device) != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def is_main_process() -> bool:
    """Tell whether this process writes files; a single process does."""
    return not _distributed() or torch.distributed.get_rank() == 0


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process run the block before the others, which can then read what it wrote."""
    if not is_main_process():
        torch.distributed.barrier()
    yield
    if is_main_process() and _distributed():
        torch.distributed.barrier()


def wait_for_everyone() -> None:
    """Wait until all processes have called this."""
    if _distributed():
        torch.distributed.barrier()


def mean_over_processes(values: Tensor) -> Tensor:
    """Average a tensor over all processes; each of them must call this."""
    if not _distributed():
        return values
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
