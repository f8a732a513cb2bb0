"""The last step: the agents are asked, and their answers stream to the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..agentic_workflow.agent import MultiAgentWorkflow
from ..console import Console
from ..data.questions import QuestionSet


def questions_to_ask(questions: QuestionSet) -> list[str]:
    """Choose what the agents are asked at the end: answers, a summary, a check, and something
    unknown."""
    first = list(questions.table.examples[:2])
    summary = next((e for e in questions.held_out if e.task == "summarize"), None)
    wrong = next(
        (e for e in questions.held_out if e.task == "validate" and e.fields["verdict"] == "no"),
        None,
    )
    if summary is not None:
        first.append(f"Summarize {summary.fields['text']}")
    if wrong is not None:
        first.append(f"Check: {wrong.fields['text']} {wrong.fields['proposed']}")
    return [*first, "What is the phone number of the moon?"][:5]


def ask_agents(student: Path, questions: QuestionSet, console: Console) -> None:
    """Ask the agents and stream their answers."""
    workflow = MultiAgentWorkflow(str(student))
    console.head("asking the agents")
    for question in questions_to_ask(questions):
        console.line("you", question)
        console.write(f"  {'':<11} ")
        final: dict[str, Any] = {}
        for event in workflow.stream_events(question):
            if event["type"] == "token":
                console.write(event["text"])
            elif event["type"] == "restart":
                console.write(" ... again: ")
            elif event["type"] == "final":
                final = dict(event)
        console.write("\n")
        console.line("", _where(final))


def _where(final: Mapping[str, Any]) -> str:
    places = [f"row {s['row']}" for s in final.get("sources", [])]
    parts = [str(final.get("task_type", "")), str(final.get("verdict", "")), *places]
    return "(" + ", ".join(p for p in parts if p) + ")"
