"""Write many wordings of each column's question, and keep those that pass the checks.

    found = write_wordings(table, "outputs/run/wordings", writer=base, teacher=taught,
                           encoder=encoder)
    found.templates["price"]      # ("What would {key} set me back?", ...)

Wordings come from a teacher that writes them and from frames of this project. A wording is accepted
if it names the record once, is one question and no duplicate, asks for its own column according to
the sentence encoder, and if the teacher answers it right for records that the teacher knows.

The same call continues after an interruption: the prompts depend only on the arguments and on
earlier answers, which are in the folder. Two runs give equal wordings unless the time runs out.
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
"""Tokens per wording in the limit of a writer's answer."""
LEAST_USABLE = 0.25
"""Least share of usable lines with which a writer is asked further; small chat models stay below
it."""
FRAME_SLACK = 0.1
"""Most by which a frame may be nearer to another column if a teacher checks it too: small encoders
do not know every idiom ("set me back"). Without a teacher it may not be nearer at all."""
WAVE = 16
"""Wordings of a column that are checked before the accepted ones are counted again."""
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
        table: A table with templates; nothing is written for a table that holds its own questions.
        folder: Folder that keeps the calls.
        writer: A chat model, not trained on the table, that writes wordings. None uses frames only.
        teacher: A model that answers the wordings: it was trained on the table, or reads the
            records (`context`). None skips this check.
        encoder: Sentence encoder that judges meaning. Without it, frames that do not name the
            column are used for columns of yes and no only.
        plan: How many wordings, and how strictly they are checked; None takes the defaults.
        facts: `row:column` of the cells that answers may be compared with; None allows all.
        measured: Column -> wordings with `{key}` that models are measured on; they stay held out.
        context: Writes the record of a row for a teacher that reads records.
        settings: Settings of the labeler; None takes its defaults, which suit a server.
        progress: Called during the calls.

    Returns:
        All wordings, accepted and rejected; those that were not needed count as rejected.

    Raises:
        ConfigError: Another process uses the folder, or a teacher does not support a setting.
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
    """Let the writer write wordings.

    If its first calls, one per column, give too few usable lines, it is not asked again.

    Returns:
        Its lines with the calls, the number of calls, and why it ended early (empty if not).
    """
    tokens = TOKENS_PER_WORDING * plan.per_call
    profile = DecodeProfile(max_tokens=tokens, temperature=0.8, top_p=0.95, seed=plan.seed)
    # The last line of a truncated answer is usually no whole question, and its form is rejected.
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
    """Reject wordings that ask for another column or kind of values, unless they name their own.

    Args:
        pool: The wordings.
        meanings: Vectors of the columns; None rejects nothing.
        least: Source of a wording -> least lead of its own column.
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
    """Reject wordings that occur in several columns, in place."""
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
    """Reject all but the first `wanted` accepted wordings of each column."""
    kept: Pool = {}
    for column, ones in pool.items():
        count, kept[column] = 0, []
        for one in ones:
            count += one.reason is None
            late = one.reason is None and count > wanted
            kept[column].append(replace(one, reason=MANY) if late else one)
    return kept


def _judge_answers(pool: Pool, check: AnswerCheck, plan: WordingPlan, began: float) -> None:
    """Check the wordings of all columns by the teacher's answers, in waves and in place."""
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
