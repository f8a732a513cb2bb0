"""Direct preference optimisation: a student learns to prefer the teacher's answer to its own.

An adapter to TRL's `DPOTrainer` (extra `onpolicy`, which installs trl).

Source: Rafailov et al. 2023 (arXiv 2305.18290).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, ProgressCallback

from ...errors import ConfigError, DataError, EmptyDataError, MissingDependencyError
from ...inference.checkpoints.load_student import (
    choose_device,
    choose_training_dtype,
    load_checkpoint,
    save_checkpoint,
)
from ...inference.prompt_tokens.prompt_ids import answer_text, prompt_text
from ...prompts import question_form
from ...records import data_hash, sha256_text
from ..settings import DistillationConfig
from .on_policy import trl_arguments
from .trainer import arguments_of

KEYS = ("prompt", "chosen", "rejected")


def train_preferences(
    config: DistillationConfig, pairs: Sequence[Mapping[str, str]], *, beta: float = 0.1
) -> Path:
    """Train a student on preference pairs and write it.

    Args:
        config: `student_model_name`, `output_dir`, sizes, rates and seed are used.
        pairs: `prompt` (rendered), `chosen` and `rejected`.
        beta: Weight of staying close to the student before training, above 0.

    Returns:
        `output_dir`, an ordinary checkpoint folder.

    Raises:
        MissingDependencyError: trl is not installed.
        EmptyDataError: There are no pairs.
        DataError: A pair has no text under one of its keys.
        ConfigError: `beta` is not above 0.
    """
    if not 0.0 < beta < float("inf"):
        raise ConfigError([f"beta is {beta!r}; allowed is a number above 0"])
    _require_pairs(pairs)
    try:
        import trl
        from datasets import Dataset
    except ImportError as fault:
        raise MissingDependencyError("trl", "onpolicy") from fault
    device = choose_device(config.device)
    loaded = load_checkpoint(config.student_model_name, device=device)
    student = loaded.model.float()
    joined = [
        {
            "prompt": prompt_text(loaded.tokenizer, pair["prompt"]),
            **{key: answer_text(loaded.tokenizer, pair["prompt"], pair[key]) for key in KEYS[1:]},
        }
        for pair in pairs
    ]
    with tempfile.TemporaryDirectory() as work:
        trainer = trl.DPOTrainer(
            model=student,
            ref_model=copy.deepcopy(student),
            args=trl_arguments(
                trl.DPOConfig,
                arguments_of(config, work, device=device, dtype=choose_training_dtype(device)),
                beta=beta,
                max_length=config.max_length,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                gradient_checkpointing=config.gradient_checkpointing,
            ),
            train_dataset=Dataset.from_list(joined),
            processing_class=loaded.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        done = trainer.train()
    run: dict[str, Any] = {
        "config": config.to_dict() | {"beta": beta, "loss": "dpo"},
        "data_hash": data_hash(dict(pair) for pair in pairs),
        "split": {"train": len(pairs)},
        "prompt_form": question_form(pair["prompt"] for pair in pairs),
        "student": {"id": config.student_model_name, "revision": None},
        "steps": int(done.global_step),
        "metrics": {"loss": float(done.training_loss)},
        "parents": [],
        "config_hash": sha256_text(repr(sorted(config.to_dict().items(), key=str)) + repr(beta)),
    }
    if loaded.left_out:
        run["left_out_settings"] = {"student": list(loaded.left_out)}
    return save_checkpoint(config.output_dir, student.eval(), loaded.tokenizer, run)


def _require_pairs(pairs: Sequence[Mapping[str, str]]) -> None:
    if not pairs:
        raise EmptyDataError("there are no preference pairs: teacher and student gave the same "
                             "answers, or none")  # fmt: skip
    for number, pair in enumerate(pairs, start=1):
        for key in KEYS:
            if not isinstance(pair.get(key), str) or not pair[key].strip():
                raise DataError(f"is {pair.get(key)!r}; a text is needed", row=number, column=key)
