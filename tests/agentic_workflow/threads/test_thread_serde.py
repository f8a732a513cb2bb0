"""Strict serialisation: what comes back, what is refused when written, and hostile bytes."""

import dataclasses
import enum
import json
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.documents import Document
from langgraph.types import Interrupt, Overwrite, Send
from pydantic import BaseModel, ConfigDict, Field
from stillroom.agentic_workflow.threads.serializer import FORMAT, StrictSerializer
from stillroom.errors import StoredStateError

HOSTILE = Path(__file__).parents[1] / "hostile_payloads.py"
codec = StrictSerializer()


class Colour(enum.Enum):
    RED = 1


class Model(BaseModel):
    name: str = "x"
    inner: list[lc.HumanMessage] = []


@dataclasses.dataclass
class Data:
    a: int
    b: object = None


Pair = namedtuple("Pair", "left right")

CALL = {"name": "look_up", "args": {"key": "金"}, "id": "1", "type": "tool_call"}
VALUES = [
    None,
    {"a": [1, 2.5, True, None, "ä", b"\0"], 1: "number", "deep": {"er": [[]]}},
    [lc.HumanMessage("hé", id="1"), lc.SystemMessage("s"), lc.RemoveMessage("2")],
    lc.AIMessage("x", tool_calls=[CALL], response_metadata={"rows": [1]}),
    lc.AIMessage(
        [{"type": "text", "text": "x"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    lc.AIMessageChunk("part"),
    lc.ToolMessage("out", tool_call_id="1", artifact={"raw": b"1"}),
    Document("text", metadata={"row": 3}),
    lc.ToolMessage("out", tool_call_id="1", artifact=[Document("text", metadata={"row": 3})]),
    lc.HumanMessage("x", additional_kwargs={"at": date(2026, 1, 2)}, name="anna", own=None),
    Interrupt({"action": "write"}, id="i", response_schema={"type": "boolean"}),
    Overwrite([lc.HumanMessage("x")]),
    Send("node", {"x": 1}),
    Send("node", {"x": 1}, timeout=2.5),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    date(2026, 1, 2),
    time(3, 4),
    timedelta(days=-1, microseconds=3),
    UUID(int=5),
    Decimal("1.10"),
    {1, 2},
    frozenset({"a"}),
    deque([1, 2], maxlen=3),
    PurePath("a/b"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_on_the_list_comes_back_equal_and_of_its_type(value):
    again = codec.loads(codec.dumps(value))
    assert again == value
    assert type(again) is type(value)
    assert codec.loads_typed(codec.dumps_typed([value])) == [value]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(JSON)
def test_anything_plain_comes_back(value):
    try:
        data = codec.dumps(value)
    except StoredStateError:  # keys with lone surrogates
        return
    assert codec.loads(data) == value


def test_subclasses_of_plain_types_become_plain_and_errors_become_words():
    class Name(str):
        pass

    value = {"n": Name("x"), "d": OrderedDict(a=1), "p": Path("a"), "e": ValueError("no")}
    again = codec.loads(codec.dumps(value))
    assert again == {"n": "x", "d": {"a": 1}, "p": PurePath("a"), "e": "ValueError('no')"}


@pytest.mark.parametrize(
    "value",
    [
        object(),
        test_anything_plain_comes_back,
        Colour.RED,
        Model(),
        Data(1),
        Pair(1, 2),
        [lc.HumanMessage("x", additional_kwargs={"deep": object()})],
        type("Mine", (lc.AIMessage,), {})("x"),
        2**70,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_on_the_list_is_refused_when_it_is_written(value):
    with pytest.raises(StoredStateError, match=r"not stored in threads|cannot be stored"):
        codec.dumps({"field": value})


@pytest.mark.parametrize(
    "value",
    [Colour.RED, Model(name="y", inner=[lc.HumanMessage("x")]), Data(1, [Data(2)]), Pair(1, {2})],
    ids=lambda value: type(value).__name__,
)
def test_types_of_ones_own_are_stored_where_they_are_allowed(value):
    own = StrictSerializer([type(value)])
    assert own.loads(own.dumps([value])) == [value]
    with pytest.raises(StoredStateError, match="not on the list"):
        codec.loads(own.dumps([value]))


def test_a_default_that_was_changed_in_place_is_stored():
    message = lc.AIMessage("x")
    message.additional_kwargs["seen"] = True
    assert codec.loads(codec.dumps(message)).additional_kwargs == {"seen": True}


class Aliased(BaseModel):
    name: str = Field("x", alias="Name")


class AliasedByName(Aliased):
    model_config = ConfigDict(populate_by_name=True)


def test_only_types_that_can_be_rebuilt_may_be_allowed():
    with pytest.raises(TypeError, match="pydantic models, dataclasses"):
        StrictSerializer([subprocess.Popen])
    with pytest.raises(TypeError, match="populate_by_name"):
        StrictSerializer([Aliased])
    own = StrictSerializer([AliasedByName])
    assert own.loads(own.dumps(AliasedByName(name="y"))) == AliasedByName(name="y")


def test_a_value_within_itself_is_refused():
    plain, tagged = [], deque()
    plain.append(plain)
    tagged.append(tagged)
    for value in (plain, tagged):
        with pytest.raises(StoredStateError, match="cannot be stored"):
            codec.dumps(value)


@pytest.mark.parametrize("kind", ["pickle", "json", "msgpack", "null", ""])
def test_bytes_of_another_kind_are_refused(kind):
    with pytest.raises(StoredStateError, match=f"{kind!r}; only '{FORMAT}'"):
        codec.loads_typed((kind, codec.dumps({})))


def test_hostile_threads_import_and_call_nothing():
    """In a process of its own, under an audit hook; see `hostile_payloads`."""
    done = subprocess.run(
        [sys.executable, str(HOSTILE)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["tried"] >= 60
    assert report["events"] == []
    assert report["not_refused"] == []
    assert report["seen_by_langgraph"] > 0  # the hook does notice what it is there to notice
