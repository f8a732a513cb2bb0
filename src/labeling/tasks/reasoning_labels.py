"""Labels for instruction records: the teacher answers prompts in the students' own format."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from ...inference.system_pair.answers import checkpoint_of, require_mode
from ...prompts import SystemMode, format_prompt
from ..batch.label_run import LabelRun, LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..teachers.open_teacher import open_teacher
from ..teachers.protocol import DecodeProfile, Prompt

logger = logging.getLogger(__name__)


def label_with_teacher(
    teacher_model: Any,  # noqa: ANN401 - transformers is untyped
    teacher_tokenizer: Any,  # noqa: ANN401
    items: Sequence[Mapping[str, Any]],
    batch_size: int = 2,
    max_new_tokens: int = 256,
    temperature: float = 0.8,
    top_p: float = 0.9,
    mode: SystemMode = "system1",
    *,
    work_dir: str | Path | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Let a teacher answer instruction records.

    Args:
        teacher_model: A transformers causal language model.
        teacher_tokenizer: Its tokenizer.
        items: Records with `instruction` and optionally `input`.
        batch_size: Number of records answered together.
        max_new_tokens: Most tokens of an answer; a longer one is no label.
        temperature: 0 decodes greedily; above 0 samples.
        top_p: Sample only from the likeliest tokens that together have this probability.
        mode: Format of the prompts.
        work_dir: Keeps each answer as soon as it arrives, so that the same call continues after a
            crash; None uses a temporary folder.
        seed: Seed of the samples.

    Returns:
        New records with `output`, in the order of `items`, other keys kept. Records without a
        usable answer are left out; a warning says how many and why.

    Raises:
        ConfigError: A setting is out of range, or the teacher was trained in another mode.
    """
    require_mode(teacher_model, mode)
    teacher = open_teacher(checkpoint_of(teacher_model, teacher_tokenizer))
    with ExitStack() as stack:
        labeler = BatchLabeler(
            teacher,
            work_dir or stack.enter_context(tempfile.TemporaryDirectory()),
            profile=DecodeProfile(max_new_tokens, temperature, top_p, seed),
            settings=LabelSettings(
                concurrency=batch_size,
                max_rejections=1,
                max_error_rate=None,
                keep_thoughts=mode == "system2",
            ),
        )
        return labelled_records(labeler.run(numbered_tasks(items, partial(prompt_of, mode=mode))))


def prompt_of(record: Mapping[str, Any], mode: SystemMode) -> str:
    """Write the prompt of an instruction record."""
    return format_prompt(str(record["instruction"]), str(record.get("input") or ""), mode)


def numbered_tasks(
    records: Sequence[Mapping[str, Any]], write: Callable[[Mapping[str, Any]], Prompt]
) -> list[LabelTask]:
    """Make one task per record, numbered from 1, with the prompt that `write` gives."""
    return [LabelTask(str(n), write(record), record) for n, record in enumerate(records, start=1)]


def labelled_records(run: LabelRun) -> list[dict[str, Any]]:
    """Return the records with their answers as `output`; a warning counts those without."""
    reasons = run.reasons
    if run.stopped is not None:
        reasons[f"not asked, {run.message}"] = run.numbers.remaining
    if reasons:
        words = ", ".join(f"{count} {kind}" for kind, count in reasons.most_common())
        logger.warning("%d records have no label (%s)", sum(reasons.values()), words)
    return [
        {**one.task.record, "output": one.answer.text}
        for one in run.labelled
        if one.answer is not None
    ]
