"""Questions in people's own words, which models are measured on and never trained.

They are read from a CSV file with the columns `column` and `question`:

    column,question
    price,How much is {key}?
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...errors import DataError
from ...prompts import render
from ...records import Example, Source
from ...tables import FactTable, TableRow
from ..readers.read_table import iter_records
from .phrasings import fill

ASKED_TASK: Final = "asked"
"""Task of these examples, apart from `qa` with the wordings of the templates."""


def read_wordings(path: str | Path, table: FactTable) -> dict[str, list[str]]:
    """Read wordings with `{key}` by column.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It lacks a column, names one that is not asked about, or has a question without
            `{key}`.
    """
    names = [column.name for column in table.columns]
    wordings: dict[str, list[str]] = {}
    for number, record in enumerate(iter_records(path), start=1):
        column, question = record.get("column"), record.get("question")
        if not isinstance(column, str) or not isinstance(question, str):
            raise DataError("lacks a value for column or question", path=str(path), row=number)
        if column not in names:
            raise DataError(
                f"is about the column {column!r}; asked about are {', '.join(names)}",
                path=str(path),
                row=number,
            )
        if "{key}" not in question:
            raise DataError(f"the question {question!r} lacks {{key}}", path=str(path), row=number)
        wordings.setdefault(column, []).append(question)
    if not wordings:
        raise DataError("holds no questions", path=str(path))
    return wordings


def asked_examples(
    wordings: dict[str, list[str]], table: FactTable, held_out: Sequence[Example]
) -> list[Example]:
    """Ask for each fact of these columns once, the wordings of a column in turn.

    Args:
        wordings: From `read_wordings`.
        table: The records.
        held_out: Of the question set; facts that it does not ask for are left out.
    """
    contexts = {e.fact: e.fields["context"] for e in held_out if e.task == "qa"}
    examples = []
    for place, row in enumerate(table.rows):
        for column, known in wordings.items():
            fact = f"{row.row}:{column}"
            if fact in contexts:
                wording = known[place % len(known)]
                examples.append(_example(table, row, column, wording, contexts[fact]))
    return examples


def _example(
    table: FactTable, row: TableRow, column: str, wording: str, context: str | None
) -> Example:
    key = row.asked_by.get(column, row.key)
    text = fill(wording, key)
    return Example(
        id=f"{row.row}:{column}:asked",
        prompt=render("s2-qa", text, context=context),
        target=row.values[column],
        task=ASKED_TASK,
        fact=f"{row.row}:{column}",
        source=Source(table.source, row.row, column),
        fields={
            "key": key,
            "text": text,
            "column": column,
            "right": row.values[column],
            "context": context,
            "held_out": True,
        },
    )
