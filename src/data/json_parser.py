r"""JSON as RFC 8259 has it; what one program reads otherwise than another is refused.

- NaN, Infinity and numbers too large for a double are refused; whole numbers are exact, however
  long (up to the 4300 digits that Python converts).
- Text is UTF-8 (or bears a byte-order mark); half surrogate pairs such as `\ud800` are refused,
  because no UTF-8 file could ever hold the text again.
- Nesting deeper than 256 levels is refused, so that no later step meets a document it cannot walk.
- A key that occurs twice in one object: equal values are one value; in records different values are
  refused, since one of them would be lost. `parse_json` alone keeps the last one, as the RFC
  permits.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from ..errors import UnreadableFileError
from .text_stream import TextError, decode_chunks

MAX_DEPTH = 256
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """A JSON text is refused; `key` is the column at fault, where there is one."""

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
        UnreadableFileError: It is no JSON; the message names the line.
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
    """Make a decoder that refuses what this module refuses.

    Args:
        strict_keys: Refuse an object that has two different values for one key.
    """
    return json.JSONDecoder(
        parse_constant=_refuse_constant,
        parse_float=_finite_float,
        object_pairs_hook=_unique_object if strict_keys else None,
    )


def decode_value(text: str, start: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """Decode the JSON value that begins at `start`, blanks before it passed over.

    Args:
        text: JSON text that may go on after the value.
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
    # Counting is quick and settles nearly every document; only then are the levels themselves
    # counted.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _too_deep()
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as fault:
            half = fault.object[fault.start : fault.start + 1]
            raise JsonError(
                f"half a surrogate pair, {half!a}, is no text; write the whole character"
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
    raise JsonError(f"{name} is no JSON number (not_finite); write null instead")


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
