"""Plain methods on the held-out questions: what a student has to beat, or why it is not needed.

| name | how it answers |
|---|---|
| `lookup` | finds the record's key and the column's name in the question and copies the cell |
| `nearest_question` | takes the answer of the training question that is nearest by TF-IDF |

Both answer within seconds and need no model. They get the same labels as the student.

Sizes: N questions, M training questions, V terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from ...data.readers.cells import compared
from ...distillation.score_students.train_tfidf import fit_terms
from ...errors import EmptyDataError
from ...evaluation.held_out import ModelAnswers
from ...prompts import write_verdict
from ...records import Example
from ...tables import FactTable

LOOKUP, NEAREST = "lookup", "nearest_question"
_MOST_TRAINING: Final = 20_000
_MOST_TERMS: Final = 20_000
_ROWS: Final = 256


def plain_answers(
    table: FactTable, train: Sequence[Example], held_out: Sequence[Example]
) -> dict[str, ModelAnswers]:
    """Answer the held-out questions by each method that fits the table.

    Args:
        table: The table.
        train: Questions with the labels that the student learned from, M.
        held_out: N questions.

    Returns:
        Name of the method -> its answers.
    """
    found = {}
    if table.kind == "facts":
        found[LOOKUP] = look_up(table, held_out)
    labelled = [one for one in train if one.target]
    if labelled:
        with suppress(EmptyDataError):  # no word is in two of the questions
            found[NEAREST] = nearest_answers(labelled, held_out)
    return {
        name: ModelAnswers(texts, [True] * len(texts), {}, [None] * len(texts))
        for name, texts in found.items()
    }


def look_up(table: FactTable, held_out: Sequence[Example]) -> list[str]:
    """Copy the cell whose key and column a question names; an empty text where it names none."""
    rows = {compared(row.key): row for row in table.rows}
    columns = {
        compared(word): column.name
        for column in table.columns
        for word in (column.name, column.label, *column.also)
    }
    keys, words = _finder(rows), _finder(columns)
    texts = []
    for example in held_out:
        asked = compared(str(example.fields.get("text") or example.prompt))
        key, word = _longest(keys, asked), _longest(words, asked)
        if key is None or word is None:
            texts.append("")
            continue
        cell = rows[key].values.get(columns[word], "")
        if example.task == "validate":
            same = compared(cell) == compared(str(example.fields.get("proposed", "")))
            cell = write_verdict(cell, same)
        texts.append(cell)
    return texts


def nearest_answers(train: Sequence[Example], held_out: Sequence[Example]) -> list[str]:
    """Take the target of the training question of the same task that is nearest by TF-IDF.

    Raises:
        EmptyDataError: No word is in two questions.
    """
    texts = [""] * len(held_out)
    for task in sorted({one.task for one in held_out}):
        places = [n for n, one in enumerate(held_out) if one.task == task]
        known = [one for one in train if one.task == task] or list(train)
        step = max(1, len(known) // _MOST_TRAINING)
        known = known[::step]
        terms = fit_terms([one.prompt for one in known], most_terms=_MOST_TERMS)
        seen = terms.matrix([one.prompt for one in known]).T.tocsr()  # (V, M)
        for first in range(0, len(places), _ROWS):
            some = places[first : first + _ROWS]
            near = (terms.matrix([held_out[n].prompt for n in some]) @ seen).toarray()  # (N, M)
            for place, best in zip(some, np.argmax(near, axis=1), strict=True):
                texts[place] = known[int(best)].target or ""
    return texts


def _finder(words: Iterable[str]) -> re.Pattern[str]:
    """Compile a pattern that finds any of some texts, as whole words, the longest first."""
    ordered = sorted(filter(None, words), key=lambda word: (-len(word), word))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)")


def _longest(pattern: re.Pattern[str], text: str) -> str | None:
    return max(pattern.findall(text), key=len, default=None)
