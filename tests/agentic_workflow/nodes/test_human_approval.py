"""Nothing is written before a person has approved exactly that."""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langgraph.types import Command
from project_paths import ROOT
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.nodes.human_approval import decide, pending_approvals, with_approval
from stillroom.inference.chat.scripted_model import ScriptedModel

CONFIG = {"configurable": {"thread_id": "desk"}}


class Record:
    """Something an agent would write to."""

    def __init__(self, value="Ag"):
        self.value, self.writes = value, 0

    def propose(self, state):
        answer = state["results"][-1]
        if answer == self.value:
            return None
        return {"action": f"write {answer}", "details": {"old": self.value, "new": (answer, 1)}}

    def write(self, state, proposal):
        self.value, self.writes = proposal["details"]["new"][0], self.writes + 1
        return {"context": "written"}


def make(saver, record, kind=AgenticWorkflow, **options):
    workflow = kind(None, chat_model=ScriptedModel(lambda prompt: "Au"), checkpointer=saver)
    workflow.add_node("correct", with_approval(record.write, record.propose, "correct", **options))
    return workflow


@pytest.fixture
def saver(open_threads):
    return open_threads("memory")


@pytest.mark.parametrize("kind", [AgenticWorkflow, MultiAgentWorkflow])
def test_an_approved_proposal_is_written_once(kind, saver):
    record = Record()
    workflow = make(saver, record, kind)
    (waiting,) = workflow.run("symbol of gold?", thread_id="desk")["approvals"]
    assert (waiting.action, waiting.details) == ("write Au", {"old": "Ag", "new": ["Au", 1]})
    assert record.writes == 0
    assert pending_approvals(workflow.graph, "desk") == [waiting]
    state = decide(workflow.graph, "desk", approve=True, note="checked")
    assert (record.value, record.writes, state["context"]) == ("Au", 1, "written")
    assert state["steps"][-1] == {
        "node": "correct",
        "what": "approved",
        "detail": "write Au; checked",
    }
    assert pending_approvals(workflow.graph, "desk") == []


def test_a_rejected_proposal_is_not_written(saver):
    record = Record()
    workflow = make(saver, record)
    workflow.run("symbol of gold?", thread_id="desk")
    state = decide(workflow.graph, "desk", approve=False, note="the table is right")
    assert record.writes == 0
    assert state["steps"][-1]["what"] == "rejected"
    assert "the table is right" in state["steps"][-1]["detail"]


def test_nothing_to_write_asks_nobody(saver):
    result = make(saver, Record("Au")).run("symbol of gold?", thread_id="desk")
    assert "approvals" not in result
    assert result["response"] == "Au"


def test_what_changed_since_it_was_approved_is_not_written(saver):
    record = Record()
    workflow = make(saver, record)
    workflow.run("symbol of gold?", thread_id="desk")
    record.value = "Gd"  # someone else was here
    state = decide(workflow.graph, "desk", approve=True)
    assert (record.value, record.writes) == ("Gd", 0)
    assert state["steps"][-1]["what"] == "outdated"


@pytest.mark.parametrize("answer", [True, "yes", {"approved": True}, {"approved": "yes"}, None, 1])
def test_only_a_yes_to_a_proposal_is_a_yes(answer, saver):
    record = Record()
    workflow = make(saver, record)
    workflow.run("symbol of gold?", thread_id="desk")
    workflow.graph.invoke(Command(resume=answer or "no"), CONFIG)
    assert record.writes == 0


def resume(workflow, answer):
    return workflow.graph.invoke(Command(resume=answer), CONFIG)["steps"][-1]


@pytest.mark.parametrize(
    ("edited", "what", "told"),
    [
        ({"new": ["Gd", 2]}, "approved", "edited: new"),
        ({"new": '["Gd", 2]'}, "approved", "edited: new"),  # as it is typed into a field
        ({"new": "Gd"}, "rejected", "of another type"),
        ({"old": "Gd"}, "rejected", "old may not be edited"),
        ({"more": 1}, "rejected", "more may not be edited"),
    ],
)
def test_a_person_changes_the_details_that_may_be_changed(edited, what, told, saver):
    record = Record()
    workflow = make(saver, record, editable=["new"])
    (waiting,) = workflow.run("symbol of gold?", thread_id="desk")["approvals"]
    assert waiting.editable == ("new",)
    state = decide(workflow.graph, "desk", approve=True, edited=edited)
    assert (state["steps"][-1]["what"], record.writes) == (what, int(what == "approved"))
    assert told in state["steps"][-1]["detail"]
    assert record.value == ("Gd" if what == "approved" else "Ag")


@pytest.mark.parametrize(
    ("kind", "details", "what", "value"),
    [
        ("accept", {"old": "Ag", "new": ["Au", 1]}, "approved", "Au"),
        ("edit", {"old": "Ag", "new": '["Gd", 1]'}, "approved", "Gd"),
        ("edit", {"old": "Xx", "new": ["Gd", 1]}, "outdated", "Ag"),
        ("accept", {"old": "Xx", "new": ["Au", 1]}, "outdated", "Ag"),
        ("accept", None, "outdated", "Ag"),
        ("ignore", None, "rejected", "Ag"),
        ("response", None, "rejected", "Ag"),
    ],
)
def test_decisions_of_agent_chat_ui_are_read(kind, details, what, value, saver):
    record = Record()
    workflow = make(saver, record, editable=["new"])
    workflow.run("symbol of gold?", thread_id="desk")
    (asked,) = workflow.graph.get_state(CONFIG).interrupts
    assert asked.value["action_request"]["args"] == asked.value["details"]
    args = {"action": "write Au", "args": details}
    step = resume(workflow, [{"type": kind, "args": args}])
    assert (step["what"], record.value) == (what, value)


def test_a_new_question_drops_the_proposal(saver):
    record = Record()
    workflow = make(saver, record)
    (first,) = workflow.run("symbol of gold?", thread_id="desk")["approvals"]
    record.value = "Au"
    workflow.run("and now?", thread_id="desk")
    assert record.writes == 0
    with pytest.raises(ValueError, match="waiting for a decision is nothing"):
        decide(workflow.graph, "desk", approve=True)
    with pytest.raises(ValueError, match=first.id):
        decide(workflow.graph, "desk", approve=True, id=first.id)


def test_two_people_who_approve_at_once_write_once(saver):
    record = Record()
    workflow = make(saver, record)
    workflow.run("symbol of gold?", thread_id="desk")

    def approve(_):
        try:
            return decide(workflow.graph, "desk", approve=True)["steps"][-1]["what"]
        except ValueError:
            return "too late"

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(approve, range(2)))
    assert "approved" in answers
    assert record.writes == 1


ASK_AND_DIE = """
import os, signal, sys
from stillroom.agentic_workflow.threads.open_store import open_checkpointer
from test_human_approval import Record, make
result = make(open_checkpointer(sys.argv[1]), Record()).run("symbol of gold?", thread_id="desk")
print(result["approvals"][0].action, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("threads_url", ["sqlite", "postgres"], indirect=True)
def test_the_decision_outlives_the_process_that_asked(approve, threads_url, open_threads):
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", ASK_AND_DIE, threads_url]
    asked = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
    assert (asked.returncode, asked.stdout) == (-signal.SIGKILL, "write Au\n"), asked.stderr
    record = Record()
    workflow = make(open_threads(threads_url), record)
    (waiting,) = pending_approvals(workflow.graph, "desk")
    assert record.writes == 0
    state = decide(workflow.graph, "desk", approve=approve, id=waiting.id)
    assert record.writes == int(approve)
    assert record.value == ("Au" if approve else "Ag")
    assert state["steps"][-1]["what"] == ("approved" if approve else "rejected")
    assert pending_approvals(workflow.graph, "desk") == []


def test_events_say_that_a_person_must_decide(saver):
    workflow = make(saver, Record())
    *_, asked, final = workflow.stream_events("symbol of gold?", thread_id="desk")
    assert (asked["type"], asked["action"]) == ("approval", "write Au")
    assert (final["type"], final["exit"], final["response"]) == ("final", "waiting", "Au")

    async def collect():
        return [event async for event in workflow.astream_events("q?", thread_id="two")]

    assert [e["type"] for e in asyncio.run(collect())][-2:] == ["approval", "final"]


@pytest.mark.parametrize(("decision", "symbol"), [("yes", "Au"), ("no", "Ag")])
def test_the_example_writes_only_after_a_yes(decision, symbol, tmp_path):
    command = [sys.executable, "examples/human_approval.py", "--decision", decision]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert f"Gold: {symbol}" in done.stdout
    assert f"Gold,{symbol},79" in (tmp_path / "elements.csv").read_text()
