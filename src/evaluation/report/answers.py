"""Sections that show answers: ten examples at the start, and the worst fifty side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...records import sha256_text
from ..predictions import Prediction
from .content import Answers, Asked, Said, Section, section
from .quality import Answered, Words

EXAMPLES: Final = 10
WORST: Final = 50
_LONGEST: Final = 600


def examples_section(answered: Answered, words: Words, main: str, beside: Sequence[str]) -> Section:
    """Show ten questions, right and wrong ones; the choice is the same in every report."""
    drawn = sorted(answered[main], key=lambda one: sha256_text(one.sample_id))
    wrong = _varied([one for one in drawn if not one.right], EXAMPLES // 2)
    right = _varied([one for one in drawn if one.right], EXAMPLES - len(wrong))
    if len(right) + len(wrong) < EXAMPLES:
        wrong = _varied([one for one in drawn if not one.right], EXAMPLES - len(right))
    chosen = [*right, *wrong]
    share = sum(one.right for one in answered[main]) / max(1, len(answered[main]))
    return section(
        "examples", f"{len(chosen)} questions with their answers",
        f"Look at what is asked and how the answers go wrong: {len(right)} right and {len(wrong)} "
        f"wrong ones are shown, whereas {100 * share:.1f} % of all are right.",
        [Answers(tuple(_asked(one, answered, words, [main, *beside]) for one in chosen))],
    )  # fmt: skip


def worst_section(answered: Answered, words: Words, main: str, beside: Sequence[str]) -> Section:
    """Show the wrong answers that the student is surest of, with those of other models."""
    wrong = [one for one in answered[main] if not one.right]
    wrong.sort(key=lambda one: (-(one.confidence or 0.0), one.f1 or 0.0, one.sample_id))
    shown = wrong[:WORST]
    return section(
        "worst", f"The worst {len(shown)} answers" if shown else "The worst answers",
        f"Look for what these have in common: of {len(wrong):,} wrong answers they are those that "
        "the student was surest of, beside the answers of the other models.",
        [Answers(tuple(_asked(one, answered, words, [main, *beside]) for one in shown))]
        if shown else [],
        "No answer was wrong.",
    )  # fmt: skip


def _varied(answers: Sequence[Prediction], count: int) -> list[Prediction]:
    """Take answers of all categories in turn."""
    by_category: dict[str, list[Prediction]] = {}
    for one in answers:
        by_category.setdefault(one.category, []).append(one)
    chosen: list[Prediction] = []
    while len(chosen) < count and any(by_category.values()):
        for left in by_category.values():
            if left and len(chosen) < count:
                chosen.append(left.pop(0))
    return chosen


def _asked(one: Prediction, answered: Answered, words: Words, names: Sequence[str]) -> Asked:
    said = []
    for name in names:
        own = next((o for o in answered.get(name, ()) if o.sample_id == one.sample_id), None)
        if own is not None:
            said.append(Said(words[name][0], _short(own.answer), own.right))
    return Asked(_short(one.question), _short(one.gold), tuple(said), one.category)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"
