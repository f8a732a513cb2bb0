"""EasyDistill jobs that end in a file of texts: new instructions, reasoning, marks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...data.datasets.json_files import save_json
from ...errors import EmptyDataError, GenerationError
from ...labeling.batch.label_run import Check, LabelRun, LabelTask
from ...labeling.batch.labeler import BatchLabeler
from ...labeling.tasks.class_balance import classification, resample
from ...labeling.tasks.free_text import (
    TextJob,
    answer,
    expansion,
    expansion_records,
    extraction,
    refinement,
    rewriting,
    text_tasks,
    thought,
)
from ...labeling.tasks.scores import Judged, check_score, score_tasks, scored_records
from ..reasoning.rows import read_rows
from .config import JobConfig
from .teachers import decode_profile, job_teacher, label_settings

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_texts(config: JobConfig) -> str:
    """Run a job that asks the teacher once per record and writes what is usable.

    Returns:
        The file of the new records.
    """
    records = _read(config)
    if config.job.stage == "expansion":
        records = expansion_records(
            records,
            in_context=config.dataset.get("num_in_context_samples", 3),
            wanted=config.dataset.get("num_output_samples", 10),
            seed=config.dataset.get("seed", 42),
            key=_key(config, "instruction"),
        )
    return _write(config, ask_job(config, _TEXT_JOBS[str(config.job.stage)](config), records))


def run_resampling(config: JobConfig) -> str:
    """Find the category of each instruction and draw the target mix.

    Returns:
        The file of the records.
    """
    known = ask_job(config, classification(_key(config, "instruction")), _read(config))
    counts = Counter(record["category"] for record in known)
    logger.info("categories: %s", ", ".join(f"{n} {c}" for n, c in counts.most_common()))
    return _write(config, resample(known, seed=config.dataset.get("seed", 42)))


def run_scores(config: JobConfig) -> str:
    """Let a judge mark records; those without a mark say why.

    Returns:
        The file of the marked records.
    """
    records, judged = _read(config), _JUDGED[str(config.job.stage)]
    tasks = score_tasks(
        judged,
        records,
        system=config.inference.get("system_prompt"),
        problem=_key(config, "instruction"),
        solution=_key(config, "output"),
    )
    run = ask(config, tasks, check_score)
    return _write(config, scored_records(judged, records, run.results))


def ask_job(config: JobConfig, job: TextJob, records: Sequence[Mapping[str, Any]]) -> Records:
    """Ask a job's teacher about each record; records without a usable answer are counted.

    Raises:
        GenerationError: No record has a usable answer.
    """
    run = ask(config, text_tasks(job, records, config.inference.get("system_prompt")), job.check)
    made = [
        job.finish(one.task.record, one.answer.text)
        for one in run.labelled
        if one.answer is not None
    ]
    reasons = Counter(
        one.fault.message if one.fault.kind == "rejected" else one.fault.kind
        for one in run.failed
        if one.fault is not None
    )
    if reasons:
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
        message = f"{sum(reasons.values())} of {len(records)} records have no usable answer: {told}"
        if not made:
            raise GenerationError(message)
        logger.warning("%s; they are in %s", message, work_folder(config) / "dead_letter.jsonl")
    return made


def ask(config: JobConfig, tasks: Iterable[LabelTask], check: Check | None) -> LabelRun:
    """Ask a job's teacher; every answer is kept in the work folder at once.

    Raises:
        GenerationError: It stopped before the end; the same command goes on.
    """
    labeler = BatchLabeler(
        job_teacher(config),
        work_folder(config),
        profile=decode_profile(config),
        settings=label_settings(config),
        check=check,
    )
    run = labeler.run(tasks)
    if run.stopped is not None:
        raise GenerationError(f"stopped ({run.stopped}): {run.message}. The same command goes on")
    return run


def work_folder(config: JobConfig) -> Path:
    """Give the folder that keeps a job's calls."""
    written = config.dataset.get("output_path") or config.dataset["labeled_path"]
    return Path(f"{written}.work")


def _read(config: JobConfig) -> Records:
    path = config.dataset["input_path"]
    records = [dict(row) for row in read_rows(path)]
    if not records:
        raise EmptyDataError(f"No data found in {path}")
    return records


def _write(config: JobConfig, records: Records) -> str:
    path = str(config.dataset["output_path"])
    save_json(path, records)
    return path


def _key(config: JobConfig, name: str) -> str:
    return str(config.dataset.get(f"{name}_key", name))


def _prompt(config: JobConfig) -> str:
    return str(config.inference["prompt"])


_TEXT_JOBS: Final[dict[str, Callable[[JobConfig], TextJob]]] = {
    "expansion": lambda config: expansion(_prompt(config)),
    "refinement": lambda config: refinement(_prompt(config), _key(config, "instruction")),
    "extraction": lambda config: extraction(_prompt(config)),
    "thought": lambda config: thought(_prompt(config), _key(config, "instruction")),
    "shorter": lambda config: rewriting(
        _prompt(config), "shorter", _key(config, "instruction"), _key(config, "output")
    ),
    "longer": lambda config: rewriting(
        _prompt(config), "longer", _key(config, "instruction"), _key(config, "output")
    ),
    "answers": lambda config: answer(_key(config, "instruction"), _key(config, "output")),
}
_JUDGED: Final[dict[str, Judged]] = {"thought_scores": "thought", "answer_scores": "answer"}
