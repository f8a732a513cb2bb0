"""On-policy distillation: the student writes answers, and is compared with the teacher on them.

An adapter to TRL's `DistillationTrainer` (extra `onpolicy`). TRL's loss differs from ours: it
samples and compares at one temperature without the factor T^2, and has no cross-entropy. Settings
that it would ignore are refused, see `settings_checks.on_policy_faults`.

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
from ...inference.prompt_tokens.prompt_ids import prompt_ids, prompt_text
from ...records import Example
from ..loss_curve import LossHistory, ShowProgress
from ..settings import DistillationConfig
from ..settings_checks import BETAS
from .resuming import SaveWhole


class _NoteLosses(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Add the losses that TRL's trainer logs to our history."""

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

    Raises:
        MissingDependencyError: trl is not installed.
        VocabularyError: The models' heads differ in size.
        ConfigError: An example has no prompt, a prompt is too long, or TRL would tokenise it
            differently from serving.
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
    settings = trl_arguments(
        trl.DistillationConfig,
        args,
        beta=BETAS[config.objective],
        max_completion_length=config.max_completion_length,
        logging_strategy="steps",
        logging_steps=1,
        gradient_checkpointing=False,
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


def trl_arguments(kind: Any, args: TrainingArguments, **changes: Any) -> Any:  # noqa: ANN401
    """Make TRL's arguments, of a subclass of Trainer's, from Trainer's arguments and changes."""
    given = {field.name: getattr(args, field.name) for field in fields(args) if field.init}
    return kind(**given | changes)


def _prompts(
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    config: DistillationConfig,
) -> list[str]:
    """Return the prompts, after checking that TRL tokenises them as serving does."""
    prompts = [prompt_text(tokenizer, example.asked) for example in examples]
    ours = prompt_ids(tokenizer, [example.asked for example in examples])
    theirs = tokenizer(prompts)["input_ids"]
    longest = config.max_length - config.max_completion_length
    for example, mine, other in zip(examples, ours, theirs, strict=True):
        start = f"on_policy: example {example.id!r}"
        if not example.prompt.strip():
            raise ConfigError([f"{start} is a plain text; give question, answer or prompt, target"])
        if len(mine) > longest:
            raise ConfigError(
                [f"{start} has a prompt of {len(mine)} tokens; max_length {config.max_length} less "
                 f"max_completion_length {config.max_completion_length} leaves {longest}"]
            )  # fmt: skip
        if mine != other:
            raise ConfigError(
                [f"{start} has a prompt that TRL would tokenise differently from serving (an end "
                 "token, or the name of a special token in the text); change the prompt"]
            )  # fmt: skip
    return prompts
