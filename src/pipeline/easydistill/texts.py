"""EasyDistill jobs that write a file of texts: new instructions, reasoning, scores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...data.datasets.json_files import save_json
from ...errors import EmptyDataError, GenerationError
from ...labeling.tasks import free_text
from ...labeling.tasks.class_balance import classification, resample
from ...labeling.tasks.free_text import TextJob, text_tasks
from ...labeling.tasks.scores import check_score, score_tasks, scored_records
from ..reasoning.rows import read_rows
from .config import JobConfig
from .teacher import ask_teacher

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_texts(config: JobConfig) -> str:
    """Ask the teacher once per record and write what can be used.

    Returns:
        The file of the new records.
    """
    return _save(config, _ask(config, _text_job(config), _records(config)))


def run_expansion(config: JobConfig) -> str:
    """Write new instructions after examples that are drawn from the records."""
    examples = free_text.expansion_records(
        _records(config),
        in_context=config.dataset.get("num_in_context_samples", 3),
        wanted=config.dataset.get("num_output_samples", 10),
        seed=config.dataset.get("seed", 42),
        key=config.dataset.get("instruction_key", "instruction"),
    )
    return _save(config, _ask(config, free_text.expansion(config.inference["prompt"]), examples))


def run_resampling(config: JobConfig) -> str:
    """Find the category of each instruction and draw the target mix."""
    job = classification(config.dataset.get("instruction_key", "instruction"))
    known = _ask(config, job, _records(config))
    counts = Counter(record["category"] for record in known)
    logger.info("categories: %s", ", ".join(f"{n} {c}" for n, c in counts.most_common()))
    return _save(config, resample(known, seed=config.dataset.get("seed", 42)))


def run_scores(config: JobConfig) -> str:
    """Let a judge score records; a record that lacks a score says why."""
    records, judged = _records(config), config.job.definition.judges or "answer"
    tasks = score_tasks(
        judged,
        records,
        system=config.inference.get("system_prompt"),
        problem=config.dataset.get("instruction_key", "instruction"),
        solution=config.dataset.get("output_key", "output"),
    )
    run = ask_teacher(config, tasks, _work_folder(config), check=check_score)
    return _save(config, scored_records(judged, records, run.results))


def _text_job(config: JobConfig) -> TextJob:
    prompt = str(config.inference.get("prompt", ""))
    problem = config.dataset.get("instruction_key", "instruction")
    solution = config.dataset.get("output_key", "output")
    match config.job.stage:
        case "refinement":
            return free_text.refinement(prompt, problem)
        case "extraction":
            return free_text.extraction(prompt)
        case "thought":
            return free_text.thought(prompt, problem)
        case "shorter" | "longer" as which:
            return free_text.rewriting(prompt, which, problem, solution)
        case _:
            return free_text.answer(problem, solution)


def _ask(config: JobConfig, job: TextJob, records: Sequence[Mapping[str, Any]]) -> Records:
    """Ask about each record; the log counts those without a usable answer.

    Raises:
        GenerationError: No record has a usable answer.
    """
    tasks = text_tasks(job, records, config.inference.get("system_prompt"))
    run = ask_teacher(config, tasks, _work_folder(config), check=job.check)
    made = [job.finish(one.task.record, one.answer.text) for one in run.labelled if one.answer]
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
        logger.warning("%s; they are in %s/dead_letter.jsonl", message, _work_folder(config))
    return made


def _work_folder(config: JobConfig) -> str:
    return f"{config.dataset['output_path']}.work"


def _records(config: JobConfig) -> Records:
    path = config.dataset["input_path"]
    records = [dict(row) for row in read_rows(path)]
    if not records:
        raise EmptyDataError(f"No data found in {path}")
    return records


def _save(config: JobConfig, records: Records) -> str:
    save_json(config.dataset["output_path"], records)
    return str(config.dataset["output_path"])
