"""Tool calls of servers, however they come in pieces."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.inference.tool_calls.reassemble import CallPieces, read_arguments
from stillroom.inference.tool_calls.stream import begins_like_call, calls_in_text

NAMES = ("add", "add_all", "now", "read_file")


def piece(index=None, name=None, arguments=None, call_id=None):
    """Write one entry of `tool_calls`; what is None is not sent."""
    function = {"name": name, "arguments": arguments}
    made = {"function": {key: value for key, value in function.items() if value is not None}}
    made |= {} if index is None else {"index": index}
    return made | ({} if call_id is None else {"id": call_id, "type": "function"})


def collected(pieces, known=NAMES):
    calls = CallPieces(known)
    for one in pieces:
        calls.add(one)
    return [(call.name, None if call.broken else json.loads(call.arguments))
            for call in calls.calls()]  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
CALLS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.dictionaries(st.text(max_size=6), JSON, max_size=3)),
    min_size=1,
    max_size=4,
)
HABITS = ("name once", "name in every piece", "name in pieces", "arguments first")


def cut(data, text):
    """Cut a text anywhere; the pieces are not empty."""
    if len(text) < 2:
        return [text]
    places = data.draw(st.sets(st.integers(1, len(text) - 1), max_size=5))
    edges = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def in_pieces(data, index, name, arguments, habit, ids):
    """Write one call as a server of this habit sends it."""
    call_id = f"c{index}"
    parts = cut(data, json.dumps(arguments, ensure_ascii=data.draw(st.booleans())))
    again = call_id if ids == "in every piece" else None
    first = None if ids == "never" else call_id
    if habit == "name once":
        made = [piece(index, name, "", first), *(piece(index, None, p, again) for p in parts)]
    elif habit == "name in every piece":
        made = [piece(index, name, p, again) for p in ["", *parts, ""]]
        made[0] = piece(index, name, "", first)
    elif habit == "name in pieces":
        named = [piece(index, part, "", again) for part in cut(data, name)]
        named[0] = named[0] | ({} if first is None else {"id": first})
        made = [*named, *(piece(index, None, p, again) for p in parts)]
    else:
        made = [piece(index, None, parts[0], first)]
        made += [piece(index, None, p, again) for p in parts[1:]] + [piece(index, name, "", again)]
    return made


@settings(max_examples=120, deadline=None)
@given(CALLS, st.data())
def test_however_calls_are_cut_they_are_the_same_calls(calls, data):
    habit = data.draw(st.sampled_from(HABITS))
    ids = data.draw(st.sampled_from(("never", "first", "in every piece")))
    queues = [
        in_pieces(data, index, name, arguments, habit, ids)
        for index, (name, arguments) in enumerate(calls)
    ]
    sent = [queue.pop(0) for queue in queues]  # calls begin in order, then go on in any
    while any(queues):
        sent.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    assert collected(sent) == list(calls)


@settings(max_examples=60, deadline=None)
@given(CALLS, st.data())
def test_without_indexes_ids_tell_calls_apart(calls, data):
    queues = [
        in_pieces(data, index, name, arguments, "name once", "in every piece")
        for index, (name, arguments) in enumerate(calls)
    ]
    sent = [queue.pop(0) for queue in queues]
    while any(queues):
        sent.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    assert collected([{k: v for k, v in one.items() if k != "index"} for one in sent]) == calls


@settings(max_examples=60, deadline=None)
@given(CALLS, st.data())
def test_an_answer_that_breaks_off_calls_with_nothing_but_what_was_sent(calls, data):
    sent = [
        one
        for index, (name, arguments) in enumerate(calls)
        for one in in_pieces(data, index, name, arguments, "name once", "first")
    ]
    kept = sent[: data.draw(st.integers(0, len(sent)))]
    got = collected(kept)
    *whole, (name, arguments) = got or [("", None)]
    assert whole == calls[: len(whole)]
    if arguments:
        assert (name, arguments) == calls[len(whole)]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        # Whole calls, of which all have the index 0, with and without ids.
        ([piece(0, "add", '{"a":1}', "x"), piece(0, "add", '{"a":2}', "y")],
         [("add", {"a": 1}), ("add", {"a": 2})]),
        ([piece(0, "add", '{"a":1}'), piece(0, "now", "{}")], [("add", {"a": 1}), ("now", {})]),
        ([piece(0, "now", ""), piece(0, "add", '{"a":1}')], [("now", {}), ("add", {"a": 1})]),
        # Neither indexes nor ids.
        ([piece(None, "add", '{"a":1}'), piece(None, "add", '{"a":2}')],
         [("add", {"a": 1}), ("add", {"a": 2})]),
        ([piece(None, "add", ""), piece(None, None, '{"a"'), piece(None, None, ":1}")],
         [("add", {"a": 1})]),
        # An id in each piece that is another one each time.
        ([piece(0, "add", "", "x"), piece(0, None, '{"a":', "y"), piece(0, None, "1}", "z")],
         [("add", {"a": 1})]),
        ([piece(0, "add", "", "x"), piece(0, "add", '{"a":', "y"), piece(0, "add", "1}", "z")],
         [("add", {"a": 1})]),
        # One id for all.
        ([piece(0, "add", '{"a":1}', "x"), piece(1, "now", "{}", "x")],
         [("add", {"a": 1}), ("now", {})]),
        # All of the call again at its end, or more of it each time.
        ([piece(0, "add", '{"a":1}', "x"), piece(0, "add", '{"a":1}', "x")], [("add", {"a": 1})]),
        ([piece(0, "add", {"a": 1}, "x"), piece(0, "add", {"a": 1}, "x")], [("add", {"a": 1})]),
        ([piece(0, "add", '{"a', "x"), piece(0, "add", '{"a": 1}', "x")], [("add", {"a": 1})]),
        # Names that grow, are unknown, or are parts of one another.
        ([piece(0, "add", "", "x"), piece(0, "add_all", "{}", "x")], [("add_all", {})]),
        ([piece(0, "add", "", "x"), piece(0, "_all", "{}", "x")], [("add_all", {})]),
        ([piece(0, "un", "", "x"), piece(0, "known", "{}", "x")], [("unknown", {})]),
        # Arguments of other kinds.
        ([piece(0, "now", None)], [("now", {})]),
        ([piece(0, "now", "null")], [("now", {})]),
        ([piece(0, "add", {"a": [1, None, "ü"]})], [("add", {"a": [1, None, "ü"]})]),
        ([piece(0, "add", json.dumps('{"a": 1}'))], [("add", {"a": 1})]),
        ([piece(0, "add", '{"a": "x\ny"}')], [("add", {"a": "x\ny"})]),
        ([piece(0, "add", [1])], [("add", None)]),
        ([piece(0, "add", "5")], [("add", None)]),
        ([piece(0, "add", '{"a": NaN}')], [("add", None)]),
        ([piece(0, "add", "{a: 1}")], [("add", None)]),
        ([piece(0, "add", '{"a": 1} or so')], [("add", None)]),
        ([piece(0, "add", '{"a": 1')], [("add", None)]),
        # No name at all, and nothing at all.
        ([piece(0, None, '{"a": 1}', "x")], [("", None)]),
        ([piece(0, None, None, "x"), piece(0, "now", "{}")], [("now", {})]),
        ([piece(0, None, None, "x")], []),
    ],
)  # fmt: skip
def test_habits_of_servers(pieces, calls):
    assert collected(pieces) == calls


def test_long_arguments_in_small_pieces_take_no_time():
    text = json.dumps({"a": "x, y: z " * 5_000})
    sent = [piece(0, "add", text[place : place + 2]) for place in range(0, len(text), 2)]
    began = time.process_time()
    assert collected(sent) == [("add", {"a": "x, y: z " * 5_000})]
    assert time.process_time() - began < 5


def test_ids_are_kept_where_they_tell_calls_apart():
    calls = CallPieces()
    for index, call_id in enumerate(("a", "b", "b", None)):
        calls.add(piece(index, "now", "{}", call_id))
    ids = [call.id for call in calls.calls()]
    assert ids[0] == "a"
    assert len(set(ids)) == 4


def test_the_older_form():
    calls = CallPieces()
    calls.add_old({"name": "add", "arguments": ""})
    calls.add_old({"arguments": '{"a": '})
    assert calls.cut()
    calls.add_old({"arguments": "1}"})
    assert [(call.name, call.arguments) for call in calls.calls()] == [("add", '{"a": 1}')]
    assert not calls.cut()
    calls.add(piece(0, "add", '{"a": 1}'))  # some send both forms
    assert len(calls.calls()) == 1


def test_a_call_that_a_limit_cut_is_not_whole():
    for arguments, cut_off in (("", True), ('{"a": 1', True), ('{"a": 1}', False)):
        calls = CallPieces()
        calls.add(piece(0, "add", arguments))
        assert calls.cut() == cut_off
    assert not CallPieces().cut()


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000])
def test_arguments_may_be_hostile(deep):
    assert read_arguments(deep) is None


CALL = '{"name": "add", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (CALL, [("add", {"a": 1})]),
        (f"\n{CALL}\n{CALL} ", [("add", {"a": 1})] * 2),
        ('{"name": "now", "arguments": null}', [("now", {})]),
        (f"{CALL} is how a call looks.", None),
        (f"Write {CALL}", None),
        ('{"name": "sub", "arguments": {}}', None),
        ('{"name": "add", "arguments": {"a": 1}, "id": 2}', None),
        ('{"name": "add", "arguments": [1]}', None),
        ('{"name": "add"}', None),
        ('{"name": "add", "arguments": {"a": 1, }}', None),
        (CALL[:-1], None),
        ("", None),
    ],
)
def test_calls_in_the_text_of_a_whole_answer(text, calls):
    found = calls_in_text(text, NAMES)
    assert (found and [(one.name, json.loads(one.arguments)) for one in found]) == calls
    if calls:
        assert begins_like_call(text)
