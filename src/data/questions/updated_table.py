"""Put new records behind a student: its table with the same columns and other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ...errors import DataError, UnknownColumnError, nearest
from ...tables import FactTable
from ..readers.cells import cell_text, compared
from .phrasings import CONDITION_TEMPLATES, QUESTION_TEMPLATES
from .profile import TableProfile, profile_table, rows_profile
from .questions import fact_table

_LIKE: Final = 0.5
"""Least share of a lost column's values that a new one holds to be named in its place."""


@dataclass(frozen=True)
class TableChange:
    """What an update changes.

    Attributes:
        table: The new table.
        added: Records whose key is new.
        gone: Records whose key is no longer there.
        changed: Records that have another value.
        unused: Columns of the new records that the student was not made for.
        skipped: Number of each record of which nothing is asked, and why.
    """

    table: FactTable
    added: int
    gone: int
    changed: int
    unused: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


def update_table(
    table: FactTable,
    records: Sequence[Mapping[str, Any]],
    source: str,
    *,
    renamed: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
) -> TableChange:
    """Make the table of a student from new records.

    Args:
        table: The table as it is.
        records: The new records, all of them, in file order.
        source: Name of their file.
        renamed: Column of the table -> what it is called in the new records.
        without: Columns of the table that are given up.

    Raises:
        UnknownColumnError: A column is not in the new records; the message names what it seems to
            be called now, and all that are missing.
        DataError: There is nothing left to ask about, or the records cannot be read as before.
    """
    called = {new: old for old, new in (renamed or {}).items()}
    records = [{called.get(name, name): cell for name, cell in one.items()} for one in records]
    kept = [column for column in table.columns if column.name not in without]
    needed = [*([table.key] if table.kind != "rows" else []), *(column.name for column in kept)]
    known = [table.key, *(column.name for column in table.columns)]
    names = list(dict.fromkeys(name for record in records for name in record))
    _check_names(table, records, needed, names, [*(renamed or ()), *without])
    if not kept:
        raise DataError("no column is left to ask about", path=source)
    profile = _profile(table, records, source, [column.name for column in kept])
    built_in = CONDITION_TEMPLATES if table.kind == "rows" else QUESTION_TEMPLATES
    made = fact_table(records, profile, built_in)
    new = replace(made, key=table.key, columns=tuple(kept),
                  summary_templates=table.summary_templates)  # fmt: skip
    before, after = _by_key(table), _by_key(new)
    return TableChange(
        new,
        len(after.keys() - before.keys()),
        len(before.keys() - after.keys()),
        sum(before[key] != after[key] for key in before.keys() & after.keys()),
        tuple(name for name in names if name not in known),
        profile.skipped_rows,
    )


def _profile(
    table: FactTable, records: Sequence[Mapping[str, Any]], source: str, columns: Sequence[str]
) -> TableProfile:
    """Read new records as the old ones were read."""
    if table.kind == "rows":
        return rows_profile(records, source=source, key=table.key, columns=columns)
    if table.kind == "questions":
        return profile_table(records, source=source, question=table.key, answer=columns[0])
    return profile_table(records, source=source, key=table.key, columns=columns)


def _by_key(table: FactTable) -> dict[str, dict[str, str]]:
    return {compared(row.key): row.values for row in table.rows}


def _check_names(
    table: FactTable, records: Sequence[Mapping[str, Any]], needed: Sequence[str],
    names: Sequence[str], given: Sequence[str],
) -> None:  # fmt: skip
    known = [table.key, *(column.name for column in table.columns)]
    wrong = [name for name in given if name not in known]
    if wrong:
        raise UnknownColumnError(
            f"the student's table has no column {', '.join(map(repr, wrong))}; it has "
            f"{', '.join(known)}",
            path=table.source,
        )
    lost = [name for name in needed if name not in names]
    if lost:
        new = [name for name in names if name not in known]
        told = [_told(table, records, name, new) for name in lost]
        raise UnknownColumnError(
            f"the new records lack {'; '.join(told)}. Say --renamed OLD=NEW where a column has "
            "another name, or --without COLUMN to give it up",
            path=table.source,
            column=lost[0] if len(lost) == 1 else None,
        )


def _told(
    table: FactTable, records: Sequence[Mapping[str, Any]], name: str, new: Sequence[str]
) -> str:
    """Name a lost column, with what it seems to be called now: by its values, else by its name."""
    if name == table.key:
        old = {compared(row.key) for row in table.rows}
    else:
        old = {compared(row.values[name]) for row in table.rows if name in row.values}
    shares = {
        other: len(old & {compared(text) for record in records
                          if (text := cell_text(record.get(other))) is not None}) / max(1, len(old))
        for other in new
    }  # fmt: skip
    best = max(new, key=lambda other: shares[other], default=None)
    near = best if best is not None and shares[best] >= _LIKE else nearest(name, new)
    return repr(name) if near is None else f"{name!r} (is it {near!r} now?)"
