"""What a caller of `with_structured_output` and `bind_tools` gets for schemas of many kinds."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from typing import Annotated, Any, Literal

import pytest
import typing_extensions
from jsonschema import Draft202012Validator
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, RootModel, TypeAdapter
from stillroom.errors import AnswerMismatchError, ConfigError, TruncatedAnswerError
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.tool_calls.parse import read_tools


class Folder(BaseModel):
    name: str = Field(max_length=4)
    folders: list[Folder] = Field(max_length=1)


class Leaf(BaseModel):
    kind: Literal["leaf"]
    size: int = Field(ge=0, le=9)


class Branch(BaseModel):
    kind: Literal["branch"]
    left: Node
    right: Leaf


Node = Annotated[Leaf | Branch, Field(discriminator="kind")]


class Plan(BaseModel):
    """A plan."""

    node: Node
    price: decimal.Decimal = Field(max_digits=4, decimal_places=2)
    days: dict[int, datetime.date] = Field(max_length=1)


class Shade(enum.Enum):
    light = "light"
    dark = "dark"


@dataclasses.dataclass
class Place:
    """A place."""

    id: uuid.UUID
    shades: set[Shade]


class Old(typing.TypedDict):
    number: int
    inner: OldInner


class OldInner(typing.TypedDict, total=False):
    flag: bool


class New(typing_extensions.TypedDict):
    number: Annotated[int, ..., "How many."]
    again: typing_extensions.NotRequired[New | None]


class Titled(BaseModel):
    model_config = ConfigDict(title="A title with blanks", extra="forbid")
    page: HttpUrl


for _model in (Folder, Branch, Plan):
    _model.model_rebuild()

TYPES: list[Any] = [
    Folder, Plan, Place, Old, New, Titled, list[Leaf], Leaf | Place, Shade, RootModel[Leaf | bool],
    dict[Shade, bool], tuple[bool, Shade], Literal["a", 1, None], Annotated[int, Field(ge=3, le=5)],
]  # fmt: skip
MAPPINGS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
    {"anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"], "type": "object"},
               {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]}]},
    {"allOf": [{"properties": {"a": {"type": "boolean"}}, "required": ["a"]},
               {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}], "type": "object"},
    {"oneOf": [{"$ref": "#/$defs/x"}, {"type": "boolean"}], "$defs": {"x": {"const": 5}}},
    {"$ref": "#/$defs/x", "$defs": {"x": {"type": "array", "maxItems": 1,
                                          "items": {"$ref": "#/$defs/x"}}}},
    {"title": "t", "type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    {"type": "object", "patternProperties": {"^k[0-9]$": {"type": "null"}}, "minProperties": 1,
     "maxProperties": 2},
    {"type": "object", "properties": {n: {"type": "null"} for n in "abc"}, "minProperties": 2},
    {"type": "integer", "minimum": 3, "maximum": 4, "title": "a title with blanks"},
    {"enum": ["a", None]},
]  # fmt: skip


@pytest.fixture(scope="module")
def chat(restless_student):
    return ChatStudent(model=restless_student, temperature=1.0, max_tokens=300)


@pytest.fixture(scope="module")
def restless_student():
    from stillroom.inference.checkpoints.load_student import Checkpoint
    from tiny_model import make_model, make_tokenizer

    tokenizer = make_tokenizer()
    model = make_model(tokenizer, initializer_range=0.3, max_position_embeddings=2048)
    return Checkpoint(model, tokenizer, None, "random", {"status": "complete"})


@pytest.mark.parametrize("wanted", TYPES, ids=str)
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_answers_are_of_the_type(chat, wanted, method):
    adapter = TypeAdapter(wanted) if wanted is not Old else None
    is_class = isinstance(wanted, type) and not typing_extensions.is_typeddict(wanted)
    if method == "function_calling" and not (is_class and hasattr(wanted, "__mro__")):
        pytest.skip("arguments are an object")
    if method == "function_calling" and (
        wanted is Shade or issubclass(wanted, RootModel) or not isinstance(wanted, type)
    ):
        with pytest.raises(ConfigError, match="arguments of a tool are an object"):
            chat.with_structured_output(wanted, method=method)
        return
    asked = chat.with_structured_output(wanted, method=method)
    whole = 0
    for seed in range(6):
        try:
            made = asked.invoke("gold", seed=seed)
        except TruncatedAnswerError:  # a class that holds itself may go on for ever
            continue
        whole += 1
        if adapter is not None:
            adapter.validate_python(made)
        if is_class and not typing.get_origin(wanted):
            assert isinstance(made, wanted)
    assert whole or wanted is Plan


@pytest.mark.parametrize("schema", MAPPINGS, ids=str)
def test_schemas_are_kept_to_as_they_are(chat, schema):
    judge = Draft202012Validator(schema)
    for seed in range(4):
        judge.validate(chat.with_structured_output(schema).invoke("gold", seed=seed))


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_recursive_class_reaches_the_grammar_whole(chat, method):
    """LangChain's own conversion leaves `{}` where a class holds itself."""
    options = read_tools([Folder])[0]["function"]["parameters"]
    assert "$ref" in str(options)
    seen = set()
    asked = chat.with_structured_output(Folder, method=method)
    for seed in range(8):
        made = asked.invoke("gold", seed=seed)
        seen.add(bool(made.folders) and isinstance(made.folders[0], Folder))
    assert seen <= {True, False}
    assert type(made) is Folder


def test_tools_of_all_kinds_keep_their_references():
    @tool
    def store(folder: Folder, shade: Shade) -> str:
        """Store a folder."""
        return ""

    def find(node: Node, most: int = 3) -> str:
        """Find a node.

        Args:
            node: Where to begin.
            most: How many.
        """
        return ""

    written = {one["function"]["name"]: one["function"] for one in read_tools([store, find, New])}
    assert set(written) == {"store", "find", "New"}
    assert written["store"]["description"] == "Store a folder."
    assert written["find"]["description"] == "Find a node."
    assert written["find"]["parameters"]["properties"]["most"]["description"] == "How many."
    assert written["find"]["parameters"]["required"] == ["node"]
    own = written["New"]["parameters"]["$defs"]["New"]
    assert own["properties"]["number"]["description"] == "How many."
    for function in written.values():
        assert "$defs" in function["parameters"]
        assert "title" not in str(function["parameters"])
        Draft202012Validator.check_schema(function["parameters"])


@pytest.mark.parametrize(
    "form",
    [
        {"name": "point", "description": "A point.", "parameters": {"$ref": "#/$defs/p",
         "$defs": {"p": {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}}}},
        {"type": "function", "function": {"name": "point", "parameters": {
            "type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}}},
        {"name": "point", "input_schema": {
            "type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_functions_in_the_forms_of_servers_are_read(chat, form, method):
    assert chat.with_structured_output(form, method=method).invoke("gold") == {"x": 1}


def test_what_has_no_schema_is_refused():
    with pytest.raises(ConfigError, match="has no JSON schema"):
        ScriptedModel(["1"]).with_structured_output(object())


NEVER = {"oneOf": [{"const": 1}, {"enum": [1, 1.0]}]}


def test_a_complete_answer_that_does_not_fit_is_an_error(chat):
    """The grammar allows what fits two alternatives; that is told, and the text is kept."""
    schema = {"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}
    asked = chat.with_structured_output(schema, include_raw=True)
    given, refused = set(), set()
    for seed in range(20):
        found = asked.invoke("gold", seed=seed)
        (given if found["parsing_error"] is None else refused).add(found["raw"].text)
    assert given <= {"1", "3"}
    assert refused <= {"2"}
    with pytest.raises(AnswerMismatchError, match="oneOf does not hold at the answer") as caught:
        chat.with_structured_output(NEVER).invoke("gold")
    assert caught.value.answer == "1"


def test_with_raw_the_error_is_a_value(chat):
    for asked in ("gold", [("user", "gold")]):
        found = chat.with_structured_output(NEVER, include_raw=True).invoke(asked)
        assert found["parsed"] is None
        assert isinstance(found["raw"], AIMessage)
        assert found["raw"].text == "1"
        assert isinstance(found["parsing_error"], OutputParserException)
        assert "oneOf" in str(found["parsing_error"])
    good = chat.with_structured_output({"enum": ["a"]}, include_raw=True).invoke("gold")
    assert (good["parsed"], good["parsing_error"]) == ("a", None)


def test_calls_are_judged_as_well(chat):
    schema = {"title": "t", "type": "object", "required": ["a"], "properties": {"a": NEVER}}
    with pytest.raises(AnswerMismatchError, match=r"oneOf does not hold at \$.a"):
        chat.with_structured_output(schema, method="function_calling").invoke("gold")


def test_a_stream_of_a_list_is_not_doubled(chat):
    asked = chat.with_structured_output(list[Leaf])
    *_, last = asked.stream("gold", seed=3)
    assert last == asked.invoke("gold", seed=3)
