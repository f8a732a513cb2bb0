"""Turning an engine's events into LangChain's chunks and messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ...errors import GenerationError
from ..engine.detokenize import TextStream, decode_answer
from ..engine.protocol import FinishReason, TokenEvent, TokenStream
from ..tool_calls.reassemble import SentCall
from .response_format import AnswerReader


class AnswerText:
    """Collects the events of one answer: text, finish reason, log-probabilities."""

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:  # noqa: ANN401
        """Start an answer.

        Args:
            tokenizer: Tokenizer of the engine's model; None if the engine returns text.
            stop: Texts that end the answer; engines that return text apply them themselves.
        """
        self._tokenizer = tokenizer
        self._decoder: TextStream | None = None
        if tokenizer is not None:
            self._decoder = TextStream(tokenizer, stop)
        self.watches = tokenizer is not None and bool(stop)
        """Stop texts are searched here, so the answer may end before the engine's tokens do."""
        self._started = False
        self.finish_reason: FinishReason | None = None
        """Set by the last event."""
        self.completion_tokens = 0
        self.logprobs: list[float] = []
        """One per token, if the engine sends them."""
        self.top_logprobs: list[dict[str, float]] = []
        """The likeliest tokens of each step, if requested."""
        self.tokens: list[str] = []
        """The token of each step, if the likeliest ones are requested."""
        self.calls: list[SentCall] = []
        """Tool calls that a server sent beside the text."""

    def add(self, event: TokenEvent) -> str:
        """Take an event; return the text that is now certain, often none."""
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
        """Take all events of an answer; return its text."""
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
        """The engine returns ids, which are decoded here."""
        return self._decoder is not None

    def metadata(self) -> dict[str, Any]:
        """Return the contents of a message's `response_metadata`."""
        known: dict[str, Any] = {"finish_reason": self.finish_reason}
        if self.logprobs:
            known["logprobs"] = self.logprobs
        if self.top_logprobs:
            known["top_logprobs"] = self.top_logprobs
            known["tokens"] = self.tokens
        return known

    def _joined(self, text: str) -> str:
        """Strip leading white space, as `decode_answer` does."""
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
            self.tokens.append(self._name(event.token_id, event.text))
            self.top_logprobs.append(
                {self._name(one.token_id, one.text): one.logprob for one in event.alternatives}
            )

    def _name(self, token_id: int | None, text: str | None) -> str:
        if text is not None or token_id is None or self._tokenizer is None:
            return text or ""
        return str(self._tokenizer.convert_ids_to_tokens(token_id))


class ChatAnswer:
    """One answer, to be read once by one of four methods; each frees the engine's slot."""

    def __init__(
        self, model_name: str, stream: TokenStream, text: AnswerText, reader: AnswerReader
    ) -> None:
        """Start an answer.

        Args:
            model_name: For the answer's metadata.
            stream: Events of the engine.
            text: Turns events into text and finds stop texts.
            reader: Splits text and tool calls.
        """
        self._stream = stream
        self._model_name = model_name
        self._text = text
        self._reader = reader

    def read(self) -> ChatResult:
        """Wait for the whole answer."""
        try:
            # One by one only if a stop text may end it early; all at once costs less.
            events = self._stream if self._text.watches else self._stream.collect()
            return self._result(self._text.add_all(events))
        finally:
            self._stream.cancel()

    async def aread(self) -> ChatResult:
        """Await the whole answer."""
        try:
            if not self._text.watches:
                return self._result(self._text.add_all(await self._stream.acollect()))
            texts = []
            async for event in self._stream:
                texts.append(self._text.add(event))
                if self._text.finish_reason is not None:
                    break
            return self._result("".join(texts))
        finally:
            self._stream.cancel()

    def chunks(self) -> Generator[ChatGenerationChunk, None, None]:
        """Yield the answer in pieces; closing the iterator frees the engine's slot."""
        try:
            for event in self._stream:
                chunk = self._chunk(self._text.add(event))
                if chunk is not None:
                    yield chunk
                if self._text.finish_reason is not None:
                    return
        finally:
            self._stream.cancel()

    async def achunks(self) -> AsyncGenerator[ChatGenerationChunk, None]:
        """Yield the answer in pieces, asynchronously; closing the iterator frees the slot."""
        try:
            async for event in self._stream:
                chunk = self._chunk(self._text.add(event))
                if chunk is not None:
                    yield chunk
                if self._text.finish_reason is not None:
                    return
        finally:
            self._stream.cancel()

    def _result(self, text: str) -> ChatResult:
        chunk = self._chunk(text)
        if chunk is None:
            raise GenerationError(f"{self._model_name} gave an answer without an end")
        message = message_chunk_to_message(chunk.message)
        info = chunk.generation_info
        return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)])

    def _chunk(self, text: str) -> ChatGenerationChunk | None:
        """Make the chunk of the newest text; None if it is empty."""
        finish_reason = self._text.finish_reason
        content, calls = self._reader.feed(text, finish_reason, self._text.calls)
        message = AIMessageChunk(content=content, tool_call_chunks=calls)
        if finish_reason is None:
            return ChatGenerationChunk(message=message) if content or calls else None
        reason = "tool_calls" if self._reader.called else finish_reason
        message.chunk_position = "last"
        message.usage_metadata = self._usage()
        message.response_metadata = {
            "model_name": self._model_name,
            "model_provider": "stillroom",
            **self._text.metadata(),
            "finish_reason": reason,
        }
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": reason})

    def _usage(self) -> UsageMetadata:
        # Tokens after a stop text are not part of the answer; a server's own counts are kept.
        usage = self._stream.usage
        made = self._text.completion_tokens if self._text.has_ids else usage.completion_tokens
        asked = usage.prompt_tokens
        return UsageMetadata(input_tokens=asked, output_tokens=made, total_tokens=asked + made)
