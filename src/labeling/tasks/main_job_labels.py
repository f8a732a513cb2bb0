"""Labels for the main job: the teacher answers the questions that have no gold answer.

A label that was cut off or is empty is rejected and counted; nothing is made up in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...errors import GenerationError
from ...prompts import prompts_sha256, render, verdict_focus
from ...records import Example
from ..batch.labeler import BatchLabeler, LabelSettings, LabelTask
from ..teachers.protocol import DecodeProfile, Teacher

_REJECTED: Final = {"truncated": "cut off", "empty_response": "empty"}


@dataclass(frozen=True)
class LabelReport:
    """The outcome of `label_examples`."""

    labelled: list[Example]
    """Examples whose target is the teacher's text."""
    rejected: list[tuple[Example, str]]
    """Examples without a usable label, with the reason."""


def label_examples(
    teacher: Teacher,
    examples: Sequence[Example],
    folder: str | Path,
    *,
    max_new_tokens: int = 128,
    concurrency: int = 128,
) -> LabelReport:
    """Ask the teacher, greedily, and keep its usable answers; targets of the examples are ignored.

    Args:
        teacher: The model that answers.
        examples: What to ask.
        folder: Keeps each answer as soon as it arrives; a later call asks only for the others.
        max_new_tokens: An answer that is not finished by then is rejected.
        concurrency: Prompts answered together.

    Raises:
        GenerationError: The teacher failed at a prompt. The same call continues from there.
    """
    # Similar lengths need less padding; longest first, so that a lack of memory shows at once.
    order = sorted(range(len(examples)), key=lambda place: -len(examples[place].prompt))
    settings = LabelSettings(
        concurrency=concurrency,
        max_attempts=1,
        max_rejections=1,
        max_error_rate=None,
        retry_failed=True,
    )
    profile = DecodeProfile(max_tokens=max_new_tokens)
    run = BatchLabeler(teacher, folder, profile=profile, settings=settings).run(
        LabelTask(str(place), examples[place].asked) for place in order
    )
    label = {"teacher": teacher.name, "prompt_hash": prompts_sha256()[:12]}
    report = LabelReport([], [])
    for place, one in sorted(zip(order, run.results, strict=True), key=lambda pair: pair[0]):
        example = examples[place]
        if one.answer is not None:
            text = one.answer.text
            focus = verdict_focus(text) if example.focus is not None else None
            report.labelled.append(replace(example, target=text, label=label, focus=focus))
        elif one.fault is not None and one.fault.kind in _REJECTED:
            report.rejected.append((example, _REJECTED[one.fault.kind]))
        else:
            reason = run.message if one.fault is None else one.fault.message
            raise GenerationError(f"{teacher.name} could not answer {example.prompt!r}: {reason}")
    return report


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
