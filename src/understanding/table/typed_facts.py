"""The table behind a student as a typed table."""

from __future__ import annotations

from ...tables import Column, FactTable
from .typed_table import TypedTable, typed_table
from .values import words


def typed_facts(facts: FactTable) -> TypedTable:
    """Make a typed table of that behind a student, with its labels and its rows' numbers.

    The conditions that name the records of a table without a key are no column of it.
    """
    keyed = facts.kind != "rows" and bool(facts.rows)
    names = [*([facts.key] if keyed else []), *(column.name for column in facts.columns)]
    records = [
        {name: row.key if keyed and name == facts.key else row.values.get(name) for name in names}
        for row in facts.rows
    ]
    return typed_table(
        records,
        name=facts.source,
        key=facts.key if keyed else None,
        labels={column.name: column.label for column in facts.columns},
        also={column.name: _also(column) for column in facts.columns},
        numbers=[row.row for row in facts.rows],
    )


def _also(column: Column) -> tuple[str, ...]:
    """Give what users say for a column: its other names, and its wordings without its name."""
    label = set(words(column.label))
    spoken = [words(template.replace("{key}", " ")) for template in column.templates]
    return (*column.also, *(" ".join(said) for said in spoken if not label <= set(said)))
