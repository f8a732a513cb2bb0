"""Which systems are run where. The settings were chosen on the validation questions with other
seeds than those of the final runs; `pilot.py` keeps what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from recipes import Cell, Recipe
from runs import System

STEPS: Final = {"banking77": 300, "chinook": 150, "countries": 300}
"""Of every student of a task, unless equal time is compared."""
RATE: Final = 16e-3
"""Better than 8e-3 or as good, for labels and for soft targets, on every task that was tried."""
SEEDS: Final = (11, 12, 13, 14, 15)

# What a step takes, as a multiple of one with cross-entropy: measured on banking77 in the pilot.
CACHED_STEP: Final = 1.12
ONLINE_STEP: Final = 2.1

SCARCE: Final = ("50%", "20%", "5%")
FEW: Final = ("20% questions", "5% questions")
GOLDS: Final[Mapping[str, tuple[str, ...]]] = {
    "banking77": ("complete", "20%", "5%", "noisy 40%", *FEW),
    "chinook": ("complete", *SCARCE, "noisy 40%", *FEW),
    "countries": ("complete", "20%", "noisy 40%", "20% questions"),
}

GOLD = Recipe(labels="gold", rate=RATE)
TEXT = Recipe(labels="teacher", rate=RATE)
TEXTS = Recipe(labels="teacher, each", rate=RATE)
SOFT = Recipe(labels="teacher", source="cache", alpha=1.0, rate=RATE)
SOFT_2 = replace(SOFT, temperature=2.0)
CALIBRATED = replace(SOFT, calibrated=True)
BOTH = replace(SOFT, labels="gold or teacher", alpha=0.5)
BOTH_2 = replace(BOTH, temperature=2.0)
OBJECTIVES = tuple(
    replace(SOFT, objective=name)
    for name in ("reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd")
)


def systems(task: str, gold: str) -> list[System]:
    """List the systems of a cell, as they are run."""
    found: list[System] = ["teacher", GOLD]
    if task != "countries":
        found.append("tf-idf")
    if gold in FEW:
        found += [TEXTS, SOFT_2, BOTH_2]
    else:
        found += [TEXT, SOFT]
    if gold == "complete":
        found += ["untrained", BOTH, BOTH_2]
    elif gold in SCARCE:
        found.append(BOTH)
    elif gold not in FEW:
        found.append(CALIBRATED)
    if (task, gold) == ("banking77", "20% questions"):
        found += [SOFT, *OBJECTIVES, *variants()]
    return [as_run(system, task) for system in found]


def variants() -> list[Recipe]:
    """List other students, and the same work in the time that labels take."""
    tiny = [replace(recipe, student="tiny") for recipe in (TEXTS, SOFT_2)]
    half = [replace(recipe, student="half of teacher", rate=RATE / 4) for recipe in (TEXTS, SOFT_2)]
    online = replace(SOFT_2, source="model")
    in_time = [
        replace(SOFT_2, steps=round(300 / CACHED_STEP)),
        replace(online, steps=round(300 / ONLINE_STEP)),
    ]
    return [*tiny, *half, online, *in_time]


def as_run(system: System, task: str) -> System:
    """Give a system the steps of a task, where it has none of its own."""
    if isinstance(system, str) or system.steps != Recipe().steps:
        return system
    return replace(system, steps=STEPS[task])


def cells(seeds: Sequence[int] = SEEDS) -> list[Cell]:
    """List all cells, seed by seed, so that what is there at any time is balanced."""
    return [
        Cell(task, gold, seed) for seed in seeds for task, golds in GOLDS.items() for gold in golds
    ]
