"""JSON values one after the other from a text of any length; what is decoded is let go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UnreadableFileError
from .json_parser import JsonError, decode_value, make_decoder
from .text_stream import TextError

_BLANKS = re.compile(r"[ \t\r\n]*")
_MARGIN = 64
"""A fault this near the end of the buffer may be none: the value may go on in the next block."""


class JsonStream:
    """A cursor over JSON text.

    Args:
        texts: Blocks of text, from `decode_chunks`.
        path: Name for messages.
    """

    def __init__(self, texts: Iterator[str], path: Path) -> None:
        """See the class."""
        self.path = path
        self.row: int | None = None
        """Number of the record being read, for messages."""
        self.lines_crossed = 0
        """Line ends in the blanks passed over by the last `peek`."""
        self._texts = texts
        self._decoder = make_decoder(strict_keys=True)
        self._buffer, self._position = "", 0
        self._lines_before = 0
        self._ended = False
        self._damage: str | None = None  # what ended the text before its end

    def peek(self) -> str:
        """Pass over blanks; give the next character, empty at the end of the text."""
        self.lines_crossed = 0
        while True:
            end = _BLANKS.match(self._buffer, self._position).end()  # type: ignore[union-attr]
            self.lines_crossed += self._buffer.count("\n", self._position, end)
            self._position = end
            if end < len(self._buffer):
                return self._buffer[end]
            if not self._read_more():
                if self._damage is not None:
                    raise self.fault(self._damage, at=len(self._buffer))
                return ""

    def take(self) -> str:
        """Pass over blanks and one character; give that character."""
        character = self.peek()
        self._position += len(character)
        return character

    def value(self) -> Any:  # noqa: ANN401 - any JSON value
        """Decode the next value, reading on as far as it needs.

        Raises:
            UnreadableFileError: There is no JSON value here; the message names row and line.
        """
        self.peek()
        while True:
            try:
                value, end = decode_value(self._buffer, self._position, self._decoder)
            except json.JSONDecodeError as fault:
                open_string = fault.msg.startswith("Unterminated string")
                if open_string or fault.pos >= len(self._buffer) - _MARGIN:
                    if self._read_more(double=True):
                        continue
                    if self._damage is not None:
                        raise self.fault(self._damage, at=len(self._buffer)) from fault
                    if fault.pos >= len(self._buffer) or open_string:
                        raise self.fault(
                            "the text ends inside a value: the file is cut off", at=fault.pos
                        ) from fault
                raise self.fault(f"not JSON: {fault.msg}", at=fault.pos) from fault
            except JsonError as fault:
                raise self.fault(str(fault), column=fault.key) from fault
            # A number at the very end of the buffer may have more digits to come.
            if end < len(self._buffer) - _MARGIN or not self._read_more(double=True):
                self._position = end
                return value

    def fault(
        self, message: str, *, at: int | None = None, column: str | None = None
    ) -> UnreadableFileError:
        """Make the error that names file, row and line.

        Args:
            message: What is wrong.
            at: Index in the buffer; None for the current place.
            column: Key at fault.
        """
        place = self._position if at is None else at
        line = 1 + self._lines_before + self._buffer.count("\n", 0, place)
        return UnreadableFileError(message, path=self.path, row=self.row, line=line, column=column)

    def _read_more(self, *, double: bool = False) -> bool:
        """Append to the buffer; `double` it, so that long values cost linear time."""
        if self._ended:
            return False
        kept = len(self._buffer) - self._position
        wanted, parts = (2 * kept if double else kept) + 1, list[str]()
        try:
            while kept + sum(map(len, parts)) < wanted:
                text = next(self._texts, None)
                if text is None:
                    self._ended = True
                    break
                parts.append(text)
        except TextError as fault:
            self._ended, self._damage = True, str(fault)
        if parts:
            # Indexes into the buffer change only where there is more of it.
            self._lines_before += self._buffer.count("\n", 0, self._position)
            self._buffer = "".join([self._buffer[self._position :], *parts])
            self._position = 0
        return bool(parts)
