"""Bytes to text: byte-order marks, strict decoding, lines. Nothing is decoded by guessing.

Where the bytes stop being text, everything before that place is handed out first; so a reader that
counts its rows knows which row is at fault when the `TextError` arrives.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from itertools import chain

from ..errors import UnreadableFileError
from .options import advise

# UTF-32 LE first: its mark starts with that of UTF-16 LE.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_MARK = 4
_INNER_MARK = re.compile("([\r\n])\ufeff+")


class TextError(Exception):
    """The bytes from here on are not text in the encoding."""


def decode_chunks(chunks: Iterator[bytes], encoding: str | None = None) -> Iterator[str]:
    """Decode blocks of bytes to blocks of text.

    Args:
        chunks: Blocks of bytes.
        encoding: As in `ReadOptions.encoding`. Byte-order marks are taken off in any case, those at
            the beginning of other lines as well.

    Yields:
        Blocks of text that are not empty.

    Raises:
        TextError: A byte cannot be decoded, or the text has a NUL character; the message names the
            byte offset.
    """
    first, chunks = _first_bytes(chunks)
    mark, name = _mark_of(first, encoding)
    decoder = codecs.getincrementaldecoder(name)("strict")
    taken = len(mark)  # bytes handed to the decoder, the mark counted
    first = first[len(mark) :]
    at_line_start = True
    for chunk, final in _with_end(first, chunks):
        taken += len(chunk)
        try:
            text, fault = decoder.decode(chunk, final), None
            end = taken - len(decoder.getstate()[0])
        except UnicodeDecodeError as error:
            good = bytes(error.object[: error.start])
            # A fresh decoder is needed only by encodings with state; those report their own fault.
            text = good.decode(name, errors="ignore")
            end = taken - len(error.object) + error.start
            fault = _describe(error, end, name, first, encoding)
        text = _without_inner_marks(text, at_line_start)
        at_line_start = text.endswith(("\n", "\r")) if text else at_line_start
        nul = text.find("\0")
        if nul >= 0:
            fault = _describe_nul(first, end, text[nul:], name)
            text = text[:nul]
        if text:
            yield text
        if fault is not None:
            raise TextError(fault)


class Lines:
    r"""Lines of a text that end in \n, \r\n or \r; the ends are kept.

    Iterating runs without Python code for each line, which is what makes it fast.

    Args:
        texts: Blocks of text.
    """

    def __init__(self, texts: Iterator[str]) -> None:
        """See the class."""
        self._texts = _whole_lines(texts)
        self._current = io.StringIO()

    def __iter__(self) -> Iterator[str]:
        """Give the lines one by one."""
        return chain.from_iterable(self._files())

    def rest(self) -> Iterator[str]:
        """Give what no iteration has taken yet, in blocks of whole lines."""
        text = self._current.read()
        return chain([text] if text else [], self._texts)

    def _files(self) -> Iterator[io.StringIO]:
        for text in self._texts:
            self._current = io.StringIO(text, newline="")
            yield self._current


def _without_inner_marks(text: str, at_line_start: bool) -> str:
    """Take off byte-order marks at the beginning of lines: files that were joined have them."""
    if "\ufeff" not in text:
        return text
    text = _INNER_MARK.sub(r"\1", text)
    return text.lstrip("\ufeff") if at_line_start else text


def _whole_lines(texts: Iterator[str]) -> Iterator[str]:
    parts: list[str] = []
    for text in texts:
        cut = text.rfind("\n") + 1
        if not cut:
            # Not at the last character: the \n of a \r\n may be in the next block.
            cut = text.rfind("\r", 0, len(text) - 1) + 1
        if cut:
            yield "".join([*parts, text[:cut]])
            parts = [text[cut:]]
        else:
            parts.append(text)
    rest = "".join(parts)
    if rest:
        yield rest


def _with_end(first: bytes, chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    yield first, False
    try:
        for chunk in chunks:
            yield chunk, False
    except UnreadableFileError as fault:  # what was unpacked before the damage has been handed out
        raise TextError(str(fault).removeprefix(f"{fault.path}: ")) from fault
    yield b"", True


def _first_bytes(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= _LONGEST_MARK:
            break
    return first, chunks


def _mark_of(first: bytes, encoding: str | None) -> tuple[bytes, str]:
    named = None if encoding is None else codecs.lookup(encoding).name
    for mark, name in _MARKS:
        # "utf-16" in a call means "whatever the mark says".
        matches = named is None or name.startswith(named) or (named, name) == ("utf-8-sig", "utf-8")
        if first.startswith(mark) and matches:
            return mark, name
    return b"", {"utf-8-sig": "utf-8"}.get(named or "utf-8", named or "utf-8")


def _describe(
    error: UnicodeDecodeError, offset: int, name: str, first: bytes, encoding: str | None
) -> str:
    given = bytes(error.object[error.start : error.start + 4])
    text = f"byte {given[:1]!r} at byte offset {offset} is not {name} ({error.reason})"
    if encoding is not None:
        return f"{text}; check encoding={encoding!r}"
    if b"\0" in first[:256]:
        return f"{text}; it looks like UTF-16 without a mark: {_utf16_hint(first)}"
    return (
        f"{text}; if the file comes from a Windows program, {advise(encoding='cp1252')}, or the "
        "encoding that it was saved in: latin-1, shift_jis, ..."
    )


def _describe_nul(first: bytes, end: int, rest: str, name: str) -> str:
    offset = end - len(rest.encode(name, errors="replace"))
    place = f"NUL character at byte offset {offset}"
    if first[:256].count(b"\0") > len(first[:256]) // 4:
        return f"{place}: it looks like UTF-16 without a mark: {_utf16_hint(first)}"
    return f"{place}: text files have none; the file is damaged or is not text"


def _utf16_hint(first: bytes) -> str:
    name = "utf-16-be" if first.startswith(b"\0") else "utf-16-le"
    return advise(encoding=name)
