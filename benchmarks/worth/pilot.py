"""What was tried on the validation questions before the settings were fixed. One seed each, none
of the final ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from recipes import Cell, Recipe
from runs import System

HARD = Recipe()
GOLD = Recipe(labels="gold")
EACH = Recipe(labels="teacher, each")
SOFT = Recipe(source="cache", alpha=1.0)
BOTH = Recipe(labels="gold or teacher", source="cache", alpha=0.5)
FAST, FASTER = 16e-3, 32e-3


def _hot(recipe: Recipe, *temperatures: float) -> list[Recipe]:
    return [replace(recipe, temperature=temperature) for temperature in temperatures]


def _rates(recipe: Recipe, *rates: float) -> list[Recipe]:
    return [replace(recipe, rate=rate) for rate in rates]


def _banking77() -> dict[str, list[System]]:
    fast = replace(SOFT, rate=FAST)
    few = replace(BOTH, labels="gold", rate=FAST)
    half, tiny = "half of teacher", "tiny"
    return {
        "complete": [
            "teacher", "tf-idf", GOLD, HARD, *_hot(SOFT, 1.0, 2.0), BOTH,
            *_rates(GOLD, FAST), *_rates(HARD, FAST),
            *_hot(replace(BOTH, rate=FAST), 1.0, 2.0),
            replace(BOTH, rate=FAST, temperature=2.0, alpha=0.9),
        ],
        "20%": [
            "teacher", *_rates(HARD, 8e-3, FAST, FASTER), *_rates(SOFT, 8e-3, FAST),
            *_hot(SOFT, 1.5), replace(SOFT, calibrated=True), replace(fast, calibrated=True),
            *_rates(GOLD, FAST), replace(BOTH, rate=FAST),
        ],
        "5%": [
            "teacher", "tf-idf", GOLD, *_rates(HARD, 4e-3, 8e-3, FAST),
            *_rates(SOFT, 4e-3, 8e-3, FAST), *_hot(SOFT, 2.0), replace(SOFT, calibrated=True),
            replace(HARD, steps=900), replace(SOFT, steps=900),
        ],
        "noisy 40%": [
            "teacher", "tf-idf", GOLD, *_rates(HARD, 8e-3, FAST), SOFT, BOTH,
            *_hot(replace(SOFT, calibrated=True), 1.0, 2.0), replace(fast, calibrated=True),
        ],
        "20% questions": [
            "teacher", "tf-idf", *_rates(GOLD, 8e-3, FAST, FASTER),
            *_rates(HARD, 4e-3, 8e-3, FAST), replace(HARD, steps=100), *_rates(EACH, 8e-3, FAST),
            *_hot(SOFT, 1.0, 2.0, 4.0), replace(SOFT, calibrated=True), *_hot(fast, 1.0, 2.0),
            replace(SOFT, rate=FASTER, temperature=2.0),
            *(replace(few, rate=8e-3, temperature=2.0, alpha=a) for a in (0.5, 0.9)),
            *_hot(few, 1.0, 2.0), replace(fast, source="model", temperature=2.0),
            replace(fast, temperature=4.0, temperature_end=1.0),
            replace(fast, temperature=1.0, temperature_end=4.0),
            replace(few, temperature=2.0, alpha=1.0, alpha_end=0.0),
            replace(few, temperature=2.0, alpha=0.0, alpha_end=1.0),
            *(replace(SOFT, objective=o) for o in ("reverse_kl", "jsd", "tvd")),
            *(replace(SOFT, objective=f"skew_{o}") for o in ("forward", "reverse")),
            *(replace(EACH, student=half, rate=rate) for rate in (4e-3, 8e-3)),
            *(replace(SOFT, student=half, temperature=2.0, rate=rate) for rate in (4e-3, 8e-3)),
            replace(EACH, student=tiny, rate=FAST),
            replace(fast, student=tiny, temperature=2.0),
        ],
        "5% questions": [
            "teacher", "tf-idf", *_rates(GOLD, 8e-3, FAST), *_rates(HARD, 4e-3, 8e-3, FAST),
            replace(HARD, steps=100), EACH, *_hot(SOFT, 1.0, 2.0, 4.0), *_hot(fast, 1.0, 2.0),
            *_hot(few, 2.0),
        ],
    }  # fmt: skip


def _chinook() -> dict[str, list[System]]:
    short = {"steps": 150, "rate": FAST}
    gold, hard, each, soft = (replace(recipe, **short) for recipe in (GOLD, HARD, EACH, SOFT))
    both = replace(BOTH, labels="gold", temperature=2.0, **short)
    sure = replace(soft, calibrated=True)
    return {
        "complete": ["teacher", "tf-idf", replace(gold, rate=8e-3), gold, hard, soft, both],
        "20%": ["teacher", "tf-idf", gold, hard, *_hot(soft, 1.0, 2.0), sure],
        "noisy 40%": ["teacher", "tf-idf", gold, hard, soft, sure],
        "20% questions": ["teacher", "tf-idf", gold, hard, each, *_hot(soft, 1.0, 2.0), both],
    }


def _countries() -> dict[str, list[System]]:
    gold, hard, soft = (replace(recipe, rate=FAST) for recipe in (GOLD, HARD, SOFT))
    return {
        "complete": ["teacher", "untrained", gold, hard, soft, replace(BOTH, rate=FAST)],
        "20%": ["teacher", gold, hard, soft],
        "noisy 40%": ["teacher", gold, hard, soft],
        "20% questions": ["teacher", gold, hard, *_hot(soft, 1.0, 2.0)],
    }


PILOT: Final[Mapping[Cell, list[System]]] = {
    Cell(task, gold, seed): systems
    for task, seed, golds in (
        ("banking77", 101, _banking77()),
        ("chinook", 101, _chinook()),
        ("countries", 102, _countries()),
    )
    for gold, systems in golds.items()
}
