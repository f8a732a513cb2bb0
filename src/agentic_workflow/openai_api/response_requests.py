"""The body of `POST /v1/responses`: the Open Responses subset without stored state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import Field

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


InputContent = (
    Text
    | Annotated[
        list[Annotated[InputText | OutputText | OutputRefusal, Field(discriminator="type")]],
        Field(min_length=1, max_length=MOST_ITEMS),
    ]
)


class MessageItem(Strict):
    """A message of anyone."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: InputContent
    id: Name | None = None
    status: Status | None = None


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


Item = CallItem | CallOutputItem | MessageItem


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
    input: Text | Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS)]
    instructions: Text | None = None
    stream: bool | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenFunctionTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=16)] | None = None
    user: Text | None = None
    """Of no effect: the key names the owner."""
    store: Literal[False] | None = None
    """Responses are not stored; send the earlier items with each request."""
    previous_response_id: None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    include: Annotated[list[str], Field(max_length=0)] | None = None
    top_logprobs: Literal[0] | None = None
    presence_penalty: Neutral = None
    frequency_penalty: Neutral = None
    service_tier: Literal["auto", "default"] | None = None

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
        if self.tools:
            options |= {
                "tools": [_tool(tool) for tool in self.tools],
                "tool_choice": choice.name if isinstance(choice, ChosenFunctionTool) else choice,
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


def _add(messages: list[BaseMessage], item: Item) -> None:
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
