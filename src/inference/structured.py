"""Answers as objects: pydantic classes, TypedDicts and JSON schemas, always by grammar.

Used through `ChatStudent.with_structured_output`; the requests carry OpenAI's `response_format`, so
that a server that understands it can do the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.output_parsers import (
    JsonOutputKeyToolsParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from ..errors import ConfigError
from .grammar import Grammar, json_grammar

Method = Literal["json_schema", "function_calling", "json_mode"]
ANY_OBJECT = {"type": "object"}


def answer_grammar(response_format: Mapping[str, Any] | None) -> Grammar | None:
    """Make the form that OpenAI's `response_format` asks for; None where any text will do.

    Args:
        response_format: `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema",
            "json_schema": {"name": ..., "schema": ...}}`.

    Raises:
        ConfigError: It is none of these, or the schema is too large.
    """
    kind = None if response_format is None else response_format.get("type")
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return json_grammar(ANY_OBJECT)
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping):
        raise ConfigError([
            f"response_format is {response_format!r}; allowed are the types text, json_object, and "
            "json_schema with {'name': ..., 'schema': {...}}"
        ])  # fmt: skip
    return json_grammar(schema)


def structured(
    model: BaseChatModel,
    schema: dict[str, Any] | type,
    *,
    method: Method = "json_schema",
    include_raw: bool = False,
    strict: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> Runnable[Any, Any]:
    """Make a runnable whose answers are objects of a schema.

    Args:
        model: A chat model with `bind_tools` that takes `response_format`.
        schema: A pydantic class gives objects of it; a TypedDict or a JSON schema gives dicts.
        method: `json_schema`: the answer is the object. `function_calling`: it is the call of a
            tool of that name. `json_mode`: as `json_schema`; the prompt should describe the object.
        include_raw: Give `{"raw": message, "parsed": object, "parsing_error": error}`, with the
            error of an object that does not fit in place of raising it.
        strict: Passed on to servers; here answers always keep to the schema.
        options: Further options of every call, such as `max_tokens`.

    Raises:
        ConfigError: The method is unknown.
    """
    if method not in get_args(Method):
        raise ConfigError([f"method is {method!r}; allowed: {list(get_args(Method))}"])
    noted = {"kwargs": {"method": method}, "schema": convert_to_json_schema(schema)}
    options = {**(options or {}), "ls_structured_output_format": noted}
    if strict is not None:
        options["strict"] = strict
    make = _by_tool if method == "function_calling" else _by_text
    bound, parser = make(model, schema, options)
    if not include_raw:
        return bound | parser
    return RunnableMap(raw=bound) | RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    ).with_fallbacks(
        [RunnablePassthrough.assign(parsed=lambda _: None)],
        exceptions_to_handle=(OutputParserException,),
        exception_key="parsing_error",
    )


def _by_text(
    model: BaseChatModel, schema: dict[str, Any] | type, options: dict[str, Any]
) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
    written = options["ls_structured_output_format"]["schema"]
    inner = {"name": written.get("title", "answer"), "schema": written}
    if "strict" in options:
        inner["strict"] = options.pop("strict")
    bound = model.bind(
        response_format={"type": "json_schema", "json_schema": inner},
        **options,
    )
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser: Runnable[Any, Any] = PydanticOutputParser(pydantic_object=schema)
        return bound, parser
    return bound, JsonOutputParser()


def _by_tool(
    model: BaseChatModel, schema: dict[str, Any] | type, options: dict[str, Any]
) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
    name = convert_to_openai_tool(schema)["function"]["name"]
    bound = model.bind_tools([schema], tool_choice=name, **options)
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser: Runnable[Any, Any] = PydanticToolsParser(tools=[schema], first_tool_only=True)
        return bound, parser
    return bound, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
