"""A student as a LangChain chat model.

    from stillroom.inference.chat_model import ChatStudent

    model = ChatStudent(model="outputs/elements/student")
    print(model.invoke("Question: What is the symbol of gold?\\n\\nAnswer:").text)

Our own `BaseChatModel` and not a pipeline wrapper: stop texts, cancelling, streaming, usage and
errors all work as LangChain says they do, and the event loop is never blocked.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from ..errors import ConfigError, GenerationError, StillroomError
from .checkpoints import Checkpoint, load_checkpoint
from .choices import encode_prompt
from .decoding import Sampling
from .generation import Piece, stream_pieces
from .messages import chat_turns, plain_prompt

_PER_CALL = ("temperature", "top_p", "max_tokens", "seed")


class ChatStudent(BaseChatModel):
    """Answer chat messages with a checkpoint.

    Messages become a prompt by the tokenizer's chat template if the model came with one. A
    checkpoint that stillroom trained, or a model without template, gets the last human message as
    it is; see `messages.plain_prompt`.

    Raises:
        CheckpointError: The folder lacks a part or is not safe to load.
        ModelNotFoundError: There is no such folder or model.
    """

    model: Any = Field(repr=False)
    """A checkpoint folder, a hub name, or a loaded `Checkpoint`."""
    engine: Literal["auto", "transformers"] = "auto"
    """What computes; so far there is one, transformers' models under our decode loop."""
    temperature: float = 0.0
    """0 is greedy; above 0 samples."""
    top_p: float = 1.0
    """Probability mass sampled from."""
    max_tokens: int = 128
    """Most tokens of an answer; the prompt does not count."""
    seed: int | None = None
    """Of the samples; None takes another one at every call."""
    stop: list[str] | None = None
    """Texts that end an answer, in addition to those of a call."""
    device: str | None = None
    """Torch device; None chooses."""

    _checkpoint: Checkpoint = PrivateAttr()

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        """Load the checkpoint; settings are the fields above."""
        super().__init__(**settings)
        # Not in a validator: pydantic would turn a CheckpointError into an error of its own.
        ready = isinstance(self.model, Checkpoint)
        self._checkpoint = self.model if ready else load_checkpoint(self.model, device=self.device)
        self._sampling({})

    @property
    def checkpoint(self) -> Checkpoint:
        """Model and tokenizer behind the chat model."""
        return self._checkpoint

    @property
    def model_name(self) -> str:
        """Name of the checkpoint."""
        return self._checkpoint.name

    @property
    def _llm_type(self) -> str:
        return "stillroom"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        given = self.model if isinstance(self.model, str | Path) else self.model_name
        names = ("temperature", "top_p", "max_tokens", "seed", "stop")
        return {"model": str(given), **{name: getattr(self, name) for name in names}}

    def get_token_ids(self, text: str) -> list[int]:
        """Turn a text into the ids that the model would see."""
        return encode_prompt(self._checkpoint, text)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with closing(self._pieces(messages, stop, kwargs)) as pieces:
            return self._result(list(pieces))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        seen: list[Piece] = []
        with closing(self._pieces(messages, stop, kwargs)) as pieces:
            for piece in pieces:
                seen.append(piece)
                if (chunk := self._chunk(seen)) is None:
                    continue
                if run_manager is not None:
                    run_manager.on_llm_new_token(piece.text, chunk=chunk)
                yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        steps = _in_thread(lambda: self._pieces(messages, stop, kwargs))
        async with aclosing(steps):
            return self._result([piece async for piece in steps])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        seen: list[Piece] = []
        steps = _in_thread(lambda: self._pieces(messages, stop, kwargs))
        async with aclosing(steps):
            async for piece in steps:
                seen.append(piece)
                if (chunk := self._chunk(seen)) is None:
                    continue
                if run_manager is not None:
                    await run_manager.on_llm_new_token(piece.text, chunk=chunk)
                yield chunk

    def _pieces(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> Generator[Piece, None, None]:
        sampling = self._sampling(options)
        stops = [*(self.stop or ()), *(stop or ())]
        try:
            ids = self._prompt_ids(messages)
            with closing(stream_pieces(self._checkpoint, ids, sampling, stops)) as pieces:
                yield from pieces
        except StillroomError:
            raise
        except Exception as fault:
            raise GenerationError(f"{self.model_name} could not answer: {fault}") from fault

    def _prompt_ids(self, messages: list[BaseMessage]) -> list[int]:
        tokenizer = self._checkpoint.tokenizer
        if self._checkpoint.run is not None or not tokenizer.chat_template:
            return encode_prompt(self._checkpoint, plain_prompt(messages))
        ids: list[int] = tokenizer.apply_chat_template(
            chat_turns(messages),
            add_generation_prompt=True,
            sanitize_control_tokens=True,  # names of special tokens in a message stay plain text
            return_dict=True,
        )["input_ids"]
        return ids

    def _sampling(self, options: dict[str, Any]) -> Sampling:
        unknown = [name for name in options if name not in _PER_CALL]
        if unknown:
            raise ConfigError(
                [
                    f"option {name!r} is not known to ChatStudent; known: {list(_PER_CALL)}"
                    for name in unknown
                ]
            )
        chosen = {name: options.get(name, getattr(self, name)) for name in _PER_CALL}
        seed = secrets.randbits(63) if chosen["seed"] is None else chosen["seed"]
        return Sampling(chosen["max_tokens"], chosen["temperature"], chosen["top_p"], seed)

    def _chunk(self, seen: list[Piece]) -> ChatGenerationChunk | None:
        """Make the chunk of the newest piece; None where it shows nothing."""
        piece = seen[-1]
        if piece.finish_reason is None:
            if not piece.text:
                return None
            return ChatGenerationChunk(message=AIMessageChunk(content=piece.text))
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=piece.text,
                chunk_position="last",
                usage_metadata=_usage(seen),
                response_metadata=self._metadata(seen),
            ),
            generation_info={"finish_reason": piece.finish_reason},
        )

    def _result(self, pieces: list[Piece]) -> ChatResult:
        message = AIMessage(
            content="".join(piece.text for piece in pieces),
            usage_metadata=_usage(pieces),
            response_metadata=self._metadata(pieces),
        )
        info = {"finish_reason": pieces[-1].finish_reason}
        return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)])

    def _metadata(self, pieces: list[Piece]) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "model_provider": "stillroom",
            "finish_reason": pieces[-1].finish_reason,
            "logprobs": [piece.token.logprob for piece in pieces],
        }


def _usage(pieces: list[Piece]) -> UsageMetadata:
    asked, answered = pieces[-1].prompt_tokens, len(pieces)
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


async def _in_thread(make: Callable[[], Generator[Piece, None, None]]) -> AsyncGenerator[Piece]:
    """Run a generator in a thread of its own and give its items to the event loop.

    Not an executor: its few threads would be a second queue, and what is cancelled there goes on.
    Closing this iterator stops the thread after the token it is computing.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
    cancelled = threading.Event()

    def put(item: Piece | BaseException | None) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody waits any more
            cancelled.set()

    def work() -> None:
        try:
            with closing(make()) as pieces:
                for piece in pieces:
                    if cancelled.is_set():
                        return
                    put(piece)
        except BaseException as fault:  # noqa: BLE001 - raised again where it is awaited
            put(fault)
        else:
            put(None)

    threading.Thread(target=work, name="stillroom-decode", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        cancelled.set()
