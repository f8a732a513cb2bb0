"""An answer while it comes, from an engine's events to what a chat model tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .call_pieces import SentCall
from .engine import FinishReason, TokenEvent
from .text_stream import TextStream, decode_answer


class AnswerText:
    """Collects the events of one answer; text, ends and numbers are read off it."""

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:  # noqa: ANN401
        """Start an answer.

        Args:
            tokenizer: Of the engine's model; None where the engine gives text.
            stop: Texts that end the answer. An engine that gives text has stopped there itself.
        """
        self._tokenizer = tokenizer
        self._decoder: TextStream | None = None
        if tokenizer is not None:
            self._decoder = TextStream(tokenizer, stop)
        self.watches = tokenizer is not None and bool(stop)
        """Stop texts are looked for here, so the answer may end before the engine's does."""
        self._started = False
        self.finish_reason: FinishReason | None = None
        """Set by the last event."""
        self.completion_tokens = 0
        self.logprobs: list[float] = []
        """One per token, where the engine tells them."""
        self.top_logprobs: list[dict[str, float]] = []
        """The likeliest tokens at each place, where they were asked for."""
        self.calls: list[SentCall] = []
        """Calls of tools that a server sent beside the text."""

    def add(self, event: TokenEvent) -> str:
        """Take an event; give the text that is now certain, often none."""
        self._note(event)
        if self._decoder is None or event.token_id is None:
            return self._joined(event.text or "")
        shown = self._decoder.add(event.token_id)
        if event.finish_reason is not None:
            shown += self._decoder.finish()
        if self._decoder.stopped:
            self.finish_reason = "stop"
        return shown

    def add_all(self, events: Iterable[TokenEvent]) -> str:
        """Take all events of an answer; give its text."""
        if self._decoder is None or self.watches:
            texts = []
            for event in events:
                texts.append(self.add(event))
                if self.finish_reason is not None:
                    break
            return "".join(texts)
        ids = []
        for event in events:
            self._note(event)
            ids += [] if event.token_id is None else [event.token_id]
        return decode_answer(self._tokenizer, ids)

    @property
    def has_ids(self) -> bool:
        """The engine gives ids, and what is text is decided here."""
        return self._decoder is not None

    def metadata(self) -> dict[str, Any]:
        """Give what goes into a message's `response_metadata`."""
        known: dict[str, Any] = {"finish_reason": self.finish_reason}
        if self.logprobs:
            known["logprobs"] = self.logprobs
        if self.top_logprobs:
            known["top_logprobs"] = self.top_logprobs
        return known

    def _joined(self, text: str) -> str:
        """Drop the joint between prompt and answer, as `decode_answer` does."""
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text

    def _note(self, event: TokenEvent) -> None:
        self.finish_reason = event.finish_reason
        self.calls += event.calls
        # Servers may end an answer with an event that holds no token.
        self.completion_tokens += event.token_id is not None or bool(event.text)
        if event.logprob is not None:
            self.logprobs.append(event.logprob)
        if event.alternatives:
            self.top_logprobs.append(
                {self._name(one.token_id, one.text): one.logprob for one in event.alternatives}
            )

    def _name(self, token_id: int | None, text: str | None) -> str:
        if text is not None or token_id is None or self._tokenizer is None:
            return text or ""
        return str(self._tokenizer.convert_ids_to_tokens(token_id))
