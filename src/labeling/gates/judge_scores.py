"""A judge that scores records one by one, and the gate over its scores.

A teacher is the judge. Its calls have a folder, a queue, a cap and a budget of their own (those of
`BatchLabeler`), and records that an earlier gate rejected are not given to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ..batch.label_run import Labelled, LabelRun, LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..batch.open_folder import OpenFolder
from ..teachers.protocol import DecodeProfile, Teacher, TeacherAnswer
from .record_values import read_number, read_text
from .rubric import Rubric
from .verdict import OK, Verdict


@dataclass(frozen=True)
class JudgedFields:
    """The fields of a record that a judge is shown."""

    instruction: str = "instruction"
    answer: str = "generation"
    reference: str | None = None
    """Field of a gold answer; None if the judge sees none."""


@dataclass(frozen=True)
class JudgeScores:
    """What a judge said about some records."""

    scores: list[float | None]
    """One per record, 0 to 1; None without a score."""
    reasons: list[str]
    """One per record: `ok`, or why there is no score: `missing <field>`, `not_finite`, `not_text`,
    `empty_output`, `no_score`, `not_judged` (the budget or the run ended), or a kind of fault."""
    run: LabelRun
    """The calls, with their number and cost."""


def judge_scores(
    teacher: Teacher,
    records: Sequence[Mapping[str, Any]],
    rubric: Rubric,
    folder: str | Path | OpenFolder,
    *,
    fields: JudgedFields | None = None,
    profile: DecodeProfile | None = None,
    settings: LabelSettings | None = None,
) -> JudgeScores:
    """Ask a judge for a score of each record.

    Args:
        teacher: The judge.
        records: Records that passed the gates before.
        rubric: What is judged, and the scale.
        folder: Folder of the calls; the same call is never paid for twice. One that
            is open stays open.
        fields: The fields that the judge is shown.
        profile: How to decode; None takes the likeliest tokens, up to 512.
        settings: Cap, retries and budget of the judge alone.

    Raises:
        As `BatchLabeler.run`.
    """
    shown = fields or JudgedFields()
    read = [_shown_texts(record, shown) for record in records]
    tasks = [
        LabelTask(str(number), rubric.ask_score(*texts))
        for number, texts in enumerate(read)
        if not isinstance(texts, str)
    ]

    def check(task: LabelTask, answer: TeacherAnswer) -> str | None:
        return None if rubric.read_score(answer.text) is not None else "no_score"

    labeler = BatchLabeler(
        teacher, folder, profile=profile or DecodeProfile(), settings=settings, check=check
    )
    run = labeler.run(tasks)
    scores: list[float | None] = [None] * len(read)
    reasons = [texts if isinstance(texts, str) else "not_judged" for texts in read]
    for one in run.results:
        place = int(one.task.id)
        if one.answer is not None:
            scores[place] = rubric.read_score(one.answer.text)
        reasons[place] = fault_reason(one)
    return JudgeScores(scores, reasons, run)


@dataclass(frozen=True)
class JudgeGate:
    """Passes records whose judge gave a score that is high enough."""

    min_score: float
    """Least score, 0 to 1."""
    score_field: str = "judge_score"
    name: str = "judge"

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if not 0.0 <= self.min_score <= 1.0:
            raise ConfigError([f"min_score is {self.min_score}; allowed is 0 to 1"])

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `low_score`, `missing <field>`, `not_finite` or `not_a_number`.
        """
        score, reason = read_number(record, self.score_field)
        if score is not None:
            reason = OK if score >= self.min_score else "low_score"
        return Verdict(self.name, reason == OK, reason)


def fault_reason(one: Labelled) -> str:
    """Say why a call gave nothing: `ok` if it did, `not_judged` if it was not made."""
    if one.answer is not None:
        return OK
    if one.fault is None:
        return "not_judged"
    return one.fault.message if one.fault.kind == "rejected" else one.fault.kind


def _shown_texts(
    record: Mapping[str, Any], fields: JudgedFields
) -> tuple[str, str, str | None] | str:
    """Read what the judge is shown, or the reason why nothing is."""
    texts: list[str | None] = []
    for field in (fields.instruction, fields.answer, fields.reference):
        if field is None:
            texts.append(None)
            continue
        text, reason = read_text(record, field)
        if text is None or not text.strip():
            return reason or "empty_output"
        texts.append(text)
    return str(texts[0]), str(texts[1]), texts[2]
