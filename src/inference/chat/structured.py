"""Structured output: answers as objects of pydantic classes, dataclasses, TypedDicts or schemas.

Used through `ChatStudent.with_structured_output`. Requests carry OpenAI's `response_format`, so
that servers can enforce it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from ...errors import AnswerMismatchError, ConfigError
from ..constrained.type_schemas import AnswerType, answer_type, tool_of

Method = Literal["json_schema", "function_calling", "json_mode"]
ANY_OBJECT = {"type": "object"}


def answer_schema(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the schema that OpenAI's `response_format` asks for; None for free text.

    Args:
        response_format: `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema",
            "json_schema": {"name": ..., "schema": ...}}`.

    Raises:
        ConfigError: It is none of these.
    """
    kind = None if response_format is None else response_format.get("type")
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping):
        raise ConfigError([
            f"response_format is {response_format!r}; allowed are the types text, json_object, and "
            "json_schema with {'name': ..., 'schema': {...}}"
        ])  # fmt: skip
    return schema


def structured(
    model: BaseChatModel,
    schema: Any,  # noqa: ANN401
    *,
    method: Method = "json_schema",
    include_raw: bool = False,
    strict: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> Runnable[Any, Any]:
    """Make a runnable that answers with objects of a schema.

    Args:
        model: A chat model with `bind_tools` that takes `response_format`.
        schema: A pydantic class, a dataclass or a type that pydantic knows, such as `list[Item]`
            or `Item | Other`, for objects of it; a TypedDict or a JSON schema for plain JSON
            values. References, recursion and alternatives at the top level are kept.
        method: `json_schema`: the answer is the object. `function_calling`: it is the call of a
            tool of that name. `json_mode`: as `json_schema`; the prompt should describe the object.
        include_raw: Return `{"raw": message, "parsed": object, "parsing_error": error}` and do not
            raise the error of an answer that does not fit.
        strict: For servers; engines in this process are always strict.
        options: Options of every call, such as `max_tokens`.

    Raises:
        ConfigError: The method is unknown, or the type has no JSON schema. A schema that cannot be
            enforced raises it when the model is called; a complete answer that does not fit raises
            `AnswerMismatchError` (see `grammar.json_grammar`).
    """
    if method not in get_args(Method):
        raise ConfigError([f"method is {method!r}; allowed: {list(get_args(Method))}"])
    wanted = answer_type(schema)
    noted = {"kwargs": {"method": method}, "schema": _traced(schema, wanted)}
    options = {**(options or {}), "ls_structured_output_format": noted}
    if strict is not None:
        options["strict"] = strict
    if method == "function_calling":
        bound, parser = _by_tool(model, schema, wanted, options)
    else:
        bound, parser = _by_text(model, schema, wanted, options)
    if not include_raw:
        return bound | parser
    return RunnableMap(raw=_with_mismatches(bound)) | RunnablePassthrough.assign(
        parsed=itemgetter("raw") | RunnableLambda(_unless_mismatched) | parser,
        parsing_error=lambda _: None,
    ).with_fallbacks(
        [RunnablePassthrough.assign(parsed=lambda _: None)],
        exceptions_to_handle=(OutputParserException,),
        exception_key="parsing_error",
    )


def _by_text(
    model: BaseChatModel,
    given: Any,  # noqa: ANN401
    wanted: AnswerType,
    options: dict[str, Any],
) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
    inner = {"name": wanted.name, "schema": wanted.schema}
    if "strict" in options:
        inner["strict"] = options.pop("strict")
    bound = model.bind(
        response_format={"type": "json_schema", "json_schema": inner},
        **options,
    )
    if isinstance(given, type) and is_basemodel_subclass(given):
        return bound, PydanticOutputParser(pydantic_object=given)
    return bound, JsonOutputParser() if wanted.read is None else _TextReader(read=wanted.read)


def _by_tool(
    model: BaseChatModel,
    given: Any,  # noqa: ANN401
    wanted: AnswerType,
    options: dict[str, Any],
) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
    tool = tool_of(given, strict=options.get("strict"))
    name = tool["function"]["name"]
    bound = model.bind_tools([tool], tool_choice=name, **options)
    if wanted.read is None:
        return bound, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return bound, _ToolReader(key_name=name, first_tool_only=True, read=wanted.read)


def _traced(given: Any, wanted: AnswerType) -> dict[str, Any]:  # noqa: ANN401
    """Return the schema for LangChain's traces: its own conversion, else ours."""
    try:
        return convert_to_json_schema(given)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return wanted.schema


class _TextReader(JsonOutputParser):
    """Reads the JSON value of an answer as an object."""

    read: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:  # noqa: ANN401
        return _object_of(self.read, super().parse_result(result, partial=partial), partial)


class _ToolReader(JsonOutputKeyToolsParser):
    """Reads the arguments of a call as an object; finds the call by the tool's name."""

    read: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:  # noqa: ANN401
        value = super().parse_result(result, partial=partial)
        return None if value is None else _object_of(self.read, value, partial)


def _object_of(read: Callable[[Any], Any], value: Any, partial: bool) -> Any:  # noqa: ANN401
    """Make an object of a JSON value; None if it is partial and does not validate.

    Raises:
        OutputParserException: It is complete and does not fit.
    """
    try:
        return read(value)
    except ValueError as fault:  # those of pydantic, v1 and v2, are such
        if partial:
            return None
        raise OutputParserException(
            f"{value!r} does not validate: {fault}", llm_output=str(value)
        ) from fault


_MISMATCH = "answer_mismatch"


def _with_mismatches(bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Return an answer that does not fit as a message, with the error in its metadata."""

    def as_message(failed: dict[str, Any]) -> AIMessage:
        fault: AnswerMismatchError = failed["fault"]
        return AIMessage(content=fault.answer, response_metadata={_MISMATCH: str(fault)})

    asked: Runnable[Any, Any] = RunnableLambda(itemgetter("asked")) | bound
    return RunnableLambda(lambda asked: {"asked": asked}) | asked.with_fallbacks(
        [RunnableLambda(as_message)],
        exceptions_to_handle=(AnswerMismatchError,),
        exception_key="fault",
    )


def _unless_mismatched(message: AIMessage) -> AIMessage:
    fault = message.response_metadata.get(_MISMATCH)
    if fault is not None:
        raise OutputParserException(fault, llm_output=str(message.content))
    return message
