"""The table behind a student, stored beside its weights as `table.json`.

`data` makes it from the user's file; `agentic_workflow` looks answers up in it, checks them against
its cells and cites its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigError, DataError
from .files import read_json, write_json

TABLE_FILE = "table.json"
"""Name of the file inside a checkpoint folder."""
TABLE_BEFORE = "table.before.json"
"""The table before the last update."""


@dataclass(frozen=True)
class Column:
    """A column that questions are asked about."""

    name: str
    """Name in the file, e.g. `atomic_number`."""
    label: str
    """Words used in questions, e.g. `atomic number`."""
    templates: tuple[str, ...] = ()
    """Question templates the student was trained on, with `{key}` for the key of a record."""
    also: tuple[str, ...] = ()
    """Other words that users say for it, e.g. `how big` for an area."""


@dataclass(frozen=True)
class TableRow:
    """One record of the table."""

    row: int
    """Record number in the file counted from 1, the header not counted."""
    key: str
    """Value of the key column."""
    values: dict[str, str] = field(default_factory=dict)
    """Column name -> text of the cell; columns without a value are absent."""
    asked_by: dict[str, str] = field(default_factory=dict)
    """In a table of kind `rows`: column asked about -> condition on other columns that only this
    record meets, e.g. `opponent is Lions`. Columns without such a condition are absent."""


@dataclass(frozen=True)
class FactTable:
    """The records behind a student, and the questions asked about them."""

    source: str
    """File or table name, without folders."""
    kind: Literal["facts", "questions", "rows"]
    """`facts`: a key column and fact columns. `questions`: the key is the question, one column
    holds the answer. `rows`: no column identifies the records, conditions on values do."""
    key: str
    """Name of the key column; for `rows` a name that no column has."""
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    examples: tuple[str, ...] = ()
    """Example questions for users."""
    summary_templates: tuple[str, ...] = ()
    """Texts that may follow "Summarize the following: ", with `{key}` for the key of a record."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {"schema_version": 1, **asdict(self)}

    def write(self, folder: str | Path) -> Path:
        """Write `table.json` into a checkpoint folder."""
        return write_json(Path(folder) / TABLE_FILE, self.to_dict())

    def also_called(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Add other words that users say for columns.

        Args:
            words: Name of a column -> its other names.

        Raises:
            ConfigError: There is no such column, or a name has no letter or digit.
        """
        faults = also_faults(words, [column.name for column in self.columns])
        if faults:
            raise ConfigError(faults)
        columns = (replace(c, also=(*c.also, *words.get(c.name, ()))) for c in self.columns)
        return replace(self, columns=tuple(columns))

    def renamed(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Replace the other words that users say for columns.

        Args:
            words: Name of a column -> all its other names; columns not in it keep theirs.

        Raises:
            ConfigError: There is no such column, or a name has no letter or digit.
        """
        kept = replace(
            self, columns=tuple(replace(c, also=()) if c.name in words else c for c in self.columns)
        )
        return kept.also_called({name: tuple(dict.fromkeys(w)) for name, w in words.items()})

    @classmethod
    def read(cls, folder: str | Path) -> FactTable | None:
        """Read `table.json` from a checkpoint folder; None where there is none.

        Raises:
            DataError: The file is not such a table.
        """
        path = Path(folder) / TABLE_FILE
        if not path.is_file():
            return None
        try:
            value = read_json(path)
            return cls(
                source=value["source"],
                kind=value["kind"],
                key=value["key"],
                columns=tuple(
                    Column(c["name"], c["label"], tuple(c["templates"]), tuple(c.get("also", ())))
                    for c in value["columns"]
                ),
                rows=tuple(
                    TableRow(r["row"], r["key"], dict(r["values"]), dict(r.get("asked_by", {})))
                    for r in value["rows"]
                ),
                examples=tuple(value["examples"]),
                summary_templates=tuple(value["summary_templates"]),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise DataError(
                f"not a table written by stillroom ({fault!r}); distil again to write it",
                path=path,
            ) from fault


def also_faults(words: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """List the faults in other names of columns.

    Args:
        words: Name of a column -> its other names.
        names: Columns that are asked about.
    """
    faults = [f"also_called names {name!r}; the columns that are asked about are "
              f"{', '.join(names)}" for name in words if name not in names]  # fmt: skip
    return faults + [f"also_called[{name!r}] holds {text!r}, which has no letter or digit"
                     for name, texts in words.items() for text in texts
                     if not any(c.isalnum() for c in text)]  # fmt: skip


@dataclass(frozen=True)
class ForeignKey:
    """Columns of a table whose values name a record of a table."""

    columns: tuple[str, ...]
    table: str
    """The table that is referred to; it may be the same."""
    referred: tuple[str, ...]
    """Its columns, in the order of `columns`."""


@dataclass(frozen=True)
class DatabaseTable:
    """One table of a database, with its declared keys."""

    name: str
    columns: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]
    primary: tuple[str, ...] = ()
    foreign: tuple[ForeignKey, ...] = ()
