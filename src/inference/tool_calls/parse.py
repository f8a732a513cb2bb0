"""Tools of a request: their schemas, the choice between them, and the grammar of calls.

An answer calls a tool by `{"name": "add", "arguments": {"a": 1}}`, between `<tool_call>` tags if
the model's chat template writes them. If a call is required, nothing else can be answered. If it is
allowed, an answer that begins like a call must continue as one.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ConfigError, nearest
from ..constrained.grammar import Grammar, json_rule, token_name
from ..constrained.type_schemas import tool_of

MOST_CALLS = 8
"""Most calls in one answer, if several are allowed."""
Tags = Literal["none", "text", "tokens"]
"""What is written around a call: nothing, `<tool_call>` tags as text, or as single tokens."""
OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"

_TAG_RULES = {
    "none": ("", ""),
    "text": (rf'"{OPEN_TAG}\n"', rf'"\n{CLOSE_TAG}"'),
    "tokens": (token_name(OPEN_TAG) + r' "\n"', r'"\n" ' + token_name(CLOSE_TAG)),
}
_TEXT_OR_CALLS = {
    "none": "TEXT? | call{more}\nTEXT: /[^{{](?s:.*)/",
    # Text may precede the first tag; TEXT contains none.
    "text": "TEXT? | before rest{more}\n"
    "TEXT: /(?s:.+)/ & ~/(?s:.*)<tool_call>(?s:.*)/\n"
    "before[lazy]: BEFORE\n"
    "BEFORE: /(?s:.*)<tool_call>\\n/ & ~/(?s:.*)<tool_call>[^\\n](?s:.*)/",
    "tokens": "TEXT? | TEXT? call{more}\nTEXT: /(?s:.+)/",
}


@dataclass(frozen=True)
class ToolUse:
    """The tools of a request."""

    tools: tuple[Mapping[str, Any], ...]
    """In OpenAI's form: `{"type": "function", "function": {"name", "description", "parameters"}}`.
    """
    callable_names: tuple[str, ...]
    """Tools that may be called; empty for none."""
    must_call: bool = False
    """The answer must be a call."""
    several: bool = False
    """An answer may have more than one call."""

    @property
    def functions(self) -> list[Mapping[str, Any]]:
        """Names, descriptions and parameters."""
        return [tool["function"] for tool in self.tools]


def read_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Convert tools to OpenAI's form.

    Args:
        tools: Functions, LangChain tools, pydantic classes, TypedDicts or JSON schemas.
        strict: For servers; engines in this process are always strict.

    Raises:
        ConfigError: One has no JSON schema, or its arguments are not an object.
    """
    return [tool_of(tool, strict=strict) for tool in tools]


def tool_use(
    tools: Sequence[Mapping[str, Any]], choice: object = None, *, several: bool = False
) -> ToolUse:
    """Read the choice of tools.

    Args:
        tools: From `read_tools`.
        choice: None or `"auto"`: a call or text. `"any"`, `"required"` or True: a call. A name, or
            `{"type": "function", "function": {"name": name}}`: a call of that tool. `"none"` or
            False: text.
        several: Whether an answer may have more than one call.

    Raises:
        ConfigError: The choice names no tool.
    """
    names = tuple(str(tool["function"]["name"]) for tool in tools)
    wanted = _chosen(choice)
    if wanted in ("none", "auto"):
        return ToolUse(tuple(tools), names if wanted == "auto" else (), several=several)
    if wanted == "any" and names and "any" not in names:
        return ToolUse(tuple(tools), names, must_call=True, several=several)
    if wanted not in names:
        near = [nearest(wanted, [*names, "auto", "any", "none"], cutoff=0.0)]
        raise ConfigError([
            f"tool_choice {choice!r} names no tool; given: {list(names)}, nearest: {near}; "
            "or give 'auto', 'any' or 'none'"
        ])  # fmt: skip
    return ToolUse(tuple(tools), (wanted,), must_call=True, several=several)


def tool_grammar(use: ToolUse, *, tags: Tags = "none") -> Grammar | None:
    """Make the grammar of answers; None if any text is allowed.

    Args:
        use: Tools and their choice.
        tags: What is written around a call.

    Raises:
        ConfigError: The schema of a tool is too large.
    """
    if not use.callable_names:
        return None
    rules, calls = [], []
    for number, function in enumerate(use.functions):
        if function["name"] not in use.callable_names:
            continue
        schema = parameters_of(function)
        head = f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": '
        calls.append(f"call_{number}")
        rules.append(f'call_{number}: {json.dumps(head)} arguments_{number} "}}"')
        rules.append(f"arguments_{number}: {json_rule(schema)}")
    opened, closed = _TAG_RULES[tags]
    more = f' ("\\n" call){{0,{MOST_CALLS - 1}}}' if use.several else ""
    rules.append(f"rest: ({' | '.join(calls)}) {closed}")
    rules.append(f"call: {opened} rest")
    answer = f"call{more}" if use.must_call else _TEXT_OR_CALLS[tags].format(more=more)
    return Grammar("\n".join([*rules, f"answer: {answer}", ""]))


def parameters_of(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a function's arguments."""
    return function.get("parameters") or {"type": "object", "properties": {}}


def shorter_lists(schema: Any, most: int | None) -> Any:  # noqa: ANN401 - any JSON
    """Shorten the `enum` lists of a schema to their first values, for a prompt.

    The grammar keeps the whole lists. A list of all records of a table would fill the context of a
    small student.

    >>> shorter_lists({"enum": ["a", "b", "c"]}, 2)
    {'enum': ['a', 'b', '... 1 more']}
    """
    if most is None:
        return schema
    if isinstance(schema, list):
        return [shorter_lists(part, most) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    shorter = {key: shorter_lists(value, most) for key, value in schema.items()}
    values = shorter.get("enum")
    if isinstance(values, list) and len(values) > most:
        shorter["enum"] = [*values[:most], f"... {len(values) - most} more"]
    return shorter


def tools_text(use: ToolUse, most_values: int | None = None) -> str:
    """Describe the callable tools, for prompts of models whose template does not.

    Args:
        use: The tools.
        most_values: Most values shown of each closed list; None for all.
    """
    told = ("name", "description", "parameters")
    lines = [
        json.dumps(
            shorter_lists({key: function[key] for key in told if key in function}, most_values),
            ensure_ascii=False,
        )
        for function in use.functions
        if function["name"] in use.callable_names
    ]
    if not lines:
        return ""
    how = 'To use a tool, answer only with {"name": its name, "arguments": an object}.'
    return "\n".join(["Tools:", *lines, how, "", ""])


def call_text(call: Mapping[str, Any]) -> str:
    """Write a call as in an answer; for calls of earlier turns."""
    return json.dumps({"name": call["name"], "arguments": call["args"]}, ensure_ascii=False)


def arguments_text(call: Mapping[str, Any]) -> str:
    """Write the arguments of a call as JSON."""
    return json.dumps(call["args"], ensure_ascii=False)


def new_call_id() -> str:
    """Make an id for a call."""
    return f"call_{secrets.token_hex(8)}"


def _chosen(choice: object) -> object:
    """Normalise a choice to a word or the name of a tool."""
    if isinstance(choice, Mapping):
        inner = choice.get("function")
        named = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
        return named if named is not None else _chosen(choice.get("type"))
    words: dict[object, str] = {None: "auto", False: "none", True: "any", "required": "any"}
    return words.get(choice, choice) if isinstance(choice, str | bool | None) else choice
