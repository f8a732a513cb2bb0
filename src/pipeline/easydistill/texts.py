"""EasyDistill jobs that write a file of new instructions, reasoning or scores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...data.datasets.json_files import save_json
from ...errors import EmptyDataError, GenerationError
from ...labeling.tasks import free_text
from ...labeling.tasks.class_balance import classification, resample
from ...labeling.tasks.scores import check_score, score_tasks, scored_records
from ..reasoning.rows import read_rows
from .config import JobConfig
from .teacher import ask_teacher

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_texts(config: JobConfig) -> str:
    """Ask the teacher once per record, and write the records with usable answers.

    The stage `expansion` asks for new instructions, with examples that are drawn from the records;
    `resampling` asks for categories and resamples the records to the target shares.

    Returns:
        The file of the new records.
    """
    records, dataset = _records(config), config.dataset
    if config.job.stage == "expansion":
        records = free_text.expansion_records(
            records,
            in_context=dataset.get("num_in_context_samples", 3),
            wanted=dataset.get("num_output_samples", 10),
            seed=dataset.get("seed", 42),
            key=_keys(config)[0],
        )
    made = _ask(config, _text_job(config), records)
    if config.job.stage == "resampling":
        counts = Counter(record["category"] for record in made)
        logger.info("categories: %s", ", ".join(f"{n} {c}" for n, c in counts.most_common()))
        made = resample(made, seed=dataset.get("seed", 42))
    return _save(config, made)


def run_scores(config: JobConfig) -> str:
    """Let a judge score records; a record without a score contains the reason."""
    records, judged = _records(config), config.job.definition.judges or "answer"
    problem, solution = _keys(config)
    system = config.inference.get("system_prompt")
    tasks = score_tasks(judged, records, system=system, problem=problem, solution=solution)
    run = ask_teacher(config, tasks, _work_folder(config), check=check_score)
    return _save(config, scored_records(judged, records, run.results))


def _text_job(config: JobConfig) -> free_text.TextJob:
    prompt, (problem, solution) = str(config.inference.get("prompt", "")), _keys(config)
    match config.job.stage:
        case "expansion":
            return free_text.expansion(prompt)
        case "refinement":
            return free_text.refinement(prompt, problem)
        case "extraction":
            return free_text.extraction(prompt)
        case "thought":
            return free_text.thought(prompt, problem)
        case "shorter" | "longer" as which:
            return free_text.rewriting(prompt, which, problem, solution)
        case "resampling":
            return classification(problem)
        case _:
            return free_text.answer(problem, solution)


def _ask(
    config: JobConfig, job: free_text.TextJob, records: Sequence[Mapping[str, Any]]
) -> Records:
    """Ask about each record; records without a usable answer are counted in the log.

    Raises:
        GenerationError: No record has a usable answer.
    """
    tasks = free_text.text_tasks(job, records, config.inference.get("system_prompt"))
    run = ask_teacher(config, tasks, _work_folder(config), check=job.check)
    made = [job.finish(one.task.record, one.answer.text) for one in run.labelled if one.answer]
    if run.failed:
        told = ", ".join(f"{count} {reason}" for reason, count in run.reasons.most_common(5))
        message = f"{len(run.failed)} of {len(records)} records have no usable answer: {told}"
        if not made:
            raise GenerationError(message)
        logger.warning("%s; they are in %s/dead_letter.jsonl", message, _work_folder(config))
    return made


def _keys(config: JobConfig) -> tuple[str, str]:
    """Return the columns of the instruction and of the answer."""
    dataset = config.dataset
    return dataset.get("instruction_key", "instruction"), dataset.get("output_key", "output")


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
