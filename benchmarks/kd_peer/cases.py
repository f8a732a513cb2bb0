"""The cases of the benchmark: pairs of models, data sets, systems, and the number of runs.

A `Case` is one cell of the tables; a run of it is one process and one JSON file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["qwen2", "llama"]
DataName = Literal["answer-heavy", "prompt-heavy", "rows-8192"]

STEPS: Final = 12
"""Optimizer steps of a run."""
WARM_UP: Final = 2
"""The first steps, which are not timed."""
BATCH: Final = 4
"""Examples per micro-batch; `rows-8192` has its own."""
LEARNING_RATE: Final = 1e-4
CLIP: Final = 1.0
THREADS: Final = 2
KEPT: Final = 64
"""Ids of the teacher that a cache keeps per position."""

MALLOC: Final = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Freed memory stays with the process; else half of a step at a large vocabulary is page faults."""


@dataclass(frozen=True)
class Sizes:
    """Of one model; attention heads are not grouped, the head is not tied to the embeddings."""

    width: int
    layers: int
    heads: int
    feed_forward: int


@dataclass(frozen=True)
class Pair:
    """Student and teacher."""

    family: Family
    vocabulary: int
    student: Sizes = Sizes(256, 4, 4, 704)
    teacher: Sizes = Sizes(512, 8, 8, 1408)


_SMALL: Final = (Sizes(64, 2, 2, 176), Sizes(128, 3, 4, 352))

PAIRS: Final[dict[str, Pair]] = {
    "A": Pair("qwen2", 32_768),
    "B": Pair("qwen2", 151_936),
    "A-llama": Pair("llama", 32_768),
    "small": Pair("qwen2", 2_048, *_SMALL),
    "small-llama": Pair("llama", 2_048, *_SMALL),
    "tiny": Pair("qwen2", 256, Sizes(32, 1, 2, 64), Sizes(48, 1, 2, 96)),
}
"""`small` ones are for equivalence and quick tries only: at V - 1 kept ids a teacher at full size
would need gigabytes per batch. `tiny` is for a test."""

SYSTEMS: Final[dict[str, str]] = {
    "ce_trainer": "cross-entropy only, transformers Trainer (logits of all positions)",
    "ce_rows": "cross-entropy only, this project's trainer (alpha 0, supervised rows)",
    "cached": "this project, cached top-64 and tail",
    "online": "this project, online teacher, full vocabulary",
    "trl_gkd": "TRL GKDTrainer",
    "liger": "Trainer + Liger chunked JSD (compiled=False)",
    "trl_chunked": "Trainer + TRL chunked divergence",
    "liger_triton": "Trainer + Liger Triton JSD (CUDA only)",
}
FULL_TEACHER: Final = ("online", "trl_gkd", "liger", "trl_chunked")
"""These compute the same loss, so their losses, gradients and parameters must agree."""


@dataclass(frozen=True)
class Case:
    """One cell of the tables."""

    pair: str
    data: DataName
    system: str
    accumulation: int = 1
    malloc: bool = True
    """Whether freed memory stays with the process, for whichever system."""
    device: str = "cpu"

    @property
    def setting(self) -> str:
        """What all systems that are compared with each other share."""
        memory = "kept" if self.malloc else "returned"
        return f"{self.pair}.{self.data}.acc{self.accumulation}.{memory}.{self.device}"

    @property
    def name(self) -> str:
        """File name without run number and suffix."""
        return f"{self.setting}.{self.system}"


@dataclass(frozen=True)
class Planned:
    """A case and how many runs it gets."""

    case: Case
    runs: int


JUDGED: Final = ("ce_rows", "cached", "online", "trl_gkd")
"""Systems of the bars."""


def plan(
    runs: int,
    only: str | None,
    device: str,
    quick: bool,
    tiny: bool = False,
    chosen: Sequence[str] | None = None,
) -> list[Planned]:
    """List what is to be run.

    What the bars are judged on gets `runs` runs, but for B with answer-heavy data, which costs most
    and lies furthest from its bar. The other rows show that nothing hinges on one setting, by one
    run each.

    Args:
        runs: Of each judged case.
        only: `A` or `B`: cases of that pair (and its Llama); None for all.
        device: `cpu` or `cuda`.
        quick: One run of each system at small size, to see that everything works.
        tiny: The same at the size of a test.
        chosen: These systems alone; None for all that the device has.
    """
    systems = [name for name in SYSTEMS if device == "cuda" or name != "liger_triton"]
    if chosen is not None:
        systems = [name for name in systems if name in chosen]
    if tiny:
        return [Planned(Case("tiny", "answer-heavy", s, device=device), 1) for s in systems]
    if quick:
        return [Planned(Case("small", "prompt-heavy", s, device=device), 1) for s in systems]
    if device == "cuda":
        cases = [Planned(Case("B", "rows-8192", s, device=device), runs) for s in systems]
    else:
        cases = _full_plan(runs, systems)
    kept = [p for p in cases if only is None or p.case.pair.split("-")[0] == only]
    return [p for p in kept if p.case.system in systems]


def _full_plan(runs: int, systems: list[str]) -> list[Planned]:
    cases = []
    for pair in ("A", "B"):
        for data in ("prompt-heavy", "answer-heavy"):
            dear = (pair, data) == ("B", "answer-heavy")
            judged = min(runs, 3) if dear else runs
            cases += [Planned(Case(pair, data, name), judged) for name in JUDGED]
            others = ["ce_trainer"] if dear else [s for s in systems if s not in JUDGED]
            cases += [Planned(Case(pair, data, name), 1) for name in others]
    for pair, data, accumulation, malloc in (
        ("A", "prompt-heavy", 1, False),
        ("B", "prompt-heavy", 1, False),
        ("A", "answer-heavy", 4, True),
        ("A-llama", "prompt-heavy", 1, True),
    ):
        cases += [Planned(Case(pair, data, s, accumulation, malloc), 1) for s in JUDGED]
    return cases


def gate_plan(quick: bool, only: str | None, tiny: bool = False) -> list[tuple[str, str, int, int]]:
    """List (pair, data, accumulation, steps) of all checks."""
    if tiny:
        return [("tiny", "answer-heavy", 2, 2)]
    small = [
        (pair, data, accumulation, 3 if quick else STEPS)
        for pair in ("small", "small-llama")
        for data in ("prompt-heavy", "answer-heavy")
        for accumulation in (1, 4)
    ]
    if quick:
        return [small[0], small[-1]]
    large = [("A", "prompt-heavy", 1, 3), ("A-llama", "answer-heavy", 1, 2)]
    large.append(("B", "answer-heavy", 1, 2))
    return small + [c for c in large if only is None or c[0].split("-")[0] == only]
