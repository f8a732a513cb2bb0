"""Choosing the columns of records."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import ConfigError
from ..step import Record, RowStep
from .fields import names_of, require_field


class KeepColumns(RowStep):
    """Keeps some columns, in the order given.

    >>> list(KeepColumns(columns=["b", "a"]).process([{"a": 1, "b": 2, "c": 3}]))
    [[{'b': 2, 'a': 1}]]
    """

    columns: Sequence[str]
    """Names of columns; a record that lacks one is an error."""

    def __post_init__(self) -> None:
        """Refuse to keep nothing."""
        super().__post_init__()
        if not names_of(self.columns):
            raise ConfigError(["columns is empty; name at least one column"])

    @property
    def inputs(self) -> list[str]:
        """The columns."""
        return names_of(self.columns)

    @property
    def outputs(self) -> list[str]:
        """The columns."""
        return names_of(self.columns)

    def apply(self, record: Record) -> Record:
        """Take the columns of a record."""
        for column in self.inputs:
            require_field("KeepColumns", record, column)
        return {column: record[column] for column in self.inputs}

    def _written(self, record: Record, row: Record | None = None) -> Record:
        """Rename columns as mapped; none comes back from the row."""
        return super()._written(record)
