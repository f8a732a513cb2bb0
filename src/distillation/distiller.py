"""Distil a teacher into a student: settings and training data in, a checkpoint out.

    distiller = ModelDistiller(DistillationConfig(teacher_model_name="./teacher",
                                                  student_model_name="every_second_layer"))
    distiller.distill([{"question": "Symbol of gold?", "answer": "Au"}, ...])
    distiller.save_distilled_model("./student")

Models may also be loaded elsewhere and assigned to the attributes.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError
from ..files import naming_disk_faults, write_json
from ..inference.checkpoints.load_student import (
    Checkpoint,
    choose_device,
    choose_training_dtype,
    load_checkpoint,
)
from ..inference.checkpoints.padding import agree_on_padding
from ..records import Example
from .batches.batching import TokenizedExample, collator_for
from .batches.classifier_data import PROBABILITIES, classes_of
from .batches.forward import Batch
from .batches.model_kinds import STUDENT_KINDS, TASK_KINDS, model_kind
from .losses.distillation_loss import DistillationLoss
from .pruning.prune_teacher import StudentSize, describe, prune_teacher
from .pruning.vocabulary_trim import over_vocabulary_of
from .runtime_patches import no_shard_bars
from .settings import (
    EVERY_SECOND,
    FROM_SCRATCH,
    FROM_TEACHER,
    PRUNED,
    DistillationConfig,
    read_config,
)
from .students.adapters import PROBE_EXAMPLES, TrainedAdapter
from .students.freezing import only_trainable
from .students.label_heads import fitted_classifier
from .students.open_students import half_of, student_from_scratch
from .students.prepared_models import (
    finish_student,
    prepare_teacher,
    prepared_student,
    student_place,
    teacher_place,
)
from .students.save_student import write_student
from .teacher.cache_reader import TeacherCache
from .teacher.cached import require_fit
from .teacher.recorded import RecordedTeacher
from .teacher.teacher_mixture import TeacherMixture
from .torch_processes import is_main_process, join_processes, local_device, main_process_first
from .training.build_trainer import trainer_of
from .training.callbacks import asks_teacher, reads_own_tokens
from .training.dispatch import (
    Models,
    collator_of,
    count_supervised,
    examples_of,
    items_of,
    vocabulary_of,
)
from .training.interruption import saved_when_interrupted
from .training.resuming import RUN_FILE, open_work_folder, trained_epochs
from .training.run_record import DistillationSummary, describe_run, weights_sha256
from .training.sharding import whole_student
from .training_data import Record

logger = logging.getLogger(__name__)

__all__ = [
    "DistillationConfig",
    "DistillationLoss",
    "DistillationSummary",
    "ModelDistiller",
    "create_distiller_from_config",
]


class ModelDistiller:
    """Distil a teacher into a student.

    Args:
        config: The settings.

    Attributes:
        config: The settings.
        device: Device of both models.
        tokenizer: Tokenizer of the student; loaded with it, or assigned.
        teacher_model: The teacher; None until loaded or assigned. Training freezes it and puts it
            into eval mode.
        teacher_tokenizer: Tokenizer of the teacher; None means the student's.
        student_model: The student; None until loaded or assigned.
        pruning: What a `from_teacher` student kept of its teacher; None for others.
        loss_fn: A `DistillationLoss`; assign a subclass to train with your own loss.
    """

    def __init__(self, config: DistillationConfig) -> None:
        """Choose the device; models are loaded when needed."""
        self.config = config
        self.device = local_device(choose_device(config.device))
        join_processes(self.device)
        self.tokenizer: Any = None
        self.teacher_model: Any = None
        self.student_model: Any = None
        self.loss_fn: nn.Module = DistillationLoss(
            config.temperature, config.alpha, objective=config.objective
        )
        self.teacher_tokenizer: Any = None
        self._run: dict[str, Any] | None = None
        self._left_out: dict[str, list[str]] = {}
        self._stored: dict[str, torch.dtype | None] = {}
        self.pruning: dict[str, Any] | None = None
        self._losses: list[tuple[int, float]] = []
        self._adapter: TrainedAdapter | None = None
        self._recorded = False

    def load_teacher_model(self) -> None:
        """Load the teacher that the settings name.

        Raises:
            ModelNotFoundError: The model does not exist.
            CheckpointError: Its folder is damaged or unsafe.
        """
        config = self.config
        place, dtype = teacher_place(config, self.device)
        loaded = load_checkpoint(
            config.teacher_model_name, device=place, dtype=dtype, kinds=TASK_KINDS[config.task]
        )
        self.teacher_model, self.teacher_tokenizer = loaded.model, loaded.tokenizer
        self._note_loaded("teacher", loaded)

    def load_student_model(self) -> None:
        """Load the student that the settings name, or make it from the teacher, in float32.

        Raises:
            ModelNotFoundError: The model does not exist.
            CheckpointError: Its folder is damaged or unsafe.
            ConfigError: It cannot be made from this teacher, or only from records, see
                `make_student`.
        """
        config, name = self.config, self.config.student_model_name
        if name == PRUNED:
            raise ConfigError(
                [f"the student {PRUNED!r} is measured on records: call make_student(records), or "
                 "distill(records), which does so"]
            )  # fmt: skip
        if name not in (*FROM_TEACHER, FROM_SCRATCH):
            place, kinds = student_place(config, self.device), STUDENT_KINDS[config.task]
            loaded = load_checkpoint(name, device=place, dtype=torch.float32, kinds=kinds)
            self.student_model, self.tokenizer = loaded.model, loaded.tokenizer
            self._note_loaded("student", loaded)
            return
        if self.teacher_model is None:
            self.load_teacher_model()
        teacher = self.teacher_model
        if name == EVERY_SECOND:
            self.student_model = half_of(teacher)
            self._stored["student"] = self._stored.get("teacher")
        else:
            self.student_model = student_from_scratch(
                teacher.config,
                layers=config.student_layers or 0,
                width=config.student_width or 0,
                seed=config.seed,
                kind=model_kind(teacher),
            )
        self.student_model.to(student_place(config, self.device))
        if self.tokenizer is None:
            self.tokenizer = self.teacher_tokenizer

    def make_student(self, training_data: Iterable[Record]) -> None:
        """Make the student that the settings name; `from_teacher` is pruned on these records.

        A pruned student's tokenizer, and the teacher over the same vocabulary, become `tokenizer`,
        `teacher_model` and `teacher_tokenizer`. `distill` calls this method if there is no student.

        Args:
            training_data: As for `distill`.

        Raises:
            ConfigError: The teacher cannot be pruned to these sizes.
            DataError: A record cannot be used (`EmptyDataError`: there are none).
        """
        self._make_student(examples_of(training_data, self.config.task))

    def _make_student(self, examples: Sequence[Example]) -> None:
        config = self.config
        if config.student_model_name != PRUNED:
            self.load_student_model()
            return
        if self.teacher_model is None:
            self.load_teacher_model()
        readers = Models(self.teacher_model, self.teacher_tokenizer or self.tokenizer)
        items = self._items(examples, readers)
        size = StudentSize(
            share=config.student_size,
            layers=config.student_layers,
            keep_layers=config.keep_layers,
            feed_forward=config.student_feed_forward,
            vocabulary=config.student_vocabulary,
        )
        made = prune_teacher(
            self.teacher_model, readers.tokenizer, items, collator_of(readers), size
        )
        self.student_model = made.model.to(student_place(config, self.device))
        self.teacher_model = made.teacher
        self.tokenizer = self.teacher_tokenizer = made.tokenizer
        self._stored["student"], self.pruning = self._stored.get("teacher"), made.report
        logger.info("student: %s", describe(made.report))

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
            training_data: Records in the shapes of `training_data.py`, which may be mixed; for a
                classifier of `classifier_data.py`.
            work_dir: Keeps checkpoints, losses and loss curve, so that the same call continues
                after a crash; None uses a temporary folder.

        Returns:
            A summary. The trained model is `student_model`.

        Raises:
            DataError: A record cannot be used (`EmptyDataError`: there are none).
            VocabularyError: Teacher and student do not share a tokenizer.
            ConfigError: The settings do not fit each other.
        """
        began = time.monotonic()
        examples = examples_of(training_data, self.config.task)
        self._recorded = any(PROBABILITIES in example.fields for example in examples)
        cache = self._open_cache()
        models = self._load_missing(examples)
        items = self._tokenize(examples)
        if cache is not None:
            self._require_fit(cache, examples, items)
        vocabulary = vocabulary_of(items, models) if cache is None else cache.vocabulary
        run = self._describe(examples, cache)
        with ExitStack() as stack:
            stack.enter_context(no_shard_bars())
            folder = Path(work_dir or stack.enter_context(tempfile.TemporaryDirectory()))
            if work_dir is not None:
                run["models_sha256"] = self._fingerprint()
            resume = open_work_folder(folder, run)
            epochs_before = 0.0 if resume is None else trained_epochs(resume)
            student = stack.enter_context(
                prepared_student(
                    self.student_model, self.config, device=self.device, dtype=self._dtype()
                )
            )
            stack.enter_context(only_trainable(student, self.config.trainable))
            trainer = trainer_of(
                self.config,
                folder,
                replace(models, student=student),
                cache=cache,
                signal=RecordedTeacher() if self._recorded else None,
                device=self.device,
                dtype=self._dtype(),
                loss_fn=self.loss_fn,
                items=items,
                examples=examples,
                vocabulary=vocabulary,
            )
            saving = nullcontext() if work_dir is None else saved_when_interrupted(trainer)
            with naming_disk_faults(folder), saving:
                first = time.monotonic()
                trainer.train(None if resume is None else str(resume))
                training_seconds = time.monotonic() - first
            trained = whole_student(trainer, student)
            probe = collator_of(replace(models, own_tokens=False))(items[:PROBE_EXAMPLES])
            self._finish(trainer, trained, probe, run)
            if is_main_process():
                write_json(folder / RUN_FILE, self._run)
        supervised = count_supervised(items, self.student_model)
        epochs = float(trainer.state.epoch or 0.0) - epochs_before
        return DistillationSummary(
            steps=int(trainer.state.global_step),
            losses=tuple(self._losses),
            examples=len(items),
            supervised_tokens=supervised,
            seconds=time.monotonic() - began,
            resumed_from=resume,
            trained_tokens=round(epochs * sum(len(item.input_ids) for item in items)),
            trained_supervised_tokens=round(epochs * supervised),
            training_seconds=training_seconds,
        )

    def _describe(self, examples: Sequence[Example], cache: TeacherCache | None) -> dict[str, Any]:
        run = describe_run(
            self.config,
            examples,
            dtype=self._dtype(),
            teacher=self.teacher_model,
            student=self.student_model,
            tokenizer=self.tokenizer,
            teacher_cache=None if cache is None else cache.manifest,
        )
        if self.pruning is not None:
            run["student"] |= {"pruning": self.pruning}
        if isinstance(cache, TeacherMixture):
            run["teacher"] |= {"by_source": cache.describe()}
        return run | ({"left_out_settings": dict(self._left_out)} if self._left_out else {})

    def _finish(self, trainer: Any, trained: Any, probe: Batch, run: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Merge an adapter into the student, and keep the student, its losses and its record."""
        finished = finish_student(trained, self.student_model, probe)
        self.student_model, self._adapter = finished.model.eval(), finished.adapter
        self._losses = trainer.history.losses
        self._run = {
            **run,
            "status": "complete",
            "steps": int(trainer.state.global_step),
            "metrics": {"loss": self._losses[-1][1] if self._losses else None},
        }
        if finished.merge is not None:
            self._run["merge"] = finished.merge

    def save_distilled_model(self, output_dir: str | Path | None = None) -> Path:
        """Write the student, its tokenizer, the settings and the record of the run.

        Of several processes only the main one writes, and the others wait for it.

        Args:
            output_dir: None for that of the settings. An existing folder is replaced.

        Returns:
            The folder, which `load_checkpoint` and `load_distilled_model` read.

        Raises:
            CheckpointError: Nothing was distilled or loaded yet, or the result cannot be read back.
        """
        if self._run is None or self.student_model is None:
            raise CheckpointError("there is no distilled model yet; call distill first")
        with main_process_first():
            if is_main_process():
                write_student(
                    Path(output_dir or self.config.output_dir),
                    self.student_model,
                    self.tokenizer,
                    self.config,
                    self._run,
                    losses=self._losses,
                    adapter=self._adapter,
                    dtype=self._stored.get("student"),
                )
        return Path(output_dir or self.config.output_dir)

    def load_distilled_model(self, model_path: str | Path) -> None:
        """Load a saved student and its tokenizer into `student_model` and `tokenizer`.

        Raises:
            ModelNotFoundError: The folder does not exist.
            CheckpointError: It is damaged or unsafe.
        """
        loaded = load_checkpoint(model_path, device=self.device, kinds=TASK_KINDS[self.config.task])
        self.student_model, self.tokenizer = loaded.model, loaded.tokenizer
        self._run, self._losses, self._adapter = loaded.run, [], None
        self._stored["student"] = loaded.stored_dtype

    def _note_loaded(self, role: str, loaded: Checkpoint) -> None:
        self._stored[role] = loaded.stored_dtype
        if loaded.left_out:
            self._left_out[role] = list(loaded.left_out)

    def _needs_teacher(self) -> bool:
        return asks_teacher(self.config, self.loss_fn)

    def _runs_teacher(self) -> bool:
        recorded = self._recorded or self.config.teacher_cache is not None
        return self._needs_teacher() and not recorded

    def _open_cache(self) -> TeacherCache | None:
        given = self.config.teacher_cache
        if given is None or not self._needs_teacher():
            return None
        return TeacherCache(given) if isinstance(given, str) else TeacherMixture(given)

    def _require_fit(
        self, cache: TeacherCache, examples: Sequence[Example], items: Sequence[TokenizedExample]
    ) -> None:
        require_fit(
            cache,
            items,
            teacher_name=self.config.teacher_model_name,
            teacher_model=self.teacher_model,
            student=self.student_model,
            tokenizer=self.tokenizer,
            loss_fn=self.loss_fn,
            limits={
                "max_length": self._models().longest_example(self.config.max_length),
                "too_long": self.config.too_long,
            },
            sources={example.id: example.source for example in examples},
        )
        if isinstance(cache, TeacherMixture):
            cache.require_sources(items, examples)

    def _put_head(self, examples: Sequence[Example]) -> None:
        """Put a classification head on an encoder or language model, if the task needs one."""
        if self.config.task != "classification" or model_kind(self.student_model) != "causal":
            return  # `model_kind` calls an encoder without a head causal
        taught = self.teacher_model if self._runs_teacher() else None
        classes = classes_of(examples) if taught is None else list(taught.config.label2id)
        self.student_model = fitted_classifier(
            self.student_model, self.tokenizer, examples, classes, max_length=self.config.max_length
        )

    def _load_missing(self, examples: Sequence[Example]) -> Models:
        if self.student_model is None:
            self._make_student(examples)
        if self._runs_teacher() and self.teacher_model is None:
            self.load_teacher_model()
        if self.tokenizer is None:
            raise ConfigError(["a student was assigned without a tokenizer; assign tokenizer too"])
        self._put_head(examples)
        self._models().require_task(self.config.task)
        self.student_model.to(student_place(self.config, self.device))
        if self._runs_teacher():
            self.teacher_model = prepare_teacher(
                self.teacher_model,
                self.config.teacher_bits,
                device=self.device,
                dtype=self._dtype(),
            )
        self._share_vocabulary()
        models = self._models()
        if self.config.task == "classification":
            readers = [m for m in (models.student, models.teacher) if m is not None]
            agree_on_padding(self.tokenizer, *readers)
        return models

    def _share_vocabulary(self) -> None:
        """Trim the teacher to the student's vocabulary, if that is a part of its own."""
        models = self._models()
        if models.teacher is None or models.own_tokens or self.teacher_tokenizer is None:
            return
        trimmed = over_vocabulary_of(models.teacher, self.teacher_tokenizer, self.tokenizer)
        if trimmed is not None:
            self.teacher_model, self.teacher_tokenizer = trimmed, self.tokenizer

    def _models(self) -> Models:
        return Models(
            self.student_model,
            self.tokenizer,
            self.teacher_model if self._runs_teacher() else None,
            self.teacher_tokenizer,
            own_tokens=reads_own_tokens(self.config, self.loss_fn),
        )

    def _tokenize(self, examples: Sequence[Example]) -> list[Any]:
        return self._items(examples, self._models())

    def _items(self, examples: Sequence[Example], models: Models) -> list[Any]:
        return items_of(
            examples,
            models,
            max_length=models.longest_example(self.config.max_length),
            too_long=self.config.too_long,
            labels_needed=isinstance(self.loss_fn, DistillationLoss) and self.loss_fn.alpha < 1.0,
        )

    def _dtype(self) -> torch.dtype:
        name = self.config.dtype
        chosen: torch.dtype = choose_training_dtype(self.device)
        return chosen if name is None else getattr(torch, name)

    def _fingerprint(self) -> str:
        models, name = self._models(), type(self.loss_fn).__qualname__
        return f"{weights_sha256(models.teacher, models.student)} {name}"


def create_distiller_from_config(config_dict: Mapping[str, Any]) -> ModelDistiller:
    """Make a distiller from settings as they stand in a JSON file.

    Raises:
        ConfigError: Unknown keys (with the nearest known one) and values out of range, all at once.
    """
    return ModelDistiller(read_config(config_dict))
