"""The content of a distillation's `run.json`, and the hash of its models."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...inference.checkpoints.load_student import package_versions
from ...inference.checkpoints.run_file import TEMPLATE_KEY
from ...inference.prompt_tokens.prompt_ids import template_sha256
from ...prompts import prompts_sha256, question_form
from ...records import Example, data_hash
from ...run_identity import examples_hash
from ..batches.classifier_data import PROBABILITIES
from ..settings import DistillationConfig, config_hash
from ..teacher.cache_format import Manifest


@dataclass(frozen=True)
class DistillationSummary:
    """The result of a training."""

    steps: int
    """Optimizer steps, including those before a resume."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss in nats per supervised token)."""
    examples: int
    supervised_tokens: int
    """Supervised tokens in one pass over the data."""
    seconds: float
    """Duration of this call."""
    resumed_from: Path | None
    """The checkpoint that training continued from."""
    trained_tokens: int = 0
    """Tokens of prompts and answers in this call, over its epochs, without padding."""
    trained_supervised_tokens: int = 0
    """Those of them that count in the loss."""
    training_seconds: float = 0.0
    """Duration of the optimizer steps of this call; loading and saving at the end are left out."""


def describe_run(
    config: DistillationConfig,
    examples: Sequence[Example],
    *,
    dtype: torch.dtype,
    teacher: Any,  # noqa: ANN401 - a transformers model or None
    student: Any,  # noqa: ANN401 - a transformers model
    tokenizer: Any = None,  # noqa: ANN401
    teacher_cache: Manifest | None = None,
) -> dict[str, Any]:
    """Describe a run before it begins, with the cache that replaces its teacher, if any.

    Returns:
        `run.json` without the fields that are known at the end only.
    """
    now = time.gmtime()
    name = str(dtype).removeprefix("torch.")
    cache = None if teacher_cache is None else teacher_cache.sha256()
    revision = _revision(teacher) or (teacher_cache and teacher_cache.spec.teacher.revision)
    return {
        "schema_version": 1,
        "run_id": f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-{secrets.token_hex(3)}",
        "status": "running",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "config": {**config.to_dict(), "dtype": name},
        "config_hash": config_hash(config, dtype=name, teacher_cache_sha256=cache),
        "data_hash": _data_hash(examples),
        "split": {"train": len(examples)},
        "prompt_sha256": prompts_sha256(),
        "prompt_form": question_form(e.prompt for e in examples),
        TEMPLATE_KEY: None if tokenizer is None else template_sha256(tokenizer),
        "view_hash": None,
        "sample_id_version": 1,
        "teacher": {"id": config.teacher_model_name, "revision": revision},
        "teacher_cache_sha256": cache,
        "student": {"id": config.student_model_name, "revision": _revision(student)},
        "seed": config.seed,
        "versions": package_versions(),
        "parents": [],
    }


def _data_hash(examples: Sequence[Example]) -> str:
    """Hash the examples, including their soft targets, if any."""
    soft = [{"id": e.id, PROBABILITIES: e.fields[PROBABILITIES]} for e in examples
            if PROBABILITIES in e.fields]  # fmt: skip
    told = examples_hash(examples)
    return data_hash([{"examples": told}, *soft]) if soft else told


def weights_sha256(*models: Any) -> str:  # noqa: ANN401 - transformers models or None
    """Hash the weights of models, so that an interrupted run never continues with other ones.

    It takes about a second per gigabyte.
    """
    digest = hashlib.sha256()
    for model in models:
        for name, tensor in () if model is None else model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            flat = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(flat.numpy().data)
    return digest.hexdigest()


def _revision(model: Any) -> str | None:  # noqa: ANN401
    """Return the commit of a model from the hub."""
    return getattr(getattr(model, "config", None), "_commit_hash", None)
