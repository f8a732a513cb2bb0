"""Write many wordings of each column's question, and keep those that pass the checks.

    found = write_wordings(table, "outputs/run/work/wordings", writer=base, teacher=taught,
                           encoder=encoder)
    found.templates["price"]      # ("What would {key} set me back?", ...)

Wordings come from a teacher that writes them and from frames of this project. A wording is kept if
it names the record once, is one question, is no duplicate, means its own column to the encoder, and
gets right answers from the teacher about records that the teacher knows.

The same call continues after an interruption: prompts depend on the arguments and earlier answers,
which are in the folder. Two runs give equal wordings unless the time runs out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...tables import FactTable
from ..batch.label_run import LabelSettings
from ..batch.labeler import BatchLabeler
from ..batch.progress import LabelProgress
from ..teachers.protocol import DecodeProfile, Teacher
from .answer_check import AnswerCheck, Context, WholeOrCut
from .candidates import collect
from .column_meaning import ColumnMeanings
from .outcome import (
    DISAGREES,
    MANY,
    NO_TIME,
    OTHER_COLUMN,
    OTHER_KIND,
    STOPPED,
    TRIED_WORDINGS,
    TWICE,
    UNKNOWN,
    Origin,
    WordingPlan,
    WordingResult,
    Wordings,
)
from .teacher_wordings import Asked, wordings_of, writing_tasks
from .wording_form import form_fault

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

TOKENS_PER_WORDING = 24
"""Most tokens of the writer per wording, on average."""
LEAST_USABLE = 0.25
"""A writer of which fewer lines are usable is not asked on; small chat models stay below."""
FRAME_SLACK = 0.1
"""A frame, whose kind fits, needs no lead. Where a teacher's answers are checked too, it may be so
much nearer to another column: small encoders do not know every idiom ("set me back")."""
WAVE = 16
"""Wordings of a column that are asked about before it is looked whether there are enough."""
Pool = dict[str, list[WordingResult]]
"""Column -> its wordings."""
Progress = Callable[[LabelProgress], None]


def write_wordings(
    table: FactTable,
    folder: str | Path,
    *,
    writer: Teacher | None = None,
    teacher: Teacher | None = None,
    encoder: Embeddings | None = None,
    plan: WordingPlan | None = None,
    facts: Collection[str] | None = None,
    measured: Mapping[str, Sequence[str]] | None = None,
    context: Context | None = None,
    settings: LabelSettings | None = None,
    progress: Progress | None = None,
) -> Wordings:
    """Write and check wordings for all columns of a table.

    Args:
        table: With templates; for a table that holds its questions nothing is written.
        folder: Keeps the calls.
        writer: Writes wordings: a chat model as it was before it was taught the table. None uses
            frames alone.
        teacher: Answers the wordings: it was taught the table, or reads the record (`context`).
            None leaves this check out.
        encoder: Judges meaning. Without it, frames that do not name the column are not used.
        plan: How many, how strictly; None for the defaults.
        facts: `row:column` of the cells that answers may be compared with; None for all.
        measured: Column -> wordings with `{key}` that models are measured on; they stay held out.
        context: Writes the record of a row for a teacher that reads it.
        settings: Of the labeler; None for its defaults, which suit a server.
        progress: Called during the calls.

    Returns:
        All wordings, accepted and rejected; also those that were not needed, as rejected.

    Raises:
        ConfigError: Another process uses the folder, or a teacher cannot do what is asked.
    """
    if not any(column.templates for column in table.columns):
        return Wordings((), message="the table holds its own questions")
    plan, began = plan or WordingPlan(), time.monotonic()
    written: list[tuple[Asked, str]] = []
    calls, message = 0, ""
    if writer is not None and plan.calls:
        written, calls, message = _write(
            table, Path(folder) / "written", writer, plan, settings, progress
        )
    meanings = ColumnMeanings(table, encoder) if encoder is not None else None
    pool = collect(table, written, meanings, frames=plan.frames, seed=plan.seed, measured=measured)
    least: dict[Origin, float] = {
        "teacher": plan.margin,
        "frame": 0.0 if teacher is None else -FRAME_SLACK,
    }
    pool = _judge_meaning(pool, meanings, least)
    _reject_shared(pool)
    if teacher is None:
        return Wordings(_in_order(table, _first(pool, plan.wanted)), {"written": calls}, message)
    check = AnswerCheck(
        table, teacher, Path(folder) / "asked", records=plan.records, facts=facts,
        context=context, settings=settings, seed=plan.seed, progress=progress,
    )  # fmt: skip
    _judge_answers(pool, check, plan, began)
    results = _in_order(table, pool)
    if any(one.reason == NO_TIME for one in results):
        message = message or f"stopped after {plan.most_minutes:g} min"
    message = message or check.message
    return Wordings(results, {"written": calls, "asked": check.calls}, message)


def _write(
    table: FactTable,
    folder: Path,
    writer: Teacher,
    plan: WordingPlan,
    settings: LabelSettings | None,
    progress: Progress | None,
) -> tuple[list[tuple[Asked, str]], int, str]:
    """Let the writer write; return its lines, the number of calls, and why it ended early.

    A writer whose first call for each column gives few usable lines is not asked again.
    """
    tokens = TOKENS_PER_WORDING * plan.per_call
    profile = DecodeProfile(max_tokens=tokens, temperature=0.8, top_p=0.95, seed=plan.seed)
    # The last line of an answer that was cut off is no question, and fails the check of its form.
    labeler = BatchLabeler(WholeOrCut(writer), folder, profile=profile, settings=settings)
    lines: list[tuple[Asked, str]] = []
    calls = 0
    by_column = [
        list(writing_tasks(table, column, plan.calls, plan.per_call, plan.seed))
        for column in table.columns
    ]
    for part in (slice(0, 1), slice(1, None)):
        asked = [one for tasks in by_column for one in tasks[part]]
        run = labeler.run([one.task for one in asked], progress=progress)
        calls += len(asked)
        lines += [
            (one, line)
            for one, said in zip(asked, run.results, strict=True)
            if said.answer is not None
            for line in wordings_of(one, said.answer.text)
        ]
        if run.stopped:
            return lines, calls, run.message
        usable = {(a.column, w) for a, w in lines if form_fault(w, a.cell, a.question) is None}
        share = len(usable) / max(1, len(lines))
        if share < LEAST_USABLE and calls < sum(map(len, by_column)):
            return lines, calls, f"{share:.0%} of the teacher's own wordings were of use"
    return lines, calls, ""


def _judge_meaning(
    pool: Pool, meanings: ColumnMeanings | None, least: Mapping[Origin, float]
) -> Pool:
    """Reject wordings that another column is as near to, unless they name their own.

    Args:
        pool: The wordings.
        meanings: The columns for an encoder; None rejects nothing.
        least: Who wrote a wording -> least lead of its column.
    """
    if meanings is None:
        return pool
    judged: Pool = {}
    for column, ones in pool.items():
        unsure = [one for one in ones if one.reason is None and one.origin != "label frame"]
        verdicts = iter(meanings.judge([one.wording for one in unsure], column))
        judged[column] = []
        for one in ones:
            if one.reason is None and one.origin != "label frame":
                lead, fits = next(verdicts)
                reason = OTHER_COLUMN if lead < least[one.origin] else None if fits else OTHER_KIND
                one = replace(one, margin=round(lead, 4), reason=reason)
            judged[column].append(one)
    return judged


def _reject_shared(pool: Pool) -> None:
    """Reject, in place, wordings that were written for several columns."""
    columns = Counter(
        text
        for ones in pool.values()
        for text in {one.wording.casefold() for one in ones if one.reason is None}
    )
    for ones in pool.values():
        ones[:] = [
            replace(one, reason=TWICE)
            if one.reason is None and columns[one.wording.casefold()] > 1
            else one
            for one in ones
        ]


def _first(pool: Pool, wanted: int) -> Pool:
    """Keep the first so many of each column."""
    kept: Pool = {}
    for column, ones in pool.items():
        count, kept[column] = 0, []
        for one in ones:
            count += one.reason is None
            late = one.reason is None and count > wanted
            kept[column].append(replace(one, reason=MANY) if late else one)
    return kept


def _judge_answers(pool: Pool, check: AnswerCheck, plan: WordingPlan, began: float) -> None:
    """Judge, in place, the wordings of all columns by the teacher's answers, in waves."""
    limit = None if plan.most_minutes is None else began + 60 * plan.most_minutes
    known = check.find_known()
    waiting = {
        column: [place for place, one in enumerate(ones) if one.reason is None]
        for column, ones in pool.items()
    }
    asked, accepted = Counter[str](), Counter[str]()

    def reject(column: str, places: list[int], reason: str) -> None:
        for place in places:
            pool[column][place] = replace(pool[column][place], reason=reason)

    while any(waiting.values()):
        wave: list[tuple[str, int]] = []
        for column, places in waiting.items():
            room = min(plan.wanted - accepted[column], TRIED_WORDINGS * plan.wanted - asked[column])
            reason = (
                STOPPED if check.message
                else UNKNOWN if len(known[column]) < min(2, plan.records)
                else MANY if room <= 0
                else NO_TIME if limit is not None and time.monotonic() > limit
                else None
            )  # fmt: skip
            if reason is not None:
                reject(column, places, reason)
                places.clear()
                continue
            count = min(room, WAVE)
            wave += [(column, place) for place in places[:count]]
            asked[column] += len(places[:count])
            del places[:count]
        shares = check.agreement(
            [(column, pool[column][place].wording) for column, place in wave], plan.least_agreement
        )
        for (column, place), share in zip(wave, shares, strict=True):
            if share is None:
                reject(column, [place], STOPPED)
                continue
            fine = share >= plan.least_agreement
            accepted[column] += fine
            pool[column][place] = replace(
                pool[column][place], agreement=share, reason=None if fine else DISAGREES
            )


def _in_order(table: FactTable, pool: Pool) -> tuple[WordingResult, ...]:
    return tuple(one for column in table.columns for one in pool[column.name])
