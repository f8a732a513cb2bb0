"""Decoding bytes to text, and text to lines: byte-order marks, strict decoding, guessed encodings.

Text that is not UTF-8 is read in the most likely encoding, with a note; it is refused where that is
uncertain, or where there is nobody to read a note. The text before a fault is yielded before the
`TextError` is raised, so that a reader can name the row.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain

from ...config import BYTE_ORDER_MARKS
from ...errors import UnreadableFileError
from .encodings import Guess, guess_encoding, guess_wide
from .options import advise

_HEAD_BYTES = 4096
_INNER_MARK = re.compile("([\r\n])\ufeff+")


class TextError(Exception):
    """The bytes from here on cannot be decoded."""


def decode_chunks(
    chunks: Iterator[bytes],
    encoding: str | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Decode blocks of bytes to blocks of text.

    Args:
        chunks: Blocks of bytes.
        encoding: As in `ReadOptions.encoding`. Byte-order marks are removed in any case, also at
            the beginning of later lines.
        note: Called with a sentence about a guessed encoding; None to guess none.

    Yields:
        Blocks of text, none empty.

    Raises:
        TextError: A byte cannot be decoded, or the text has a NUL character; the message names the
            byte offset.
    """
    first, chunks = _first_bytes(chunks)
    mark, name = _mark_of(first, encoding)
    guessing = encoding is None and note is not None and not mark
    if guessing and note is not None and (wide := guess_wide(first)):
        name, guessing = wide, False
        note(
            f"the text has no byte-order mark and is read as {name}; if that is wrong, "
            + advise("encoding")
        )
    decoder = codecs.getincrementaldecoder(name)("strict")
    taken = len(mark)  # bytes given to the decoder, including the mark
    first = first[len(mark) :]
    at_line_start, plain = True, True
    for chunk, final in _with_end(first, chunks):
        taken += len(chunk)
        text, fault = "", None
        before = decoder.getstate()[0]
        try:
            text = decoder.decode(chunk, final)
            end = taken - len(decoder.getstate()[0])
        except UnicodeDecodeError as error:
            good = bytes(error.object[: error.start])
            end = taken - len(error.object) + error.start
            guess = None
            plain = plain and _has_few_letters(good.decode(name, errors="ignore"))
            if guessing and plain:
                guess = guess_encoding(before + chunk)
            if guess is not None and guess.certainty and note is not None:
                # All text before this block is ASCII, which is the same in all encodings.
                name, guessing = guess.readings[0][0], False
                note(_describe_guess(guess, end))
                decoder = codecs.getincrementaldecoder(name)("strict")
                try:
                    text = decoder.decode(before + chunk, final)
                    end = taken - len(decoder.getstate()[0])
                except UnicodeDecodeError as second:
                    text = bytes(second.object[: second.start]).decode(name, errors="ignore")
                    end = taken - len(second.object) + second.start
                    fault = _describe(second, end, name, encoding, None, plain=False)
            else:
                # Only encodings with state need a fresh decoder; they report their own fault.
                text = good.decode(name, errors="ignore")
                fault = _describe(error, end, name, encoding, guess, plain=plain)
        plain = plain and text.isascii()
        text = _without_inner_marks(text, at_line_start)
        at_line_start = text.endswith(("\n", "\r")) if text else at_line_start
        nul = text.find("\0")
        if nul >= 0:
            fault = _describe_nul(end, text[nul:], name)
            text = text[:nul]
        if text:
            yield text
        if fault is not None:
            raise TextError(fault)


class Lines:
    r"""Lines of a text that end in \n, \r\n or \r, with their ends.

    Iterating runs no Python code per line, which makes it fast.

    Args:
        texts: Blocks of text.
    """

    def __init__(self, texts: Iterator[str]) -> None:
        """See the class."""
        self._texts = _whole_lines(texts)
        self._current = io.StringIO()

    def __iter__(self) -> Iterator[str]:
        """Yield the lines one by one."""
        return chain.from_iterable(self._files())

    def rest(self) -> Iterator[str]:
        """Yield the remaining lines in blocks."""
        text = self._current.read()
        return chain([text] if text else [], self._texts)

    def _files(self) -> Iterator[io.StringIO]:
        for text in self._texts:
            self._current = io.StringIO(text, newline="")
            yield self._current


def _without_inner_marks(text: str, at_line_start: bool) -> str:
    """Remove byte-order marks at the beginning of lines, as concatenated files have them."""
    if "\ufeff" not in text:
        return text
    text = _INNER_MARK.sub(r"\1", text)
    return text.lstrip("\ufeff") if at_line_start else text


def _whole_lines(texts: Iterator[str]) -> Iterator[str]:
    parts: list[str] = []
    for text in texts:
        cut = text.rfind("\n") + 1
        if not cut:
            # Not at the last character, as the \n of a \r\n may be in the next block.
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
    except UnreadableFileError as fault:  # the text before the damage has been yielded
        raise TextError(str(fault).removeprefix(f"{fault.path}: ")) from fault
    yield b"", True


def _first_bytes(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= _HEAD_BYTES:
            break
    return first, chunks


def _mark_of(first: bytes, encoding: str | None) -> tuple[bytes, str]:
    named = None if encoding is None else codecs.lookup(encoding).name
    for mark, name in BYTE_ORDER_MARKS:
        # "utf-16" means the byte order of the mark.
        matches = named is None or name.startswith(named) or (named, name) == ("utf-8-sig", "utf-8")
        if first.startswith(mark) and matches:
            return mark, name
    return b"", {"utf-8-sig": "utf-8"}.get(named or "utf-8", named or "utf-8")


def _has_few_letters(text: str) -> bool:
    """Say whether a text has hardly any character beyond ASCII, so it may not be UTF-8 at all."""
    return text.isascii() or sum(not c.isascii() for c in text) <= 2


def _describe_guess(guess: Guess, offset: int) -> str:
    name, score, excerpt = guess.readings[0]
    return (
        f"the text is no UTF-8 (byte offset {offset}); it is read as {name} (certainty "
        f"{score:.0%}), which gives {excerpt!r}; if that is wrong, {advise('encoding')}"
    )


def _describe(
    error: UnicodeDecodeError,
    offset: int,
    name: str,
    encoding: str | None,
    guess: Guess | None,
    *,
    plain: bool,
) -> str:
    given = bytes(error.object[error.start : error.start + 1])
    text = f"byte {given!r} at byte offset {offset} is not {name} ({error.reason})"
    if encoding is not None:
        return f"{text}; {encoding!r} was named; to name another one, {advise('encoding')}"
    if guess is not None and guess.readings:
        shown = ", ".join(f"as {e} it has {cell!r}" for e, _, cell in guess.readings[:4])
        best = guess.readings[0][0]
        return f"{text}, and no other encoding is sure: {shown}; if the first is right, " + advise(
            encoding=best
        )
    if not plain:
        return (
            f"{text}, though the text before it is; the file is damaged or joined of two "
            f"encodings; to read all of it in one, {advise(encoding='cp1252')}"
        )
    return (
        f"{text}; if the file comes from a Windows program, {advise(encoding='cp1252')}, or the "
        "encoding that it was saved in: latin-1, shift_jis, ..."
    )


def _describe_nul(end: int, rest: str, name: str) -> str:
    offset = end - len(rest.encode(name, errors="replace"))
    return (
        f"NUL character at byte offset {offset}: text files have none; the file is damaged or is "
        "not text"
    )
