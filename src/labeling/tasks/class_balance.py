"""Classify instructions into EasyDistill's 32 categories, and resample them to given shares."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .free_text import TextJob, field_of, needs_tags, tagged

OTHERS: Final = "Others"
SHARES: Final[dict[str, float]] = {
    "Math": 0.167,
    "Reasoning": 0.167,
    "Code Generation": 0.083,
    "Code Debug": 0.083,
    OTHERS: 0.041,
    **dict.fromkeys(
        (
            "Writing", "Computer Science", "Complex Format", "Common-Sense", "Counterfactual",
            "Multilingual", "Roleplay", "Biology", "Technology", "Ethics", "Sport", "Law",
            "Medicine", "Literature", "Entertainment", "Art", "Music", "Toxicity", "Economy",
            "Physics", "History", "Chemistry", "Philosophy", "Health", "Ecology", "Grammar",
            "Paraphrase",
        ),
        0.017,
    ),
}  # fmt: skip
_BY_NAME: Final = {name.casefold(): name for name in SHARES}


def classification(key: str = "instruction") -> TextJob:
    """Make the job that finds the category of an instruction."""
    return TextJob(
        write=lambda record: (
            f"Which category does the instruction belong to? One of: {', '.join(SHARES)}.\n\n"
            f"Instruction:\n{field_of(record, key)}\n\n"
            "Write the category alone, between <answer> and </answer>."
        ),
        finish=lambda record, text: {**record, "category": category_of(text)},
        check=needs_tags("answer"),
    )


def category_of(text: str) -> str:
    """Read a category; anything unknown is `Others`.

    >>> category_of("<answer>math</answer>"), category_of("<answer>Knitting</answer>")
    ('Math', 'Others')
    """
    return _BY_NAME.get((tagged(text, "answer") or "").casefold(), OTHERS)


def resample(
    records: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> list[dict[str, Any]]:
    """Draw floor(n * share) records of each category, where n is the number of records.

    All records of a category with too few are repeated, and only the remainder is drawn.

    Args:
        records: Records with `category`.
        seed: Seed of the sampling and of the order.
        shares: Category -> its share, 0 to 1.
    """
    source = random.Random(seed)
    drawn: list[dict[str, Any]] = []
    for category, share in shares.items():
        members = [dict(record) for record in records if record["category"] == category]
        # The rounding error of a binary fraction must not cost a record: 0.167 of 1,000 is 167.
        wanted = math.floor(len(records) * share + 1e-9)
        if members:
            repeats, rest = divmod(wanted, len(members))
            drawn += members * repeats + source.sample(members, rest)
    source.shuffle(drawn)
    return drawn
