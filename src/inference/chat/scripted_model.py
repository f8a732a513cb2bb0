"""A chat model that answers from a script, for tests of agents without a model.

with forbid_models(), ScriptedModel(["Au"]) as model:
    assert my_agent(model).ask("What is the symbol of gold?") == "Au"

Leaving the block fails if a reply was not used. Answers may call tools:
`AIMessage("", tool_calls=[...])`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

from ...errors import ScriptError
from ..no_real_models import forbid_models
from ..tool_calls.parse import arguments_text, new_call_id, read_tools
from .messages import plain_prompt
from .structured import Method, structured

__all__ = ["Reply", "Script", "ScriptedModel", "forbid_models"]

Reply = str | AIMessage | Exception
"""An answer, a message with tool calls, or an error to be raised."""
Script = Sequence[Reply] | Mapping[str, Reply] | Callable[[str], Reply]


class ScriptedModel(BaseChatModel):
    """Answer from a script and record the prompts."""

    _script: Script = PrivateAttr()
    _prompts: list[str] = PrivateAttr(default_factory=list)
    _options: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, replies: Script, **settings: Any) -> None:  # noqa: ANN401
        """Take the script.

        Args:
            replies: Answers in order, answers by exact prompt, or a function from prompt to answer.
                An exception in place of an answer is raised.
            settings: Fields of `BaseChatModel`.
        """
        super().__init__(**settings)
        self._script = replies

    @property
    def prompts(self) -> list[str]:
        """All prompts so far, in order."""
        return list(self._prompts)

    @property
    def options(self) -> list[dict[str, Any]]:
        """The options of each prompt: `tools`, `tool_choice`, `stop`, `response_format`, ..."""
        return list(self._options)

    def assert_exhausted(self) -> None:
        """Check that the whole script was used.

        Raises:
            ScriptError: Answers are left; the message names them.
        """
        if callable(self._script):
            return
        if isinstance(self._script, Mapping):
            left = [prompt for prompt in self._script if prompt not in self._prompts]
        else:
            left = [_shown(reply) for reply in self._script[len(self._prompts) :]]
        if left:
            raise ScriptError(
                f"{len(left)} of {len(self._script)} replies were not used: {left[:5]}"
            )

    def __enter__(self) -> Self:
        """Start a block that must use all of the script."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Check the script, unless the block raised an error."""
        if fault is None:
            self.assert_exhausted()

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Record the tools; the script decides whether one is called."""
        if tool_choice is not None:
            options["tool_choice"] = tool_choice
        return self.bind(tools=read_tools(tools), **options)

    def with_structured_output(
        self,
        schema: Any,  # noqa: ANN401
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, Any]:
        """Read the replies, JSON texts or tool calls, as objects: `structured.structured`."""
        return structured(
            self, schema, method=method, include_raw=include_raw, strict=strict, options=options
        )

    @property
    def _llm_type(self) -> str:
        return "stillroom-scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        message = self._reply(messages, stop, kwargs)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, stop, kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    # LangChain's defaults answer in threads, in a different order every time.
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return self._generate(messages, stop, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, stop, kwargs)):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _reply(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> AIMessage:
        prompt = plain_prompt(messages)
        with self._lock:
            number = len(self._prompts)
            self._prompts.append(prompt)
            self._options.append({**options, **({"stop": stop} if stop else {})})
        reply = self._look_up(prompt, number)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            for text in stop or ():
                reply = reply.split(text, 1)[0]
            reply = AIMessage(reply)
        return _completed(reply, prompt)

    def _look_up(self, prompt: str, number: int) -> Reply:
        if callable(self._script):
            return self._script(prompt)
        if isinstance(self._script, Mapping):
            if prompt in self._script:
                return self._script[prompt]
            near = get_close_matches(prompt, list(self._script), n=1, cutoff=0)
            raise ScriptError(f"the script has no reply to {prompt!r}; the nearest is to {near}")
        if number < len(self._script):
            return self._script[number]
        raise ScriptError(
            f"the script has {len(self._script)} replies; asked once more: {prompt!r}"
        )


def _completed(reply: AIMessage, prompt: str) -> AIMessage:
    """Add the metadata of a real answer; usage counts words, as a script has no tokens."""
    asked, answered = len(prompt.split()), len(str(reply.text).split())
    usage = UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)
    told = {"model_name": "scripted", "finish_reason": "tool_calls" if reply.tool_calls else "stop"}
    return reply.model_copy(
        update={
            "usage_metadata": reply.usage_metadata or usage,
            "response_metadata": {**told, **reply.response_metadata},
        }
    )


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Split a message into words and tool calls; the last piece carries usage and metadata."""
    pieces: list[dict[str, Any]] = [
        {"content": word} for word in re.findall(r"\s*\S+|\s+$", str(message.text))
    ]
    for index, call in enumerate(message.tool_calls):
        call_id = call["id"] or new_call_id()
        head = tool_call_chunk(name=call["name"], args="", id=call_id, index=index)
        rest = tool_call_chunk(args=arguments_text(call), index=index)
        pieces += [{"content": "", "tool_call_chunks": [piece]} for piece in (head, rest)]
    pieces = pieces or [{"content": ""}]
    pieces[-1] |= {
        "chunk_position": "last",
        "usage_metadata": message.usage_metadata,
        "response_metadata": message.response_metadata,
    }
    for piece in pieces:
        yield ChatGenerationChunk(message=AIMessageChunk(**piece))


def _shown(reply: Reply) -> str:
    if isinstance(reply, AIMessage):
        return str(reply.text) or f"calls of {[call['name'] for call in reply.tool_calls]}"
    return str(reply)
