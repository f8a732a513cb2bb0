from __future__ import annotations

import json
import random

import pytest
from forms import TOKENIZERS, byte_level, draw, without_tags
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel
from stillroom.errors import ConfigError
from stillroom.inference.constrained.grammar import constrain
from stillroom.inference.tool_calls.parse import (
    MOST_CALLS,
    read_tools,
    tool_grammar,
    tool_use,
    tools_text,
)
from stillroom.inference.tool_calls.stream import CallReader


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


class Point(BaseModel):
    """A place."""

    x: bool
    name: Part


class Part(BaseModel):
    """Is referred to, so its schema stands among definitions."""

    tags: list[bool] = []


Point.model_rebuild()
TOOLS = read_tools([add, now, Point])
PARAMETERS = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}


def read(text, *, tagged):
    """Give content and calls, each as name and arguments, and whether one was cut."""
    reader = CallReader(tagged=tagged)
    content, calls = "", []
    for part in [*reader.feed(text), *reader.finish()]:
        if isinstance(part, str):
            content += part
        elif part["name"]:
            calls.append([part["name"], ""])
        else:
            calls[-1][1] += part["args"]
    return content, calls, reader.cut


@pytest.mark.parametrize(
    ("name", "tags"),
    [(name, tags) for name in TOKENIZERS for tags in ("none", "text")] + [("byte level", "tokens")],
)
def test_a_call_that_must_come_is_valid(name, tags):
    form, tokenizer = tool_grammar(tool_use(TOOLS, "any"), tags=tags), TOKENIZERS[name]()
    seen = set()
    for seed in range(12):
        content, calls, cut = read(draw(form, tokenizer, seed), tagged=tags != "none")
        ((called, arguments),) = calls
        Draft202012Validator(PARAMETERS[called]).validate(json.loads(arguments))
        seen.add(called)
        assert (content, cut) == ("", False)
    assert seen == set(PARAMETERS)


def test_a_named_tool_is_the_only_one_called():
    for choice in ("now", {"type": "function", "function": {"name": "now"}}):
        form = tool_grammar(tool_use(TOOLS, choice))
        assert draw(form, byte_level(), 0) == '{"name": "now", "arguments": {}}'


def test_names_and_arguments_are_not_escaped():
    """Nor are they where the pieces are put together by LangChain."""
    place = {"type": "object", "properties": {"日本": {"const": "東京 😀"}}, "required": ["日本"]}
    tools = [{"type": "function", "function": {"name": "größe_😀", "parameters": place}}]
    text = draw(tool_grammar(tool_use(tools, "any")), byte_level(), 0)
    assert text == '{"name": "größe_😀", "arguments": {"日本": "東京 😀"}}'
    reader, whole = CallReader(tagged=False), AIMessageChunk("")
    for part in [*(p for c in text for p in reader.feed(c)), *reader.finish()]:
        whole += AIMessageChunk("", tool_call_chunks=[part])
    (call,) = whole.tool_calls
    assert (call["name"], call["args"]) == ("größe_😀", {"日本": "東京 😀"})


def test_several_calls_where_they_are_allowed():
    use, tokenizer = tool_use(TOOLS, "any", several=True), byte_level()
    counts = set()
    for seed in range(30):
        tags = ("none", "text", "tokens")[seed % 3]
        text = draw(tool_grammar(use, tags=tags), tokenizer, seed, most=2000)
        _, calls, cut = read(text, tagged=tags != "none")
        counts.add(len(calls))
        assert not cut
    assert min(counts) == 1
    assert 1 < max(counts) <= MOST_CALLS


CALL = '{"name": "add", "arguments": {"a": 1, "b": -2}}'
TAGGED = f"<tool_call>\n{CALL}\n</tool_call>"


@pytest.mark.parametrize(
    ("tags", "text", "fits"),
    [
        ("none", "gold is a metal { and }", True),
        ("none", "", True),
        ("none", CALL, True),
        ("none", "{", None),
        ("none", '{"name": "add", "arguments": {"a": 1}}', False),
        ("none", '{"name": "sub", "arguments": {}}', False),
        ("none", "{}", False),
        ("text", "a < b <tool", True),
        ("text", TAGGED, True),
        ("text", f"Let me see.\n{TAGGED}", True),
        ("text", f"<{TAGGED}", True),
        ("text", "Let me see. <tool_call> I think", False),
        ("text", CALL, True),
        ("tokens", "a < b <tool", True),
        ("tokens", TAGGED, True),
        ("tokens", f"Let me see.\n{TAGGED}", True),
        ("tokens", "Let me see. <tool_call> I think", False),
    ],
)
def test_text_may_come_where_a_call_only_may(tags, text, fits):
    """llguidance itself judges; None is the beginning of something that fits."""
    tokenizer = byte_level() if tags == "tokens" else without_tags()
    constraint = constrain(tool_grammar(tool_use(TOOLS), tags=tags), tokenizer, [0])
    matcher = constraint._matcher
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    read_so_far = matcher.try_consume_tokens(ids)
    assert (read_so_far == len(ids)) == (fits is not False)
    assert (matcher.is_accepting() and read_so_far == len(ids)) == (fits is True)


@pytest.mark.parametrize("choice", ["none", False])
def test_no_tools_no_form(choice):
    use = tool_use(TOOLS, choice)
    assert tool_grammar(use) is None
    assert tools_text(use) == ""
    assert tool_grammar(tool_use([])) is None


def test_a_choice_that_names_no_tool_is_refused():
    with pytest.raises(ConfigError, match=r"given: \['add', 'now', 'Point'\], nearest: \['add'\]"):
        tool_use(TOOLS, "ad")
    with pytest.raises(ConfigError, match="names no tool"):
        tool_use([], "any")


def test_a_prompt_can_tell_of_the_tools():
    text = tools_text(tool_use(TOOLS, "add"))
    assert '{"name": "add", "description": "Add two numbers.", "parameters": ' in text
    assert "Point" not in text
    assert text.endswith("\n\n")


@pytest.mark.parametrize("most", [None, 0, 2, 3])
def test_a_prompt_tells_the_first_values_of_a_long_list(most):
    properties = {"name": {"enum": ["ant", "bee", "cat"]}, "enum": {"type": "string"}}
    parameters = {"type": "object", "properties": properties}
    use = tool_use([{"type": "function", "function": {"name": "pick", "parameters": parameters}}])
    before = json.dumps(use.functions)
    told = json.loads(tools_text(use, most).splitlines()[1])["parameters"]["properties"]
    whole = ["ant", "bee", "cat"]
    kept = whole if most in (None, 3) else [*whole[:most], f"... {3 - most} more"]
    assert told["name"]["enum"] == kept
    assert told["enum"] == {"type": "string"}, "a property of that name is no list of values"
    assert json.dumps(use.functions) == before, "the grammar needs all values"


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_pieces_add_up_however_the_text_is_cut(tagged, seed):
    chance = random.Random(seed)
    one = '{"name": "add", "arguments": {"a": 1, "t": "}\\"{\\\\", "o": {"l": [{}]}}}'
    two = '{"name": "n\\"w", "arguments": {}}'
    text = f"<tool_call>\n{one}\n</tool_call>\n<tool_call>\n{two}\n</tool_call>"
    text = f"So < that <tool{text}" if tagged else f"{one}\n{two}"
    reader, parts = CallReader(tagged=tagged), []
    for piece in cut_up(text, chance):
        parts += reader.feed(piece)
    parts += reader.finish()
    names = [p["name"] for p in parts if not isinstance(p, str) and p["name"]]
    assert names == ["add", 'n"w']
    for index, wanted in enumerate((one, two)):
        pieces = [p for p in parts if not isinstance(p, str) and p["index"] == index]
        assert len({p["id"] for p in pieces if p["id"]}) == 1
        written = "".join(p["args"] for p in pieces)
        assert json.loads(written) == json.loads(wanted)["arguments"]
    assert "".join(p for p in parts if isinstance(p, str)) == ("So < that <tool" if tagged else "")
    assert not reader.cut


def cut_up(text, chance):
    while text:
        size = chance.randint(1, 6)
        yield text[:size]
        text = text[size:]


@pytest.mark.parametrize(
    ("tagged", "text", "content", "calls", "cut"),
    [
        (False, "plain {text}", "plain {text}", [], False),
        (False, ' {"a": 1}', ' {"a": 1}', [], False),
        (False, '{"name": "Ada", "age": 36}', '{"name": "Ada", "age": 36}', [], False),
        (False, '{"name": "a" ' + "x" * 600, '{"name": "a" ' + "x" * 600, [], False),
        (False, '{"name": "ad', "", [], True),
        (False, '{"name": "add", "arguments": {"a"', "", [["add", '{"a"']], True),
        (False, '{"name": "add", "arguments": {"a": 1}', "", [["add", '{"a": 1}']], True),
        (False, '{"name":"add","arguments":3}', "", [["add", ""]], True),
        (True, "a <tool_ca", "a <tool_ca", [], False),
        (True, f"x <tool_call>{CALL}</tool_call> y", "x y", [["add", '{"a": 1, "b": -2}']], False),
    ],
)
def test_answers_that_no_form_held(tagged, text, content, calls, cut):
    assert read(text, tagged=tagged) == (content, calls, cut)
