"""Labels for the main job: the teacher answers the questions that have no gold answer.

Truncated and empty answers are rejected and counted; nothing replaces them.
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
    """Result of `label_examples`."""

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
    """Ask the teacher with greedy decoding, and keep its usable answers.

    Args:
        teacher: The model that answers.
        examples: Examples to ask; their targets are ignored.
        folder: Keeps each answer as soon as it arrives; a later call asks only for the others.
        max_new_tokens: Most tokens of an answer; a longer one is rejected.
        concurrency: Number of prompts answered together.

    Raises:
        GenerationError: The teacher failed at a prompt. The same call continues from there.
    """
    # Similar lengths need less padding; the longest come first to run out of memory early, if ever.
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
    """Replace proposed gold answers by the teacher's own answers to the same questions.

    Without gold answers it is not known which proposals are right, so the proposal of each "yes"
    example becomes the teacher's answer, which the teacher judges later.

    Args:
        examples: `validate` examples without gold answers; their `verdict` is "yes" if the gold
            answer is proposed.
        answered: `qa` examples labelled by the teacher.

    Returns:
        The examples without gold proposals; "yes" examples whose question has no label are left
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
