"""How a table file is to be read: one frozen value, the same for every format.

Every reader takes the fields of `ReadOptions` as keywords: `iter_records("a.csv", sep=";",
comment="#")`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import ConfigError

Format = Literal["csv", "json", "parquet", "arrow", "sqlite"]
Ragged = Literal["error", "pad", "keep"]

FORMATS: tuple[str, ...] = ("csv", "json", "parquet", "arrow", "sqlite")
EXTRA_COLUMN = "_extra"
"""Where `ragged="keep"` puts the cells that no header stands above, as a list."""


@dataclass(frozen=True)
class ReadOptions:
    """Policies of reading; the defaults refuse rather than guess."""

    format: Format | None = None
    """Read the file as this, whatever its name and content say; `json` is JSON Lines as well."""
    columns: tuple[str, ...] | None = None
    """Read only these columns; None for all."""
    encoding: str | None = None
    """Encoding of text. None: the byte-order mark, else UTF-8; nothing is guessed."""
    sep: str | None = None
    """One character between CSV cells. None: comma, tab, semicolon or pipe, whichever fits."""
    quote: str | None = '"'
    """Quote character of CSV cells; None where quotes are plain text, as in many TSV files."""
    escape: str | None = None
    r"""Character that takes the meaning from the next one in CSV, usually `\`."""
    skip_initial_space: bool = False
    """Ignore blanks after a separator, so that `a, "b"` has a quoted second cell."""
    header: bool | tuple[str, ...] = True
    """True: the first line names the columns. False: `column_1`, ... Or the names themselves."""
    skip_lines: int = 0
    """Physical lines to pass over before the header."""
    comment: str | None = None
    """Lines that start with this text outside quotes are passed over and counted."""
    ragged: Ragged = "error"
    """Rows that do not fit the header: refuse; `pad` short ones; `keep` surplus cells as well."""
    null_values: tuple[str, ...] = ()
    """Spellings of null in CSV besides the empty cell, e.g. `("NA", "NULL")`."""
    records_path: str | tuple[str, ...] | None = None
    """Keys that lead to the records in nested JSON, `"data.qas"`; `"$"` is the document."""
    parent_fields: tuple[str, ...] = ()
    """Fields of enclosing JSON objects that each record gets as well, e.g. `("context",)`."""
    flatten: bool = False
    """Turn nested objects into dotted columns: `{"a": {"b": 1}}` -> `{"a.b": 1}`."""

    def __post_init__(self) -> None:
        """Check all fields at once.

        Raises:
            ConfigError: A value is out of range; all faults are named.
        """
        for name in ("columns", "null_values", "parent_fields"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, (value,))
            elif value is not None:
                object.__setattr__(self, name, tuple(value))
        if isinstance(self.header, Sequence):
            object.__setattr__(self, "header", tuple(self.header))
        faults = self._faults()
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> list[str]:
        faults = []
        if self.format is not None and self.format not in FORMATS:
            faults.append(f"format={self.format!r}: choose one of {', '.join(FORMATS)}")
        if self.ragged not in ("error", "pad", "keep"):
            faults.append(f"ragged={self.ragged!r}: choose 'error', 'pad' or 'keep'")
        for name in ("sep", "quote", "escape"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in "\r\n\0"):
                faults.append(f"{name}={value!r}: give one character that is no line end")
        if self.comment is not None and not self.comment:
            faults.append("comment='': give the text that comment lines start with, or None")
        if self.skip_lines < 0:
            faults.append(f"skip_lines={self.skip_lines!r}: give 0 or more")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                faults.append(f"encoding={self.encoding!r} is not known to Python")
        return faults


def read_options(values: dict[str, Any]) -> ReadOptions:
    """Build the options from keywords.

    Args:
        values: Names and values of `ReadOptions` fields.

    Raises:
        ConfigError: A name is not known (the nearest known one is named) or a value is out of
            range.
    """
    known = [field.name for field in fields(ReadOptions)]
    faults = []
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.45)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            faults.append(f"unknown option {name!r}{hint}")
    if faults:
        raise ConfigError(faults)
    return ReadOptions(**values)
