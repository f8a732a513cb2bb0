"""Cheap gates as steps: length, language, pattern, JSON schema, form, value.

Each marks a record with whether to keep it and why not; `FilterByBool` drops those kept out. A
record that an earlier gate kept out is passed on as it is, so the first reason stays.

    RuleFilter(max_chars=500) >> PatternFilter(pattern="^SELECT") >> FilterByBool()
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ....labeling.gates.answer_format import Format, FormatGate
from ....labeling.gates.answer_value import ValueGate
from ....labeling.gates.json_schema import SchemaGate
from ....labeling.gates.language import LanguageGate
from ....labeling.gates.length import LengthGate
from ....labeling.gates.pattern import PatternGate
from ....labeling.gates.verdict import Gate
from ..step import Record, RowStep
from .fields import names_of, read_mark


class GateFilter(RowStep):
    """What these steps share; subclass it with a `make_gate` for a gate of your own."""

    text_field: str = "generation"
    keep_field: str = "keep"
    """Gets whether to keep the record."""
    reject_reason_field: str = "reject_reason"
    """Gets `ok`, or why the record is kept out."""

    def __post_init__(self) -> None:
        """Make the gate, which checks its settings."""
        super().__post_init__()
        self._gate = self.make_gate()

    @abstractmethod
    def make_gate(self) -> Gate:
        """Make the gate of these settings.

        Raises:
            ConfigError: A setting is out of range.
        """

    @property
    def outputs(self) -> list[str]:
        """Whether to keep the record, and why not."""
        return [self.keep_field, self.reject_reason_field]

    def apply(self, record: Record) -> Record:
        """Mark a record, with what the gate found.

        Raises:
            DataError: The existing mark is no truth value.
        """
        if read_mark(record, self.keep_field) is False:
            reason = record.get(self.reject_reason_field)
            return {**record, self.keep_field: False, self.reject_reason_field: reason}
        verdict = self._gate.judge(record)
        return {
            **record,
            **verdict.facts,
            self.keep_field: verdict.passed,
            self.reject_reason_field: verdict.reason,
        }


class RuleFilter(GateFilter):
    """Keeps texts of a certain length: `empty_output`, `too_short`, `too_long` or `ok`.

    White space at the ends does not count; a number counts as its text.

    >>> next(RuleFilter(min_chars=2).process([{"generation": " a "}]))
    [{'generation': ' a ', 'keep': False, 'reject_reason': 'too_short'}]
    """

    min_chars: int = 1
    """Fewest characters, 0 or more; an empty text is kept out even at 0."""
    max_chars: int | None = None
    """Most characters; None sets no limit."""

    def make_gate(self) -> Gate:
        """Make the gate; see `LengthGate`."""
        return LengthGate(self.text_field, self.min_chars, self.max_chars)


class LanguageFilter(GateFilter):
    """Keeps texts in some languages; adds `language` and `language_probability`."""

    languages: Sequence[str]
    """ISO 639-1 codes, such as "en"."""
    min_probability: float = 0.5
    """Least probability of the likeliest language, 0 to 1."""
    min_letters: int = 20
    """Fewest letters of a text whose language can be told, 1 or more."""

    def make_gate(self) -> Gate:
        """Make the gate; see `LanguageGate`."""
        languages = tuple(names_of(self.languages))
        return LanguageGate(languages, self.text_field, self.min_probability, self.min_letters)


class PatternFilter(GateFilter):
    """Keeps texts in which a regular expression is found, or is not found.

    >>> step = PatternFilter(pattern="(?i)sorry", wanted=False)
    >>> next(step.process([{"generation": "Sorry, no."}]))[0]["reject_reason"]
    'pattern_found'
    """

    pattern: str
    """Searched anywhere in the text, in linear time."""
    wanted: bool = True
    """Whether the pattern must be found; False if it must not."""

    def make_gate(self) -> Gate:
        """Make the gate; see `PatternGate`."""
        return PatternGate(self.pattern, self.text_field, self.wanted)


class SchemaFilter(GateFilter):
    """Keeps answers that fit a JSON schema."""

    schema: Mapping[str, Any]
    """A JSON schema of draft 2020-12."""

    def make_gate(self) -> Gate:
        """Make the gate; see `SchemaGate`."""
        return SchemaGate(self.schema, self.text_field)


class FormatFilter(GateFilter):
    """Keeps answers of one form: `json`, `json_object`, `number`, `integer` or `one_line`.

    >>> next(FormatFilter(form="integer").process([{"generation": "1.5"}]))[0]["reject_reason"]
    'not_integer'
    """

    form: Format

    def make_gate(self) -> Gate:
        """Make the gate; see `FormatGate`."""
        return FormatGate(self.form, self.text_field)


class ValueFilter(GateFilter):
    """Keeps answers whose value is that of the gold answer; nothing is run.

    >>> next(ValueFilter().process([{"generation": "So it is 1/2.", "answer": 0.5}]))[0]["keep"]
    True
    """

    gold_field: str = "answer"
    tolerance: float = 0.0
    """Largest difference of two numbers, as a share of the gold one, 0 up to 1."""

    def make_gate(self) -> Gate:
        """Make the gate; see `ValueGate`."""
        return ValueGate(self.text_field, self.gold_field, self.tolerance)
