"""The facade of the room: a teacher, a student, training data; out comes a checkpoint.

    distiller = ModelDistiller(DistillationConfig(teacher_model_name="./teacher",
                                                  student_model_name="every_second_layer"))
    distiller.distill([{"question": "Symbol of gold?", "answer": "Au"}, ...])
    distiller.save_distilled_model("./student")

Each method calls one step; models may also be loaded elsewhere and assigned to the attributes.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError, VocabularyError
from ..files import write_json
from ..inference.checkpoints import (
    choose_device,
    choose_training_dtype,
    load_checkpoint,
    save_checkpoint,
)
from ..records import Example
from .batching import TokenizedExample, collator_for, tokenize_examples
from .losses import DistillationLoss
from .optimizers import make_optimizer
from .progress import CURVE_FILE, LOSSES_FILE, draw_losses, losses_text
from .resuming import RUN_FILE, open_work_folder
from .runs import describe_run, weights_sha256
from .settings import FROM_SCRATCH, FROM_TEACHER, DistillationConfig, read_config
from .students import (
    compare_vocabularies,
    every_second_layer,
    layers_from_teacher,
    shared_vocabulary,
    student_from_scratch,
)
from .trainer import KDTrainer, training_arguments
from .training_data import Record, training_examples

__all__ = [
    "DistillationConfig",
    "DistillationLoss",
    "DistillationSummary",
    "ModelDistiller",
    "create_distiller_from_config",
]

CONFIG_FILE: Final = "distillation_config.json"


@dataclass(frozen=True)
class DistillationSummary:
    """What a training did."""

    steps: int
    """Optimizer steps, those before a resume included."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss in nats per supervised token)."""
    examples: int
    supervised_tokens: int
    """In one pass over the data."""
    seconds: float
    """Of this call."""
    resumed_from: Path | None
    """The checkpoint it went on from."""


class ModelDistiller:
    """Distil a teacher into a student.

    Args:
        config: The settings.

    Attributes:
        config: The settings.
        device: Where both models run.
        tokenizer: The student's; loaded with it, or assigned.
        teacher_model: Frozen and in eval mode once training began; None until loaded or assigned.
        student_model: None until loaded or assigned.
        loss_fn: A `DistillationLoss`; replace it by a subclass of your own to train on that.
    """

    def __init__(self, config: DistillationConfig) -> None:
        """Choose the device; models are loaded when they are needed."""
        self.config = config
        self.device = choose_device(config.device)
        self.tokenizer: Any = None
        self.teacher_model: Any = None
        self.student_model: Any = None
        self.loss_fn: nn.Module = DistillationLoss(
            config.temperature, config.alpha, objective=config.objective
        )
        self._teacher_tokenizer: Any = None
        self._run: dict[str, Any] | None = None
        self._losses: list[tuple[int, float]] = []

    def load_teacher_model(self) -> None:
        """Load the teacher that the settings name.

        Raises:
            ModelNotFoundError: There is no such model.
            CheckpointError: Its folder is damaged or unsafe.
        """
        loaded = load_checkpoint(self.config.teacher_model_name, device=self.device)
        self.teacher_model, self._teacher_tokenizer = loaded.model, loaded.tokenizer

    def load_student_model(self) -> None:
        """Load the student that the settings name, or make it from the teacher, in float32.

        Raises:
            ModelNotFoundError: There is no such model.
            CheckpointError: Its folder is damaged or unsafe.
            ConfigError: It cannot be made of this teacher.
        """
        config, name = self.config, self.config.student_model_name
        if name not in (*FROM_TEACHER, FROM_SCRATCH):
            loaded = load_checkpoint(name, device=self.device, dtype=torch.float32)
            self.student_model, self.tokenizer = loaded.model, loaded.tokenizer
            return
        if self.teacher_model is None:
            self.load_teacher_model()
        if name == FROM_SCRATCH:
            layers, width = config.student_layers or 0, config.student_width or 0
            self.student_model = student_from_scratch(
                self.teacher_model.config, layers=layers, width=width, seed=config.seed
            ).to(self.device)
        else:
            keep = every_second_layer(self.teacher_model.config.num_hidden_layers)
            self.student_model = layers_from_teacher(self.teacher_model, keep)
        if self.tokenizer is None:
            self.tokenizer = self._teacher_tokenizer

    def prepare_data(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Turn plain texts into one padded batch: `input_ids`, `attention_mask`, `labels`, (B, T).

        Raises:
            DataError: A text is empty.
            EmptyDataError: There are none.
        """
        if self.tokenizer is None:
            self.load_student_model()
        examples = [Example(f"text {n}", "", t, "text") for n, t in enumerate(texts, start=1)]
        return collator_for(self.tokenizer)(self._tokenize(examples))

    def distill(
        self, training_data: Iterable[Record], *, work_dir: str | Path | None = None
    ) -> DistillationSummary:
        """Train the student.

        Args:
            training_data: Records in any shape of `training_data.py`, mixed if you like.
            work_dir: Keeps checkpoints, losses and loss curve, so that the same call goes on after
                a crash; None keeps them in a temporary folder.

        Returns:
            What was done. The trained model is `student_model`.

        Raises:
            DataError: A record cannot be used (`EmptyDataError`: there are none).
            VocabularyError: Teacher and student do not share a tokenizer.
            ConfigError: The settings do not fit each other.
        """
        began = time.monotonic()
        examples = training_examples(training_data)
        self._load_missing()
        items = self._tokenize(examples)
        vocabulary = self._vocabulary(items)
        run = describe_run(
            self.config,
            examples,
            dtype=self._dtype(),
            teacher=self.teacher_model,
            student=self.student_model,
        )
        with ExitStack() as stack:
            folder = Path(work_dir or stack.enter_context(tempfile.TemporaryDirectory()))
            if work_dir is not None:
                run["models_sha256"] = self._fingerprint()
            resume = open_work_folder(folder, run)
            trainer = self._trainer(folder, items, vocabulary)
            trainer.train(resume)
            self._losses = trainer.history.losses
            metrics = {"loss": self._losses[-1][1] if self._losses else None}
            steps = int(trainer.state.global_step)
            self._run = run | {"status": "complete", "steps": steps, "metrics": metrics}
            write_json(folder / RUN_FILE, self._run)
        self.student_model.eval()
        return DistillationSummary(
            steps=steps,
            losses=tuple(self._losses),
            examples=len(items),
            supervised_tokens=sum(len(i.input_ids) - max(i.prompt_length, 1) for i in items),
            seconds=time.monotonic() - began,
            resumed_from=resume,
        )

    def save_distilled_model(self, output_dir: str | Path | None = None) -> Path:
        """Write the student, its tokenizer, the settings and what the run did.

        Args:
            output_dir: None takes that of the settings. A folder that is there is replaced.

        Returns:
            The folder, which `load_checkpoint` and `load_distilled_model` read.

        Raises:
            CheckpointError: Nothing was distilled or loaded yet, or the result cannot be read back.
        """
        if self._run is None or self.student_model is None:
            raise CheckpointError("there is no distilled model yet; call distill first")
        files = {
            CONFIG_FILE: json.dumps(self.config.to_dict(), indent=2, ensure_ascii=False) + "\n"
        }
        if self._losses:
            files[LOSSES_FILE] = losses_text(self._losses)
        folder = save_checkpoint(
            output_dir or self.config.output_dir,
            self.student_model,
            self.tokenizer,
            self._run,
            files,
        )
        if self._losses:
            draw_losses(self._losses, folder / CURVE_FILE)
        return folder

    def load_distilled_model(self, model_path: str | Path) -> None:
        """Load a saved student and its tokenizer into `student_model` and `tokenizer`.

        Raises:
            ModelNotFoundError: There is no such folder.
            CheckpointError: It is damaged or unsafe.
        """
        loaded = load_checkpoint(model_path, device=self.device)
        self.student_model, self.tokenizer = loaded.model, loaded.tokenizer
        self._run, self._losses = loaded.run, []

    def _needs_teacher(self) -> bool:
        return type(self.loss_fn) is not DistillationLoss or self.loss_fn.alpha > 0.0

    def _load_missing(self) -> None:
        if self.student_model is None:
            self.load_student_model()
        if self._needs_teacher() and self.teacher_model is None:
            self.load_teacher_model()
        if self.tokenizer is None:
            raise ConfigError(["a student was assigned without a tokenizer; assign tokenizer too"])
        self.student_model.to(self.device)

    def _tokenize(self, examples: Sequence[Example]) -> list[TokenizedExample]:
        models = (self.student_model, self.teacher_model if self._needs_teacher() else None)
        positions = [
            model.config.max_position_embeddings
            for model in models
            if model is not None and getattr(model.config, "max_position_embeddings", None)
        ]
        return tokenize_examples(
            examples,
            self.tokenizer,
            max_length=min([self.config.max_length, *positions]),
            too_long=self.config.too_long,
        )

    def _vocabulary(self, items: Sequence[TokenizedExample]) -> int:
        """Give V_eff, and refuse data with ids beyond it."""
        teacher = self.teacher_model if self._needs_teacher() else self.student_model
        tokens = max(self.tokenizer.get_vocab().values()) + 1
        if self._needs_teacher() and self._teacher_tokenizer is not None:
            tokens = compare_vocabularies(self._teacher_tokenizer, self.tokenizer)
        vocabulary = shared_vocabulary(tokens, teacher, self.student_model)
        largest = max(max(item.input_ids) for item in items)
        if largest >= vocabulary:
            raise VocabularyError(
                f"the data uses token id {largest}, but teacher and student share only ids below "
                f"{vocabulary}; use the teacher's tokenizer, or train with alpha=0"
            )
        return vocabulary

    def _dtype(self) -> torch.dtype:
        name = self.config.dtype
        chosen: torch.dtype = choose_training_dtype(self.device)
        return chosen if name is None else getattr(torch, name)

    def _fingerprint(self) -> str:
        teacher = self.teacher_model if self._needs_teacher() else None
        name = type(self.loss_fn).__qualname__
        return f"{weights_sha256(teacher, self.student_model)} {name}"

    def _trainer(self, folder: Path, items: list[TokenizedExample], vocabulary: int) -> KDTrainer:
        config = self.config
        optimizer = make_optimizer(
            self.student_model,
            kind=config.optimizer,
            learning_rate=config.learning_rate,
            matrix_learning_rate=config.matrix_learning_rate,
            weight_decay=config.weight_decay,
        )
        return KDTrainer(
            self.student_model,
            training_arguments(
                folder,
                device=self.device,
                dtype=self._dtype(),
                batch_size=config.batch_size,
                gradient_accumulation_steps=config.gradient_accumulation_steps,
                num_epochs=config.num_epochs,
                max_steps=config.max_steps,
                lr_scheduler=config.lr_scheduler,
                decay_ratio=config.decay_ratio,
                warmup_ratio=config.warmup_ratio,
                max_grad_norm=config.max_grad_norm,
                seed=config.seed,
            ),
            train_dataset=items,
            data_collator=collator_for(self.tokenizer),
            loss_fn=self.loss_fn,
            teacher=self.teacher_model if self._needs_teacher() else None,
            vocabulary=vocabulary,
            save_steps=config.save_steps,
            description="distilling" if self._needs_teacher() else "training",
            progress=config.progress,
            optimizers=(optimizer, None),
        )


def create_distiller_from_config(config_dict: Mapping[str, Any]) -> ModelDistiller:
    """Make a distiller from settings as a JSON file holds them.

    Raises:
        ConfigError: Unknown keys (with the nearest known one) and values out of range, all at once.
    """
    return ModelDistiller(read_config(config_dict))
