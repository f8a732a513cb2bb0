"""Tools: which an answer may call, the form that makes every call valid, and reading calls back.

An answer calls a tool by `{"name": "add", "arguments": {"a": 1}}`; models whose chat template
writes `<tool_call>` around that are held to these tags. Where a call is asked for, nothing else can
be answered. Where it is only allowed, what begins like a call must go on as one.
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
"""Calls in one answer, where several are allowed."""
Tags = Literal["none", "text", "tokens"]
"""What stands around a call: nothing, `<tool_call>` and `</tool_call>` written out, or the two as
tokens of their own."""
OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"

_TAG_RULES = {
    "none": ("", ""),
    "text": (rf'"{OPEN_TAG}\n"', rf'"\n{CLOSE_TAG}"'),
    "tokens": (token_name(OPEN_TAG) + r' "\n"', r'"\n" ' + token_name(CLOSE_TAG)),
}
_TEXT_OR_CALLS = {
    "none": "TEXT? | call{more}\nTEXT: /[^{{](?s:.*)/",
    # Text may stand before the first tag; TEXT is what never gets to one.
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
    """Those that may be called; empty for none."""
    must_call: bool = False
    """Nothing but a call is an answer."""
    several: bool = False
    """More than one call may stand in an answer."""

    @property
    def functions(self) -> list[Mapping[str, Any]]:
        """Names, descriptions and parameters."""
        return [tool["function"] for tool in self.tools]


def read_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Bring tools into OpenAI's form.

    Args:
        tools: Functions, LangChain tools, pydantic classes, TypedDicts or JSON schemas.
        strict: Passed on to servers; here calls always keep to the schema.

    Raises:
        ConfigError: One has no JSON schema, or its arguments are no object.
    """
    return [tool_of(tool, strict=strict) for tool in tools]


def tool_use(
    tools: Sequence[Mapping[str, Any]], choice: object = None, *, several: bool = False
) -> ToolUse:
    """Say what an answer may and must call.

    Args:
        tools: As `read_tools` gives them.
        choice: None or `"auto"`: a call or text. `"any"`, `"required"` or True: a call. A name, or
            `{"type": "function", "function": {"name": name}}`: a call of that tool. `"none"` or
            False: text.
        several: Whether more than one call may stand in an answer.

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
    """Make the form of answers; None where any text is one.

    Args:
        use: What may be called.
        tags: What stands around a call.

    Raises:
        ConfigError: The parameters of a tool are too large a schema.
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
    """Give the schema of a function's arguments."""
    return function.get("parameters") or {"type": "object", "properties": {}}


def shorter_lists(schema: Any, most: int | None) -> Any:  # noqa: ANN401 - any JSON
    """Give a schema whose closed lists name only the first so many values, for a prompt.

    What a student may answer is held by the grammar, which keeps the whole lists; a list of all
    records of a table would fill all that a small student can read.

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
    """Describe the tools that may be called, for prompts of models without a template for it.

    Args:
        use: The tools.
        most_values: Values told of each closed list; None for all.
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
    """Write a call the way answers hold it; for calls of earlier turns."""
    return json.dumps({"name": call["name"], "arguments": call["args"]}, ensure_ascii=False)


def arguments_text(call: Mapping[str, Any]) -> str:
    """Write the arguments of a call as JSON."""
    return json.dumps(call["args"], ensure_ascii=False)


def new_call_id() -> str:
    """Make a name for a call."""
    return f"call_{secrets.token_hex(8)}"


def _chosen(choice: object) -> object:
    """Reduce the ways in which a choice is written to a word or a name."""
    if isinstance(choice, Mapping):
        inner = choice.get("function")
        named = inner.get("name") if isinstance(inner, Mapping) else choice.get("name")
        return named if named is not None else _chosen(choice.get("type"))
    words: dict[object, str] = {None: "auto", False: "none", True: "any", "required": "any"}
    return words.get(choice, choice) if isinstance(choice, str | bool | None) else choice
