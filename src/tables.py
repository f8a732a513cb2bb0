"""The table a student was made from, as it travels beside the weights (`table.json`).

`data` makes it from the user's file, `agentic_workflow` reads it to show the source row of an
answer and to check the answer in code. It is a leaf because both rooms need it and siblings never
import each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import DataError
from .files import read_json, write_json

TABLE_FILE = "table.json"
"""Name of the file inside a checkpoint folder."""


@dataclass(frozen=True)
class Column:
    """A column that questions are asked about."""

    name: str
    """Name in the file, e.g. `atomic_number`."""
    label: str
    """Words used in questions, e.g. `atomic number`."""
    templates: tuple[str, ...] = ()
    """Question templates the student was trained on; `{key}` stands for the record's key value."""


@dataclass(frozen=True)
class TableRow:
    """One record of the table."""

    row: int
    """Record number in the file counted from 1, the header not counted."""
    key: str
    """Value of the key column."""
    values: dict[str, str] = field(default_factory=dict)
    """Column name -> text as asked and answered; columns without a value are absent."""


@dataclass(frozen=True)
class FactTable:
    """The records behind a student, and how they were asked about."""

    source: str
    """File or table name, without folders."""
    kind: Literal["facts", "questions"]
    """`facts`: a key column and fact columns. `questions`: the key is the question, one column
    holds the answer."""
    key: str
    """Name of the key column."""
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    examples: tuple[str, ...] = ()
    """Questions a user may start with."""
    summary_templates: tuple[str, ...] = ()
    """What may stand after "Summarize the following: "; `{key}` stands for the key value."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {"schema_version": 1, **asdict(self)}

    def write(self, folder: str | Path) -> Path:
        """Write `table.json` into a checkpoint folder."""
        return write_json(Path(folder) / TABLE_FILE, self.to_dict())

    @classmethod
    def read(cls, folder: str | Path) -> FactTable | None:
        """Read `table.json` from a checkpoint folder; None where there is none.

        Raises:
            DataError: The file is there but is not such a table.
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
                    Column(c["name"], c["label"], tuple(c["templates"])) for c in value["columns"]
                ),
                rows=tuple(TableRow(r["row"], r["key"], dict(r["values"])) for r in value["rows"]),
                examples=tuple(value["examples"]),
                summary_templates=tuple(value["summary_templates"]),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise DataError(
                f"not a table written by stillroom ({fault!r}); distil again to write it",
                path=path,
            ) from fault
