"""A student as a LangChain chat model.

    from stillroom.inference.chat.chat_model import ChatStudent

    model = ChatStudent(model="outputs/elements/student")
    print(model.invoke("What is the symbol of gold?").text)

Stop texts, cancelling, streaming, usage and errors follow LangChain's contract, and the event loop
is never blocked. An engine computes; all chat models of one checkpoint share it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from ...errors import ConfigError
from ..engine.protocol import Engine, GenerationRequest
from ..tool_calls.parse import Tags, read_tools
from .messages import chat_turns, plain_prompt
from .response_format import FORM_OPTIONS, AnswerReader, answer_form
from .stream_answer import AnswerText, ChatAnswer
from .structured import Method, structured

_SETTINGS = (
    "temperature", "top_p", "top_k", "max_tokens", "seed", "timeout", "caller", "top_logprobs",
)  # fmt: skip
"""Fields that a call may override."""
_PER_CALL = (*_SETTINGS, "constraint", *FORM_OPTIONS)
_Prepared = tuple[GenerationRequest, AnswerText, AnswerReader]


class ChatStudent(BaseChatModel):
    """Answer chat messages with a checkpoint.

    The tokenizer's chat template renders the messages. A student that was trained without one gets
    a bare question in the format of its training, with the other messages as context
    (`messages.asked_in`), any other model the last human message as it is
    (`messages.plain_prompt`).

    Raises:
        CheckpointError: The folder lacks a part or is not safe to load.
        ModelNotFoundError: There is no such folder or model.
        ConfigError: A setting is out of range.
    """

    model: Any = Field(default=None, repr=False)
    """A checkpoint folder, a hub name, or a loaded `Checkpoint`; the model's name on a server."""
    engine: Any = Field(default="auto", repr=False)
    """`auto`, `transformers`, `export`, `remote`, or an open `Engine`."""
    base_url: str | None = None
    """Address of a server, such as `http://127.0.0.1:8000/v1`; makes `auto` mean `remote`."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the server's key."""
    endpoint: str = "chat"
    """`chat`: the server renders the prompt; `completions`: stillroom does."""
    temperature: float = 0.0
    """0 is greedy; above 0 samples."""
    top_p: float = 1.0
    """Probability mass sampled from."""
    top_k: int | None = None
    """Likeliest tokens sampled from; None is all."""
    max_tokens: int = 128
    """Most tokens of an answer; the prompt does not count."""
    seed: int | None = None
    """Seed of samples; None takes a new one for every call."""
    stop: list[str] | None = None
    """Texts that end an answer, besides those of a call."""
    timeout: float | None = None
    """Seconds after which a call fails with `DeadlineError`; None waits."""
    max_retries: int = 2
    """How often a failed request to a server is repeated."""
    caller: str = ""
    """Name of the caller; the engine serves callers in turn."""
    top_logprobs: int = 0
    """Number of likeliest tokens reported for each token of an answer."""
    device: str | None = None
    """Torch device; None chooses."""

    _engine: Engine = PrivateAttr()

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        """Open the engine; settings are the fields above."""
        super().__init__(**settings)
        self._settings({})
        # Not in a validator: pydantic would turn a CheckpointError into an error of its own.
        self._engine = self._open()
        self.profile = self.profile or self._own_profile()

    @property
    def checkpoint(self) -> Any:  # noqa: ANN401
        """Model and tokenizer of the engine.

        Raises:
            AttributeError: The engine is a server.
        """
        found = getattr(self._engine, "checkpoint", None)
        if found is None:
            raise AttributeError(f"{self.model_name} is served elsewhere; its weights are not here")
        return found

    @property
    def serving_engine(self) -> Engine:
        """The engine that answers."""
        return self._engine

    @property
    def model_name(self) -> str:
        """Name of the checkpoint, or of the model on a server."""
        return self._engine.name

    @property
    def _llm_type(self) -> str:
        return "stillroom"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        given = self.model if isinstance(self.model, str | Path) else self.model_name
        names = ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop")
        return {"model": str(given), **{name: getattr(self, name) for name in names}}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let answers call tools; every call follows the schema of its tool.

        Args:
            tools: Functions, LangChain tools, pydantic classes, TypedDicts or JSON schemas.
            tool_choice: None or `"auto"`: a call or text. `"any"`: a call. A name: a call of that
                tool. `"none"`: text.
            strict: For servers; engines in this process are always strict.
            parallel_tool_calls: Allow up to eight calls in an answer.
            kwargs: Further options of calls.

        Raises:
            ConfigError: The choice names none of the tools.
        """
        written = read_tools(tools, strict=strict)
        options = {"tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls}
        given = {name: value for name, value in options.items() if value is not None}
        answer_form({"tools": written, **given})  # raises for wrong options
        return self.bind(tools=written, **given, **kwargs)

    def with_structured_output(
        self,
        schema: Any,  # noqa: ANN401
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer with objects of a schema; `structured.structured` describes the arguments.

        Raises:
            ConfigError: The method is unknown, or the schema cannot be enforced.
            AnswerMismatchError: A complete answer does not fit (raised when the model answers).
        """
        return structured(
            self, schema, method=method, include_raw=include_raw, strict=strict, options=kwargs
        )

    def score_choices(self, prompt: str, choices: Sequence[str]) -> list[float]:
        """Compute the log-likelihood of each choice as the answer to a prompt.

        Nothing is generated, so no other answer is possible. `scoring.label_scoring` turns such
        scores into probabilities.

        Args:
            prompt: A rendered prompt, given to the model as it is.
            choices: Answers to compare.

        Returns:
            Sums of natural log-probabilities in the order of `choices`, without an end token; they
            are not normalised by length.

        Raises:
            GenerationError: The prompt or a choice is empty, or they do not fit into the model's
                context.
            AttributeError: The engine is a server; it cannot score.
        """
        from ..scoring.choices import encode_choices  # loads torch, not needed for servers

        ids, answers = encode_choices(self.checkpoint, prompt, choices)
        deadline = self._settings({})["deadline"]
        return self._engine.score_choices(
            ids, answers, caller=self.caller, deadline=deadline
        ).result()

    def get_token_ids(self, text: str) -> list[int]:
        """Tokenise a text as for the model.

        Raises:
            AttributeError: The engine is a server; its tokenizer is not available.
        """
        from ..scoring.choices import encode_prompt  # loads torch, not needed for servers

        return encode_prompt(self.checkpoint, text)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return self._ask(self._prepare(messages, stop, kwargs)).read()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._ask(self._prepare(messages, stop, kwargs))
        with closing(answer.chunks()) as chunks:
            for chunk in chunks:
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return await self._ask(await self._aprepare(messages, stop, kwargs)).aread()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        answer = self._ask(await self._aprepare(messages, stop, kwargs))
        async with aclosing(answer.achunks()) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _open(self) -> Engine:
        if isinstance(self.engine, Engine):
            return self.engine
        if self.model is None:
            raise ConfigError(["model is missing; give a checkpoint folder or an open engine"])
        if self.engine == "remote" or (self.engine == "auto" and self.base_url is not None):
            from ..remote.engine import RemoteEngine

            return RemoteEngine(
                str(self.model),
                base_url=self.base_url,
                endpoint=self.endpoint,
                api_key_env=self.api_key_env,
                max_retries=self.max_retries,
            )
        from ..open_engine import open_engine

        return open_engine(self.model, engine=self.engine, device=self.device)

    def _own_profile(self) -> ModelProfile | None:
        """Return the model's capabilities; None for servers, whose capabilities are unknown."""
        if self._engine.takes != "ids":
            return None
        from ..scoring.model_limits import context_length

        return ModelProfile(
            max_input_tokens=context_length(self.checkpoint.model),
            text_inputs=True,
            image_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            pdf_inputs=False,
            tool_calling=self.checkpoint.label_tokens is None,
        )

    @property
    def _tokenizer(self) -> Any:  # noqa: ANN401
        """What decodes the answers of engines that return ids; None if they return text."""
        return self.checkpoint.answer_tokens if self._engine.takes == "ids" else None

    def _ask(self, prepared: _Prepared) -> ChatAnswer:
        request, text, reader = prepared
        return ChatAnswer(self.model_name, self._engine.submit(request), text, reader)

    def _prepare(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> _Prepared:
        """Make the request for messages, with the collector and the reader of its answer."""
        settings = self._settings(options)
        form = answer_form(options, tags=self._call_tags)
        # A stop text inside an object or a call would cut it in half.
        settings["stop"] = stops = [] if form.whole else [*(self.stop or ()), *(stop or ())]
        if self._engine.takes == "ids":
            from .chat_prompts import chat_prompt_ids, form_constraint

            settings["prompt_ids"] = chat_prompt_ids(self.checkpoint, messages, form)
            if form.grammar is not None:
                settings["constraint"] = form_constraint(self.checkpoint, messages, form)
        elif self._engine.takes == "text":
            settings["prompt"] = plain_prompt(messages, form.prompt_text())
        else:
            settings["messages"] = chat_turns(messages, arguments_as_text=True)
        settings["extra"] = form.extra(self._engine.takes)
        request = GenerationRequest(**settings)
        return request, AnswerText(self._tokenizer, stops), AnswerReader(form, self._engine.takes)

    async def _aprepare(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> _Prepared:
        """Prepare in a thread if a grammar must be compiled; the first one for a large vocabulary
        takes about a second."""
        if not any(name in options for name in FORM_OPTIONS):
            return self._prepare(messages, stop, options)
        return await asyncio.to_thread(self._prepare, messages, stop, options)

    @property
    def _call_tags(self) -> Tags:
        if self._engine.takes != "ids":
            return "none"
        from .chat_prompts import call_tags  # loads torch, not needed for servers

        return call_tags(self.checkpoint)

    def _settings(self, options: dict[str, Any]) -> dict[str, Any]:
        """Merge the options of a call with the fields of the chat model."""
        unknown = [name for name in options if name not in _PER_CALL]
        if unknown:
            known = list(_PER_CALL)
            raise ConfigError(
                [f"option {name!r} is not known to ChatStudent; known: {known}" for name in unknown]
            )
        chosen = {name: options.get(name, getattr(self, name)) for name in _SETTINGS}
        chosen["constraint"] = options.get("constraint")
        if chosen["seed"] is None:
            chosen["seed"] = secrets.randbits(63)
        timeout = chosen.pop("timeout")
        if timeout is not None and not timeout > 0:
            raise ConfigError([f"timeout is {timeout!r}; allowed is above 0 seconds, or None"])
        chosen["deadline"] = None if timeout is None else time.monotonic() + timeout
        GenerationRequest(**chosen)  # checks the ranges
        return chosen
