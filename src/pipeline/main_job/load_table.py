"""Read the table, print what was found in it, and make questions from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ...console import Console
from ...data.questions.asked_questions import asked_examples, read_wordings
from ...data.questions.profile import TableProfile, profile_table
from ...data.questions.questions import SUMMARY_COLUMNS, QuestionSet, build_question_set
from ...data.readers.read_table import iter_records
from ...errors import ConfigError, DataError
from ...records import Example, write_examples
from ...tables import also_faults
from .settings import ELEMENTS, MainJob


@dataclass(frozen=True)
class Source:
    """The records of a table and its profile: what its columns and keys are."""

    records: list[dict[str, Any]]
    profile: TableProfile


@dataclass(frozen=True)
class Loaded(Source):
    """A table with its questions."""

    questions: QuestionSet
    asked: tuple[Example, ...] = ()
    """Questions in people's own words, used for measuring only."""


def read_source(job: MainJob, console: Console) -> Source:
    """Read the table and print its key, columns and kind.

    Raises:
        ConfigError: `also_called` names columns that the table does not have.
    """
    read = iter_records(job.data, **job.reading_keywords())
    records = list(islice(console.progress(read, "reading", job.rows), job.rows))
    with console.busy("looking at the columns"):
        profile = profile_table(
            records,
            source=job.table or Path(str(job.data).split("?")[0]).name,
            key=job.key,
            columns=job.columns,
            question=job.question,
            answer=job.answer,
            context=job.context,
        )
        width = len({name for record in records for name in record})
    faults = also_faults(job.also_called, profile.columns)
    if faults:
        raise ConfigError(faults)
    first = "" if job.rows is None else "the first "
    name = "the bundled elements.csv" if job.data == str(ELEMENTS) else job.data
    console.head(f"stillroom: {name}, {first}{len(records):,} records, {width} columns")
    for line in profile.describe():
        console.line("table", line)
    if profile.kind == "facts" and len(profile.columns) > SUMMARY_COLUMNS:
        told = ", ".join(profile.columns[:SUMMARY_COLUMNS])
        console.line(
            "table",
            f"summaries contain the first {SUMMARY_COLUMNS} columns with a value: {told}",
        )
    return Source(records, profile)


def make_questions(job: MainJob, source: Source, console: Console) -> Loaded:
    """Make training and held-out questions from a table.

    Raises:
        DataError: No question could be made from the table.
    """
    began = time.monotonic()
    records, profile = source.records, source.profile
    questions = build_question_set(
        records,
        profile,
        templates=job.templates,
        gold_share=job.gold_share,
        seed=job.seed,
        watch=lambda rows: console.progress(rows, "making questions", len(rows)),
    )
    questions = replace(questions, table=questions.table.also_called(job.also_called))
    if not questions.held_out:
        raise DataError("no question could be made from the table", path=profile.source)
    if questions.ambiguous:
        console.line("note", f"{questions.ambiguous:,} facts are left out: another fact has the "
                     "same question and another answer")  # fmt: skip
    gold = len({e.fact for e in questions.held_out if e.task == "qa" and questions.is_gold(e)})
    console.line(
        "questions",
        f"{questions.facts:,} facts, {questions.phrasings} phrasings each, 1 of them held out; "
        f"gold answers for {gold:,}",
        time.monotonic() - began,
    )
    return Loaded(records, profile, questions, _asked(job, questions, console))


def _asked(job: MainJob, questions: QuestionSet, console: Console) -> tuple[Example, ...]:
    """Make the questions of `job.asked` for the held-out facts; () if there are none."""
    if job.asked is None:
        return ()
    wordings = read_wordings(job.asked, questions.table)
    examples = asked_examples(wordings, questions.table, questions.held_out)
    console.line("asked", f"{len(examples):,} questions in {sum(map(len, wordings.values())):,} "
                 "wordings of your own, for measuring only")  # fmt: skip
    return tuple(examples)


def write_questions(folder: Path, questions: QuestionSet) -> None:
    """Write the questions, for the user and for later evaluations."""
    write_examples(str(folder / "data" / "train.jsonl"), questions.train)
    write_examples(str(folder / "data" / "held_out.jsonl"), questions.held_out)
