"""The body of `POST /v1/responses`: the Open Responses subset without stored state."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from .chat_requests import CalledFunction, CallPart, earlier_answer
from .fields import (
    MOST_ITEMS,
    Asked,
    JsonObject,
    Name,
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

Status = Literal["in_progress", "completed", "incomplete"]


def _not_stored(value: Any) -> None:  # noqa: ANN401 - any JSON
    if value is not None:
        raise ValueError("responses are not stored here; send the earlier items in input")


class InputText(Strict):
    """A text of the user."""

    type: Literal["input_text"]
    text: Text


class OutputText(Strict):
    """A text of an earlier answer."""

    type: Literal["output_text"]
    text: Text
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class OutputRefusal(Strict):
    """A refusal of an earlier answer."""

    type: Literal["refusal"]
    refusal: Text


Part = Annotated[InputText | OutputText | OutputRefusal, Field(discriminator="type")]
InputContent = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[Part], Field(min_length=1, max_length=MOST_ITEMS), Tag("parts")],
    Discriminator(lambda given: "parts" if isinstance(given, list) else "text"),
]


class MessageItem(Strict):
    """A message of anyone."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: InputContent
    id: Name | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    """What an earlier answer was; the student reads all of them alike."""


class CallItem(Strict):
    """A tool call of an earlier answer."""

    type: Literal["function_call"]
    call_id: Name
    name: ToolName
    arguments: Text
    id: Name | None = None
    status: Status | None = None


class CallOutputItem(Strict):
    """The result of a tool."""

    type: Literal["function_call_output"]
    call_id: Name
    output: Text | Annotated[list[InputText], Field(min_length=1, max_length=MOST_ITEMS)]
    id: Name | None = None
    status: Status | None = None


def _kind(given: Any) -> Any:  # noqa: ANN401 - any JSON
    """Tell which item is given; an item without `type` is a message."""
    if isinstance(given, dict):
        return given.get("type", "message")
    return getattr(given, "type", None)


Item = Annotated[
    Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")]
    | Annotated[MessageItem, Tag("message")],
    Discriminator(_kind),
]
Input = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS), Tag("items")],
    Discriminator(lambda given: "items" if isinstance(given, list) else "text"),
]


class FunctionTool(Strict):
    """A function that may be called."""

    type: Literal["function"]
    name: ToolName
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class ChosenFunctionTool(Strict):
    """The tool that must be called."""

    type: Literal["function"]
    name: ToolName


class AllowedTools(Strict):
    """The tools that may be called; the others are not shown to the student."""

    type: Literal["allowed_tools"]
    tools: Annotated[list[ChosenFunctionTool], Field(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] = "auto"


class StreamOptions(Strict):
    """Options of the stream."""

    include_obfuscation: Literal[False] | None = None


class PlainFormat(Strict):
    """Free text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaTextFormat(Strict):
    """A JSON value of a schema."""

    type: Literal["json_schema"]
    name: ToolName = "answer"
    description: Text | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None


class TextOptions(Strict):
    """The form of the answer's text."""

    format: Annotated[PlainFormat | SchemaTextFormat, Field(discriminator="type")] | None = None


class ResponseRequest(Strict):
    """A request for a response."""

    model: Name
    input: Input
    instructions: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: (
        Literal["none", "auto", "required"]
        | Annotated[ChosenFunctionTool | AllowedTools, Field(discriminator="type")]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=16)] | None = None
    user: Text | None = None
    """Of no effect: the key names the owner."""
    store: Literal[False] | None = None
    """Responses are not stored; send the earlier items with each request."""
    previous_response_id: Annotated[None, BeforeValidator(_not_stored)] = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    include: Annotated[list[str], Field(max_length=0)] | None = None
    top_logprobs: Literal[0] | None = None
    presence_penalty: Neutral = None
    frequency_penalty: Neutral = None
    service_tier: Literal["auto", "default"] | None = None

    @model_validator(mode="after")
    def _known_tools(self) -> Self:
        choice = self.tool_choice
        if isinstance(choice, AllowedTools):
            known = {tool.name for tool in self.tools or []}
            unknown = [tool.name for tool in choice.tools if tool.name not in known]
            if unknown:
                raise ValueError(f"tool_choice allows {unknown[0]!r}, which tools does not have")
        return self

    def asked(self) -> Asked:
        """Write the request in LangChain's terms."""
        messages: list[BaseMessage] = (
            [] if self.instructions is None else [SystemMessage(whole(self.instructions))]
        )
        if isinstance(self.input, str):
            messages.append(HumanMessage(whole(self.input)))
        else:
            for item in self.input:
                _add(messages, item)
        form = self.text.format if self.text is not None else None
        choice = self.tool_choice
        options: dict[str, Any] = {
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        tools = self.tools or []
        mode: Any = choice
        if isinstance(choice, ChosenFunctionTool):
            mode = choice.name
        elif isinstance(choice, AllowedTools):
            allowed = {tool.name for tool in choice.tools}
            tools, mode = [tool for tool in tools if tool.name in allowed], choice.mode
        if tools:
            options |= {
                "tools": [_tool(tool) for tool in tools],
                "tool_choice": mode,
                "parallel_tool_calls": self.parallel_tool_calls,
            }
        if isinstance(form, SchemaTextFormat):
            inner = form.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
            options["response_format"] = {"type": "json_schema", "json_schema": inner}
        elif form is not None and form.type == "json_object":
            options["response_format"] = {"type": "json_object"}
        fields = {
            **{name: getattr(self, name) for name in (
                "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
            )},
            "text": None if form is None else form.type,
        }  # fmt: skip
        neutral: dict[str, list[Any]] = {
            "temperature": [0], "top_p": [1], "tools": [[]], "tool_choice": ["auto", "none"],
            "text": ["text"],
        }  # fmt: skip
        return Asked(
            model=self.model,
            messages=messages,
            options=given(options),
            only_model=named(fields, neutral),
        )


def _tool(tool: FunctionTool) -> dict[str, Any]:
    """Write a tool in the form of chat completions."""
    function = tool.model_dump(exclude={"type"}, exclude_none=True)
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def _add(messages: list[BaseMessage], item: CallItem | CallOutputItem | MessageItem) -> None:
    """Append an item; consecutive calls belong to one message of the assistant."""
    if isinstance(item, CallItem):
        function = CalledFunction(name=item.name, arguments=item.arguments)
        call = CallPart(id=item.call_id, function=function)
        answer = earlier_answer("", [call])
        before = messages[-1] if messages else None
        if isinstance(before, AIMessage):
            before.tool_calls = [*before.tool_calls, *answer.tool_calls]
            before.invalid_tool_calls = [*before.invalid_tool_calls, *answer.invalid_tool_calls]
        else:
            messages.append(answer)
    elif isinstance(item, CallOutputItem):
        messages.append(ToolMessage(_words(item.output), tool_call_id=item.call_id))
    else:
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        messages.append(kinds.get(item.role, SystemMessage)(_words(item.content)))


def _words(content: str | list[Any]) -> str:
    if isinstance(content, str):
        return whole(content)
    parts = [getattr(part, "text", "") or getattr(part, "refusal", "") for part in content]
    return whole("".join(parts))
