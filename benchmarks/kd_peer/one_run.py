"""Train in a process of its own, and report speed and memory."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from cases import MALLOC, WARM_UP, Case
from pairs import batch_size, fingerprint
from peer_trainers import COLLATOR, StepClock
from products import step_products
from systems import make_trainer

MIB: Final = 2**20


def run_case(case: Case, work: Path, *, steps: int, cache: Path | None = None) -> dict[str, Any]:
    """Run a case once.

    Args:
        case: What is run; the environment must already have its `MALLOC` setting.
        work: Trainer's folder.
        steps: Optimizer steps.
        cache: Of the teacher, for `cached`.

    Returns:
        What goes into the run's JSON file.
    """
    if case.device == "cpu" and (os.environ.items() >= MALLOC.items()) != case.malloc:
        raise SystemExit(f"the environment does not fit {case.name}")
    trainer = make_trainer(case, work, steps=steps, cache=cache)
    clock = StepClock(case.device)
    trainer.add_callback(clock)
    batches = step_batches(trainer.items, case, steps)
    warm = min(WARM_UP, steps - 1)
    result: dict[str, Any] = {"case": asdict(case), "steps": steps, "timed_from": warm + 1}
    try:
        before = _memory_before(case.device)
        trainer.train()
        peak = _memory_peak(case.device)
    except torch.OutOfMemoryError as fault:
        return result | {"error": str(fault).splitlines()[0]}
    tokens = [sum(b["tokens"] for b in step) for step in batches]
    flops = [sum(step_products(case, b) for b in step) for step in batches]
    seconds = clock.ends[-1] - clock.ends[warm]
    return result | {
        "step_seconds": [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)],
        "seconds": seconds,
        "processor_seconds": clock.processor[-1] - clock.processor[warm],
        "tokens": sum(tokens[warm:]),
        "tokens_per_second": sum(tokens[warm:]) / seconds,
        "gflop": sum(flops[warm:]) / 1e9,
        "gflop_per_second": sum(flops[warm:]) / 1e9 / seconds,
        "models_mib": before / MIB,
        "peak_mib": (peak - before) / MIB,
        "losses": trainer.step_losses,
        "data_sha256": fingerprint(trainer.items),
        "minor_faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def step_batches(items: list[Any], case: Case, steps: int) -> list[list[dict[str, int]]]:
    """Give the sizes of each step's micro-batches: examples, positions and supervised tokens."""
    size, sizes = batch_size(case.data), []
    for start in range(0, len(items), size):
        batch = COLLATOR(items[start : start + size])
        rows, positions = batch["input_ids"].shape
        tokens = int((batch["labels"][:, 1:] != -100).sum())
        sizes.append({"examples": rows, "positions": positions, "tokens": tokens})
    micro = [sizes[n % len(sizes)] for n in range(steps * case.accumulation)]
    return [micro[i : i + case.accumulation] for i in range(0, len(micro), case.accumulation)]


# ------------------------------------------------------------------------------------- memory


def _memory_before(device: str) -> int:
    """Give what models and optimizer take, and start to watch the peak from here; in bytes."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if not sys.platform.startswith("linux"):
        raise SystemExit("peak memory on the CPU is read from /proc, which only Linux has")
    ctypes.CDLL(None).malloc_trim(0)  # else leftovers would count as models and hide a peak
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts anew
    return _status("VmRSS")


def _memory_peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found, field
    return int(found.group(1)) * 1024
