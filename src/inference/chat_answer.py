"""One answer on its way from an engine's events to LangChain's chunks and messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ..errors import GenerationError
from .answer_form import AnswerReader
from .answer_text import AnswerText
from .engine import TokenStream


class ChatAnswer:
    """One answer, read once in one of four ways; the engine's slot is free after each."""

    def __init__(
        self, model_name: str, stream: TokenStream, text: AnswerText, reader: AnswerReader
    ) -> None:
        """Start an answer.

        Args:
            model_name: Told in the answer's metadata.
            stream: The engine's events.
            text: Turns events into text and finds stop texts.
            reader: Takes text and tool calls apart.
        """
        self._stream = stream
        self._model_name = model_name
        self._text = text
        self._reader = reader

    def read(self) -> ChatResult:
        """Wait for the whole answer."""
        try:
            # Token by token only where a stop text may end it early; at once costs less.
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
        """Give the answer in pieces; closing the iterator frees the engine's slot."""
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
        """Give the answer in pieces to an event loop; closing the iterator frees the slot."""
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
        """Make the chunk of the newest text; None where it shows nothing."""
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
        # What an engine here made after a stop text is no part of the answer; a server knows best.
        usage = self._stream.usage
        made = self._text.completion_tokens if self._text.has_ids else usage.completion_tokens
        asked = usage.prompt_tokens
        return UsageMetadata(input_tokens=asked, output_tokens=made, total_tokens=asked + made)
