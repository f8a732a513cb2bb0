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
from ..batches.vocabulary import shared_vocabulary
from ..runtime_patches import attention_set_to, choose_attention
from ..settings import DistillationConfig
from ..teacher.cache_reader import TeacherCache
from ..teacher.online import OnlineTeacher, UniversalTeacher
from .callbacks import asks_teacher, layer_settings, run_callbacks
from .dispatch import collator_of
from .on_policy import on_policy_trainer
from .optimizers import make_optimizer
from .trainer import KDTrainer, training_arguments


def trainer_of(
    config: DistillationConfig,
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    student: Any,  # noqa: ANN401 - transformers models and tokenizers are untyped
    tokenizer: Any,  # noqa: ANN401
    teacher: Any,  # noqa: ANN401
    teacher_tokenizer: Any,  # noqa: ANN401
    loss_fn: nn.Module,
    items: Sequence[Any],
    examples: Sequence[Example],
    vocabulary: int | None,
) -> Any:  # noqa: ANN401
    """Make the trainer of a run; its `train` starts it, and `history` holds the losses.

    Args:
        config: The settings.
        folder: Keeps checkpoints and losses.
        device: Where the models run.
        dtype: Arithmetic of the training.
        student: Its frozen parameters stay out of the optimizer.
        tokenizer: Of the student.
        teacher: A model, a `TeacherCache`, or None.
        teacher_tokenizer: Of a teacher that reads in its own tokens; None where ids are shared.
        loss_fn: What is trained on.
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

    arguments = training_arguments(
        folder,
        device=device,
        dtype=dtype,
        batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        num_epochs=config.num_epochs,
        max_steps=config.max_steps,
        lr_scheduler=config.lr_scheduler,
        decay_ratio=config.decay_ratio,
        warmup_ratio=config.warmup_ratio,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
    )
    if config.on_policy:
        return on_policy_trainer(
            student,
            teacher,
            tokenizer,
            examples,
            arguments,
            config=config,
            optimizer=optimizer_of(student),
        )
    collator = collator_of(tokenizer, student, teacher_tokenizer, packing=config.packing)
    if config.packing:
        packed_teacher = teacher if teacher_tokenizer is None else None
        _require_packing(items, student, packed_teacher, choose_attention(device, dtype))
    if teacher_tokenizer is not None:
        teacher = _universal_teacher(teacher.to(device), teacher_tokenizer, dtype)
    grid = teacher.temperatures if isinstance(teacher, TeacherCache) else None
    trainer = KDTrainer(
        student,
        arguments,
        train_dataset=items,
        data_collator=collator,
        loss_fn=loss_fn,
        teacher=teacher,
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


def _require_packing(
    items: Sequence[Any],
    student: Any,  # noqa: ANN401
    teacher: Any,  # noqa: ANN401
    attention: str,
) -> None:
    """Refuse packing where a model that reads packed rows would let examples see each other."""
    if len(items) < 2:
        return
    with attention_set_to(student, attention):
        found = [packing_fault(student, items)]
    if isinstance(teacher, nn.Module):
        found.append(packing_fault(teacher, items))
    faults = [f"packing: {fault}; leave packing out" for fault in found if fault is not None]
    if faults:
        raise ConfigError(faults)


def _universal_teacher(teacher: Any, tokenizer: Any, dtype: torch.dtype) -> UniversalTeacher:  # noqa: ANN401
    """Make a teacher that reads in its own tokens; rows of its head beyond them are padding."""
    tokens = max(tokenizer.get_vocab().values()) + 1
    vocabulary = shared_vocabulary(tokens, teacher, teacher)
    narrow = dtype if dtype == torch.bfloat16 else None
    return UniversalTeacher(OnlineTeacher(teacher, vocabulary=vocabulary, autocast_dtype=narrow))
