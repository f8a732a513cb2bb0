"""Tables whose answers are a few labels: a student is measured on texts that it has not seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from ...records import Example, split_position
from .questions import QuestionSet

MOST_LABELS: Final = 200
LEAST_PER_LABEL: Final = 4
"""Records per label, on the average."""
HELD_OUT_SHARE: Final = 0.2


def labels_of(questions: QuestionSet) -> list[str]:
    """List the labels of a labelling table, sorted.

    It has texts with one answer each, and at least `LEAST_PER_LABEL` records per answer.

    Returns:
        Two to `MOST_LABELS` labels; empty for any other table.
    """
    table = questions.table
    if table.kind != "questions":
        return []
    counts = Counter(answer for row in table.rows for answer in row.values.values())
    few = 2 <= len(counts) <= min(MOST_LABELS, counts.total() // LEAST_PER_LABEL)
    return sorted(counts) if few else []


def by_record(questions: QuestionSet, seed: int) -> QuestionSet:
    """Hold out whole records: each text is asked once, as it is written, in one of the two parts.

    Every label keeps a record for training. A text that two records label differently is left out,
    as it was before.
    """
    texts = [
        example
        for example in (*questions.train, *questions.held_out)
        if example.task == "qa" and example.id.endswith(":qa:0")
    ]
    ranked = sorted(texts, key=lambda example: split_position(f"{seed}:label:{example.fact}"))
    held_out = ranked[: round(HELD_OUT_SHARE * len(ranked))]
    kept = ranked[len(held_out) :]
    known = {example.target for example in kept}
    return replace(
        questions,
        train=_marked(kept + [e for e in held_out if e.target not in known], False),
        held_out=_marked([e for e in held_out if e.target in known], True),
        phrasings=1,
    )


def _marked(examples: list[Example], held_out: bool) -> list[Example]:
    return [replace(e, fields={**e.fields, "held_out": held_out}) for e in examples]
