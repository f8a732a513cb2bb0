"""What an agent can and cannot do, in sentences that follow from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .settings import AgentConfig
from .spec import DistillAgentSpec

if TYPE_CHECKING:
    from .student import AgentStudent


def limits_told(
    config: AgentConfig,
    spec: DistillAgentSpec,
    numbers: Mapping[str, Any],
    student: AgentStudent | None,
) -> list[str]:
    """Say what the teacher and the student can and cannot do.

    Args:
        config: The settings.
        spec: The agent.
        numbers: `wanted`, `instructions` and `kept`.
        student: The student; None where none was trained.
    """
    told = [
        f"The rules read length and form: {numbers['kept']} answers were kept because they are "
        f"complete and have {spec.min_output_chars} to {spec.max_output_chars} characters, not "
        "because anybody found them right."
    ]
    if config.teacher.is_local:
        told += [
            "A teacher of this size (135 million parameters where it is the packaged one) writes "
            "fluent English on everyday subjects and follows short instructions.",
            "It often states wrong facts, does not calculate, knows nothing of your data and "
            "loses long instructions; other languages than English are out of its reach.",
        ]
    if numbers["instructions"] < numbers["wanted"]:
        told.append(
            f"It wrote {numbers['instructions']} of {numbers['wanted']} instructions before it "
            "repeated itself, so the agent has seen a narrow part of its task."
        )
    if student is None:
        told.append("No student was trained: the bundle holds instructions, answers and reports.")
        return told
    told.append(
        f"The student learned from {student.examples} examples: it takes over the style and the "
        "mistakes of the answers, and knows nothing that its teacher does not know."
    )
    if student.loss_after is None:
        told.append("No answer was held out, so nothing was measured; lower distill.train_ratio.")
    elif student.held_out < 20:
        told.append(
            f"{student.held_out} held-out answers show whether it learned at all, not how well it "
            "answers: have people judge its answers before anybody relies on them."
        )
    told.append(
        "For an agent whose answers are right, name a larger teacher (teacher.provider) or let it "
        "answer from a table (stillroom run), where each answer is checked."
    )
    return told


def agent_card(
    spec: DistillAgentSpec,
    numbers: Mapping[str, Any],
    student: AgentStudent | None,
    limits: Sequence[str],
) -> str:
    """Write the card of an agent as Markdown."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in numbers["left_out"].items())
    rows = [
        ("Task", spec.task),
        ("Teacher", spec.teacher_model or "-"),
        ("Instructions", f"{numbers['instructions']} of {numbers['wanted']} wanted"),
        ("Answers kept", f"{numbers['kept']}" + (f"; left out: {left_out}" if left_out else "")),
    ]
    if student is not None:
        rows += [
            ("Student", f"from {spec.student_model}, {student.steps} steps, "
             f"{student.examples} examples"),
            ("Held-out answers", f"{student.held_out}; nats per character before "
             f"{student.loss_before}, after {student.loss_after}, teacher {student.loss_teacher}"),
        ]  # fmt: skip
    table = "\n".join(f"| {name} | {text} |" for name, text in rows)
    shown = "\n".join(f"- {one.instruction}" for one in list(spec.instructions)[:5])
    told = "\n".join(f"- {line}" for line in limits)
    use = "`stillroom chat artifacts/model` opens the student.\n\n" if student is not None else ""
    return (
        f"# {spec.name}\n\n{spec.description}\n\n| | |\n|---|---|\n{table}\n\n{use}"
        f"## Instructions, the first of {len(spec.instructions)}\n\n{shown}\n\n"
        f"## What it can and cannot do\n\n{told}\n"
    )
