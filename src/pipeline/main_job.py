"""The order of the main job's steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..console import Console
from ..prompts import prompts_sha256
from ..records import data_hash, record_hash, sha256_text
from ..run_folder import RunFolder
from .job import MainJob


def run_main_job(job: MainJob, console: Console | None = None) -> Path:
    """Do the whole job.

    Args:
        job: What is made from what.
        console: Where lines are printed.

    Returns:
        The run folder: `teacher/`, `student/`, `controls/`, `metrics.json`, `report.html`,
        pictures.

    Raises:
        DataError: The table cannot be used.
        ConfigError: Settings do not fit.
        ModelNotFoundError: A named model is not there.
    """
    # The rooms below load torch and transformers; `import stillroom` must not.
    from .asking import ask_agents
    from .estimating import tell_time
    from .learning import get_students
    from .loading import load_table, write_questions
    from .proving import calibrate, measure, write_report
    from .teaching import get_labels, get_teacher

    console = console or Console()
    loaded = load_table(job, console)
    folder = job.run_dir()
    run = RunFolder(folder, _identity(job, loaded.records))
    if run.begin():
        console.line("going on", f"an interrupted run in {folder} with the same settings and data")
    else:
        tell_time(job, loaded, console)
    write_questions(folder, loaded.questions)
    teacher_dir = get_teacher(job, loaded, run, console)
    labelled = get_labels(job, loaded, teacher_dir, run, console)
    arms = get_students(job, loaded, teacher_dir, labelled, run, console)
    scores = measure(job, loaded, teacher_dir, arms, run, console)
    calibrate(folder / "student", loaded, console)
    write_report(job, loaded, folder, scores)
    ask_agents(folder / "student", loaded.questions, console)
    run.finish()
    _goodbye(folder, console)
    return folder


def _identity(job: MainJob, records: list[dict[str, Any]]) -> str:
    settings = {k: v for k, v in asdict(job).items() if k not in ("output_dir",)}
    return sha256_text(
        record_hash({"settings": _jsonable(settings), "prompts": prompts_sha256()})
        + data_hash(_jsonable(r) for r in records)
    )


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _goodbye(folder: Path, console: Console) -> None:
    console.line(
        "written",
        f"{folder}/  student/ (safetensors, tokenizer, run.json, table.json, model card)  "
        "metrics.json  report.html  scores.png",
    )
    console.line("next", "make chat      |  python examples/complete_pipeline.py --data yours.csv")
