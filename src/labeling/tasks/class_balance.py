"""Instructions by category, drawn to a target mix: EasyDistill's 32 categories and shares."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..batch.label_run import LabelTask
from ..teachers.protocol import TeacherAnswer
from .free_text import TextJob, field_of, tagged

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
    """Find the category of an instruction."""
    return TextJob(
        write=lambda record: (
            f"Which category does the instruction belong to? One of: {', '.join(SHARES)}.\n\n"
            f"Instruction:\n{field_of(record, key)}\n\n"
            "Write the category alone, between <answer> and </answer>."
        ),
        finish=lambda record, text: {**record, "category": category_of(text)},
        check=_has_answer,
    )


def category_of(text: str) -> str:
    """Read a category; what is none of them is `Others`.

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
    """Draw records so that each category has its share: floor(n * share) of n.

    A category with too few records is taken whole as often as it fits, and the rest is drawn.

    Args:
        records: With `category`.
        seed: Of the drawing and of the order.
        shares: Category -> share of the result, 0 to 1.
    """
    source = random.Random(seed)
    drawn: list[dict[str, Any]] = []
    for category, share in shares.items():
        there = [dict(record) for record in records if record["category"] == category]
        # A share such as .167 of 1,000 is 167, whatever the binary fraction makes of it.
        wanted = math.floor(len(records) * share + 1e-9)
        if there:
            repeats, rest = divmod(wanted, len(there))
            drawn += there * repeats + source.sample(there, rest)
    source.shuffle(drawn)
    return drawn


def _has_answer(task: LabelTask, answer: TeacherAnswer) -> str | None:
    return None if tagged(answer.text, "answer") else "no_answer_tag"
