"""Read the table, say what was understood, make questions from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..console import Console
from ..data.profile import TableProfile, profile_table
from ..data.questions import QuestionSet, build_question_set
from ..data.readers import read_table
from ..errors import DataError
from ..records import write_examples
from .job import MainJob


@dataclass(frozen=True)
class Loaded:
    """A table, read and understood."""

    records: list[dict[str, Any]]
    profile: TableProfile
    questions: QuestionSet


def load_table(job: MainJob, console: Console) -> Loaded:
    """Read the table, say what was understood, and make questions from it."""
    began = time.monotonic()
    options: dict[str, Any] = {"flatten": True}
    if job.records_path:
        options["records_path"] = job.records_path
    records = read_table(job.data, query=job.query, table=job.table, **options)
    source = job.table or Path(job.data.split("?")[0]).name
    profile = profile_table(
        records,
        source=source,
        key=job.key,
        columns=job.columns,
        question=job.question,
        answer=job.answer,
        context=job.context,
    )
    width = len({name for record in records for name in record})
    console.head(f"stillroom: {job.data}, {len(records):,} records, {width} columns")
    for line in profile.describe():
        console.line("table", line)
    questions = build_question_set(
        records, profile, templates=job.templates, gold_share=job.gold_share, seed=job.seed
    )
    questions = replace(questions, table=questions.table.also_called(job.also_called))
    if not questions.held_out:
        raise DataError("no question could be made from the table", path=source)
    gold = len({e.fact for e in questions.held_out if e.task == "qa" and questions.is_gold(e)})
    console.line(
        "questions",
        f"{questions.facts:,} facts, {questions.phrasings} phrasings each, 1 of them held out; "
        f"gold answers for {gold:,}",
        time.monotonic() - began,
    )
    return Loaded(records, profile, questions)


def write_questions(folder: Path, questions: QuestionSet) -> None:
    """Keep what was asked, for a look and for later evaluations."""
    write_examples(str(folder / "data" / "train.jsonl"), questions.train)
    write_examples(str(folder / "data" / "held_out.jsonl"), questions.held_out)
