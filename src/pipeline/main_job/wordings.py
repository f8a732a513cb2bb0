"""Write additional wordings of each question, so that models learn from more than the templates.

The main job writes them before it trains a named teacher, because the teacher is trained on them
too. They come from the question frames of `labeling.wordings`, chosen by a sentence encoder; no
answers are checked. `get_wordings` can also let a model write wordings, and check wordings by
letting a teacher answer them that was not trained on them.
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
"""The packaged sentence encoder. It is used if it is in the model cache, and never downloaded."""
LOCAL: Final = LabelSettings(
    concurrency=128, max_attempts=1, max_rejections=1, max_error_rate=None, retry_failed=True
)
"""Settings for teachers in this process, which decode in batches and do not fail at random."""


def wordings_of_job(
    job: MainJob, loaded: Loaded, run: RunFolder, console: Console
) -> dict[str, tuple[str, ...]]:
    """Write the wordings that a named teacher and named students are trained on.

    The wordings of `job.asked` stay held out.

    Returns:
        Column -> wordings with `{key}`. Empty for a starter and for a small student of a server,
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
    """Write and check additional wordings of the questions about each column.

    An interrupted job continues from the answers in `work/wordings`.

    Args:
        loaded: The table with its questions. Answers are compared with its gold facts only, so
            the teacher is not asked if there are none.
        teacher: A folder, a name or an open teacher that checks wordings by answering them. It was
            trained on the table, or reads the records (`context`). None skips this check.
        run: The run folder. `data/wordings.jsonl` in it gets the accepted wordings, and the
            rejected ones with the reasons.
        console: Prints the largest number of calls, and the outcome.
        writer: A model, not yet trained on the table, that writes wordings; None uses frames only.
        plan: How many wordings, and how strictly they are checked; None takes the defaults.
        measured: Column -> wordings that models are measured on; these stay held out.
        context: Writes the record of a row for a teacher that reads records.
        settings: Settings of the labeler; None chooses them for the kind of teacher.
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
    """Load the sentence encoder; print a note and return None if it is not in the model cache."""
    from ...inference.checkpoints.load_student import load_checkpoint
    from ...inference.scoring.embeddings import StudentEmbeddings
    from ...inference.sources.find_model import find_model

    try:
        folder = find_model(ENCODER)
    except ModelNotFoundError:
        console.line("note", f"only wordings that name their column are used, since the encoder is "
                             f"missing; add it with: stillroom models add {ENCODER}")  # fmt: skip
        return None
    return StudentEmbeddings(load_checkpoint(folder, device=device, kinds=("encoder",)))
