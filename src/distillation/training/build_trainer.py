"""Make the trainer of a run from its settings: `KDTrainer`, or TRL's trainer on policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from ...records import Example
from ..batches.packing import packing_fault
from ..batches.vocabulary import shared_vocabulary, token_count
from ..losses.rows import TeacherSignal
from ..runtime_patches import attention_set_to, choose_attention
from ..settings import DistillationConfig
from ..teacher.cache_reader import TeacherCache
from ..teacher.online import OnlineTeacher, UniversalTeacher
from .callbacks import asks_teacher, layer_settings, run_callbacks
from .dispatch import Models, collator_of
from .on_policy import on_policy_trainer
from .optimizers import make_optimizer
from .trainer import KDTrainer, arguments_of


def trainer_of(
    config: DistillationConfig,
    folder: Path,
    models: Models,
    *,
    cache: TeacherCache | None,
    signal: TeacherSignal | None = None,
    device: torch.device,
    dtype: torch.dtype,
    loss_fn: nn.Module,
    items: Sequence[Any],
    examples: Sequence[Example],
    vocabulary: int | None,
) -> Any:  # noqa: ANN401
    """Make the trainer of a run; its `train` starts it, and `history` holds the losses.

    Args:
        config: The settings.
        folder: Keeps checkpoints and losses.
        models: Frozen parameters of the student stay out of the optimizer.
        cache: Replaces the teacher; None without one.
        signal: Another source of soft targets that replaces the teacher.
        device: Device of the models.
        dtype: Precision of the training.
        loss_fn: The loss of the training.
        items: The tokenised examples.
        examples: The same examples as text; on policy only their prompts are used.
        vocabulary: Ids that teacher and student share, or the student's own.

    Raises:
        ConfigError: The settings do not fit each other, the models or the launcher.
    """

    def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
        return make_optimizer(
            model,
            kind=config.optimizer,
            learning_rate=config.learning_rate,
            matrix_learning_rate=config.matrix_learning_rate,
            weight_decay=config.weight_decay,
        )

    student, arguments = models.student, arguments_of(config, folder, device=device, dtype=dtype)
    if config.on_policy:
        return on_policy_trainer(
            student,
            models.teacher,
            models.tokenizer,
            examples,
            arguments,
            config=config,
            optimizer=optimizer_of(student),
        )
    if config.packing:
        _require_packing(items, models, choose_attention(device, dtype))
    grid = None if cache is None else cache.temperatures
    trainer = KDTrainer(
        student,
        arguments,
        train_dataset=items,
        data_collator=collator_of(models, packing=config.packing),
        loss_fn=loss_fn,
        teacher=_universal_teacher(models, device, dtype) or models.teacher or cache or signal,
        vocabulary=vocabulary,
        layers=layer_settings(config),
        callbacks=run_callbacks(config, loss_fn, grid=grid),
        save_steps=config.save_steps,
        description="distilling" if asks_teacher(config, loss_fn) else "training",
        progress=config.progress,
        optimizer_of=optimizer_of,
    )
    if trainer.why_sharded is not None and config.optimizer == "muon":
        raise ConfigError([f"muon needs whole matrices, and {trainer.why_sharded}; use adamw"])
    return trainer


def _require_packing(items: Sequence[Any], models: Models, attention: str) -> None:
    """Refuse packing where a model that reads packed rows would let examples see each other."""
    if len(items) < 2:
        return
    with attention_set_to(models.student, attention):
        found = [packing_fault(models.student, items)]
    if models.teacher is not None and not models.own_tokens:
        found.append(packing_fault(models.teacher, items))
    faults = [f"packing: {fault}; leave packing out" for fault in found if fault is not None]
    if faults:
        raise ConfigError(faults)


def _universal_teacher(
    models: Models, device: torch.device, dtype: torch.dtype
) -> UniversalTeacher | None:
    """Make a teacher with tokens of its own; rows of its head beyond them are padding."""
    if not models.own_tokens:
        return None
    teacher = models.teacher.to(device)
    vocabulary = shared_vocabulary(token_count(models.own_tokenizer), teacher, teacher)
    narrow = dtype if dtype == torch.bfloat16 else None
    return UniversalTeacher(OnlineTeacher(teacher, vocabulary=vocabulary, autocast_dtype=narrow))
