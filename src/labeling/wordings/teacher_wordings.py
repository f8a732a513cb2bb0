"""Ask a teacher for other wordings of a column's question, and read them from its answers.

The prompt contains the question about one record with the record's real name, because small models
lose placeholders. The calls ask for different styles, and every second call forbids the column's
name, because a student must understand questions that do not contain it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...tables import Column, FactTable, TableRow
from ..batch.label_run import LabelTask
from .wording_form import as_wording, read_lines

MANNERS: Final = (
    "in plain words", "as short as possible", "as a customer would ask at a counter",
    "as a child would ask", "politely", "as one would ask a friend", "in everyday words",
    "with who, when, where or how", "as one would type it into a search field",
    "as a journalist would ask", "in a roundabout way", "as a clerk would ask on the phone",
)  # fmt: skip
_SHOWN_QUESTION: Final = (
    "Write 3 other ways to ask this question, in plain words. Use the name Old Mill in each. "
    "One question per line, nothing else.\n\nQuestion: What is the floor space of Old Mill?"
)
_SHOWN_ANSWER: Final = (
    "How big is Old Mill?\nHow much room is there in Old Mill?\n"
    "How many square metres does Old Mill have?"
)


@dataclass(frozen=True)
class Asked:
    """One call of the writer."""

    column: str
    key: str
    """Name of the record in the question, or the condition that selects it."""
    cell: str
    question: str
    task: LabelTask


def writing_tasks(
    table: FactTable, column: Column, calls: int, per_call: int, seed: int
) -> Iterator[Asked]:
    """Yield the calls for a column; the same arguments give the same calls.

    Args:
        table: A table of kind `facts` or `rows`.
        column: One of its columns.
        calls: Number of calls.
        per_call: Number of wordings that each call asks for.
        seed: Seed of the choice of records and templates.
    """
    chance = random.Random(f"{seed}:write:{column.name}")
    rows = [row for row in table.rows if key_of(table, row, column.name) is not None]
    if not rows:
        return
    for number in range(calls):
        row, template = chance.choice(rows), chance.choice(column.templates)
        key = key_of(table, row, column.name) or ""
        question = template.replace("{key}", key)
        manner = MANNERS[number % len(MANNERS)]
        named = number % 2 == 0
        text = (
            f"Write {per_call} other ways to ask this question, {manner}. Use the name {key} in "
            f"each. {'' if named else f'Do not use the words {column.label!r}. '}"
            f"One question per line, nothing else.\n\nQuestion: {question}"
        )
        turns = (
            {"role": "user", "content": _SHOWN_QUESTION},
            {"role": "assistant", "content": _SHOWN_ANSWER},
            {"role": "user", "content": text},
        )
        task = LabelTask(f"{column.name}:{number}", turns, sample=number)
        yield Asked(column.name, key, row.values[column.name], question, task)


def wordings_of(asked: Asked, answer: str) -> list[str]:
    """Read the wordings from an answer, with `{key}` in place of the record's name."""
    return [as_wording(line, asked.key) for line in read_lines(answer)]


def key_of(table: FactTable, row: TableRow, column: str) -> str | None:
    """Return the text that names a record in a question for a column; None if it is not asked."""
    if column not in row.values:
        return None
    return row.asked_by.get(column) if table.kind == "rows" else row.key


def spread_rows(
    table: FactTable, column: str, allowed: Sequence[TableRow], count: int, seed: int
) -> list[TableRow]:
    """Choose `count` records at random, preferring records with distinct cells in the column."""
    rows = [row for row in allowed if key_of(table, row, column) is not None]
    random.Random(f"{seed}:rows:{column}").shuffle(rows)
    first: list[TableRow] = []
    again: list[TableRow] = []
    seen: set[str] = set()
    for row in rows:
        value = row.values[column].casefold()
        (again if value in seen else first).append(row)
        seen.add(value)
    return [*first, *again][:count]
