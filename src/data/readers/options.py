"""Options for reading a table, the same for every format.

Readers take the fields of `ReadOptions` as keywords: `iter_records("a.csv", sep=";", comment="#")`.
`FLAGS` lists those that are also options of the command line; messages that advise one write both
spellings with `advise`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ...errors import ConfigError, nearest

Format = Literal["csv", "json", "parquet", "arrow", "sqlite", "excel"]
Ragged = Literal["error", "pad", "keep"]

FORMATS: tuple[str, ...] = get_args(Format)
EXTRA_COLUMN = "_extra"
"""Column in which `ragged="keep"` collects surplus cells, as a list."""


@dataclass(frozen=True)
class ReadOptions:
    """Policies of reading; the defaults refuse rather than guess."""

    format: Format | None = None
    """Read the file as this format; `json` includes JSON Lines. None: detected."""
    columns: tuple[str, ...] | None = None
    """Read only these columns; None for all."""
    encoding: str | None = None
    """Encoding of text. None: by the byte-order mark, else UTF-8, else the most likely encoding,
    which is noted."""
    sep: str | None = None
    """One character between CSV cells. None: comma, tab, semicolon or pipe, as detected."""
    quote: str | None = '"'
    """Quote character of CSV cells; None where quotes are plain text, as in many TSV files."""
    escape: str | None = None
    r"""Escape character of CSV, usually `\`. None: detected. `""`: there is none."""
    skip_initial_space: bool = False
    """Ignore blanks after a separator, so that the second cell of `a, "b"` is quoted."""
    header: bool | tuple[str, ...] | None = None
    """True: the first line names the columns. False: they are `column_1`, ... A tuple: the names.
    None: the first line names the columns unless it is clearly a record."""
    skip_lines: int = 0
    """Physical lines to skip before the header."""
    comment: str | None = None
    """Lines that start with this text outside quotes are skipped and counted."""
    ragged: Ragged = "error"
    """Rows that do not fit the header: `error`, `pad` short ones, or also `keep` surplus cells."""
    null_values: tuple[str, ...] = ()
    """Further spellings of null in CSV and workbooks, e.g. `("-", "unknown")`."""
    keep_null_marks: bool = False
    """Keep `NA`, `NULL`, `nan` and other usual null marks as text in CSV and workbooks; otherwise
    they become null and are counted."""
    sheet: str | None = None
    """Name of the sheet of a workbook. None: the first one that is not empty."""
    records_path: str | tuple[str, ...] | None = None
    """Keys that lead to the records in nested JSON, `"data.qas"`; `"$"` is the document."""
    parent_fields: tuple[str, ...] = ()
    """Fields of enclosing JSON objects that each record gets as well, e.g. `("context",)`."""
    flatten: bool = False
    """Flatten nested objects to dotted columns: `{"a": {"b": 1}}` -> `{"a.b": 1}`."""

    def __post_init__(self) -> None:
        """Check all fields at once.

        Raises:
            ConfigError: Values are out of range; all faults at once.
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
        if self.ragged not in get_args(Ragged):
            faults.append(f"ragged={self.ragged!r}: choose 'error', 'pad' or 'keep'")
        for name in ("sep", "quote", "escape"):
            value = getattr(self, name)
            if value is None or (name == "escape" and not value):
                continue
            if len(value) != 1 or value in "\r\n\0":
                faults.append(f"{name}={value!r}: give one character that is not a line end")
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


FLAGS: dict[str, str] = {
    "encoding": "--encoding",
    "sep": "--sep",
    "quote": "--quote",
    "escape": "--escape",
    "header": "--header",
    "skip_lines": "--skip-lines",
    "comment": "--comment",
    "ragged": "--ragged",
    "null_values": "--null",
    "keep_null_marks": "--keep-null-marks",
    "sheet": "--sheet",
    "records_path": "--records-path",
    "table": "--table",
    "query": "--query",
    "columns": "--columns",
}
"""Keyword of a reader -> option of every command that reads a table."""

_HEADER_WORDS: dict[str, bool | None] = {"auto": None, "yes": True, "no": False}
_NONE_WORD = "none"


def advise(*names: str, **values: Any) -> str:  # noqa: ANN401 - fields of any type
    """Write which option to pass, as typed in a shell and as written in Python.

    >>> advise(encoding="cp1252"), advise("sheet")
    ("pass --encoding cp1252 (encoding='cp1252')", 'pass --sheet (sheet=...)')
    >>> advise(skip_lines=2, sep=";")
    "pass --skip-lines 2 --sep ';' (skip_lines=2, sep=';')"

    Args:
        *names: Options whose value only the user knows.
        **values: Options and the values to give them.

    Raises:
        KeyError: `FLAGS` has no such option.
    """
    flags = [FLAGS[name] for name in names]
    for name, value in values.items():
        parts = value if name == "null_values" else (value,)
        flags += [f"{FLAGS[name]} {flag_text(name, part)}".strip() for part in parts]
    keywords = [f"{name}=..." for name in names]
    keywords += [f"{name}={value!r}" for name, value in values.items()]
    return f"pass {' '.join(flags)} ({', '.join(keywords)})"


def flag_text(name: str, value: Any) -> str:  # noqa: ANN401 - fields of any type
    """Write the value of an option as typed in a shell; empty for a switch."""
    if value is True and name == "keep_null_marks":
        return ""
    if name == "header":
        return next(word for word, meaning in _HEADER_WORDS.items() if meaning is value)
    if name in ("quote", "escape") and not value:
        return _NONE_WORD
    text = ",".join(value) if isinstance(value, (tuple, list)) else str(value)
    return shlex.quote(text.replace("\t", "\\t"))


def flag_value(name: str, text: str) -> Any:  # noqa: ANN401 - fields of any type
    r"""Convert the text typed for an option to the value of its keyword; inverse of `flag_text`.

    >>> flag_value("sep", r"\t"), flag_value("quote", "none"), flag_value("header", "no")
    ('\t', None, False)

    Args:
        name: Keyword, one of `FLAGS`.
        text: Text after the option.

    Raises:
        ValueError: The text is not a word that `header` takes, or not a number for `skip_lines`.
    """
    if name == "header":
        if text not in _HEADER_WORDS:
            raise ValueError(f"--header {text!r}: choose one of {', '.join(_HEADER_WORDS)}")
        return _HEADER_WORDS[text]
    if name == "skip_lines":
        return int(text)
    if name in ("quote", "escape") and text == _NONE_WORD:
        return None if name == "quote" else ""
    if name == "sep" and text in ("\\t", "tab"):
        return "\t"
    return text


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
            begun = (one for one in known if name.startswith(one))
            near = next(begun, None) or nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
            faults.append(f"unknown option {name!r}; {hint}")
    if faults:
        raise ConfigError(faults)
    return ReadOptions(**values)
