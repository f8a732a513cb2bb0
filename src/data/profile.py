"""What a table is about: its key, what can be asked about it, what is left out and why.

Nothing is guessed silently: `TableProfile.describe()` is printed before any work is done.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigError, DataError, EmptyDataError, UnknownColumnError

MAX_COLUMNS = 12
"""Columns asked about when none are named."""
MOSTLY_FILLED = 0.5
"""Share of the records with a value from which on a column is asked before sparser ones."""
MAX_ANSWER_CHARS = 80
"""A column whose values are longer on average is text to be read, not a fact to be asked."""
QUESTION_NAMES = ("question", "query", "instruction", "prompt")
ANSWER_NAMES = ("answer", "response", "output", "completion")
KEY_NAMES = ("name", "title", "key", "label", "id", "code")


@dataclass(frozen=True)
class TableProfile:
    """How a table is read as facts or as question-answer pairs."""

    source: str
    """File or table name."""
    kind: Literal["facts", "questions"]
    records: int
    """Number of records."""
    key: str
    """Key column (facts) or question column (questions)."""
    key_suffix: str | None
    """Column whose value is put in brackets behind a key that occurs more than once."""
    columns: tuple[str, ...]
    """Columns asked about; for `questions` the answer column."""
    context: str | None
    """Context column, for `questions`."""
    left_out: tuple[tuple[str, str], ...]
    """(column, reason) for every column that is not asked about."""
    skipped_rows: tuple[tuple[int, str], ...]
    """(row, reason) for every record that no question can be made from."""

    def describe(self) -> list[str]:
        """Say in a few lines what was understood; printed before work starts."""
        if self.kind == "questions":
            lines = [f"questions from column {self.key!r}, answers from {self.columns[0]!r}"]
        else:
            lines = [f"key {self.key!r}; asked: {', '.join(self.columns)}"]
        if self.key_suffix:
            lines.append(f"equal keys are told apart by {self.key_suffix!r}")
        by_reason: dict[str, list[str]] = {}
        for column, reason in self.left_out:
            by_reason.setdefault(reason, []).append(column)
        for reason, columns in by_reason.items():
            shown = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" * (len(columns) > 8))
            lines.append(f"left out ({reason}): {shown}")
        reasons = Counter(reason for _, reason in self.skipped_rows)
        for reason, count in reasons.items():
            first = next(row for row, why in self.skipped_rows if why == reason)
            lines.append(f"{count} records without a question ({reason}), the first in row {first}")
        return lines


def cell_text(value: Any) -> str | None:  # noqa: ANN401 - any cell
    """Write a cell as it is asked and answered; None for a null or blank cell.

    Lists of plain values are joined by ", "; booleans read yes and no; other nested values are
    compact JSON.
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        if all(not isinstance(v, (list, tuple, Mapping)) for v in value):
            return ", ".join(t for t in map(cell_text, value) if t) or None
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str) if value else None
    return re.sub(r"\s+", " ", str(value)).strip() or None


def profile_table(
    records: Sequence[Mapping[str, Any]],
    *,
    source: str,
    key: str | None = None,
    columns: Sequence[str] | None = None,
    question: str | None = None,
    answer: str | None = None,
    context: str | None = None,
) -> TableProfile:
    """Decide what can be asked about a table.

    Args:
        records: Flat records, in file order (`read_table(..., flatten=True)`).
        source: Name shown to people.
        key: Column that names a record; found by itself when None.
        columns: Columns to ask about; chosen by themselves when None, at most `MAX_COLUMNS`.
        question: Column that holds ready questions; with `answer` the table is read as question-
            answer pairs.
        answer: Column that holds their answers.
        context: Column with a text that belongs to each question.

    Raises:
        EmptyDataError: No records, or none with both a question and an answer.
        UnknownColumnError: A named column does not exist; the message lists the columns.
        DataError: No key could be found; the message says what to pass.
    """
    if not records:
        raise EmptyDataError("the table has no records", path=source)
    names = list(dict.fromkeys(name for record in records for name in record))
    for given in [key, question, answer, context, *(columns or [])]:
        if given is not None and given not in names:
            raise UnknownColumnError(
                f"no column {given!r}; the columns are: {', '.join(names)}",
                path=source,
                column=given,
            )
    if (question is None) != (answer is None):
        raise ConfigError(["give both a question column and an answer column, or neither"])
    if question is None and key is None and columns is None:
        question, answer = _question_columns(names)
    if question is not None and answer is not None:
        return _profile_questions(records, names, source, question, answer, context)
    return _profile_facts(records, names, source, key, columns)


def _question_columns(names: list[str]) -> tuple[str | None, str | None]:
    lower = {name.lower(): name for name in names}
    question = next((lower[n] for n in QUESTION_NAMES if n in lower), None)
    answer = next((lower[n] for n in ANSWER_NAMES if n in lower), None)
    return (question, answer) if question and answer else (None, None)


def _profile_questions(
    records: Sequence[Mapping[str, Any]],
    names: list[str],
    source: str,
    question: str,
    answer: str,
    context: str | None,
) -> TableProfile:
    skipped: list[tuple[int, str]] = []
    first_row: dict[tuple[str, str], int] = {}
    for row, record in enumerate(records, 1):
        asked, told = cell_text(record.get(question)), cell_text(record.get(answer))
        if asked is None or told is None:
            skipped.append((row, f"no {question if asked is None else answer}"))
            continue
        about = cell_text(record.get(context)) if context else None
        if first_row.setdefault((asked.casefold(), about or ""), row) != row:
            skipped.append((row, "the same question again"))
    if len(skipped) == len(records):
        raise EmptyDataError(
            f"no record has both a {question!r} and an {answer!r}", path=source, column=question
        )
    used = {question, answer, context}
    return TableProfile(
        source=source,
        kind="questions",
        records=len(records),
        key=question,
        key_suffix=None,
        columns=(answer,),
        context=context,
        left_out=tuple((n, "not question or answer") for n in names if n not in used),
        skipped_rows=tuple(skipped),
    )


def _profile_facts(
    records: Sequence[Mapping[str, Any]],
    names: list[str],
    source: str,
    key: str | None,
    columns: Sequence[str] | None,
) -> TableProfile:
    texts = {name: [cell_text(record.get(name)) for record in records] for name in names}
    if key is None:
        key = _find_key(texts)
    if key is None:
        raise DataError(
            "no column names the records: none has a short, different value in nearly every "
            f"record; name one with key=; the columns are: {', '.join(names)}",
            path=source,
        )
    keys = texts[key]
    counts = Counter(k.casefold() for k in keys if k is not None)
    suffix = None
    if any(n > 1 for n in counts.values()):
        suffix = next((n for n in names if n != key and _is_unique(texts[n])), None)
    asked, left_out = _choose_columns(texts, key, columns)
    if not asked:
        raise DataError(
            f"no column to ask about beside the key {key!r}; name columns with columns=",
            path=source,
        )
    skipped = [(row, f"no {key}") for row, k in enumerate(keys, 1) if k is None]
    if suffix is None:
        seen: set[str] = set()
        for row, k in enumerate(keys, 1):
            if k is not None and k.casefold() in seen:
                skipped.append((row, f"{key} occurs before"))
            elif k is not None:
                seen.add(k.casefold())
    return TableProfile(
        source=source,
        kind="facts",
        records=len(records),
        key=key,
        key_suffix=suffix,
        columns=tuple(asked),
        context=None,
        left_out=tuple(left_out),
        skipped_rows=tuple(sorted(skipped)),
    )


def _choose_columns(
    texts: dict[str, list[str | None]], key: str, wanted: Sequence[str] | None
) -> tuple[list[str], list[tuple[str, str]]]:
    """Give the columns asked about, in the table's order, and (column, reason) for the others."""
    reasons: dict[str, str | None] = {
        name: (
            _reason_to_leave_out(column)
            if wanted is None
            else None
            if name in wanted
            else "not asked for"
        )
        for name, column in texts.items()
        if name != key
    }
    usable = [name for name, reason in reasons.items() if reason is None]
    if wanted is None and len(usable) > MAX_COLUMNS:
        # Nested data spreads over many nearly empty columns; what most records have comes first.
        filled = {n: sum(t is not None for t in texts[n]) / len(texts[n]) for n in usable}
        ranked = sorted(usable, key=lambda name: filled[name] < MOSTLY_FILLED)
        for name in ranked[MAX_COLUMNS:]:
            reasons[name] = f"more than {MAX_COLUMNS} columns; name columns to choose others"
    asked = [name for name, reason in reasons.items() if reason is None]
    return asked, [(name, reason) for name, reason in reasons.items() if reason is not None]


def _is_unique(texts: list[str | None]) -> bool:
    present = [t for t in texts if t is not None]
    return len(present) == len(texts) and len({t.casefold() for t in present}) == len(present)


def _find_key(texts: dict[str, list[str | None]]) -> str | None:
    """Pick the column that a person would use to name a record: nearly unique, short, words before
    numbers."""
    best: tuple[float, str] | None = None
    for place, (name, column) in enumerate(texts.items()):
        present = [t for t in column if t is not None]
        if not present or len(present) < 0.9 * len(column):
            continue
        distinct = len({t.casefold() for t in present}) / len(column)
        length = sum(map(len, present)) / len(present)
        if distinct < 0.9 or length > 60:
            continue
        wordy = sum(any(c.isalpha() for c in t) for t in present) / len(present)
        words = re.findall(r"[a-z]+", _split_words(name))
        hint = next((1.0 - 0.1 * i for i, n in enumerate(KEY_NAMES) if n in words), 0.0)
        short = 1.0 if length >= 4 else 0.0  # codes of two or three letters are poor names
        score = 2 * distinct + 2 * wordy + hint + short - 0.02 * place - 0.01 * length
        if best is None or score > best[0]:
            best = (score, name)
    return None if best is None else best[1]


def _reason_to_leave_out(texts: list[str | None]) -> str | None:
    present = [t for t in texts if t is not None]
    if not present:
        return "empty"
    if sum(map(len, present)) / len(present) > MAX_ANSWER_CHARS:
        return f"longer than {MAX_ANSWER_CHARS} characters on average"
    if sum(t.startswith(("http://", "https://")) for t in present) > len(present) / 2:
        return "web addresses"
    if len(set(present)) == 1 and len(present) == len(texts) and len(texts) > 1:
        return "the same everywhere"
    if sum(t[0] in "{[" for t in present) > len(present) / 2:
        return "nested values"
    return None


def _split_words(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.sub(r"[\s_.\-/]+", " ", spaced).strip().lower()


def column_label(name: str) -> str:
    """Write a column name as words.

    >>> column_label("atomic_number"), column_label("unitPrice"), column_label("name.official")
    ('atomic number', 'unit price', 'name official')
    """
    return _split_words(name) or name
