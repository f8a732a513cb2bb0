"""The main job, from a table to a student that answers: the order of its steps.

load -> questions, wordings -> teacher -> labels -> student and controls -> measure -> ask agents
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import Console
from ...errors import ConfigError
from ...files import read_json, write_json
from ...prompts import prompts_sha256
from ...records import Example, data_hash, read_examples, record_hash, sha256_text
from ...run_folder import RunFolder, open_run_folder, source_of
from ..path_checks import require_source
from ..stage_times import TIMING_FILE, StageTimes
from ..threads import job_threads
from .settings import STARTER, MainJob, Recipe, StudentForm

if TYPE_CHECKING:
    from ...evaluation.scores import ModelScores
    from .load_table import Loaded, Source

THREADS_FILE = "work/threads.json"
"""File of the run folder that keeps the number of threads, for a run that is continued."""
_LATER = (("training_seed", None), ("form", asdict(StudentForm())))
"""Settings that came later; a run with these values is the same as one of an earlier version."""
LEAST_USEFUL = 2.0
"""Percent of held-out questions; below it the closing lines say that the student learned almost
nothing."""


def run_main_job(job: MainJob | str | Path, console: Console | None = None) -> Path:
    """Run the whole job.

    Args:
        job: The settings; a path stands for `MainJob(data=path)`.
        console: Prints the progress.

    Returns:
        The run folder: `teacher/`, `student/`, `controls/`, `metrics.json`, `predictions/`,
        `report.html`, pictures.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The table cannot be used.
        ConfigError: Settings are wrong (all faults at once), the job takes more time or memory
            than allowed, or the named run folder holds something else.
        ModelNotFoundError: There is no such model.
        LabelingStoppedError: A named or served teacher knows too little, or the labelling stopped
            early, for example because its budget was used up.
        RemoteError: The server could not be reached.
    """
    console = console or Console()  # before other imports: it silences libraries as they load
    job = job if isinstance(job, MainJob) else MainJob(data=job)
    faults = job.faults()
    if faults:
        require_source(str(job.data))
        raise ConfigError(faults)
    from .load_table import read_source

    source = read_source(job, console)
    run = claim_folder(job, source.records, console)
    kept = run.path / THREADS_FILE
    before = read_json(kept) if run.is_broken_off() and kept.is_file() else None
    with job_threads(job.threads, console, kept=before) as threads:
        return _run(job, source, run, threads, console)


def _run(job: MainJob, source: Source, run: RunFolder, threads: int, console: Console) -> Path:
    """Run the job in its folder, after estimating its time with the threads that it will use."""
    from .demo_questions import ask_agents
    from .estimate import require_affordable
    from .evaluate import (
        calibrate,
        measure,
        measure_plain,
        measured_questions,
        price_int8,
        write_job_report,
    )
    from .label_student import for_labels
    from .load_table import make_questions, write_questions

    folder = run.path
    if not run.is_broken_off():
        require_affordable(job, source, console)
    loaded = for_labels(job, make_questions(job, source, console))
    if run.begin():
        console.line("going on", f"an interrupted run in {folder} with the same settings and data")
    write_json(folder / THREADS_FILE, threads)
    write_questions(folder, loaded.questions)
    times = StageTimes(folder / TIMING_FILE, resumed=run.resumed)
    with times.stage("training"):
        taught = teach(job, loaded, run, console)
        arms = distil(job, loaded, taught, run, console)
    with times.stage("measuring"):
        scores = measure(job, loaded, taught.teacher, arms, run, console)
        measure_plain(loaded, _labels(folder), measured_questions(job, loaded), run)
        calibrate(run, loaded, console)
        price_int8(loaded, run, scores["student"], console)
    write_job_report(folder)
    ask_agents(folder / "student", loaded.questions, console)
    run.finish()
    say_goodbye(job, folder, scores["student"], console)
    return folder


@dataclass(frozen=True)
class Taught:
    """A teacher and what it labelled."""

    teacher: Path | None
    """Its folder; None for one on a server."""
    labelled: list[Example]
    """The training questions that it answered; [] for an encoder, which learns its
    probabilities."""
    wordings: Mapping[str, Sequence[str]]
    """Column -> further wordings of its question."""


def teach(job: MainJob, loaded: Loaded, run: RunFolder, console: Console) -> Taught:
    """Train or open the teacher, and collect its labels."""
    from .label_student import is_encoder
    from .named_teacher import teach_named
    from .served_teacher import label_over_server
    from .teacher import get_labels, train_teacher
    from .wordings import wordings_of_job

    wordings = wordings_of_job(job, loaded, run, console)
    if job.is_served():
        return Taught(None, label_over_server(job, loaded, run, console), wordings)
    if job.teacher == STARTER:
        teacher = train_teacher(job, loaded, run, console)
    else:
        teacher = teach_named(job, loaded, wordings, run, console)
    labelled = [] if is_encoder(job.student) else get_labels(job, loaded, teacher, run, console)
    return Taught(teacher, labelled, wordings)


def distil(
    job: MainJob, loaded: Loaded, taught: Taught, run: RunFolder, console: Console
) -> dict[str, Path]:
    """Train the student and its controls.

    Returns:
        Their folders by name.
    """
    from .label_student import get_label_students, is_encoder
    from .train_student import get_students

    if is_encoder(job.student) and taught.teacher is not None:
        return get_label_students(job, loaded, taught.teacher, run, console)
    return get_students(job, loaded, taught.teacher, taught.labelled, run, console, taught.wordings)


def _labels(folder: Path) -> list[Example]:
    """Read what the teacher labelled; an encoder's teacher gives probabilities instead."""
    path = folder / "data" / "teacher_labels.jsonl"
    return read_examples(str(path)) if path.is_file() else []


def claim_folder(job: MainJob, records: list[dict[str, Any]], console: Console) -> RunFolder:
    """Open the named run folder, or choose one that no other run uses.

    Raises:
        ConfigError: The named folder holds another run, or other files.
    """
    wanted = job.run_dir()
    named = ("data", "query", "table", "records_path", "reading", "rows")
    # These options do not change what is learned, so they do not identify the run.
    without = ("output_dir", "max_minutes", "device", "threads", "server", "teacher_least")
    owner = {
        "source": source_of(
            str(job.data),
            wanted.absolute().parent,
            query=job.query,
            table=job.table,
            records_path=job.records_path,
            reading=_jsonable(job.reading) or None,
            rows=job.rows,
        ),
        "settings": _jsonable(
            {
                name: value
                for name, value in asdict(job).items()
                if name not in named + without and (name, value) not in _LATER
            }
        )
        | ({"teacher_model": job.server.model} if job.is_served() else {}),
    }
    watched = console.progress(records, "hashing", len(records))
    identity = sha256_text(
        record_hash({"owner": owner, "prompts": prompts_sha256()})
        + data_hash(_jsonable(r) for r in watched)
    )
    return open_run_folder(wanted, identity, owner, console, is_named=bool(job.output_dir))


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def say_goodbye(job: MainJob, folder: Path, student: ModelScores, console: Console) -> None:
    """Print what was written and what to do next, and warn of a student that learned nothing."""
    console.line(
        "written",
        f"{folder}/  student/ (safetensors, tokenizer, run.json, table.json, model card)  "
        "metrics.json  predictions/  report.html",
    )
    right = 100 * student.exact_match
    if right >= LEAST_USEFUL:
        console.line("next", f"stillroom chat {shlex.quote(str(folder / 'student'))}")
        return
    what = "nothing" if right == 0 else "almost nothing"
    console.line(
        "note", f"the student learned {what}: {right:.1f} % of the held-out questions are right"
    )
    console.line("next", _advice(job))


def _advice(job: MainJob) -> str:
    """Suggest how to train a better student than one that learned almost nothing."""
    effort = job.recipe.teacher_exposures / Recipe.teacher_exposures
    if effort < 1.0:
        return f"train for longer: --effort 1; it was {effort:.2g}"
    if job.is_served():
        return (
            f"train for longer (--effort {2 * effort:.2g}), or name a student that can read already"
        )
    if job.teacher != STARTER:
        return (
            "see in report.html what the teacher knows; teach it for longer (--effort 2), or train "
            "one from scratch (--teacher starter)"
        )
    return (
        f"ask about fewer columns (--columns), train for longer (--effort {2 * effort:.2g}), or "
        "look the answers up in the table, which is exact and free"
    )
