"""EasyDistill jobs that write a file of new instructions, reasoning or scores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

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
_TEXT_JOBS: Final[Mapping[str, Callable[[str, str, str], free_text.TextJob]]] = {
    "answers": lambda _, problem, solution: free_text.answer(problem, solution),
    "expansion": lambda prompt, *_: free_text.expansion(prompt),
    "refinement": lambda prompt, problem, _: free_text.refinement(prompt, problem),
    "extraction": lambda prompt, *_: free_text.extraction(prompt),
    "thought": lambda prompt, problem, _: free_text.thought(prompt, problem),
    "shorter": lambda prompt, *keys: free_text.rewriting(prompt, "shorter", *keys),
    "longer": lambda prompt, *keys: free_text.rewriting(prompt, "longer", *keys),
    "resampling": lambda _, problem, __: classification(problem),
}
"""Stage -> its job, given the prompt and the columns of the instruction and of the answer."""


def run_texts(config: JobConfig) -> str:
    """Ask the teacher once per record, and write the records with usable answers.

    The stage `expansion` asks for new instructions, with examples that are drawn from the records;
    `resampling` asks for categories and resamples the records to the target shares.

    Returns:
        The file of the new records.

    Raises:
        GenerationError: No record has a usable answer.
    """
    records, given, stage = _records(config), config.dataset, config.stage.name
    problem, solution = given["instruction_key"], given["output_key"]
    if stage == "expansion":
        records = free_text.expansion_records(
            records,
            in_context=given["num_in_context_samples"],
            wanted=given["num_output_samples"],
            seed=given["seed"],
            key=problem,
        )
    job = _TEXT_JOBS[stage](config.inference.get("prompt", ""), problem, solution)
    tasks = free_text.text_tasks(job, records, config.inference.get("system_prompt"))
    run = ask_teacher(config, tasks, check=job.check)
    made = [job.finish(one.task.record, one.answer.text) for one in run.labelled if one.answer]
    if run.failed:
        told = ", ".join(f"{count} {reason}" for reason, count in run.reasons.most_common(5))
        message = f"{len(run.failed)} of {len(records)} records have no usable answer: {told}"
        if not made:
            raise GenerationError(message)
        logger.warning("%s; they are in %s/dead_letter.jsonl", message, config.work)
    if stage == "resampling":
        counts = Counter(record["category"] for record in made)
        logger.info("categories: %s", ", ".join(f"{n} {c}" for n, c in counts.most_common()))
        made = resample(made, seed=given["seed"])
    return _save(config, made)


def run_scores(config: JobConfig) -> str:
    """Let a judge score records; a record without a score contains the reason."""
    records, given, judged = _records(config), config.dataset, config.stage.judges or "answer"
    tasks = score_tasks(
        judged,
        records,
        system=config.inference.get("system_prompt"),
        problem=given["instruction_key"],
        solution=given["output_key"],
    )
    run = ask_teacher(config, tasks, check=check_score)
    return _save(config, scored_records(judged, records, run.results))


def _records(config: JobConfig) -> Records:
    path = config.dataset["input_path"]
    records = [dict(row) for row in read_rows(path)]
    if not records:
        raise EmptyDataError(f"No data found in {path}")
    return records


def _save(config: JobConfig, records: Records) -> str:
    save_json(config.dataset["output_path"], records)
    return str(config.dataset["output_path"])
