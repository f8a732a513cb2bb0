"""The profile of a table: its key column, the columns to ask about, what is left out and why.

`TableProfile.describe()` is printed before any work, so that no guess is silent.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from ...errors import ConfigError, DataError, EmptyDataError, UnknownColumnError
from ..readers.cells import cell_text, compared
from ..readers.column_names import own_names
from .phrasings import SMALL_WORDS

MAX_COLUMNS = 12
"""Most columns asked about when none are named."""
MOSTLY_FILLED = 0.5
"""Columns with values in this share of the records are preferred to sparser ones."""
MAX_ANSWER_CHARS = 80
"""Columns whose values are longer on average are texts and are not asked about."""
QUESTION_NAMES = ("question", "query", "instruction", "prompt")
ANSWER_NAMES = ("answer", "response", "output", "completion")
KEY_NAMES = ("name", "title", "key", "label", "id", "code")
LEAST_NAME_HINT = 0.7
"""Hint of the names that a column of short values needs; later names also mean codes."""
MOSTLY_DIFFERENT = 0.9
"""Least share of different values in a column that can be the key."""
OFTEN_DIFFERENT = 0.5
"""The same for columns called name or title, where another column distinguishes equal values."""
_PART_NAMES = frozenset({"first", "last", "given", "family", "middle", "file", "host", "path"})
"""Columns with these words in their name do not identify a record: `first name`."""
_INDEX_NAME = re.compile(r"__index_level_\d+__|unnamed: \d+(?:[._]\d+)*|index|level_\d+", re.I)
"""Names that pandas gives to a column of row numbers."""
_NAMELESS = re.compile(r"column_\d+")
"""Name that the readers give to a column without one."""
_LEVELS = re.compile(r"\('[^']*'(?:, '[^']*')*,?\)")
_NUMBER_OF_ROW = re.compile(r"\d+(?:\.0)?")
ROW_NUMBERS = "row numbers, as pandas writes them"


@dataclass(frozen=True)
class TableProfile:
    """How questions are made from a table."""

    source: str
    """File or table name."""
    kind: Literal["facts", "questions", "rows"]
    """`rows`: no column identifies the records, so questions use conditions on their values."""
    records: int
    """Number of records."""
    key: str
    """Key column (facts), question column (questions), or a name that no column has (rows)."""
    key_suffix: str | None
    """Column whose value is put in brackets after a key that occurs more than once."""
    columns: tuple[str, ...]
    """Columns asked about; for `questions` the answer column."""
    context: str | None
    """Context column, for `questions`."""
    left_out: tuple[tuple[str, str], ...]
    """(column, reason) for every column that is not asked about."""
    skipped_rows: tuple[tuple[int, str], ...]
    """(row, reason) for every record without a question."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Column name -> words used for it in questions, all different."""
    notes: tuple[str, ...] = ()
    """Further decisions: why this key, which labels were made different."""
    condition_columns: tuple[str, ...] = ()
    """For `rows`: columns used in conditions."""

    def describe(self) -> list[str]:
        """Describe the profile in a few lines."""
        if self.kind == "questions":
            lines = [f"questions from column {self.key!r}, answers from {self.columns[0]!r}"]
        elif self.kind == "rows":
            by_values = (
                "no column names the records; they are asked about by the values of one or two "
                "columns (pass --key (key=...) to name them by a column)"
            )
            by_number = "there is one column to ask about; records are asked about by their number"
            lines = [
                by_values if len(self.condition_columns) > 1 else by_number,
                f"asked: {', '.join(self.columns)}",
            ]
        else:
            lines = [f"key {self.key!r}; asked: {', '.join(self.columns)}"]
        if self.key_suffix:
            lines.append(f"equal keys are told apart by {self.key_suffix!r}")
        lines += self.notes
        by_reason: dict[str, list[str]] = {}
        for column, reason in self.left_out:
            by_reason.setdefault(reason, []).append(column)
        for reason, columns in by_reason.items():
            shown = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" * (len(columns) > 8))
            lines.append(f"left out ({reason}): {shown}")
        reasons = Counter(reason for _, reason in self.skipped_rows)
        for reason, count in reasons.items():
            first = next(row for row, why in self.skipped_rows if why == reason)
            many = "record" if count == 1 else "records"
            lines.append(f"{count} {many} without a question ({reason}), the first in row {first}")
        return lines


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
        source: Name of the table in messages.
        key: Column that identifies a record; None to detect it.
        columns: Columns to ask about; None to choose at most `MAX_COLUMNS`.
        question: Column of given questions; with `answer` the table is read as question-answer
            pairs.
        answer: Column of their answers.
        context: Column with a text for each question.

    Raises:
        EmptyDataError: No records, or none with both a question and an answer.
        UnknownColumnError: A named column does not exist; the message lists the columns.
        DataError: There is nothing to ask about; the message says what to pass.
    """
    if not records:
        raise EmptyDataError("the table has no records", path=source)
    names = list(dict.fromkeys(name for record in records for name in record))
    given = [name for name in (key, question, answer, context) if name is not None]
    spelled = _spelled_as_in_table([*given, *(columns or ())], names, source)
    key, question, answer, context = (
        None if name is None else spelled[name] for name in (key, question, answer, context)
    )
    if columns is not None:
        columns = [spelled[name] for name in columns]
    if (question is None) != (answer is None):
        raise ConfigError(["give both a question column and an answer column, or neither"])
    if question is None and key is None and columns is None:
        question, answer = _question_columns(names)
    if question is not None and answer is not None:
        return _profile_questions(records, names, source, question, answer, context)
    return _profile_facts(records, names, source, key, columns)


def rows_profile(
    records: Sequence[Mapping[str, Any]], *, source: str, key: str, columns: Sequence[str]
) -> TableProfile:
    """Profile records that no column names, whatever their values are.

    Args:
        records: Flat records.
        source: Name of the table in messages.
        key: A name that no column has.
        columns: Columns to ask about.
    """
    if not records:
        raise EmptyDataError("the table has no records", path=source)
    names = list(dict.fromkeys(name for record in records for name in record))
    every = {name: [cell_text(record.get(name)) for record in records] for name in names}
    again = _repeated_rows(every)
    texts = {n: [t for i, t in enumerate(c) if i not in again] for n, c in every.items()}
    skipped = tuple((i + 1, "the same record again") for i in again)
    return replace(_profile_rows(texts, source, columns, len(records), skipped), key=key)


def _spelled_as_in_table(wanted: Sequence[str], names: list[str], source: str) -> dict[str, str]:
    """Map the column names that a user gave to those of the table, in whichever Unicode form.

    Raises:
        UnknownColumnError: Some do not exist; all of them are named at once.
    """
    own = own_names(names, wanted)
    missing = [name for name in own if name not in names]
    if missing:
        what = "column" if len(missing) == 1 else "columns"
        raise UnknownColumnError(
            f"no {what} {', '.join(map(repr, missing))}; the columns are: {', '.join(names)}",
            path=source,
            column=missing[0] if len(missing) == 1 else None,
        )
    return dict(zip(wanted, own, strict=True))


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
        if first_row.setdefault((compared(asked), about or ""), row) != row:
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
    every = {name: [cell_text(record.get(name)) for record in records] for name in names}
    again = _repeated_rows(every)
    texts = {n: [t for i, t in enumerate(c) if i not in again] for n, c in every.items()}
    rows = [row for row in range(1, len(records) + 1) if row - 1 not in again]
    skipped = [(i + 1, "the same record again") for i in again]
    notes: tuple[str, ...] = ()
    given = key
    if key is None:
        key, notes = _find_key(texts)
    asked, left_out = _choose_columns(texts, key, columns)
    if not asked and given is not None:
        raise DataError(
            f"no column to ask about beside the key {key!r}; pass --columns (columns=...) to name "
            f"some of: {', '.join(name for name in names if name != key) or 'there is no other'}",
            path=source,
        )
    if key is None or not asked:
        return _profile_rows(texts, source, columns, len(records), tuple(skipped))
    keys = texts[key]
    counts = Counter(compared(k) for k in keys if k is not None)
    suffix = None
    if any(n > 1 for n in counts.values()):
        suffix = _unique_column(texts, key)
    skipped += [(row, f"no {key}") for row, k in zip(rows, keys, strict=True) if k is None]
    if suffix is None:
        seen: set[str] = set()
        for row, k in zip(rows, keys, strict=True):
            if k is not None and compared(k) in seen:
                skipped.append((row, f"{key} occurs before"))
            elif k is not None:
                seen.add(compared(k))
    labels, clashes = _labels_of(asked, names)
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
        labels=labels,
        notes=notes + clashes,
    )


def _repeated_rows(texts: dict[str, list[str | None]]) -> dict[int, None]:
    """Find the records, counted from 0, that repeat an earlier one in every column."""
    seen: set[tuple[str | None, ...]] = set()
    again: dict[int, None] = {}
    for i, cells in enumerate(zip(*texts.values(), strict=True)):
        if cells in seen:
            again[i] = None
        seen.add(cells)
    return again


def _profile_rows(
    texts: dict[str, list[str | None]],
    source: str,
    columns: Sequence[str] | None,
    records: int,
    skipped: tuple[tuple[int, str], ...],
) -> TableProfile:
    """Profile a table with no column that identifies the records, or with one column only."""
    asked, left_out = _choose_columns(texts, None, columns)
    if not asked:  # every column is constant or a long text, so these are asked about
        asked = [name for name, column in texts.items() if any(t is not None for t in column)]
        asked = asked[:MAX_COLUMNS]
        left_out = [(name, why) for name, why in left_out if name not in asked]
    if not asked:
        raise EmptyDataError("every cell of the table is empty", path=source)
    beside = [name for name, why in left_out if why == "not asked for" or why.startswith("more")]
    conditions = [name for name in texts if name in asked or name in beside]
    labels, clashes = _labels_of(conditions, list(texts))
    key, number = "record", 2
    while compared(key) in {compared(label) for label in (*labels.values(), *texts)}:
        key, number = f"record {number}", number + 1
    return TableProfile(
        source=source,
        kind="rows",
        records=records,
        key=key,
        key_suffix=None,
        columns=tuple(asked),
        context=None,
        left_out=tuple(left_out),
        skipped_rows=skipped,
        labels=labels,
        notes=clashes,
        condition_columns=tuple(conditions),
    )


def _labels_of(
    columns: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Choose different words for all columns, and note those that needed more than their name.

    Columns with the same words are called by their spelling (`unit_price`, `unitPrice`); where that
    differs only in case, Unicode form or blanks, also by their position in the table.

    Args:
        columns: Columns that occur in questions.
        names: All columns, in the table's order.
    """
    labels = {name: column_label(name) for name in columns}
    again = _shared(labels)
    for name in again:
        labels[name] = re.sub(r"\s+", " ", unicodedata.normalize("NFC", name)).strip() or name
    for name in _shared(labels):
        labels[name] = f"{labels[name]} (column {names.index(name) + 1})"
    if not again:
        return labels, ()
    told = ", ".join(f"{name!r} as {labels[name]!r}" for name in again)
    return labels, (f"columns of the same words are told apart in questions: {told}",)


def _shared(labels: Mapping[str, str]) -> list[str]:
    """List the columns that share their label with another."""
    counts = Counter(map(_as_asked, labels.values()))
    return [name for name, label in labels.items() if counts[_as_asked(label)] > 1]


def _as_asked(label: str) -> str:
    """Write a label as varied questions may have it: without case and small words."""
    said = compared(label).split()
    return " ".join([word for word in said if word not in SMALL_WORDS] or said)


def _choose_columns(
    texts: dict[str, list[str | None]], key: str | None, wanted: Sequence[str] | None
) -> tuple[list[str], list[tuple[str, str]]]:
    """Choose the columns to ask about, in the table's order; give (column, reason) for others."""
    reasons: dict[str, str | None] = {
        name: (
            _reason_to_leave_out(name, column)
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
        ranked = sorted(usable, key=lambda name: _rank_of_column(texts[name]))
        for name in ranked[MAX_COLUMNS:]:
            reasons[name] = f"more than {MAX_COLUMNS} columns; name columns to choose others"
    asked = [name for name, reason in reasons.items() if reason is None]
    return asked, [(name, reason) for name, reason in reasons.items() if reason is not None]


def _rank_of_column(column: list[str | None]) -> tuple[bool, int]:
    """Rank a column of a wide table by how likely it is asked about, the lowest first.

    Nested data gives many sparse columns, so those that most records have come first. Then people
    ask for properties, which records share, rather than for numbers or further names that each
    record has of its own, and for those rather than for its codes of a few letters.
    """
    present = [t for t in column if t is not None]
    distinct = len(set(map(compared, present))) / len(present)
    code = _wordy(present) > 0.5 and all(len(t) <= 4 for t in present)
    kind = 0 if distinct < MOSTLY_DIFFERENT else 2 if code else 1
    return len(present) < MOSTLY_FILLED * len(column), kind


def _numbers_rows(name: str, texts: list[str | None]) -> bool:
    """Say whether a column is the row numbers that pandas writes beside a table."""
    present = [t for t in texts if t is not None]
    nameless = _NAMELESS.fullmatch(name) is not None
    if not (nameless or _INDEX_NAME.fullmatch(name.strip())) or len(present) < len(texts):
        return False
    if not all(_NUMBER_OF_ROW.fullmatch(t) for t in present):
        return False
    if nameless:
        return _run_up([int(float(t)) for t in present], first=name == "column_1")
    return name.startswith("__index_level_") or len(set(present)) == len(present)


def _run_up(numbers: list[int], *, first: bool) -> bool:
    """Say whether numbers are consecutive. In the first column they may have gaps, as rows may have
    been removed, if they start at 0 or 1."""
    if len(numbers) < 2:
        return False
    steps = {after - before for before, after in pairwise(numbers)}
    return steps == {1} or (first and min(steps) > 0 and numbers[0] in (0, 1))


def _is_unique(texts: list[str | None]) -> bool:
    present = [t for t in texts if t is not None]
    return len(present) == len(texts) and len(set(map(compared, present))) == len(present)


def _unique_column(texts: dict[str, list[str | None]], key: str) -> str | None:
    """Give the first other column whose values all differ."""
    others = (n for n, column in texts.items() if n != key and not _numbers_rows(n, column))
    return next((name for name in others if _is_unique(texts[name])), None)


def _find_key(texts: dict[str, list[str | None]]) -> tuple[str | None, tuple[str, ...]]:
    """Find the key column, and note why it was chosen where that is not obvious.

    A key is nearly unique, short, and has words rather than numbers. A column of names may repeat
    more often where another column distinguishes equal names.
    """
    best: tuple[float, str] | None = None
    for place, (name, column) in enumerate(texts.items()):
        score = _key_score(texts, name, column)
        if score is not None and (best is None or score - 0.02 * place > best[0]):
            best = (score - 0.02 * place, name)
    if best is None:
        return None, ()
    return best[1], _key_notes(texts, best[1])


def _key_score(
    texts: dict[str, list[str | None]], name: str, column: list[str | None]
) -> float | None:
    """Rate a column as key; None where it cannot be one."""
    present = [t for t in column if t is not None]
    if not present or len(present) < 0.9 * len(column) or _numbers_rows(name, column):
        return None
    english = re.sub(r"(?<=[_\-. ])[a-z]{2}$", "en", name)
    if english != name and english in texts:
        return None  # name_fr beside name_en
    distinct = len(set(map(compared, present))) / len(column)
    length = sum(map(len, present)) / len(present)
    wordy = _wordy(present)
    # Beside the column that distinguishes equal names, there must be another to ask about.
    names_records = (
        _called_name(name) and wordy > 0.5 and distinct >= OFTEN_DIFFERENT and len(texts) > 2
    )
    if length > 60 or not (
        distinct >= MOSTLY_DIFFERENT or (names_records and _unique_column(texts, name))
    ):
        return None
    words = re.findall(r"[a-z]+", _split_words(name))
    hint = next((1.0 - 0.1 * i for i, n in enumerate(KEY_NAMES) if n in words), 0.0)
    # Codes of two or three letters are poor keys, unless the column is called a name.
    short = 1.0 if length >= 4 or hint >= LEAST_NAME_HINT else 0.0
    return 2 * distinct + 2 * wordy + hint + short - 0.01 * length


def _wordy(present: list[str]) -> float:
    return sum(any(c.isalpha() for c in t) for t in present) / len(present)


def _called_name(name: str) -> bool:
    words = set(_split_words(name).split())
    return bool(words & {"name", "title"}) and not words & _PART_NAMES


def _key_notes(texts: dict[str, list[str | None]], key: str) -> tuple[str, ...]:
    """Note why a key was chosen where a user might expect another."""
    repeats = _repeats(texts[key])
    other = _unique_column(texts, key)
    if repeats and other is not None:
        return (
            f"key {key!r} although {repeats} records have one that another has too; "
            f"{_pass_key(other)} to name records by {other!r}",
        )
    expected = next(
        (n for n, c in texts.items() if n != key and _called_name(n) and _repeats(c)), None
    )
    if expected is not None and not _called_name(key):
        return (
            f"key {key!r} because {expected!r} is the same in {_repeats(texts[expected])} records; "
            f"{_pass_key(expected)} to name records by {expected!r}",
        )
    if _wordy([t for t in texts[key] if t is not None]) < 0.5:
        return (f"key {key!r} because no column of words differs in nearly every record; pass "
                "--key (key=...) to choose another",)  # fmt: skip
    return ()


def _repeats(column: list[str | None]) -> int:
    """Count the records that share their value with another."""
    counts = Counter(compared(t) for t in column if t is not None)
    return sum(n for n in counts.values() if n > 1)


def _pass_key(name: str) -> str:
    return f"pass --key {shlex.quote(name)} (key={name!r})"


def _reason_to_leave_out(name: str, texts: list[str | None]) -> str | None:
    present = [t for t in texts if t is not None]
    if not present:
        return "empty"
    if _numbers_rows(name, texts):
        return ROW_NUMBERS
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
    if _LEVELS.fullmatch(name):  # pandas writes the name of a column with several levels so
        name = " ".join(re.findall(r"'([^']*)'", name))
    return _split_words(unicodedata.normalize("NFC", name)) or name.strip() or "column"
