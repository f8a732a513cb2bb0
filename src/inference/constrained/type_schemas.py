"""JSON schemas of Python types, for answers and for the arguments of tools.

pydantic makes the schema of a class, dataclass, TypedDict or type; a dict is the schema itself.
References and recursion are kept: LangChain's own conversion resolves references, which leaves `{}`
for a recursive class, and keeps only the properties of the top level
(https://github.com/langchain-ai/langchain/issues/30797).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import typing_extensions
from langchain_core.tools import BaseTool, create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import is_typeddict

from ...errors import ConfigError
from .schema import Schema, definition, schemas_in, written_schema

_INTEGER_NAME = "^-?(?:0|[1-9][0-9]{0,14})$"
_NUMBER_NAME = r"^-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,5})?$"
_HOST = r"[a-z][a-z0-9]{0,20}(?:-[a-z0-9]{1,20}){0,3}(?:\.[a-z]{2,10}){1,3}(?::[1-9][0-9]{1,3})?"
_PATH = r"(?:/[A-Za-z0-9._~-]{0,40}){0,8}(?:\?[A-Za-z0-9._~=&-]{1,80})?"


class CallerSchema(GenerateJsonSchema):
    """pydantic's JSON schemas, with restrictions that pydantic checks but does not write."""

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401
        """Write a decimal as a number with its decimal places; pydantic also allows any text."""
        written = super().decimal_schema(schema)
        number: JsonSchemaValue = next(
            one for one in written.get("anyOf", [written]) if one["type"] == "number"
        )
        places, digits = schema.get("decimal_places"), schema.get("max_digits")
        if digits is not None:
            places = digits // 2 if places is None else min(places, digits)
            most = (10 ** min(digits, 15) - 1) / 10**places
            number["minimum"] = max(number.get("minimum", -most), -most)
            number["maximum"] = min(number.get("maximum", most), most)
        if places is not None:
            number.setdefault("multipleOf", float(f"1e-{places}") if places else 1)
        return number

    def dict_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401
        """Restrict keys that are numbers or booleans to a pattern, and exclude others."""
        written = super().dict_schema(schema)
        keys: Any = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        pattern = {"integer": _INTEGER_NAME, "number": _NUMBER_NAME, "boolean": "^(?:true|false)$"}
        kind = keys.get("type")
        if kind in pattern and "patternProperties" not in written:
            value = written.pop("additionalProperties", True)
            low: Any = keys.get("minimum", keys.get("exclusiveMinimum", -1))
            signed = pattern[kind] if low < 0 else pattern[kind].replace("-?", "")
            written["patternProperties"] = {signed: value}
        if "patternProperties" in written:
            written["additionalProperties"] = False
        return written

    def url_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401
        """Restrict an address to its schemes and a plain host and path."""
        written = super().url_schema(schema)
        schemes = "|".join(map(re.escape, schema.get("allowed_schemes") or ("https", "http")))
        return {**written, "pattern": f"^(?:{schemes})://{_HOST}{_PATH}$"}

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401
        """Keep descriptions in LangChain's form: `Annotated[int, ..., "How many."]`."""
        written = super().typed_dict_schema(schema)
        hints = get_type_hints(schema["cls"], include_extras=True) if schema.get("cls") else {}
        for name, hint in hints.items():
            while get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired):
                hint = get_args(hint)[0]
            notes = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)]
            if notes and name in written.get("properties", {}):
                written["properties"][name].setdefault("description", notes[-1])
        return written


@dataclass(frozen=True)
class AnswerType:
    """The type of an answer."""

    name: str
    """For tools and servers: letters, digits, `_` and `-`."""
    schema: Schema
    description: str = ""
    read: Callable[[Any], Any] | None = None
    """Makes an object of the JSON value; None if the value itself is the answer."""


def answer_type(given: Any) -> AnswerType:  # noqa: ANN401
    """Read the type that a caller wants.

    Args:
        given: A pydantic class, dataclass, TypedDict, or any type that pydantic knows, such as
            `list[Item]` or `Item | Other`; a JSON schema; or a function in OpenAI's or Anthropic's
            form, whose parameters are meant.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(given, Mapping):
        return _of_mapping(given)
    name = _name(getattr(given, "__name__", "answer"))
    if isinstance(given, type) and is_basemodel_subclass(given):
        kind: Any = given
        if issubclass(given, BaseModel):
            schema = given.model_json_schema(schema_generator=CallerSchema)
            return AnswerType(name, schema, schema.get("description", ""), kind.model_validate)
        schema = kind.schema()  # pydantic.v1
        return AnswerType(name, schema, schema.get("description", ""), kind.parse_obj)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_modern(given))
        schema = adapter.json_schema(schema_generator=CallerSchema)
    except (PydanticUserError, TypeError, RecursionError) as fault:
        raise ConfigError([
            f"{given!r} has no JSON schema ({str(fault).splitlines()[0]}); give a pydantic class, "
            "a dataclass, a typing_extensions.TypedDict or a JSON schema"
        ]) from fault  # fmt: skip
    described = schema.get("description", "")
    return AnswerType(
        name, schema, described, None if is_typeddict(given) else adapter.validate_python
    )


def _of_mapping(given: Mapping[str, Any]) -> AnswerType:
    """Read a JSON schema, or a function with one."""
    function: Any = given.get("function") if given.get("type") == "function" else given
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        for word in ("parameters", "input_schema"):
            if isinstance(function.get(word), Mapping):
                told = str(function.get("description", ""))
                return AnswerType(function["name"], dict(function[word]), told)
    title, described = given.get("title"), given.get("description")
    name = _name(title) if isinstance(title, str) else "answer"
    return AnswerType(name, dict(given), described if isinstance(described, str) else "")


def _name(text: str) -> str:
    return re.sub(r"[^\w-]", "_", text)[:64] or "answer"


def _modern(hint: Any) -> Any:  # noqa: ANN401
    """Convert `typing.TypedDict` to that of `typing_extensions`, which pydantic needs before Python
    3.12."""
    if sys.version_info >= (3, 12):
        return hint
    if is_typeddict(hint) and type(hint).__module__ == "typing":
        fields = {}
        for name, inner in get_type_hints(hint, include_extras=True).items():
            fields[name] = _modern(inner)
            if name in hint.__optional_keys__:
                fields[name] = typing_extensions.NotRequired[fields[name]]
        make: Any = typing_extensions.TypedDict
        made = make(hint.__name__, fields)
        made.__doc__ = hint.__doc__
        return made
    inner_hints = tuple(_modern(one) for one in get_args(hint))
    if inner_hints != get_args(hint) and hasattr(hint, "copy_with"):
        return hint.copy_with(inner_hints)
    if inner_hints != get_args(hint) and get_origin(hint) is not None:
        return get_origin(hint)[inner_hints]
    return hint


def tool_of(given: Any, *, strict: bool | None = None) -> dict[str, Any]:  # noqa: ANN401
    """Convert a tool to OpenAI's form, with the parameters of its own schema.

    Args:
        given: A function, LangChain tool, pydantic class, dataclass, TypedDict or JSON schema.
        strict: Passed on to servers; here calls always keep to the schema.

    Raises:
        ConfigError: It is none of these, or its arguments are no object.
    """
    if isinstance(given, Mapping) and given.get("type") == "function":
        return convert_to_openai_tool(dict(given), strict=strict)
    if isinstance(given, BaseTool):
        written = convert_to_openai_tool(given)
        if written.get("type") != "function" or given.tool_call_schema is None:
            return written
        name, described = given.name, written["function"].get("description", "")
        own = answer_type(given.tool_call_schema).schema if given.args else None
        schema = written["function"].get("parameters", {}) if own is None else own
    elif callable(given) and not isinstance(given, type):
        name = str(getattr(given, "__name__", type(given).__name__))
        described = convert_to_openai_tool(given)["function"].get("description", "")
        model = create_schema_from_function(
            name, given, filter_args=(), parse_docstring=True, error_on_invalid_docstring=False
        )
        schema = answer_type(model).schema
    else:
        wanted = answer_type(given)
        name, schema, described = wanted.name, wanted.schema, wanted.description
    function = {"name": name, "description": described, "parameters": _parameters(schema, strict)}
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _parameters(schema: Schema, strict: bool | None) -> Schema:
    """Write a schema as a tool's parameters: an object, without pydantic's titles."""
    own: Schema = json.loads(written_schema(schema))
    own.pop("description", None)
    for one in schemas_in(own):
        if isinstance(one.get("title"), str):
            del one["title"]
        if strict and isinstance(one.get("properties"), dict):
            one.setdefault("additionalProperties", False)
    kind = _object_only(own, own)
    if kind is False:
        raise ConfigError([
            "the arguments of a tool are an object; use method='json_schema' for other answers, or "
            "put the schema into a property"
        ])  # fmt: skip
    return own if kind else {"type": "object", **({} if own else {"properties": {}}), **own}


def _object_only(schema: Any, root: Schema, depth: int = 0) -> bool | None:  # noqa: ANN401
    """Return whether a schema allows only objects; None if it does not say."""
    if not isinstance(schema, dict) or depth > 20:
        return None
    if "type" in schema:
        return bool(schema["type"] in ("object", ["object"]))
    target = definition(root, schema.get("$ref", ""))
    parts: Sequence[Any] = [target] if target is not None else schema.get("allOf", ())
    told = [_object_only(one, root, depth + 1) for one in parts]
    for word in ("anyOf", "oneOf"):
        kinds = [_object_only(one, root, depth + 1) for one in schema.get(word, ())]
        if kinds:
            told.append(False if False in kinds else True if None not in kinds else None)
    return next((one for one in told if one is not None), None)
