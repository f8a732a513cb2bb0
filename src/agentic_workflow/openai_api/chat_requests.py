"""The body of `POST /v1/chat/completions`, and what it asks for."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from pydantic import Field

from .fields import (
    MOST_ITEMS,
    Asked,
    JsonObject,
    Name,
    NamedSchema,
    Neutral,
    Strict,
    Temperature,
    Text,
    Tokens,
    ToolName,
    TopP,
    given,
    named,
    whole,
)


class TextPart(Strict):
    """A text in a list of contents; images and audio are not read."""

    type: Literal["text"]
    text: Text


class RefusalPart(Strict):
    """A refusal of an earlier answer."""

    type: Literal["refusal"]
    refusal: Text


Content = Text | Annotated[list[TextPart], Field(min_length=1, max_length=MOST_ITEMS)]


class CalledFunction(Strict):
    """Name and arguments of a call."""

    name: ToolName
    arguments: Text


class CallPart(Strict):
    """A tool call of an earlier answer."""

    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class InstructionTurn(Strict):
    """Instructions."""

    role: Literal["system", "developer"]
    content: Content
    name: Name | None = None


class UserTurn(Strict):
    """The user's words."""

    role: Literal["user"]
    content: Content
    name: Name | None = None


class AssistantTurn(Strict):
    """An earlier answer."""

    role: Literal["assistant"]
    content: Text | Annotated[list[TextPart | RefusalPart], Field(max_length=MOST_ITEMS)] | None = (
        None
    )
    refusal: Text | None = None
    name: Name | None = None
    tool_calls: Annotated[list[CallPart], Field(max_length=64)] | None = None


class ToolTurn(Strict):
    """The result of a tool."""

    role: Literal["tool"]
    content: Content
    tool_call_id: Name
    name: Name | None = None


ChatTurn = Annotated[
    InstructionTurn | UserTurn | AssistantTurn | ToolTurn, Field(discriminator="role")
]


class FunctionPart(Strict):
    """A function that may be called."""

    name: ToolName
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class ToolPart(Strict):
    """A tool that may be called."""

    type: Literal["function"]
    function: FunctionPart


class ChosenFunction(Strict):
    """The name of the tool that must be called."""

    name: ToolName


class ChosenTool(Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: ChosenFunction


class TextFormat(Strict):
    """Free text."""

    type: Literal["text"]


class ObjectFormat(Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(Strict):
    """A JSON value of a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(Strict):
    """Options of a stream."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class ChatRequest(Strict):
    """A request for a chat completion."""

    model: Name
    messages: Annotated[list[ChatTurn], Field(min_length=1, max_length=MOST_ITEMS)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    """0, the default, takes the likeliest tokens."""
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[ToolPart], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: (
        Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    user: Text | None = None
    """Of no effect: the key names the owner."""
    n: Literal[1] | None = None
    frequency_penalty: Neutral = None
    presence_penalty: Neutral = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None

    def asked(self) -> Asked:
        """Write the request in LangChain's terms."""
        stop = [self.stop] if isinstance(self.stop, str) else list(self.stop or [])
        top = None if not self.logprobs else self.top_logprobs or 0
        choice = self.tool_choice
        options = {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": self.seed,
            "top_logprobs": None if top is None else max(top, 1),
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            **self._form(),
        }
        if self.tools:
            options["tool_choice"] = (
                choice.model_dump() if isinstance(choice, ChosenTool) else choice
            )
        fields = {
            **{name: getattr(self, name) for name in (
                "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed",
                "stop", "logprobs", "top_logprobs", "tools", "tool_choice",
                "parallel_tool_calls",
            )},
            "response_format": None if self.response_format is None else self.response_format.type,
        }  # fmt: skip
        neutral: dict[str, list[Any]] = {
            "temperature": [0], "top_p": [1], "stop": [[]], "logprobs": [False],
            "top_logprobs": [0], "tools": [[]], "tool_choice": ["auto", "none"],
            "parallel_tool_calls": [True, False], "response_format": ["text"],
        }  # fmt: skip
        return Asked(
            model=self.model,
            messages=[_message(turn) for turn in self.messages],
            stop=[whole(text) for text in stop if text],
            options=given(options),
            only_model=named(fields, neutral),
            logprobs=top,
        )

    def _form(self) -> dict[str, Any]:
        """Give the options that ask for a form."""
        form: dict[str, Any] = {}
        if self.tools:
            form["tools"] = [tool.model_dump(exclude_none=True) for tool in self.tools]
            for tool in form["tools"]:
                tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
        if self.response_format is not None and self.response_format.type != "text":
            form["response_format"] = self.response_format.model_dump(
                by_alias=True, exclude_none=True
            )
        return form


def _message(turn: ChatTurn) -> BaseMessage:
    """Write a turn as LangChain's message."""
    text = _text(turn.content)
    if isinstance(turn, InstructionTurn):
        return SystemMessage(text)
    if isinstance(turn, UserTurn):
        return HumanMessage(text)
    if isinstance(turn, ToolTurn):
        return ToolMessage(text, tool_call_id=turn.tool_call_id)
    return earlier_answer(text or whole(turn.refusal or ""), turn.tool_calls or [])


def earlier_answer(text: str, calls: list[CallPart]) -> AIMessage:
    """Write an earlier answer with its calls; arguments that are no object are kept as they are."""
    good, broken = [], []
    for call in calls:
        name, raw = call.function.name, whole(call.function.arguments)
        try:
            arguments = json.loads(raw or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, dict):
            good.append(ToolCall(name=name, args=arguments, id=call.id))
        else:
            broken.append(
                InvalidToolCall(
                    type="invalid_tool_call", name=name, args=raw, id=call.id, error=None
                )
            )
    return AIMessage(text, tool_calls=good, invalid_tool_calls=broken)


def _text(content: str | list[Any] | None) -> str:
    if isinstance(content, str):
        return whole(content)
    parts = [getattr(part, "text", "") or getattr(part, "refusal", "") for part in content or []]
    return whole("".join(parts))
