"""A gate for answers that must fit a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...inference.constrained.answer_validation import AnswerJudge
from ...inference.constrained.schema import read_schema
from .answer_format import format_reason
from .record_values import read_text
from .verdict import OK, Verdict


@dataclass(frozen=True)
class SchemaGate:
    """Passes answers that fit a schema."""

    schema: Mapping[str, Any]
    """A JSON schema of draft 2020-12, within the limits of `inference.constrained.schema`."""
    text_field: str = "generation"
    name: str = "schema"

    def __post_init__(self) -> None:
        """Read the schema.

        Raises:
            ConfigError: The schema cannot be used.
        """
        read_schema(self.schema)

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `not_json`, `schema_mismatch: <where and why>`, `not_finite`,
            `empty_output`, `not_text` or `missing <field>`.

        Raises:
            MissingDependencyError: `jsonschema` is not installed.
        """
        text, reason = read_text(record, self.text_field)
        if text is not None:
            reason = self._reason(text)
        return Verdict(self.name, reason == OK, reason)

    def _reason(self, text: str) -> str:
        reason = format_reason(text, "json")
        if reason != OK:
            return reason
        mismatch = AnswerJudge(read_schema(self.schema)).find_fault(text)
        return f"schema_mismatch: {mismatch}" if mismatch else OK
