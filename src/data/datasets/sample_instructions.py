"""Two generated data sets, so that Systems 1 and 2 run without network and files: instructions with
an input, and word problems with the steps to their answer.

They are easy on purpose: a model of a million weights, trained for a minute, answers part of the
held-out records right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from .chat_records import InstructionRecord

SAMPLE: Final = "sample"
"""Name of these data sets where a source is given."""

_NAMES: Final = ("Anna", "Ben", "Clara", "David", "Emma", "Finn", "Greta", "Henry", "Ida", "Jonas")
_THINGS: Final = ("apples", "books", "coins", "eggs", "marbles", "pens", "stamps", "tickets")
_WORDS: Final = (
    "river", "stone", "garden", "window", "table", "candle", "forest", "silver", "orange", "bridge",
    "pocket", "winter", "summer", "button", "ladder", "mirror", "pepper", "rocket", "saddle",
    "tunnel", "violin", "walnut", "yellow", "zipper", "anchor", "basket", "carpet", "dragon",
)  # fmt: skip
_UNITS: Final = (
    ("kilometers", "meters", 1000), ("meters", "centimeters", 100), ("hours", "minutes", 60),
    ("minutes", "seconds", 60), ("kilograms", "grams", 1000), ("weeks", "days", 7),
)  # fmt: skip


def sample_instructions() -> list[InstructionRecord]:
    """Make 640 instructions, always the same, shuffled."""
    return _shuffled([*_plurals(), *_first_letters(), *_conversions(), *_larger(), *_joined()])


def sample_problems() -> list[InstructionRecord]:
    """Make 1,600 word problems whose answers have steps and end in `#### <number>`."""
    return _shuffled([*_sums(), *_differences()])


def _shuffled(records: list[InstructionRecord]) -> list[InstructionRecord]:
    random.Random(0).shuffle(records)
    return records


def _record(instruction: str, given: str, output: str) -> InstructionRecord:
    return {"instruction": instruction, "input": given, "output": output}


def _plurals() -> Iterator[InstructionRecord]:
    for word in _WORDS:
        yield _record("Give the plural of the word.", word, f"{word}s")


def _first_letters() -> Iterator[InstructionRecord]:
    for word in _WORDS:
        yield _record("Name the first letter of the word.", word, word[0])


def _conversions() -> Iterator[InstructionRecord]:
    for large, small, factor in _UNITS:
        for count in range(2, 42):
            told = f"{count} {large} are {count * factor} {small}."
            yield _record(f"Convert {count} {large} to {small}.", "", told)


def _larger() -> Iterator[InstructionRecord]:
    for first in range(1, 14):
        for second in range(1, 14):
            if first != second:
                pair = f"{first} and {second}"
                yield _record("Which number is larger?", pair, str(max(first, second)))


def _joined() -> Iterator[InstructionRecord]:
    pairs = [(a, b) for a in _WORDS[:14] for b in _WORDS[14:]]
    for first, second in random.Random(1).sample(pairs, 188):
        yield _record("Join the two words with a hyphen.", f"{first} {second}", f"{first}-{second}")


def _sums() -> Iterator[InstructionRecord]:
    def write(name: str, thing: str, a: int, b: int) -> InstructionRecord:
        return _record(
            f"{name} has {a} {thing} and gets {b} more. How many {thing} does {name} have now?",
            "",
            f"{name} starts with {a} {thing}.\n{a} + {b} = {a + b}.\n#### {a + b}",
        )

    yield from _problems(write, lambda a, b: True)


def _differences() -> Iterator[InstructionRecord]:
    def write(name: str, thing: str, a: int, b: int) -> InstructionRecord:
        return _record(
            f"{name} has {a} {thing} and gives {b} away. How many {thing} are left?",
            "",
            f"{name} starts with {a} {thing}.\n{a} - {b} = {a - b}.\n#### {a - b}",
        )

    yield from _problems(write, lambda a, b: a > b)


def _problems(
    write: Callable[[str, str, int, int], InstructionRecord], allowed: Callable[[int, int], bool]
) -> Iterator[InstructionRecord]:
    """Draw 800 different problems with numbers from 2 to 12."""
    choices = [
        (name, thing, a, b)
        for name in _NAMES
        for thing in _THINGS
        for a in range(2, 13)
        for b in range(2, 13)
        if allowed(a, b)
    ]
    for name, thing, a, b in random.Random(2).sample(choices, 800):
        yield write(name, thing, a, b)
