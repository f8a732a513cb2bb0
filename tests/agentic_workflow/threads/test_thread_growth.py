"""Threads stay small: what a turn adds does not grow, and what is pruned changes no state."""

import doctest
import os
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage
from langgraph.channels import BinaryOperatorAggregate, DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.graphs import compile_graph, wire_single_agent
from stillroom.agentic_workflow.threads import delta_channels
from stillroom.agentic_workflow.threads.delta_channels import merge_messages
from stillroom.agentic_workflow.threads.open_store import prune_threads
from stillroom.inference.chat.scripted_model import ScriptedModel

CONFIG = {"configurable": {"thread_id": "one"}}


def make(checkpointer, kind=AgenticWorkflow):
    model = ScriptedModel(lambda prompt: f"answer {len(prompt) % 7}")
    return kind(None, chat_model=model, checkpointer=checkpointer)


def messages(workflow, config=CONFIG):
    values = workflow.graph.get_state(config).values
    return [(m.type, m.text, m.id, m.response_metadata) for m in values["messages"]]


def stored_bytes(saver):
    with saver.store.database.transaction(write=False) as execute:
        ((rows,),) = execute(
            "SELECT (SELECT sum(length(body) + length(metadata) + 200) FROM checkpoints) + "
            "(SELECT coalesce(sum(length(body) + 200), 0) FROM writes)",
            [],
        )
    return rows


def test_turn_100_stores_no_more_than_turn_10_and_all_of_them_kilobytes(tmp_path, open_threads):
    saver = open_threads(f"sqlite:///{tmp_path}/threads.db?power_safe=0")
    workflow, sizes = make(saver, MultiAgentWorkflow), [0]
    for number in range(100):
        workflow.run(f"question {number:03d}", thread_id="one")
        sizes.append(stored_bytes(saver))
    added = [after - before for before, after in pairwise(sizes)]
    assert added[99] <= 1.5 * added[9]
    assert len(messages(workflow)) == 200
    saver.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 500_000


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("first", ["0", "1"])
def test_a_thread_goes_from_whole_to_delta_and_back(first, stock, open_threads, monkeypatch):
    """DeltaChannel is beta; whatever becomes of it, threads can be taken to either form."""
    saver = InMemorySaver() if stock else open_threads("memory")
    plain = make(InMemorySaver())
    for turn in range(6):
        monkeypatch.setenv(delta_channels.DELTA_VARIABLE, str((int(first) + turn // 2) % 2))
        workflow = make(saver)
        workflow.run(f"question {turn}", thread_id="one")
        plain.run(f"question {turn}", thread_id="one")
        assert [m[:2] for m in messages(workflow)] == [m[:2] for m in messages(plain)]
        switched = workflow.graph.channels["messages"]
        kind = DeltaChannel if (int(first) + turn // 2) % 2 else BinaryOperatorAggregate
        assert type(switched) is kind


def test_a_channel_is_stored_whole_now_and_then(open_threads, monkeypatch):
    monkeypatch.setattr(delta_channels, "UPDATES_PER_SNAPSHOT", 7)
    saver = open_threads("memory")
    workflow = make(saver)
    for number in range(12):
        workflow.run(f"question {number}", thread_id="one")
    whole = [t for t in saver.list(CONFIG) if "messages" in t.checkpoint["channel_values"]]
    assert 2 <= len(whole) <= 5
    assert len(messages(workflow)) == 24


@pytest.mark.parametrize("whole_every", [5, 1000])
def test_pruning_changes_no_state(whole_every, threads_url, open_threads, monkeypatch):
    monkeypatch.setattr(delta_channels, "UPDATES_PER_SNAPSHOT", whole_every)
    saver = open_threads(threads_url)
    workflow = make(saver)
    for number in range(6):
        workflow.run(f"question {number}", thread_id="one")
        workflow.run(f"question {number}", thread_id="two")
    before, size = messages(workflow), stored_bytes(saver)
    prune_threads(saver)
    prune_threads(saver)
    assert messages(workflow) == before
    assert len(list(saver.list(CONFIG))) <= 2
    assert stored_bytes(saver) < size * 0.7
    workflow.run("after", thread_id="one")
    assert messages(workflow)[:-2] == before
    assert len(messages(workflow)) == 14


def test_a_run_is_deleted_without_changing_what_came_after(threads_url, open_threads):
    saver = open_threads(threads_url)
    workflow = make(saver)
    for number in range(5):
        workflow.run(f"question {number}", thread_id="one")
    runs = [found.metadata["run_id"] for found in saver.list(CONFIG)]
    assert len(set(runs)) == 5
    before = {found.config["configurable"]["checkpoint_id"]: None for found in saver.list(CONFIG)}
    for id_ in before:
        before[id_] = messages(
            workflow, {"configurable": {"thread_id": "one", "checkpoint_id": id_}}
        )
    saver.delete_for_runs([runs[1], runs[3]])
    kept = {found.config["configurable"]["checkpoint_id"] for found in saver.list(CONFIG)}
    assert {found.metadata.get("run_id") for found in saver.list(CONFIG)}.isdisjoint(
        {runs[1], runs[3]}
    )
    for id_ in kept & set(before):
        config = {"configurable": {"thread_id": "one", "checkpoint_id": id_}}
        if workflow.graph.get_state(config).metadata.get("run_id"):
            assert messages(workflow, config) == before[id_]
    assert messages(workflow) == next(iter(before.values()))
    workflow.run("after", thread_id="one")
    assert len(messages(workflow)) == 12


def test_a_copied_thread_goes_its_own_way(threads_url, open_threads):
    saver = open_threads(threads_url)
    workflow = make(saver)
    workflow.run("one", thread_id="one")
    saver.copy_thread("one", "two")
    workflow.run("two", thread_id="two")
    assert len(messages(workflow)) == 2
    assert [m[1] for m in messages(workflow, {"configurable": {"thread_id": "two"}})][::2] == [
        "one",
        "two",
    ]
    _, copied, *older = saver.list({"configurable": {"thread_id": "two"}})
    before = saver.list({"configurable": {"thread_id": "two"}}, before=copied.config)
    assert [found.config for found in before] == [found.config for found in older] != []
    with pytest.raises(ValueError, match="there already"):
        saver.copy_thread("one", "two")
    with pytest.raises(ValueError, match="keep_latest"):
        saver.prune(["one"], strategy="shrink")


IDS = st.sampled_from(["a", "b", "c", "d"])
MESSAGES = st.one_of(
    st.builds(lambda id_, text: HumanMessage(text, id=id_), IDS, st.sampled_from("xyz")),
    st.builds(lambda id_, text: AIMessage(text, id=id_), IDS, st.sampled_from("xyz")),
)


UPDATES = st.lists(st.lists(MESSAGES | IDS.map(RemoveMessage), max_size=4), max_size=8)


@settings(max_examples=200)
@given(UPDATES, st.integers(0, 8))
def test_merging_is_what_add_messages_does_and_batches_do_not_matter(updates, cut):
    oracle = []
    for message in [message for update in updates for message in update]:
        known = {m.id for m in oracle}
        if not isinstance(message, RemoveMessage) or message.id in known:
            oracle = add_messages(oracle, [message])
    assert merge_messages([], updates) == oracle
    assert merge_messages(merge_messages([], updates[:cut]), updates[cut:]) == oracle


def test_messages_without_ids_get_the_same_ones_on_every_reading():
    updates = [("human", "a"), [{"role": "ai", "content": "a"}], "a", [AIMessageChunk("part")]]
    first, again = merge_messages([], updates), merge_messages([], updates)
    assert [m.id for m in first] == [m.id for m in again]
    assert len({m.id for m in first}) == 4
    assert [type(m).__name__ for m in first][-1] == "AIMessage"
    assert merge_messages(merge_messages([], updates[:2]), updates[2:]) == first
    gone = merge_messages(first, [RemoveMessage("unknown"), RemoveMessage(REMOVE_ALL_MESSAGES)])
    assert gone == []


def test_examples_in_docstrings():
    assert doctest.testmod(delta_channels).failed == 0


def test_delta_can_be_chosen_for_one_graph():
    builder = wire_single_agent(*[lambda state: {}] * 3)
    assert isinstance(compile_graph(builder, delta=True).channels["messages"], DeltaChannel)
    builder = wire_single_agent(*[lambda state: {}] * 3)
    whole = compile_graph(builder, delta=False).channels["messages"]
    assert isinstance(whole, BinaryOperatorAggregate)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_10_000_turns_do_not_fill_the_memory(tmp_path, open_threads):
    workflow = make(open_threads(f"sqlite:///{tmp_path}/threads.db?power_safe=0"))
    workflow.agent.chat_model._script = lambda prompt: "Au"
    held = []
    for number in range(10_000):
        workflow.run("What is the symbol of gold?", thread_id=f"thread {number % 100}")
        workflow.agent.chat_model._prompts.clear()  # the script's own notes, not the thread's
        if number % 1000 == 999:
            held.append(resident_bytes())
    # The first 2,000 turns fill caches.
    slope = (held[-1] - held[1]) / (len(held) - 2)
    assert slope <= 1 << 20, held
    with sqlite3.connect(tmp_path / "threads.db") as database:
        assert database.execute("SELECT count(*) FROM threads").fetchone() == (100,)
