"""The SQL in what a model wrote."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import DataError
from ....labeling.gates.record_values import read_text
from ....labeling.gates.sql_cleaner import (
    STOP_MARKERS,
    THINK_TAGS,
    SqlOutputCleaner,
    clean_sql_output,
)
from ..step import Record, RowStep
from .fields import names_of, require_field

__all__ = ["CleanSqlOutput", "SqlOutputCleaner", "clean_sql_output"]


class CleanSqlOutput(RowStep):
    """Replaces an answer by the first SQL statement in it; see `clean_sql_output`.

    >>> next(CleanSqlOutput().process([{"generation": "Sure! SELECT 1; That is all."}]))
    [{'generation': 'SELECT 1;'}]
    """

    input_field: str = "generation"
    output_field: str = "generation"
    think_tags: Sequence[str] = THINK_TAGS
    """Names of tags around reasoning."""
    stop_markers: Sequence[str] = STOP_MARKERS
    """Texts that end the statement."""
    require_sql_keyword: bool = True
    """Give an empty text where there is no statement; otherwise the text itself."""

    def __post_init__(self) -> None:
        """Take the settings."""
        super().__post_init__()
        self._cleaner = SqlOutputCleaner(
            names_of(self.think_tags), names_of(self.stop_markers), self.require_sql_keyword
        )

    @property
    def inputs(self) -> list[str]:
        """The answer."""
        return [self.input_field]

    @property
    def outputs(self) -> list[str]:
        """The statement."""
        return [self.output_field]

    def apply(self, record: Record) -> Record:
        """Clean an answer; a null one is an empty statement.

        Raises:
            DataError: The field is missing, or holds no text.
        """
        require_field("CleanSqlOutput", record, self.input_field)
        text, reason = read_text(record, self.input_field)
        if text is None and record[self.input_field] is not None:
            raise DataError(
                f"holds {record[self.input_field]!r:.200} ({reason}); give a text",
                column=self.input_field,
            )
        return {**record, self.output_field: self._cleaner.clean(text)}
