"""What LLM Distillery writes beside a tuned student: its metadata and the history of its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...distillation.score_students.tuning import TuningSettings
from ...files import write_json
from ...inference.score_students.base_model import TextCut
from ...inference.score_students.generative_student import GenerativeStudent
from ...inference.score_students.head_student import HeadStudent

METADATA_FILE: Final = "training_metadata.json"
HISTORY_FILE: Final = "training_history.json"


def write_training_record(
    folder: Path,
    student: HeadStudent | GenerativeStudent,
    tuning: TuningSettings,
    *,
    val_examples: int,
    sample_weight_scale: float,
) -> None:
    """Write both files beside a tuned student.

    `best_val_mae` is that of the epoch that was saved; a generative student's epoch is chosen by
    `val_loss`, so it has none.
    """
    facts, notes = student.facts, student.notes
    history: list[Mapping[str, float]] = list(notes.get("history", []))
    errors = [one["val_mae"] for one in history if "val_mae" in one]
    cut, reader = _cut_and_model(student)
    tail = cut.tail_tokens
    told = {
        "filter_name": facts.filter_name,
        "filter_version": facts.filter_version,
        "dimension_names": list(facts.dimensions),
        "num_dimensions": len(facts.dimensions),
        "model_name": _base_name(student),
        "num_parameters": sum(one.numel() for one in reader.parameters()),
        "num_trainable_parameters": sum(one.numel() for one in _changes(student).values()),
        "epochs": tuning.epochs,
        "batch_size": tuning.batch_size,
        "learning_rate": tuning.learning_rate,
        "max_length": cut.max_tokens,
        "warmup_steps": tuning.warmup_steps,
        "train_examples": notes.get("train_examples"),
        "val_examples": val_examples,
        "best_epoch": notes.get("best_epoch"),
        "best_val_mae": notes.get("best_val_mae"),
        "min_val_mae_observed": min(errors, default=None),
        "include_prompt": False,
        "training_mode": "instruction_tuning"
        if isinstance(student, GenerativeStudent)
        else "knowledge_distillation",
        "use_head_tail": tail > 0,
        "head_tokens": cut.max_tokens - tail,
        "tail_tokens": tail,
        "sample_weight_scale": sample_weight_scale,
    }
    write_json(folder / METADATA_FILE, told)
    rows = [
        {
            "epoch": int(one["epoch"]),
            "train": {"loss": one["train_loss"]},
            "val": {k.removeprefix("val_"): v for k, v in one.items() if k.startswith("val_")},
        }
        for one in history
    ]
    write_json(folder / HISTORY_FILE, rows)


def _cut_and_model(student: HeadStudent | GenerativeStudent) -> tuple[TextCut, Any]:
    if isinstance(student, GenerativeStudent):
        return student.cut, student.checkpoint.model
    return student.reader.cut, student.reader.checkpoint.model


def _base_name(student: HeadStudent | GenerativeStudent) -> str:
    return student.base.name if isinstance(student, GenerativeStudent) else student.reader.base.name


def _changes(student: HeadStudent | GenerativeStudent) -> Mapping[str, Any]:
    return student.changes if isinstance(student, GenerativeStudent) else student.reader.changes
