"""Let a teacher answer the questions that have no gold answer.

A label that was cut off or is empty is rejected and counted; nothing is made up in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...inference.checkpoints.load_student import Checkpoint
from ...inference.generate import generate_texts
from ...prompts import prompts_sha256, render, verdict_focus
from ...records import Example
from ..teachers.thoughts import split_thoughts


@dataclass(frozen=True)
class LabelReport:
    """What a labelling gave."""

    labelled: list[Example]
    """Examples whose target is the teacher's text."""
    rejected: list[tuple[Example, str]]
    """Examples without a usable label, with the reason."""


def label_examples(
    teacher: Checkpoint,
    examples: Sequence[Example],
    *,
    max_new_tokens: int = 128,
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> LabelReport:
    """Ask the teacher and keep its usable answers; targets that were there are not looked at.

    Args:
        teacher: The model that answers, greedily.
        examples: What to ask.
        max_new_tokens: An answer that is not finished by then is rejected.
        batch_size: Prompts answered together.
        progress: Called with (done, total).
    """
    answers = generate_texts(
        teacher,
        [example.prompt for example in examples],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        progress=progress,
    )
    labelled: list[Example] = []
    rejected: list[tuple[Example, str]] = []
    label = {"teacher": teacher.name, "prompt_hash": prompts_sha256()[:12]}
    for example, answer in zip(examples, answers, strict=True):
        text, _ = split_thoughts(answer.text, example.prompt)
        if answer.finish_reason != "stop":
            rejected.append((example, "cut off"))
        elif not text:
            rejected.append((example, "empty"))
        else:
            focus = verdict_focus(text) if example.focus is not None else None
            labelled.append(replace(example, target=text, label=label, focus=focus))
    return LabelReport(labelled, rejected)


def propose_own_answers(examples: Sequence[Example], answered: Sequence[Example]) -> list[Example]:
    """Put the teacher's own answers up for validation in place of gold ones.

    Where nobody knows the right answer, the right proposal cannot be known either: each "yes"
    example gets what the teacher answered to the same question, and the teacher judges it later.

    Args:
        examples: `validate` examples without gold; their targets say which proposals were the gold
            answers.
        answered: `qa` examples labelled by the teacher.

    Returns:
        The examples with proposals that need no gold; those whose question has no label are left
        out.
    """
    said = {(e.fact, e.fields["text"]): e.target for e in answered}
    proposed = []
    for example in examples:
        if example.fields["verdict"] != "yes":
            proposed.append(example)
            continue
        own = said.get((example.fact, example.fields["text"]))
        if own is not None:
            fields = {**example.fields, "proposed": own}
            prompt = render("s2-validate", fields["text"], context=fields["context"], answer=own)
            proposed.append(replace(example, prompt=prompt, fields=fields))
    return proposed
