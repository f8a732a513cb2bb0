"""Converting chains of thought to records `{instruction, input, output}`, filtered by reasoning
verbosity (RV) and cognitive difficulty (CD).

OmniThought has several chains per question:

    {"question": ..., "reasoning": [{"Cognitive_Difficulty": {"level": 5},
                                     "Reasoning_Verbosity": {"level": 7}, "full_response": ...}]}

Flat rows have one chain: `question` (or `instruction`, `problem`) and `cot` (or `output`,
`answer`), with `rv_score` and `cd_score` if they are scored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...errors import ConfigError, DataError
from .chat_records import InstructionRecord

logger = logging.getLogger(__name__)

OnMiss = Literal["drop", "first"]

_QUESTIONS: Final = ("question", "instruction", "problem")
_CHAINS: Final = ("full_response", "solution", "thought")
_FLAT_CHAINS: Final = ("cot", "output", "answer")
_TOP: Final = 10.0
"""Levels are 0 to 9; thresholds up to 1 are shares of this."""


@dataclass(frozen=True)
class Thresholds:
    """Least levels of a chain, on the scale of 0 to 9."""

    verbosity: float
    difficulty: float

    def accept(self, verbosity: float | None, difficulty: float | None) -> bool:
        """Say whether a chain passes; one without levels does not."""
        if verbosity is None or difficulty is None:
            return False
        return verbosity >= self.verbosity and difficulty >= self.difficulty


def thresholds(rv_min: float, cd_min: float) -> Thresholds:
    """Convert thresholds to the scale of the levels; those up to 1.0 are shares of it.

    Raises:
        ConfigError: One is negative, too large or not a number.

    >>> thresholds(0.8, 3)
    Thresholds(verbosity=8.0, difficulty=3)
    """
    given = {"rv_min": rv_min, "cd_min": cd_min}
    faults = [
        f"{name} is {value!r}; allowed is 0 to 1, or a level up to 9"
        for name, value in given.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _TOP
    ]
    if faults:
        raise ConfigError(faults)
    return Thresholds(*(value * _TOP if value <= 1.0 else value for value in given.values()))


def thought_records(
    rows: Sequence[Mapping[str, Any]], least: Thresholds, *, on_miss: OnMiss = "drop"
) -> list[InstructionRecord]:
    """Choose one chain of thought per question: the first that passes both thresholds.

    In a data set without scores all rows are taken, with a warning.

    Args:
        rows: Rows of one data set.
        least: From `thresholds`.
        on_miss: Where no chain of a question passes, `drop` the question or take its `first` chain.

    Raises:
        DataError: The first row has no question, or no chain of thought.
        ConfigError: `on_miss` is unknown.
    """
    if on_miss not in ("drop", "first"):
        raise ConfigError([f"on_miss is {on_miss!r}; allowed are 'drop' and 'first'"])
    fault = schema_fault(rows[0]) if rows else None
    if fault is not None:
        raise DataError(fault, row=1)
    scored = any("reasoning" in row or _is_scored(row) for row in rows)
    if rows and not scored:
        logger.warning("no row has rv_score and cd_score, so rv_min and cd_min choose nothing")
    scale = _flat_scale(rows)
    chosen = []
    for row in rows:
        question, chains = _question(row), _chains(row, scale)
        passing = [text for text, rv, cd in chains if not scored or least.accept(rv, cd)]
        if not passing and on_miss == "first":
            passing = [text for text, _, _ in chains]
        if question and passing:
            chosen.append({"instruction": question, "input": "", "output": passing[0]})
    return chosen


def schema_fault(row: Mapping[str, Any]) -> str | None:
    """Say what a row lacks as a question with a chain of thought; None where it is one."""
    if _question(row) and _chains(row, 1.0):
        return None
    return (
        f"has the keys {', '.join(map(repr, row))}; needed are one of {', '.join(_QUESTIONS)}, and "
        f"'reasoning' (a list) or one of {', '.join(_FLAT_CHAINS)}"
    )


def _question(row: Mapping[str, Any]) -> str:
    return _first_text(row, _QUESTIONS)


def _first_text(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    texts = (row.get(key) for key in keys)
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


Chain = tuple[str, float | None, float | None]
"""Text, verbosity, difficulty."""


def _chains(row: Mapping[str, Any], scale: float) -> list[Chain]:
    """List the chains of a row, in order."""
    if "reasoning" not in row:
        text = _first_text(row, _FLAT_CHAINS)
        levels = [_level(row.get(key)) for key in ("rv_score", "cd_score")]
        rv, cd = (None if level is None else level * scale for level in levels)
        return [(text, rv, cd)] if text else []
    entries = row["reasoning"] if isinstance(row["reasoning"], list) else []
    found = [
        (
            _first_text(entry, _CHAINS),
            _level(entry.get("Reasoning_Verbosity")),
            _level(entry.get("Cognitive_Difficulty")),
        )
        for entry in entries
        if isinstance(entry, Mapping)
    ]
    return [chain for chain in found if chain[0]]


def _level(value: object) -> float | None:
    """Read a level: a number, a number as text, or `{"level": ...}`."""
    if isinstance(value, Mapping):
        value = value.get("level")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _is_scored(row: Mapping[str, Any]) -> bool:
    return _level(row.get("rv_score")) is not None and _level(row.get("cd_score")) is not None


def _flat_scale(rows: Sequence[Mapping[str, Any]]) -> float:
    """Give the factor to the scale of 0 to 9: flat data sets may be scored from 0 to 1."""
    scores = [_level(row.get(key)) for row in rows for key in ("rv_score", "cd_score")]
    known = [score for score in scores if score is not None]
    return _TOP if known and max(known) <= 1.0 else 1.0
