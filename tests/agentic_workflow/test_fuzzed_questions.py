"""Fuzzed questions and follow-ups: nothing that does not exist is named, and threads remember."""

import random
import sys

import pytest
from project_paths import ROOT
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.inference.chat.scripted_model import ScriptedModel


@pytest.fixture(scope="module")
def fuzz():
    """Import the benchmark that asks 10,000 of them."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "questions"))
    try:
        import fuzz_agents

        yield fuzz_agents
    finally:
        sys.path.remove(str(ROOT / "benchmarks" / "questions"))


def test_no_answer_names_what_does_not_exist(fuzz):
    rng, tables = random.Random(3), fuzz.read_tables()[:2]
    for table in tables:
        workflow = fuzz.workflow_of(table, rng, encoder=False)
        for _ in range(25):
            question = fuzz.make_question(table, rng)
            assert not fuzz.faults_of(workflow, table, question), question


def test_a_fault_is_seen(fuzz, table, monkeypatch):
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(["Au"]), table=table)
    said = workflow.explain("What is the symbol of gold?")
    wrong = {**said, "citations": [{**said["citations"][0], "column": "price"}]}
    monkeypatch.setattr(workflow, "explain", lambda question: wrong)
    assert "cites" in fuzz.faults_of(workflow, table, "What is the symbol of gold?")[0]


def test_a_thread_remembers_what_the_next_question_leans_on(table):
    model = ScriptedModel(["Au", "196.97", "107.87"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, checkpointer="memory")
    questions = ("What is the symbol of gold?", "and its atomic mass?", "what about silver?")
    said = [workflow.run(question, thread_id="x")["response"] for question in questions]
    assert said == ["Au", "196.97", "107.87"]
    assert workflow.run("and its atomic mass?", thread_id="y")["response"] not in said
