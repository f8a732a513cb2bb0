"""Incremental detokenization: whole characters only, and no part of a possible stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ConfigError

_UNFINISHED = "\ufffd"
"""Decoded from a part of a character."""


def decode_answer(tokenizer: Any, token_ids: Sequence[int]) -> str:  # noqa: ANN401
    """Decode generated ids to an answer, without special tokens and leading white space."""
    return _text(tokenizer, token_ids).lstrip()


class TextStream:
    """Decodes tokens to text piece by piece. The pieces add up to `decode_answer`, cut at the first
    stop string.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:  # noqa: ANN401
        """Start an answer.

        Args:
            tokenizer: Of the model that gives the tokens.
            stop: Texts that end the answer; they are not part of it.

        Raises:
            ConfigError: A stop text is empty.
        """
        if any(not text for text in stop):
            raise ConfigError(["a stop text is empty; every answer would end before it starts"])
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids: list[int] = []
        # Text is decoded from `_from`, a little before what is new, because some tokenizers write a
        # token differently at the start of a text. `_read` is where the text already given out
        # ends.
        self._from = 0
        self._read = 0
        self._held = ""
        self._started = False
        self.stopped = False
        """A stop text was found; no more text follows."""

    def add(self, token_id: int) -> str:
        """Take a token; return the text that is now certain, often none."""
        if self.stopped:
            return ""
        self._ids.append(token_id)
        known = _text(self._tokenizer, self._ids[self._from : self._read])
        text = _text(self._tokenizer, self._ids[self._from :])
        if len(text) <= len(known) or text.endswith(_UNFINISHED):
            return ""
        self._from, self._read = self._read, len(self._ids)
        return self._release(text[len(known) :])

    def finish(self) -> str:
        """Return what was held back; call it once, after the last token."""
        if self.stopped:
            return ""
        known = _text(self._tokenizer, self._ids[self._from : self._read])
        text = _text(self._tokenizer, self._ids[self._from :])
        self._from = self._read = len(self._ids)
        shown = self._release(text[len(known) :])
        rest, self._held = self._held, ""
        return shown if self.stopped else shown + rest

    def _release(self, text: str) -> str:
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        self._held += text
        found = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the end of a text that may begin a stop text."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


def _text(tokenizer: Any, token_ids: Sequence[int]) -> str:  # noqa: ANN401
    text: str = tokenizer.decode(
        list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text
