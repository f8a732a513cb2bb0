"""The training step: `transformers.Trainer` with our loss, divided once by the step's tokens.

Processes, accumulation, mixed precision, learning rates and saving are those of Trainer and
accelerate. `KDTrainer.compute_loss` computes the loss; batches come from `batching`, checkpoints
from `resuming`, the progress bar and the loss curve from `loss_curve`.

Sizes: B examples, T positions, V vocabulary, N supervised positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ...errors import ConfigError, EmptyDataError
from ..batches.batching import BatchOrder, supervised_weights
from ..batches.forward import Batch
from ..batches.model_kinds import shifts_labels
from ..batches.process_batches import CollateOrIdle, DealtOrder
from ..loss_curve import LossHistory, ShowProgress
from ..losses.distillation_loss import DistillationLoss
from ..losses.distillation_sum import distillation_sum
from ..losses.layer_matching import LayerSettings, TrainProjections, match_layers
from ..losses.mixture import per_token
from ..losses.model_rows import ModelRows
from ..losses.rows import TeacherSignal
from ..runtime_patches import (
    attention_set_to,
    choose_attention,
    keep_freed_memory,
    no_shard_bars,
)
from ..setting_names import IGNORED
from ..settings import DistillationConfig
from ..teacher.cache_reader import TeacherCache
from ..teacher.cached import CachedTeacher, cache_faults
from ..teacher.online import OnlineTeacher, UniversalTeacher, universal_faults
from .resuming import KEPT_CHECKPOINTS, SaveWhole
from .sharding import sharded_at_load, why_sharded

Teacher = nn.Module | TeacherSignal | UniversalTeacher | TeacherCache
"""What a student can learn from."""


def training_arguments(
    work_dir: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 8,
    gradient_accumulation_steps: int = 1,
    num_epochs: float = 3,
    max_steps: int | None = None,
    lr_scheduler: str = "linear",
    decay_ratio: float = 0.3,
    warmup_ratio: float = 0.0,
    max_grad_norm: float = 1.0,
    seed: int = 0,
) -> TrainingArguments:
    """Make Trainer's arguments as `KDTrainer` needs them.

    Args:
        work_dir: Keeps checkpoints, `losses.jsonl` and `loss.png`.
        device: CPU or CUDA.
        dtype: Arithmetic under autocast, bfloat16 or float32; the type of weights is not changed.
        batch_size: Examples per micro-batch and process.
        gradient_accumulation_steps: Micro-batches per optimizer step.
        num_epochs: Passes over the data.
        max_steps: Optimizer steps; overrides `num_epochs`.
        lr_scheduler: A schedule of transformers: `linear`, `cosine`, `constant`, ...
        decay_ratio: Share of `max_steps` in which `warmup_stable_decay` falls, 0 to 1.
        warmup_ratio: Share of the steps in which the learning rate rises, 0 up to 1.
        max_grad_norm: Gradients are clipped to this norm; 0 does not clip.
        seed: Seed of dropout and of the order of batches.
    """
    return TrainingArguments(
        output_dir=str(work_dir),
        use_cpu=device.type == "cpu",
        bf16=dtype == torch.bfloat16,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=gradient_accumulation_steps,
        num_train_epochs=num_epochs,
        max_steps=-1 if max_steps is None else max_steps,
        lr_scheduler_type=lr_scheduler,
        lr_scheduler_kwargs=(
            {"num_decay_steps": round(decay_ratio * (max_steps or 0))}
            if lr_scheduler == "warmup_stable_decay"
            else None
        ),
        warmup_steps=warmup_ratio,
        max_grad_norm=max_grad_norm,
        seed=seed,
        remove_unused_columns=False,
        # SaveWhole and ShowProgress save, and show losses and the bar.
        save_strategy="no",
        save_total_limit=KEPT_CHECKPOINTS,
        logging_strategy="no",
        disable_tqdm=True,
        report_to="none",
        # All trainable parameters take part in every step, so DDP need not look for unused ones.
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device.type == "cuda",
    )


def arguments_of(
    config: DistillationConfig, work_dir: str | Path, *, device: torch.device, dtype: torch.dtype
) -> TrainingArguments:
    """Make Trainer's arguments from the settings; arguments as in `training_arguments`."""
    names = (
        "batch_size", "gradient_accumulation_steps", "num_epochs", "max_steps", "lr_scheduler",
        "decay_ratio", "warmup_ratio", "max_grad_norm", "seed",
    )  # fmt: skip
    taken = {name: getattr(config, name) for name in names}
    return training_arguments(work_dir, device=device, dtype=dtype, **taken)


class KDTrainer(Trainer):  # type: ignore[misc]  # transformers is skipped by the type checker
    """Train a student against labels, a teacher, or both.

    Args:
        model: The student: causal, an encoder-decoder or a classifier, see `model_kinds`.
        args: Made by `training_arguments`, or your own; see Raises.
        train_dataset: Tokenised examples, in an order that depends on the data only.
        data_collator: Pads them.
        loss_fn: A plain `DistillationLoss` is computed on supervised rows only. Any other loss gets
            full logits and returns a mean, which is weighted by its share of the step's tokens.
        teacher: A causal model, a cache of its logits, or another `TeacherSignal`; for objective
            `universal_logit` a `UniversalTeacher`. Neither needed nor run at alpha 0.
        vocabulary: Ids that teacher and student share; None for those of the cache or, without one,
            for all of the student's.
        layers: Additional losses on hidden states and attention maps; they need a teacher model.
        save_steps: Optimizer steps between checkpoints; None saves by elapsed time.
        description: Text before the progress bar.
        progress: Whether to show the bar.
        callbacks: More callbacks, of transformers.
        optimizers: Optimizer and schedule; either may be None for those of `args`.
        optimizer_of: Makes the optimizer of a model when training begins, as FSDP needs it.

    Raises:
        ConfigError: Settings would silently train something else; lists all faults.
        EmptyDataError: There are no examples.
    """

    optimizer: Any  # Trainer's own, which the type checker does not see
    loss_is_scaled_for_ga = True  # else Trainer divides by the accumulation steps once more

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - a transformers model, which is untyped
        args: TrainingArguments,
        *,
        train_dataset: Sequence[Any],
        data_collator: Callable[[Sequence[Any]], dict[str, Tensor]],
        loss_fn: nn.Module | None = None,
        teacher: Teacher | None = None,
        vocabulary: int | None = None,
        layers: LayerSettings | None = None,
        save_steps: int | None = None,
        description: str = "training",
        progress: bool = True,
        callbacks: Sequence[TrainerCallback] = (),
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_of: Callable[[Any], torch.optim.Optimizer] | None = None,
    ) -> None:
        """Check the settings, freeze the teacher, prepare the model."""
        self.loss_fn = DistillationLoss() if loss_fn is None else loss_fn
        if not train_dataset:
            raise EmptyDataError("there are no training examples; give at least one")
        faults = _faults(model, args, self.loss_fn, teacher)
        faults += universal_faults(self.loss_fn, teacher, train_dataset, data_collator)
        if isinstance(teacher, TeacherCache):
            vocabulary = teacher.vocabulary if vocabulary is None else vocabulary
            faults += cache_faults(teacher, self.loss_fn, model, vocabulary)
        if args.world_size > 1 and save_steps is None:
            faults.append("with several processes save_steps is needed: their clocks differ")
        if faults:
            raise ConfigError(faults)
        # Trainer sets it to False for good; encoders have none.
        self._use_cache = getattr(model.config, "use_cache", None)
        self.history = LossHistory()
        self.optimizer_of = optimizer_of
        show = ShowProgress(self.history, description=description, progress=progress)
        self.layers = match_layers(model, teacher, layers, device=args.device, seed=args.seed)
        projections = [] if self.layers is None else [TrainProjections(self.layers)]
        # Trainer cannot resume a model that transformers sharded when it loaded it.
        saving = [] if sharded_at_load(model) else [SaveWhole(save_steps)]
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            data_collator=data_collator,
            # SaveWhole comes after callbacks that write into a checkpoint: it marks it as whole.
            callbacks=[show, *projections, *saving, *callbacks],
            optimizers=optimizers,
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.model_accepts_loss_kwargs = True  # else num_items_in_batch is None
        self._loss_shifts_labels = shifts_labels(model)  # Trainer does not know GPT-2 as causal
        # No nn.Module may own the teacher: it would be saved, wrapped and put into train mode.
        self.teacher = self._teacher_signal(teacher, vocabulary)
        self.why_sharded = why_sharded(self)
        watched = self.layers is not None
        self.rows = ModelRows(vocabulary, dense_because=self.why_sharded, whole=watched)
        if isinstance(self.teacher, OnlineTeacher):
            self.teacher.row_logits.whole = watched
        if self.layers is not None and self.optimizer is not None:
            self.layers.join(self.optimizer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - a scalar, or what Trainer asks for
        """Compute [alpha T^2 sum D + (1 - alpha) sum CE] / N_tok for one micro-batch.

        N_tok counts the supervised tokens of the whole optimizer step, over micro-batches and
        processes, so the losses and gradients of micro-batches add up.
        """
        loss_fn, student = self.loss_fn, self.accelerator.unwrap_model(model)
        shift = shifts_labels(student)
        n_micro = (inputs["labels"][..., int(shift) :] != IGNORED).sum()
        n_tok = torch.as_tensor(n_micro if num_items_in_batch is None else num_items_in_batch)
        # ------------------------------------------------------------------------------ the loss
        if type(loss_fn) is DistillationLoss:
            signal = self.teacher.rows(inputs) if loss_fn.alpha > 0.0 else None
            weights = supervised_weights(inputs, shift=shift)  # (N,), or None
            with self.accelerator.autocast():
                rows, labels = self.rows(model, inputs, student)  # N rows
                total, _ = distillation_sum(rows, labels, signal, loss_fn.mixture, weights=weights)
        else:
            total = n_micro * self._custom_loss(model, inputs, shift=shift)
        loss = per_token(total, n_tok)
        if self.layers is not None:
            counted = num_items_in_batch is not None
            matched, n = self.layers.compare(inputs, self.teacher.rows, in_step=counted)
            loss = loss + per_token(matched, n)
        # -------------------------------------------------- DDP averages gradients over processes
        loss = loss * (self.accelerator.num_processes // self.get_tp_size())
        return (loss, {}) if return_outputs else loss

    def _custom_loss(self, model: nn.Module, inputs: Batch, *, shift: bool) -> Any:  # noqa: ANN401
        """Call a user's loss on full logits; it gives the mean over this micro-batch."""
        with self.accelerator.autocast():
            ours = self.rows.dense(model, inputs)  # (B, T, V), of a classifier (B, C)
        theirs, labels = self.teacher.logits(inputs), inputs["labels"]
        if not shift:  # rows (N, V), which no loss shifts
            ours, theirs, labels = ours.flatten(0, -2), theirs.flatten(0, -2), labels.flatten()
        return self.loss_fn(ours, theirs, labels)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:  # noqa: ANN401
        """Take an optimizer step's micro-batches, and count the positions of layer losses."""
        samples, n_tok = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.layers is not None:
            self.layers.begin_step(samples, lambda n: self.accelerator.gather(n.to(device)))
        return samples, n_tok

    def create_optimizer(self, model: Any = None) -> Any:  # noqa: ANN401
        """Make an optimizer unless one was given, with the projections of layer losses."""
        given = self.optimizer is not None
        if not given and self.optimizer_of is not None:
            self.optimizer = self.optimizer_of(self.model if model is None else model)
        optimizer = super().create_optimizer(model)
        if self.layers is not None and not given:
            self.layers.join(optimizer)
        return optimizer

    def training_step(
        self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run one micro-batch forward and backward, and record its share of the step's loss."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.history.add(loss)
        return loss

    def train(self, resume_from_checkpoint: str | Path | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Train to the end; apart from its weights the model is then as it was given.

        Args:
            resume_from_checkpoint: From `open_work_folder` or `last_whole_checkpoint`.
            kwargs: Further arguments of `Trainer.train`.

        Returns:
            Trainer's `TrainOutput`; the losses are in `history.losses`.
        """
        dtype = torch.bfloat16 if self.args.bf16 else torch.float32
        if self.args.device.type == "cpu":
            keep_freed_memory()
        resume = None if resume_from_checkpoint is None else str(resume_from_checkpoint)
        attention = attention_set_to(self.model, choose_attention(self.args.device, dtype))
        watching = nullcontext() if self.layers is None else self.layers.watching()
        if self.layers is not None and resume is not None:
            self.layers.load(Path(resume))
        try:
            with attention, watching, no_shard_bars():
                return super().train(resume_from_checkpoint=resume, **kwargs)
        finally:
            if self._use_cache is not None:
                self.model.config.use_cache = self._use_cache
            # accelerate leaves autocast around forward, so later answers would be in bfloat16.
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)

    def get_train_dataloader(self) -> Any:  # noqa: ANN401
        """Return the loader of this process's batches, in `batch_order`."""
        order = BatchOrder(
            [len(item.input_ids) for item in self.train_dataset],
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps * self.args.world_size,
            seed=self.args.seed,
        )
        dealt = DealtOrder(order, self.args.world_size, self.args.process_index)
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=dealt,
            collate_fn=CollateOrIdle(self.data_collator, self.train_dataset[0]),
            pin_memory=self.args.dataloader_pin_memory,
        )
        # Prepared as for one process, because accelerate repeats examples at an epoch's end.
        return prepare_data_loader(loader, self.accelerator.device, 1, 0, put_on_device=True)

    def _issue_warnings_after_load(self, load_result: Any) -> None:  # noqa: ANN401
        """Warn of weights that a checkpoint lacks, but not of tied ones, which are stored once."""
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or {})
        missing = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=missing))

    def _teacher_signal(self, teacher: Teacher | None, vocabulary: int | None) -> Any:  # noqa: ANN401 - a TeacherSignal; None without a teacher
        if isinstance(teacher, TeacherCache):
            teacher.check(self.train_dataset)
            return CachedTeacher(teacher, self.loss_fn)
        if not isinstance(teacher, nn.Module):
            return teacher
        dtype = torch.bfloat16 if self.args.bf16 else None
        model = teacher.to(self.args.device)
        return OnlineTeacher(model, vocabulary=vocabulary, autocast_dtype=dtype)


def _faults(
    model: Any,  # noqa: ANN401 - transformers is untyped
    args: TrainingArguments,
    loss_fn: nn.Module,
    teacher: Teacher | None,
) -> list[str]:
    """List settings under which a run would silently train something else."""
    faults = []
    if type(loss_fn) is DistillationLoss:
        if loss_fn.alpha > 0.0 and teacher is None:
            faults.append(f"alpha is {loss_fn.alpha} and there is no teacher; give one, or alpha=0")
    elif not isinstance(teacher, (nn.Module, OnlineTeacher, UniversalTeacher)):
        faults.append(f"{type(loss_fn).__name__} needs a teacher model for its full logits")
    of = teacher.teacher.model if isinstance(teacher, UniversalTeacher) else teacher
    if isinstance(of, nn.Module):
        shared = {id(p) for p in model.parameters()} & {id(p) for p in of.parameters()}
        if shared:
            faults.append(f"teacher and student share {len(shared)} tensors; copy the student's")
    if args.label_smoothing_factor != 0:
        faults.append("label_smoothing_factor would be ignored; set it to 0")
    if args.n_gpu > 1:
        faults.append(f"{args.n_gpu} GPUs in one process; start one process each with torchrun")
    if args.world_size > 1 and not args.average_tokens_across_devices:
        faults.append("average_tokens_across_devices must be True with several processes")
    if args.remove_unused_columns:
        faults.append("remove_unused_columns must be False")
    if args.save_total_limit == 1:
        faults.append("save_total_limit must be 2 or more: the last whole checkpoint must stay")
    return faults
