"""JSON values one after the other from a text of any length, in the memory of one value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import UnreadableFileError
from ..text_stream import TextError, decode_chunks

MAX_DEPTH = 256
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """A JSON text is refused; `key` is the column at fault, or None."""

    def __init__(self, message: str, key: str | None = None) -> None:
        """See the class."""
        self.key = key
        super().__init__(message)


def parse_json(data: bytes, path: str | Path) -> Any:  # noqa: ANN401 - any JSON value
    """Parse one JSON document of any type.

    Args:
        data: The bytes of the document.
        path: Name for messages.

    Returns:
        dict, list, str, int, float, bool or None.

    Raises:
        UnreadableFileError: It is not JSON; the message names the line.
    """
    text = ""
    try:
        text = "".join(decode_chunks(iter([data])))
        value, end = decode_value(text, 0, make_decoder(strict_keys=False))
        if text[end:].strip(" \t\r\n"):
            raise json.JSONDecodeError("more text after the end of the document", text, end)
    except json.JSONDecodeError as fault:
        raise UnreadableFileError(
            f"not JSON: {fault.msg} (column {fault.colno} of the line)",
            path=path,
            line=fault.lineno,
        ) from fault
    except (TextError, JsonError) as fault:
        raise UnreadableFileError(str(fault), path=path) from fault
    return value


def make_decoder(*, strict_keys: bool) -> json.JSONDecoder:
    """Make a decoder that refuses NaN, infinities and, if strict, contradictory keys.

    Args:
        strict_keys: Refuse an object that has two different values for one key.
    """
    return json.JSONDecoder(
        parse_constant=_refuse_constant,
        parse_float=_finite_float,
        object_pairs_hook=_unique_object if strict_keys else None,
    )


def decode_value(text: str, start: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """Decode the JSON value that begins at `start`, after blanks.

    Args:
        text: JSON text, which may continue after the value.
        start: Index in `text`.
        decoder: From `make_decoder`.

    Returns:
        The value, and the index of the character after it.

    Raises:
        json.JSONDecodeError: There is no complete JSON value here.
        JsonError: The value is refused.
    """
    while text[start : start + 1] in (" ", "\t", "\r", "\n"):
        start += 1
    try:
        value, end = decoder.raw_decode(text, start)
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, JsonError):
        raise
    except ValueError as fault:  # int() of more digits than Python allows
        raise JsonError(f"a number has too many digits: {fault}") from fault
    _check(text[start:end], value)
    return value, end


def _check(text: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    # Counting brackets is fast and settles nearly every document before the levels are counted.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _too_deep()
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as fault:
            half = fault.object[fault.start : fault.start + 1]
            raise JsonError(
                f"half a surrogate pair, {half!a}, is not text; write the whole character"
            ) from fault


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        character = token.group()[0]
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _too_deep() -> JsonError:
    return JsonError(f"nested deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> None:
    raise JsonError(f"{name} is not a JSON number (not_finite); write null instead")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonError(f"the number {text[:40]} is too large for a double (not_finite)")
    return number


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        for key, first in pairs:
            if value[key] != first or type(value[key]) is not type(first):
                raise JsonError(
                    f"the key {key!r} occurs twice with different values; remove one", key=key
                )
    return value


_BLANKS = re.compile(r"[ \t\r\n]*")
_MARGIN = 64
"""So near the buffer's end, a fault may only mean that the value continues in the next block."""


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
        """Line ends in the blanks skipped by the last `peek`."""
        self._texts = texts
        self._decoder = make_decoder(strict_keys=True)
        self._buffer, self._position = "", 0
        self._lines_before = 0
        self._ended = False
        self._damage: str | None = None  # the fault that ended the text early

    def peek(self) -> str:
        """Skip blanks and give the next character without taking it; empty at the end."""
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
        """Skip blanks and take the next character."""
        character = self.peek()
        self._position += len(character)
        return character

    def value(self) -> Any:  # noqa: ANN401 - any JSON value
        """Decode the next value, reading more text as needed.

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
        """Read more text; `double` the buffer, so that long values take linear time."""
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
            # Positions in the buffer change only when text was added.
            self._lines_before += self._buffer.count("\n", 0, self._position)
            self._buffer = "".join([self._buffer[self._position :], *parts])
            self._position = 0
        return bool(parts)
