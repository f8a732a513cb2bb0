"""Tables with typed columns: each cell has its folded text, number, date and list items."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from .values import (
    Day,
    Decimal,
    days,
    decimal_mark,
    fold,
    items,
    quantities,
    unit_factor,
    unit_of_name,
    words,
    yes_or_no,
)

Kind = Literal["number", "date", "text", "flag"]
_SHARE: Final = 0.7
"""Least share of the different filled cells that must parse as a kind for the column to have it."""
_SAMPLED: Final = 2000
_KINDS: Final = 12
"""Most different texts in a column of categories."""
_LEAST_FLAGS: Final = 40
"""Least filled cells in a column of 0 and 1 for it to mean no and yes."""


@dataclass(frozen=True)
class Column:
    """A column of a typed table; its parsed cells are computed on first use.

    Attributes:
        name: Name in the file.
        label: Words used for it, e.g. `atomic mass`.
        texts: Text of each row's cell; empty for an empty cell.
        kind: Kind of most of its cells.
        decimal: Decimal mark of its numbers.
        also: Other words that people use for it.
        written: Text of each row's cell as the table has it, where that differs from `texts`: 0 and
            1 for no and yes. Empty for all other columns.
    """

    name: str
    label: str
    texts: tuple[str, ...]
    kind: Kind
    decimal: Decimal = "."
    also: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    def cell(self, row: int) -> str:
        """Return a cell as the table has it, for a row counted from 0."""
        return (self.written or self.texts)[row]

    @cached_property
    def folded(self) -> list[str]:
        """Folded text of each cell."""
        return [fold(text) for text in self.texts]

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """First number of each cell in its base unit, e.g. grams; NaN where there is none."""
        cells = self.written or self.texts
        read = {text: self._number(text) for text in set(cells)}
        return np.array([read[text] for text in cells])

    @cached_property
    def order(self) -> NDArray[np.float64]:
        """Values by which the rows are ordered: dates or else numbers; NaN where there is none."""
        return self.dates if self.kind == "date" else self.numbers

    @cached_property
    def dates(self) -> NDArray[np.float64]:
        """First date of each cell in years, see `Day.ordinal`; NaN where there is none."""
        return np.array([np.nan if day is None else day.ordinal for day in self.days])

    @cached_property
    def days(self) -> list[Day | None]:
        """First date of each cell; None where there is none."""
        read = {text: days(text) for text in set(self.texts)}
        return [read[text][0][0] if read[text] else None for text in self.texts]

    @cached_property
    def has_days(self) -> bool:
        """Tell whether most cells have a date."""
        return sum(day is not None for day in self.days) > 0.5 * len(self.days)

    @cached_property
    def unit(self) -> str:
        """Most frequent base unit of its numbers; empty for numbers without units."""
        units = Counter(
            found[0].unit
            for text in dict.fromkeys(self.texts[:_SAMPLED])
            if (found := quantities(text, self.decimal))
        )
        return units.most_common(1)[0][0] if units else ""

    @cached_property
    def factor(self) -> float:
        """Number of base units in its most frequent written unit, e.g. 1000 for kg, else 1."""
        factors = Counter(
            unit_factor(text, self.decimal)
            for text in dict.fromkeys(self.texts[:_SAMPLED])
            if quantities(text, self.decimal)
        )
        return factors.most_common(1)[0][0] if factors else 1.0

    @cached_property
    def named_unit(self) -> tuple[str, float] | None:
        """Base unit and factor that the column's name gives to numbers without units; else None."""
        return unit_of_name(self.name) if self.kind == "number" and not self.unit else None

    @cached_property
    def filled(self) -> NDArray[np.bool_]:
        """Whether each cell has a value."""
        return np.array([bool(text) for text in self.texts], dtype=bool)

    @cached_property
    def rows_of(self) -> dict[str, list[int]]:
        """Folded text of a cell -> rows that have it."""
        found: dict[str, list[int]] = {}
        for row, text in enumerate(self.folded):
            if text:
                found.setdefault(text, []).append(row)
        return found

    @cached_property
    def rows_of_item(self) -> dict[str, list[int]]:
        """Folded list item -> rows that list it; only from cells with several items."""
        found: dict[str, list[int]] = {}
        for text, rows in self.rows_of.items():
            parts = items(text)
            if len(parts) > 1:
                for part in dict.fromkeys(parts):
                    found.setdefault(fold(part), []).extend(rows)
        return found

    @cached_property
    def rows_of_word(self) -> dict[str, list[str]]:
        """Folded word -> different folded texts of cells that have it."""
        found: dict[str, list[str]] = {}
        for text in self.rows_of:
            for word in dict.fromkeys(words(text)):
                found.setdefault(word, []).append(text)
        return found

    @cached_property
    def initials(self) -> dict[str, str]:
        """Initials of values of two to four words, such as `uk` -> the folded value."""
        found: dict[str, str] = {}
        for value in self.rows_of if self.kind == "text" else ():
            parts = [
                word for word in words(value) if word not in ("of", "the", "and", "und", "der")
            ]
            if 2 <= len(parts) <= 4 and all(part[0].isalpha() for part in parts):
                found.setdefault("".join(part[0] for part in parts), value)
        return found

    @cached_property
    def is_category(self) -> bool:
        """Tell whether the column has a few texts that repeat, as categories do."""
        count = len(self.rows_of)
        return self.kind == "text" and 2 <= count <= _KINDS and count <= 0.6 * self.filled.sum()

    @cached_property
    def is_mark(self) -> bool:
        """Tell whether the column has categories of one or two letters, such as H and A."""
        return self.is_category and all(len(one) <= 2 and one.isalpha() for one in self.rows_of)

    @property
    def is_key(self) -> bool:
        """Tell whether all cells are filled and different."""
        return len(self.rows_of) == len(self.texts)

    @cached_property
    def is_code(self) -> bool:
        """Tell whether the column has a different code for each record, such as M-101."""
        return self.is_key and _is_code(self.texts)

    def _number(self, text: str) -> float:
        found = quantities(text, self.decimal)
        return found[0].number if found and np.isfinite(found[0].number) else np.nan


@dataclass(frozen=True)
class TypedTable:
    """A table of typed columns.

    Attributes:
        name: Name of the file or table.
        columns: The columns in the order of the file.
        key: Number of the column that names the records; None if no column does.
        length: Number of records.
        numbers: Number of each record in its file, counted from 1; empty if that is row + 1.
    """

    name: str
    columns: tuple[Column, ...]
    key: int | None = None
    length: int = field(default=0)
    numbers: tuple[int, ...] = ()

    def number_of(self, row: int) -> int:
        """Return the number of a record in its file, counted from 1, for a row counted from 0."""
        return self.numbers[row] if self.numbers else int(row) + 1

    @cached_property
    def numbered(self) -> dict[str, int]:
        """Name of a column -> its number, counted from 0."""
        return {column.name: number for number, column in enumerate(self.columns)}

    @cached_property
    def words(self) -> dict[str, int]:
        """Folded word -> number of different cells that have it, summed over the columns."""
        count: Counter[str] = Counter()
        for column in self.columns:
            for word, values in column.rows_of_word.items():
                count[word] += len(values)
        return dict(count)


def typed_table(
    records: Sequence[Mapping[str, Any]],
    *,
    name: str = "table",
    key: str | None = None,
    labels: Mapping[str, str] | None = None,
    also: Mapping[str, Sequence[str]] | None = None,
    numbers: Sequence[int] = (),
) -> TypedTable:
    """Make a typed table of records.

    Args:
        records: Mappings of column to value; values become text, None becomes empty.
        name: Name of the table.
        key: Column that names the records. By default a column whose cells are all filled and
            different: the first one of words, else of codes, else the first column of the table.
        labels: Column -> words used for it; by default `column_label` of its name.
        also: Column -> other words that people use for it.
        numbers: Number of each record in its file, counted from 1; consecutive by default.

    Raises:
        ValueError: `key` is not a column.
    """
    names = list(dict.fromkeys(str(column) for record in records for column in record))
    cells = {
        column: tuple(
            "" if (value := record.get(column)) is None else str(value).strip()
            for record in records
        )
        for column in names
    }
    decimal = decimal_mark(text for texts in cells.values() for text in texts[:_SAMPLED])
    written = {column: texts for column, texts in cells.items() if _is_zero_or_one(texts)}
    cells |= {c: tuple(_SAID.get(text, text) for text in texts) for c, texts in written.items()}
    columns = tuple(
        Column(
            column,
            (labels or {}).get(column) or column_label(column),
            texts,
            _kind(texts, decimal, column),
            decimal,
            tuple((also or {}).get(column, ())),
            written.get(column, ()),
        )
        for column, texts in cells.items()
    )
    number: int | None = None
    if key is not None:
        number = names.index(key)
    else:
        # Numbers that all differ name records only in the first column, where ids usually stand.
        keys = [
            n for n, column in enumerate(columns)
            if column.is_key and column.texts and (column.kind == "text" or n == 0)
        ]  # fmt: skip
        texts_first = sorted(
            keys, key=lambda n: (columns[n].kind != "text", _is_code(columns[n].texts), n)
        )
        number = texts_first[0] if texts_first else None
    return TypedTable(name, columns, number, len(records), tuple(numbers))


_SAID: Final = {"0": "no", "1": "yes"}


def _is_zero_or_one(texts: Sequence[str]) -> bool:
    """Tell whether a column writes yes and no as 1 and 0.

    In a short column, 0 and 1 may as well be counts, such as goals.
    """
    filled = [text for text in texts if text]
    return len(filled) >= _LEAST_FLAGS and set(filled) == set(_SAID)


_DOT: Final = re.compile(r"(?<=\w\w)\.(?=\w\w)")
"""A point between the names of nested fields, as in `name.common`."""
_HUMP: Final = re.compile(r"(?<=[^\W\d_A-Z]{2})(?=[A-Z])")


def column_label(column: str) -> str:
    """Split the name of a column into words.

    >>> column_label("atomic_number"), column_label("UnitPrice"), column_label("name.common")
    ('atomic number', 'Unit Price', 'name common')
    """
    return " ".join(_HUMP.sub(" ", _DOT.sub(" ", column)).replace("_", " ").split())


def _kind(texts: Sequence[str], decimal: Decimal, name: str) -> Kind:
    sample = [text for text in dict.fromkeys(texts[:_SAMPLED]) if text]
    if not sample:
        return "text"
    if all(yes_or_no(text) is not None for text in sample):
        return "flag"
    dated = [text for text in sample if _is_date(text)]
    counted = sum(_is_number(text, decimal) for text in sample)
    if len(dated) >= _SHARE * len(sample):
        # Four digits are a year, unless another cell is a number or the name has a unit of measure.
        years = all(len(text) == len("1987") for text in dated)
        unit = unit_of_name(name)
        measured = unit is not None and unit[0] not in ("s", "day", "year")
        is_number = counted == len(sample) and (measured or len(dated) < len(sample))
        return "number" if years and is_number else "date"
    return "number" if counted >= _SHARE * len(sample) else "text"


def _is_date(text: str) -> bool:
    found = days(text)
    if not found:
        return False
    day, start, end = found[0]
    # A year alone is a date, but a year within a longer text is not.
    return end - start >= 0.5 * len(fold(text)) and (day.month > 0 or len(text.strip()) == 4)


_MANY_PARTS: Final = re.compile(r"\d[-/ ]\d+[-/]\d")
"""Digits with several separators, which are identifiers such as 67-64-1 or 0151 23-44."""


def _is_number(text: str, decimal: Decimal) -> bool:
    found = quantities(text, decimal)
    if not found or _MANY_PARTS.search(text):
        return False
    letters = sum(one.isalpha() for one in text)
    # M-101 is a name: no letters may stand before a number, apart from a currency.
    before = any(one.isalpha() for one in text[: found[0].start])
    return letters <= 6 and found[0].start <= 3 and not before


_PLATE: Final = re.compile(r"[A-ZÄÖÜ]{1,4}(?:[- ][A-ZÄÖÜ]{1,4}){0,2}[- ]?\d{1,6}[A-Z]?")


def _is_code(texts: Sequence[str]) -> bool:
    """Tell whether most cells are codes such as M-101 rather than words."""
    sample = [text for text in texts[:_SAMPLED] if text]
    short = [
        t for t in sample
        if (any(map(str.isdigit, t)) and 1 <= sum(map(str.isalpha, t)) <= 3 and " " not in t)
        or _PLATE.fullmatch(t)
    ]  # fmt: skip
    return len(short) > 0.5 * len(sample)
