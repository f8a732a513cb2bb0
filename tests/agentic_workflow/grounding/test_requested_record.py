"""What a request means is found once a turn, and stays within the run."""

import pytest
from langchain_core.messages import HumanMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.graphs import build_multi_agent_graph
from stillroom.agentic_workflow.grounding.claims import read_claim
from stillroom.agentic_workflow.grounding.requested_record import requested_record
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.agentic_workflow.state import AgentState
from stillroom.inference.chat.scripted_model import ScriptedModel


@pytest.fixture
def lookups(monkeypatch):
    """Give the texts that were looked for in the table, in order."""
    found, read, record = [], TableReader.read, TableReader.read_record

    def reading(self, text, *args, **options):
        found.append(text)
        return read(self, text, *args, **options)

    def reading_record(self, text):
        found.append(text)
        return record(self, text)

    monkeypatch.setattr(TableReader, "read", reading)
    monkeypatch.setattr(TableReader, "read_record", reading_record)
    return found


class OwnRouter(MultiAgentWorkflow):
    def _router_node(self, state):
        return {"current_task": "qa"}


class Never(MultiAgentWorkflow):
    def _validator_node(self, state):
        return {"verdict": "retry", "reason": "not good enough"}


class Whole(MultiAgentWorkflow):
    def _validator_node(self, state):
        state["verdict"], state["reason"] = "retry", "not good enough"
        return state


TURNS = {
    "right": (MultiAgentWorkflow, "symbol of gold?", ["Au"], "agrees"),
    "wrong three times": (MultiAgentWorkflow, "symbol of gold?", ["Ag", "Al", "Hg"], "disagrees"),
    "refused": (MultiAgentWorkflow, "symbol of plum?", [], "abstained"),
    "a number too many": (MultiAgentWorkflow, "symbol of gold?", ["Au 7", "Au"], "agrees"),
    "summary": (MultiAgentWorkflow, "Summarize gold", ["Gold: symbol Au"], "agrees"),
    "own router": (OwnRouter, "symbol of gold?", ["Ag", "Au"], "agrees"),
    "own validator": (Never, "symbol of gold?", ["a", "b", "c"], "disagrees"),
    "whole state": (Whole, "symbol of gold?", ["a", "b", "c"], "disagrees"),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_looks_the_record_up_once(table, lookups, turn):
    kind, query, replies, verdict = TURNS[turn]
    workflow = kind(None, chat_model=ScriptedModel(replies), table=table)
    assert workflow.explain(query)["verdict"] == verdict
    assert len(lookups) == 1
    workflow.agent.chat_model.assert_exhausted()


def test_the_teachers_answer_is_held_against_the_same_record(table, lookups):
    policy = AnswerPolicy(attempts=1, teacher=ScriptedModel(["Au"]))
    workflow = MultiAgentWorkflow(
        None, chat_model=ScriptedModel(["Ag"]), table=table, policy=policy
    )
    assert workflow.explain("symbol of gold?")["answered_by"] == "teacher"
    assert lookups == ["symbol of gold?"]


def test_the_next_turn_of_a_thread_looks_up_its_own_record(table, lookups):
    workflow = MultiAgentWorkflow(
        None, chat_model=ScriptedModel(["Au", "Ag"]), table=table, checkpointer="memory"
    )
    for query, answer in (("symbol of gold?", "Au"), ("symbol of silver?", "Ag")):
        assert workflow.run(query, thread_id="x")["response"] == answer
    assert lookups == ["symbol of gold?", "symbol of silver?"]


def test_a_claim_is_read_once(table, lookups):
    query = "Validate this: the symbol of gold is Ag"
    read_claim(query, TableReader(table))
    once = list(lookups)
    lookups.clear()
    event = MultiAgentWorkflow(None, chat_model=ScriptedModel([]), table=table).explain(query)
    assert event["verdict"] == "disagrees"
    assert lookups == once


def test_a_request_that_a_node_changes_is_looked_up_again(table):
    reader = TableReader(table)
    asked = AgentState(
        messages=[HumanMessage("symbol of gold?")], context="", current_task="qa", results=[]
    )
    asked["requested"] = requested_record(asked, reader)
    assert requested_record(asked, reader) is asked["requested"]
    for change in ({"messages": [HumanMessage("symbol of silver?")]}, {"current_task": "validate"}):
        found = requested_record(AgentState(**{**asked, **change}), reader)
        assert found.match.row.key == ("Silver" if "messages" in change else "Gold")
        assert found is not asked["requested"]
    forged = AgentState(**{**asked, "requested": {"task": "qa", "query": "symbol of gold?"}})
    assert requested_record(forged, reader) == asked["requested"]


def test_it_is_in_no_output_and_in_no_checkpoint(table, threads_url, open_threads):
    saver = open_threads(threads_url)
    graph = build_multi_agent_graph(
        ScriptedModel(lambda prompt: "Au"), table=table, checkpointer=saver
    )
    request = {"messages": [("human", "symbol of gold?")]}
    config = {"configurable": {"thread_id": "x"}}
    assert "requested" not in graph.invoke(request, config, durability="sync")
    items = [item for _, item in graph.stream(request, config, stream_mode=["values", "updates"])]
    assert len(items) > 4
    assert "requested" not in str(items)
    states = list(graph.get_state_history(config))
    assert len(states) > 3
    assert not [state for state in states if "requested" in state.values]
    stored = [str(one.checkpoint) + str(one.pending_writes) for one in saver.list(config)]
    assert "RequestedRecord" not in "".join(stored)
