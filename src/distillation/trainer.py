"""The training step: `transformers.Trainer` with our loss, divided once by the step's tokens.

From Trainer and accelerate come processes, accumulation, mixed precision, schedules and saving. The
arithmetic stands in `KDTrainer.compute_loss`; batches come from `batching`, whole checkpoints and
resuming from `resuming`, the bar and the loss curve from `progress`.

Sizes: B examples, T positions, V vocabulary, N supervised positions.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from ..errors import ConfigError, EmptyDataError
from .batching import (
    IGNORED,
    BatchOrder,
    Collator,
    TokenizedExample,
    supervised_weights,
)
from .losses import (
    DistillationLoss,
    by_weight,
    cross_entropy,
    divergence,
    temperature_scale,
)
from .progress import LossHistory, ShowProgress
from .resuming import KEPT_CHECKPOINTS, SaveWhole
from .row_logits import Batch, OnlineTeacher, RowLogits, TeacherSignal


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
        dtype: Arithmetic under autocast, bfloat16 or float32; weights stay as they are.
        batch_size: Examples per micro-batch and process.
        gradient_accumulation_steps: Micro-batches per optimizer step.
        num_epochs: Passes over the data.
        max_steps: Optimizer steps; overrides `num_epochs`.
        lr_scheduler: A schedule of transformers: `linear`, `cosine`, `constant`, ...
        decay_ratio: Share of `max_steps` in which `warmup_stable_decay` falls, 0 to 1.
        warmup_ratio: Share of the steps in which the learning rate rises, 0 up to 1.
        max_grad_norm: Gradients are clipped to this norm; 0 does not clip.
        seed: Of dropout and of the order of batches.
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
        # Saving, losses and the bar are our own callbacks: SaveWhole and ShowProgress.
        save_strategy="no",
        save_total_limit=KEPT_CHECKPOINTS,
        logging_strategy="no",
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=device.type == "cuda",
    )


def choose_attention(device: torch.device, dtype: torch.dtype) -> str:
    """Choose the attention a student is trained with: `eager` for bfloat16 on the CPU, else `sdpa`.

    torch 2.13's fused attention has no fast bfloat16 backward pass on the CPU: a step of 128
    examples of up to 32 tokens takes a Llama of 5 layers and width 128 205 ms of one processor with
    eager and 311 ms with sdpa, at 3 layers and width 256 353 and 408 ms (float32: 280 and 580 with
    either).
    """
    return "eager" if device.type == "cpu" and dtype == torch.bfloat16 else "sdpa"


class KDTrainer(Trainer):  # type: ignore[misc]  # transformers is skipped by the type checker
    """Train a causal student against labels, a teacher, or both.

    Args:
        model: The student.
        args: Made by `training_arguments`, or your own; see Raises.
        train_dataset: Tokenised examples, in an order that does not depend on how they were read.
        data_collator: Pads them.
        loss_fn: A plain `DistillationLoss` is computed on supervised rows only. Anything else gets
            full logits and gives a mean, which is weighted by its share of the step's tokens.
        teacher: A causal model or another `TeacherSignal`; not needed, and not run, at alpha 0.
        vocabulary: Ids that teacher and student share; None for all of the student's.
        save_steps: Checkpoint after every so many steps; None saves by the clock.
        description: Words before the progress bar.
        progress: Whether to show the bar.
        callbacks: More callbacks, of transformers.
        optimizers: Optimizer and schedule; either may be None for those of `args`.

    Raises:
        ConfigError: Settings that would silently train something else; all faults at once.
        EmptyDataError: There is nothing to train on.
    """

    loss_is_scaled_for_ga = True  # else Trainer divides by the accumulation steps once more

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - a transformers model, which is untyped
        args: TrainingArguments,
        *,
        train_dataset: Sequence[TokenizedExample],
        data_collator: Collator,
        loss_fn: nn.Module | None = None,
        teacher: nn.Module | TeacherSignal | None = None,
        vocabulary: int | None = None,
        save_steps: int | None = None,
        description: str = "training",
        progress: bool = True,
        callbacks: Sequence[TrainerCallback] = (),
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        """Check the settings, freeze the teacher, set the model up."""
        self.loss_fn = DistillationLoss() if loss_fn is None else loss_fn
        if not train_dataset:
            raise EmptyDataError("there are no training examples; give at least one")
        faults = _faults(model, args, self.loss_fn, teacher)
        if args.world_size > 1 and save_steps is None:
            faults.append("with several processes save_steps is needed: their clocks differ")
        if faults:
            raise ConfigError(faults)
        self._use_cache = model.config.use_cache  # Trainer sets it to False for good
        self.history = LossHistory()
        show = ShowProgress(self.history, description=description, progress=progress)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            data_collator=data_collator,
            # ShowProgress first: the losses are on the disk before a checkpoint is called whole.
            callbacks=[show, SaveWhole(save_steps), *callbacks],
            optimizers=optimizers,
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.model_accepts_loss_kwargs = True  # else num_items_in_batch is None
        # No nn.Module may own the teacher, or it would be saved, wrapped and put into train mode.
        self.teacher = self._teacher_signal(teacher, vocabulary)
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        reason = "the head is sharded outside of forward (FSDP or DeepSpeed)" if sharded else None
        self.rows = RowLogits(vocabulary, dense_because=reason)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - a scalar, or what Trainer asks for
        """Give [alpha T^2 sum D + (1 - alpha) sum CE] / N_tok for one micro-batch.

        N_tok counts the supervised tokens of the whole optimizer step, over micro-batches and
        processes, so that the losses and gradients of micro-batches simply add up.
        """
        loss_fn, student = self.loss_fn, self.accelerator.unwrap_model(model)
        weights = supervised_weights(inputs)
        n_micro = (inputs["labels"][:, 1:] != IGNORED).sum()
        n_tok = torch.as_tensor(n_micro if num_items_in_batch is None else num_items_in_batch)
        # ------------------------------------------------------------------------------ the loss
        total: Any = 0.0
        if type(loss_fn) is DistillationLoss:
            alpha, temperature = loss_fn.alpha, loss_fn.temperature
            with self.accelerator.autocast():
                self.rows.decide(student, inputs)
            with self.accelerator.autocast():  # anew, without the casts that were made above
                rows, labels = self.rows(model, inputs, student)  # (N, V), (N,)
            if alpha > 0.0:
                measure = by_weight(divergence(loss_fn.objective, temperature), weights)
                distance, _ = self.teacher.compare(rows, inputs, measure)
                total = total + alpha * temperature_scale(temperature) * distance
            if alpha < 1.0:
                total = total + (1.0 - alpha) * by_weight(cross_entropy, weights)(rows, labels)[0]
        else:  # a user's loss gives a mean over this micro-batch
            with self.accelerator.autocast():
                logits = self.rows.dense(model, inputs)  # (B, T, V)
            total = n_micro * loss_fn(logits, self.teacher.logits(inputs), inputs["labels"])
        loss = total / n_tok.clamp(min=1)
        # -------------------------------------------------- DDP averages gradients over processes
        loss = loss * (self.accelerator.num_processes // self.get_tp_size())
        return (loss, {}) if return_outputs else loss

    def training_step(
        self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run one micro-batch forward and backward, and note its share of the step's loss."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.history.add(loss)
        return loss

    def train(self, resume_from_checkpoint: str | Path | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Train to the end; the model is then as it was set up, with other weights.

        Args:
            resume_from_checkpoint: From `open_work_folder` or `last_whole_checkpoint`.
            kwargs: Of `Trainer.train`.

        Returns:
            Trainer's `TrainOutput`; the losses are in `history.losses`.
        """
        dtype = torch.bfloat16 if self.args.bf16 else torch.float32
        if self.args.device.type == "cpu":
            keep_freed_memory()
        resume = None if resume_from_checkpoint is None else str(resume_from_checkpoint)
        attention = _attention(self.model, choose_attention(self.args.device, dtype))
        try:
            with attention, _no_shard_bars():
                return super().train(resume_from_checkpoint=resume, **kwargs)
        finally:
            self.model.config.use_cache = self._use_cache
            # accelerate leaves autocast wrapped around forward: answers would stay in bfloat16.
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)

    def get_train_dataloader(self) -> Any:  # noqa: ANN401
        """Give the batches in `batch_order`, dealt to the processes."""
        order = BatchOrder(
            [len(item.input_ids) for item in self.train_dataset],
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps * self.args.world_size,
            seed=self.args.seed,
        )
        return self.accelerator.prepare(
            DataLoader(
                self.train_dataset,
                batch_sampler=order,
                collate_fn=self.data_collator,
                pin_memory=self.args.dataloader_pin_memory,
            )
        )

    def _teacher_signal(
        self, teacher: nn.Module | TeacherSignal | None, vocabulary: int | None
    ) -> Any:  # noqa: ANN401 - a TeacherSignal; None where no teacher is asked
        if not isinstance(teacher, nn.Module):
            return teacher
        dtype = torch.bfloat16 if self.args.bf16 else None
        model = teacher.to(self.args.device)
        return OnlineTeacher(model, vocabulary=vocabulary, autocast_dtype=dtype)


def keep_freed_memory() -> None:
    """Let this process reuse freed memory instead of giving it back and faulting it in again.

    A training step frees and allocates the same tensors over and over; on glibc, pages returned to
    the system in between cost an eighth of a small model's step (half of it at large
    vocabularies). What was used once stays with the process until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in musl
    if mallopt is not None:
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never shrink the heap
        mallopt(-4, 0)  # M_MMAP_MAX: large tensors come from the heap too


@contextmanager
def _attention(model: Any, name: str) -> Iterator[None]:  # noqa: ANN401 - transformers is untyped
    """Train with one attention implementation and restore the model's own after it."""
    before = model.config._attn_implementation
    if before not in ("eager", "sdpa") or not hasattr(model, "set_attn_implementation"):
        yield  # flash attention and the like were chosen on purpose
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _no_shard_bars() -> Iterator[None]:
    """Keep `save_pretrained` from drawing a bar of its own at every checkpoint."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _faults(
    model: Any,  # noqa: ANN401 - transformers is untyped
    args: TrainingArguments,
    loss_fn: nn.Module,
    teacher: nn.Module | TeacherSignal | None,
) -> list[str]:
    """List settings under which a run would silently train something else."""
    faults = []
    if type(loss_fn) is DistillationLoss:
        if loss_fn.alpha > 0.0 and teacher is None:
            faults.append(f"alpha is {loss_fn.alpha} and there is no teacher; give one, or alpha=0")
    elif not isinstance(teacher, (nn.Module, OnlineTeacher)):
        faults.append(f"{type(loss_fn).__name__} needs a teacher model for its full logits")
    if isinstance(teacher, nn.Module):
        shared = {id(p) for p in model.parameters()} & {id(p) for p in teacher.parameters()}
        if shared:
            faults.append(f"teacher and student share {len(shared)} tensors; copy the student's")
    if model.config.is_encoder_decoder:
        faults.append(f"{type(model).__name__} is an encoder-decoder; only causal models work")
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
