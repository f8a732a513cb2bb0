"""Many wordings of each question, so that models learn from more than the templates.

In the main job they are written before a named teacher is taught, and it learns from them as well:
what it has not understood it cannot hand on. They come from this project's frames, chosen by a
sentence encoder; no answer is compared with a cell. `get_wordings` can also let a model write, and
let a teacher that was not taught these wordings answer them, to see whether they make sense.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...console import Console
from ...data.questions.asked_questions import read_wordings
from ...errors import ModelNotFoundError
from ...labeling.batch.label_run import LabelSettings
from ...labeling.teachers.local_model import LocalTeacher
from ...labeling.teachers.open_teacher import open_teacher
from ...labeling.teachers.protocol import Teacher
from ...labeling.wordings.answer_check import Context
from ...labeling.wordings.outcome import WordingPlan, Wordings
from ...labeling.wordings.write_wordings import write_wordings
from ...run_folder import RunFolder
from .label_student import is_encoder
from .load_table import Loaded
from .settings import STARTER, MainJob

if TYPE_CHECKING:
    from ...inference.scoring.embeddings import StudentEmbeddings

ENCODER: Final = "minilm"
"""The packaged model that judges meaning; nothing is fetched, and it may be missing."""
LOCAL: Final = LabelSettings(
    concurrency=128, max_attempts=1, max_rejections=1, max_error_rate=None, retry_failed=True
)
"""For teachers in this process, which decode in one batch and do not fail by chance."""


def wordings_of_job(
    job: MainJob, loaded: Loaded, run: RunFolder, console: Console
) -> dict[str, tuple[str, ...]]:
    """Write the wordings that a named teacher and named students learn from.

    Those of `job.asked` stay held out.

    Returns:
        Column -> wordings with `{key}`. None for a starter and for a small student of a server,
        whose steps and size are those of the templates, for a student that learns no questions, and
        with `job.wordings` 0.
    """
    small = job.teacher == STARTER or (job.is_served() and job.student is None)
    if small or not job.wordings or is_encoder(job.student):
        return {}
    if loaded.questions.table.kind == "questions":
        return {}
    asked = read_wordings(job.asked, loaded.questions.table) if job.asked else None
    plan = WordingPlan(wanted=job.wordings, calls=0, seed=job.seed)
    return get_wordings(loaded, None, run, console, plan=plan, measured=asked, device=job.device)


def get_wordings(
    loaded: Loaded,
    teacher: Path | str | Teacher | None,
    run: RunFolder,
    console: Console,
    *,
    writer: Path | str | Teacher | None = None,
    plan: WordingPlan | None = None,
    measured: Mapping[str, Sequence[str]] | None = None,
    context: Context | None = None,
    settings: LabelSettings | None = None,
    device: str | None = None,
) -> dict[str, tuple[str, ...]]:
    """Write and check further wordings of the columns' questions.

    A job that was interrupted here continues with the answers in `work/wordings`.

    Args:
        loaded: The table with its questions. Answers are compared with its gold facts only, so
            without any no teacher is asked.
        teacher: A folder, a name or an open teacher that was taught the table, or reads the
            records (`context`); None leaves its check out.
        run: Its folder gets `data/wordings.jsonl`, accepted and rejected ones with the reasons.
        console: Prints what will be asked at most, and the outcome.
        writer: Writes wordings: a model before it was taught the table; None uses frames alone.
        plan: How many, how strictly; None for the defaults.
        measured: Column -> wordings that models are measured on; these stay held out.
        context: Writes the record of a row for a teacher that reads it.
        settings: Of the labeler; None suits the teacher.
        device: Torch device of local models; None chooses.

    Returns:
        Column -> accepted wordings with `{key}`, for `training_stream` and `draw_wordings`.
    """
    path = run.path / "data" / "wordings.jsonl"
    if run.is_done("wordings"):
        return Wordings.read(path).templates
    began, plan = time.monotonic(), plan or WordingPlan()
    table, journal = loaded.questions.table, run.path / "work" / "wordings"
    gold = loaded.questions.gold_facts
    asked = None if teacher is None or not gold else _open(teacher, device)
    told = plan.most_calls(table, writes=writer is not None, checks=asked is not None)
    if any(told):
        limit = "" if plan.most_minutes is None else f", {plan.most_minutes:g} min"
        written = f"{told[0]:,} calls that write and " if told[0] else ""
        console.line("wordings", f"at most {written}{told[1]:,} short questions{limit}")
    found = write_wordings(
        table,
        journal,
        writer=None if writer is None else _open(writer, device),
        teacher=asked,
        encoder=_encoder(console, device),
        plan=plan,
        facts=gold,
        measured=measured,
        context=context,
        settings=settings or (LOCAL if isinstance(asked, LocalTeacher) else None),
    )
    found.write(path)
    console.line("" if any(told) else "wordings", found.describe(), time.monotonic() - began)
    run.done("wordings")
    shutil.rmtree(journal, ignore_errors=True)
    return found.templates


def _open(teacher: Path | str | Teacher, device: str | None) -> Teacher:
    return teacher if isinstance(teacher, Teacher) else open_teacher(teacher, device=device)


def _encoder(console: Console, device: str | None) -> StudentEmbeddings | None:
    """Load the encoder; None, with a sentence, where its weights are not at hand."""
    from ...inference.checkpoints.load_student import load_checkpoint
    from ...inference.scoring.embeddings import StudentEmbeddings
    from ...inference.sources.find_model import find_model

    try:
        folder = find_model(ENCODER)
    except ModelNotFoundError:
        console.line("note", f"wordings name their columns, as no encoder is here to judge others: "
                             f"stillroom models add {ENCODER}")  # fmt: skip
        return None
    return StudentEmbeddings(load_checkpoint(folder, device=device, kinds=("encoder",)))
