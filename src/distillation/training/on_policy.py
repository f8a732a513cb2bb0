"""On-policy distillation: the student writes, and the teacher says what it should have written.

An adapter to TRL's `DistillationTrainer` (extra `onpolicy`); no rollout code of our own. Its loss
is not that of this room: it samples and compares at one temperature without the factor T^2, knows
no cross-entropy, and its own default is reverse KL. Settings that it would not follow are refused
instead of dropped: see `setting_faults.on_policy_faults`.

Source: generalised knowledge distillation, Agarwal et al. 2023 (arXiv 2306.13649).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments

from ...errors import ConfigError, MissingDependencyError, VocabularyError
from ...inference.scoring.choices import prompt_ids
from ...records import Example
from ..loss_curve import LossHistory, ShowProgress
from ..settings import DistillationConfig
from ..settings_checks import BETAS
from .resuming import SaveWhole


class _NoteLosses(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Put what TRL's trainer logs into our history; it calls no `training_step` of ours."""

    def __init__(self, history: LossHistory) -> None:
        self.history = history

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401
        if "loss" in (logs or {}):
            self.history.add(torch.tensor(logs["loss"]))
            self.history.close_step(state.global_step)


def on_policy_trainer(
    student: Any,  # noqa: ANN401 - transformers models and tokenizers are untyped
    teacher: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    args: TrainingArguments,
    *,
    config: DistillationConfig,
    optimizer: torch.optim.Optimizer,
) -> Any:  # noqa: ANN401
    """Make TRL's trainer; its `train` starts, and `history` holds the losses.

    Args:
        student: A causal model.
        teacher: A causal model over the same vocabulary.
        tokenizer: Of both.
        examples: Their prompts are asked; targets are not looked at.
        args: From `training_arguments`.
        config: The settings; `on_policy_faults` has looked at them.
        optimizer: Over the student's parameters.

    Raises:
        MissingDependencyError: trl is not installed.
        VocabularyError: The models' heads are of unlike sizes.
        ConfigError: An example has no prompt, a prompt leaves no room to write, or TRL would
            tokenise one otherwise than serving.
    """
    try:
        import trl
        from datasets import Dataset
    except ImportError as fault:
        raise MissingDependencyError("trl", "onpolicy") from fault
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true":
            raise ConfigError([f"on_policy runs under DDP or in one process here, not with {name}"])
    sizes = [model.config.vocab_size for model in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise VocabularyError(
            f"on_policy needs heads of one size; the student's has {sizes[0]} rows, the teacher's "
            f"{sizes[1]}. Resize the smaller one (resize_token_embeddings), or leave on_policy out"
        )
    given = {field.name: getattr(args, field.name) for field in fields(args) if field.init}
    settings = trl.DistillationConfig(
        **given
        | {
            "beta": BETAS[config.objective],
            "max_completion_length": config.max_completion_length,
            "logging_strategy": "steps",
            "logging_steps": 1,
            "gradient_checkpointing": False,
        }
    )
    history = LossHistory()
    trainer = trl.DistillationTrainer(
        model=student,
        teacher_model=teacher,
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": _prompts(tokenizer, examples, config)}),
        processing_class=tokenizer,
        callbacks=[
            ShowProgress(history, description="distilling on policy", progress=config.progress),
            _NoteLosses(history),
            SaveWhole(config.save_steps),
        ],
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.history = history
    trainer.why_sharded = None
    return trainer


def _prompts(
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    config: DistillationConfig,
) -> list[str]:
    """Give the prompts, after checking that TRL's plain call tokenises them as serving does."""
    prompts = [example.prompt for example in examples]
    ours = prompt_ids(tokenizer, prompts)
    theirs = tokenizer(prompts)["input_ids"]
    room = config.max_length - config.max_completion_length
    for example, mine, other in zip(examples, ours, theirs, strict=True):
        start = f"on_policy: example {example.id!r}"
        if not example.prompt.strip():
            raise ConfigError([f"{start} is a plain text; give question, answer or prompt, target"])
        if len(mine) > room:
            raise ConfigError(
                [f"{start} has a prompt of {len(mine)} tokens; max_length {config.max_length} less "
                 f"max_completion_length {config.max_completion_length} leaves {room}"]
            )  # fmt: skip
        if mine != other:
            raise ConfigError(
                [f"{start} has a prompt that TRL would read as other tokens than serving does (an "
                 "end token, or the name of a special token in the text)"]
            )  # fmt: skip
    return prompts
