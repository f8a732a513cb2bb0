"""Let a teacher on a server label the questions, after a few calls that measure its accuracy.

The teacher was not trained on the table, so each prompt contains the record. For a table of
questions it gets only the question and its context, because the other cells are the answers. All
answers are kept in `teacher_answers`, even if the job is started anew, so none is paid for twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ...console import Console
from ...data.questions.label_questions import labels_of
from ...errors import LabelingStoppedError
from ...evaluation.metrics import exact_match
from ...labeling.batch.label_run import LabelRun, LabelSettings
from ...labeling.batch.labeler import BatchLabeler
from ...labeling.tasks.open_book_labels import as_cell, label_by_fact, open_book_tasks
from ...labeling.teachers.open_teacher import open_teacher, require_server
from ...labeling.teachers.protocol import DecodeProfile, Teacher
from ...records import Example, read_examples, sha256_text, write_examples
from ...run_folder import RunFolder
from .load_table import Loaded
from .settings import MainJob
from .teacher_knowledge import require_knowledge

KNOWLEDGE_QUESTIONS: Final = 40
"""Most questions that measure whether the teacher is good enough."""
WORKED: Final = {"qa": 2, "summarize": 1}
"""Task -> number of gold examples in its prompts, which show the form of the answers."""
ANSWERS: Final = "teacher_answers"
"""Folder in the run folder that keeps every call and answer."""


def label_over_server(
    job: MainJob, loaded: Loaded, run: RunFolder, console: Console
) -> list[Example]:
    """Measure a served teacher, then let it label all questions without a gold answer.

    Raises:
        LabelingStoppedError: The teacher answers too few questions right, no question got a label,
            or the labelling ended early; the same command continues it.
        RemoteError: The server could not be reached.
        ConfigError: The server lacks the model, or the API key is missing.
    """
    path = run.path / "data" / "teacher_labels.jsonl"
    if run.is_done("labels"):
        console.line("labels", "finished before the interruption")
        return read_examples(str(path))
    server = job.server
    teacher = open_teacher(
        str(job.teacher),
        model=server.model,
        api_key_env=server.api_key_env,
        timeout_s=server.timeout_s,
        honours_idempotency=server.honours_idempotency,
    )
    require_server(teacher, job.teacher)
    _measure_knowledge(job, loaded, teacher, run, console)
    began = time.monotonic()
    questions = loaded.questions
    without = [e for e in questions.train if not questions.is_gold(e)]
    with console.busy("labelling"):
        answers, asked = _ask(job, loaded, without, teacher, run, server.limits)
    _require_finished(asked, run)
    labelled = label_by_fact(without, answers, teacher.name)
    write_examples(str(path), labelled)
    right = {e.fact: e.target for e in without if e.task == "qa"}
    known = [fact for fact in answers if fact in right]
    share = sum(exact_match(answers[f], right[f] or "") for f in known) / max(1, len(known))
    words = f"{len(answers):,} answers of {teacher.name}, one per fact, {100 * share:.1f} % of the "
    words += f"facts right; {len(labelled):,} questions are labelled by them"
    if asked.failed:
        words += f"; {len(asked.failed):,} facts without a label (dead_letter.jsonl says why)"
    console.line("labels", words, time.monotonic() - began)
    run.done("labels")
    return labelled


def questions_of_knowledge(loaded: Loaded) -> list[Example]:
    """Choose up to `KNOWLEDGE_QUESTIONS` held-out questions, the same ones in every run."""
    asked = [e for e in loaded.questions.held_out if e.task == "qa"]
    return sorted(asked, key=lambda e: sha256_text(e.id))[:KNOWLEDGE_QUESTIONS]


def _measure_knowledge(
    job: MainJob, loaded: Loaded, teacher: Teacher, run: RunFolder, console: Console
) -> None:
    """Print a teacher's score on held-out wordings, and stop the job if it is too low.

    Raises:
        LabelingStoppedError: The score is below `job.teacher_least`, or the calls ended early.
    """
    began, chosen = time.monotonic(), questions_of_knowledge(loaded)
    # A rejected answer is not asked for again, which would cost a second call.
    limits = replace(job.server.limits, max_rejections=1)
    answers, asked = _ask(job, loaded, chosen, teacher, run, limits)
    if asked.stopped is not None:
        _require_finished(asked, run)
    right = sum(exact_match(answers.get(e.fact or "", ""), e.target or "") for e in chosen)
    reads = (
        "" if loaded.questions.table.kind == "questions" else ", reads each record in its prompt"
    )
    console.line(
        "teacher",
        f"{teacher.name} at {job.teacher}{reads}: {right} of {len(chosen)} held-out questions "
        "right",
        time.monotonic() - began,
    )
    if not reads:
        return  # answers in other words may be right as well
    require_knowledge(
        right / len(chosen),
        len(chosen),
        job,
        f"{run.path / ANSWERS} holds its answers. Name a larger model (--model), or allow more "
        "tokens (--max-tokens) where it thinks first",
    )


def _ask(
    job: MainJob,
    loaded: Loaded,
    examples: Sequence[Example],
    teacher: Teacher,
    run: RunFolder,
    limits: LabelSettings,
) -> tuple[dict[str, str], LabelRun]:
    """Ask once per fact.

    Returns:
        Fact -> answer, spelled like the cell of the record that it names, if any; and the run.
    """
    table = loaded.questions.table
    gold = [e for e in loaded.questions.train if loaded.questions.is_gold(e)]
    worked = [e for task, most in WORKED.items() for e in _first_facts(gold, task, most)]
    asked = BatchLabeler(
        teacher,
        run.path / ANSWERS,
        profile=DecodeProfile(max_tokens=job.server.max_tokens),
        settings=limits,
    ).run(open_book_tasks(examples, table, worked, labels_of(loaded.questions)))
    rows = {e.fact: e.source.row for e in examples if e.source is not None and e.task == "qa"}
    by_number = {row.row: row for row in table.rows}
    return {
        one.task.id: as_cell(one.answer.text, by_number[rows[one.task.id]])
        if one.task.id in rows
        else one.answer.text
        for one in asked.labelled
        if one.answer is not None
    }, asked


def _first_facts(gold: Sequence[Example], task: str, most: int) -> list[Example]:
    """Return one example of each of the first `most` facts of a task, in reverse order."""
    return list({e.fact: e for e in reversed(gold) if e.task == task}.values())[-most:]


def _require_finished(asked: LabelRun, run: RunFolder) -> None:
    """Raise an error if a labelling ended early or gave no label."""
    if asked.stopped is not None:
        raise LabelingStoppedError(
            f"labelling stopped early ({asked.stopped}): {asked.message}; "
            f"{asked.numbers.remaining:,} facts are left: the same command goes on with them"
        )
    if asked.results and not asked.labelled:
        raise LabelingStoppedError(
            f"no fact has a label; {run.path / ANSWERS / 'dead_letter.jsonl'} says why, and "
            "--retry-failed asks for them again"
        )
