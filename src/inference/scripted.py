"""A chat model that says what it was told to say: for tests of agents without a model.

model = ScriptedModel(["Au"])
assert model.invoke("Question: ...").text == "Au"
model.assert_exhausted()
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from ..errors import ScriptError
from .messages import plain_prompt

Reply = str | Exception
"""An answer, or an error to be raised instead of one."""
Script = Sequence[Reply] | Mapping[str, Reply] | Callable[[str], Reply]


class ScriptedModel(BaseChatModel):
    """Answer from a script and write down what was asked."""

    _script: Script = PrivateAttr()
    _prompts: list[str] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, replies: Script, **settings: Any) -> None:  # noqa: ANN401
        """Take the script.

        Args:
            replies: Answers in order, answers by exact prompt, or a function from prompt to answer.
                An exception in the place of an answer is raised.
            settings: Fields of `BaseChatModel`.
        """
        super().__init__(**settings)
        self._script = replies

    @property
    def prompts(self) -> list[str]:
        """All prompts so far, in the order they came in."""
        return list(self._prompts)

    def assert_exhausted(self) -> None:
        """Check that all of the script was used.

        Raises:
            ScriptError: Answers are left over; the message names them.
        """
        if callable(self._script):
            return
        if isinstance(self._script, Mapping):
            left = [prompt for prompt in self._script if prompt not in self._prompts]
        else:
            left = [str(reply) for reply in self._script[len(self._prompts) :]]
        if left:
            raise ScriptError(
                f"{len(left)} of {len(self._script)} replies were not used: {left[:5]}"
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
        prompt, text = self._reply(messages, stop)
        message = AIMessage(
            content=text,
            usage_metadata=_usage(prompt, text),
            response_metadata={"model_name": "scripted", "finish_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        prompt, text = self._reply(messages, stop)
        words = re.findall(r"\s*\S+|\s+$", text) or [""]
        for word in words[:-1]:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        last = ChatGenerationChunk(
            message=AIMessageChunk(
                content=words[-1],
                chunk_position="last",
                usage_metadata=_usage(prompt, text),
                response_metadata={"model_name": "scripted", "finish_reason": "stop"},
            )
        )
        if run_manager is not None:
            run_manager.on_llm_new_token(words[-1], chunk=last)
        yield last

    def _reply(self, messages: list[BaseMessage], stop: list[str] | None) -> tuple[str, str]:
        prompt = plain_prompt(messages)
        with self._lock:
            number = len(self._prompts)
            self._prompts.append(prompt)
        reply = self._look_up(prompt, number)
        if isinstance(reply, Exception):
            raise reply
        for text in stop or ():
            reply = reply.split(text, 1)[0]
        return prompt, reply

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


def _usage(prompt: str, text: str) -> UsageMetadata:
    """Count words, as a script has no tokens."""
    asked, answered = len(prompt.split()), len(text.split())
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)
