"""Convert the table that a student was trained on to a typed table."""

from __future__ import annotations

from ...tables import Column, FactTable
from .typed_table import TypedTable, typed_table
from .values import words


def typed_facts(facts: FactTable) -> TypedTable:
    """Convert a fact table to a typed table, with its column labels and row numbers.

    A table without a key gets no key column: its records are named by conditions, not by a cell.
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
    """Return other words for a column: its other names, and those of its question templates that do
    not have its label."""
    label = set(words(column.label))
    spoken = [words(template.replace("{key}", " ")) for template in column.templates]
    return (*column.also, *(" ".join(said) for said in spoken if not label <= set(said)))
