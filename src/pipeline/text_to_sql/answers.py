"""Let a model answer questions in SQL, and keep each answer as soon as it is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...files import read_json_lines, write_json_lines
from ...inference.checkpoints.load_student import Checkpoint
from ...inference.constrained.grammar import Grammar
from ...inference.generate import generate_texts
from ...prompts import render
from ...records import Example
from .workbench import Record

BATCH: Final = 64
"""Questions that are decoded together; an interrupted run asks at most as many again."""


def sql_prompt(record: Record) -> str:
    """Write the prompt of a record: its schema as the context of its question."""
    return render("s2-qa", record["instruction"], context=record["schema"])


def sql_example(record: Record, sql: str) -> Example:
    """Make the training example in which a record's question is answered with some SQL."""
    return Example(record["task_id"], sql_prompt(record), sql)


def answer_questions(
    checkpoint: Checkpoint,
    records: Sequence[Record],
    path: Path,
    console: Console,
    *,
    grammars: Sequence[Grammar] | None,
    max_new_tokens: int,
) -> list[str]:
    """Ask a model with greedy decoding; questions answered in `path` are not asked again.

    Args:
        checkpoint: The model.
        records: The questions.
        path: JSON Lines with `task_id` and `generation`, in the order of the records.
        console: Shows the progress.
        grammars: The form of each answer; None lets the model write anything.
        max_new_tokens: Most tokens of an answer.

    Returns:
        What it wrote, one text per record.
    """
    known: list[dict[str, Any]] = read_json_lines(path) if path.is_file() else []
    starts = range(len(known), len(records), BATCH)
    for start in console.progress(starts, "asking", len(starts)):
        some = records[start : start + BATCH]
        answers = generate_texts(
            checkpoint,
            [sql_prompt(record) for record in some],
            max_new_tokens=max_new_tokens,
            grammars=None if grammars is None else grammars[start : start + BATCH],
            batch_size=BATCH,
        )
        known += [
            {"task_id": record["task_id"], "generation": answer.text}
            for record, answer in zip(some, answers, strict=True)
        ]
        write_json_lines(path, known)
    return [one["generation"] for one in known]
