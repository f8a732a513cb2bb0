"""The last step: ask the agents some questions and stream their answers to the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...agentic_workflow.agent import MultiAgentWorkflow
from ...console import NAME_WIDTH, Console
from ...data.questions.questions import QuestionSet
from ...records import Example

UNKNOWN = "What is the phone number of the moon?"
"""A question that no table should answer."""


def questions_to_ask(questions: QuestionSet) -> list[str]:
    """Choose held-out questions: two facts, a summary, a check, and one without an answer."""
    held_out = questions.held_out
    facts = [e for e in held_out if e.task == "qa"]
    asked = [facts[len(facts) // 3].fields["text"], facts[2 * len(facts) // 3].fields["text"]]
    summaries = [e for e in held_out if e.task == "summarize"]
    if summaries:
        asked.append(f"Summarize {summaries[len(summaries) // 2].fields['text']}")
    wrong = [e for e in held_out if e.task == "validate" and e.fields["verdict"] == "no"]
    if wrong:
        asked.append(_claim(wrong[len(wrong) // 2], questions))
    return [*dict.fromkeys(asked), UNKNOWN]


def _claim(example: Example, questions: QuestionSet) -> str:
    fields = example.fields
    if questions.table.kind == "questions":
        return f'Check that the answer "{fields["proposed"]}" to "{fields["text"]}" is right'
    label = next(c.label for c in questions.table.columns if c.name == fields["column"])
    of = "where" if questions.table.kind == "rows" else "of"
    return f"Check: the {label} {of} {fields['key']} is {fields['proposed']}"


def ask_agents(student: Path, questions: QuestionSet, console: Console) -> None:
    """Ask the agents and stream their answers."""
    workflow = MultiAgentWorkflow(str(student))
    console.head("asking the agents")
    for question in questions_to_ask(questions):
        console.line("you", question)
        _stream_answer(workflow, question, console)


def _stream_answer(workflow: MultiAgentWorkflow, question: str, console: Console) -> None:
    indent = " " * (NAME_WIDTH + 3)
    shown = ""
    console.write(indent)
    for event in workflow.stream_events(question):
        if event["type"] == "token":
            shown += event["text"]
            console.write(event["text"])
        elif event["type"] == "restart":
            console.write(f"   (refused by the validator, asked again)\n{indent}")
            shown = ""
        elif event["type"] == "final":
            if str(event["response"]).strip() != shown.strip():
                console.write(f"\n{indent}{event['response']}" if shown else str(event["response"]))
            console.write("\n")
            console.line("", f"({_how(event)})")


def _how(final: Mapping[str, Any]) -> str:
    """Describe an answer: task type, verdict, and its cells in the table."""
    places = [
        f"row {source['row']}" + (f", column {source['column']}" if source.get("column") else "")
        for source in final.get("sources", [])
    ]
    return ", ".join(p for p in (final.get("task_type"), final.get("verdict"), *places) if p)
