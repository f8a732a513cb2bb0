"""Prepare student and teacher for a run: adapters, quantised weights, compiled layers.

| settings | trained | saved |
|---|---|---|
| (none) | all weights, or those of `trainable` | the weights |
| `lora_r` | the adapter | the weights with the adapter merged into them |
| `lora_r`, `load_in_4bit` | the adapter, on 4-bit weights | the same, from dequantised weights |
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import ConfigError
from ...inference.checkpoints.load_student import choose_training_dtype
from ...inference.checkpoints.quantization import (
    Bits,
    is_quantized,
    quantize,
    quantized_copy,
    why_not_quantized,
    widen_into,
)
from ..batches.forward import Batch
from ..runtime_patches import compiled_layers, recomputed_layers
from ..settings import DistillationConfig
from .adapters import (
    TrainedAdapter,
    adapter_faults,
    adapter_weights,
    compare_logits,
    has_adapter,
    judge_merge,
    merge_adapter,
    probe_logits,
    put_adapter,
)

logger = logging.getLogger(__name__)

Model = Any
"""A model of transformers or peft, whose classes are skipped by the type checker."""


@dataclass(frozen=True)
class FinishedStudent:
    """A student after its training."""

    model: Model
    """Without an adapter, in eval mode."""
    merge: dict[str, float] | None = None
    """From `compare_logits`; None without an adapter."""
    adapter: TrainedAdapter | None = None


def student_place(config: DistillationConfig, device: torch.device) -> torch.device:
    """Return the device of a student's weights before training, in a 4-bit run the CPU."""
    return torch.device("cpu") if config.load_in_4bit else device


def teacher_place(
    config: DistillationConfig, device: torch.device
) -> tuple[torch.device, torch.dtype | None]:
    """Return the device and type in which a teacher is loaded; None is the device's usual type.

    A teacher that will be quantised is loaded on the CPU, so that a GPU never holds it unquantised.
    """
    if config.teacher_bits is None or device.type == "cpu":
        return device, None
    return torch.device("cpu"), choose_training_dtype(device)


def prepare_teacher(
    teacher: Model, bits: Bits | None, *, device: torch.device, dtype: torch.dtype
) -> Model:
    """Move a teacher to its device, with linear layers quantised to `bits` in place.

    With None, and with a warning where it cannot be quantised, it keeps its weights.

    Raises:
        MissingDependencyError: bitsandbytes is not installed.
    """
    reason = None if bits is None else why_not_quantized(bits, device)
    if reason is not None:
        logger.warning("teacher_bits is left out and the teacher runs unquantised: %s", reason)
    if bits is None or reason is not None:
        return teacher.to(device)
    return quantize(teacher, bits, device=device, dtype=dtype)


@contextmanager
def prepared_student(
    student: Model, config: DistillationConfig, *, device: torch.device, dtype: torch.dtype
) -> Iterator[Model]:
    """Yield the model to train: with an adapter, on 4-bit weights, with compiled layers.

    Its layers are restored after the block; where the block fails, a new adapter is removed.

    Raises:
        MissingDependencyError: A package of the extra `peft` is not installed.
        ConfigError: The settings do not fit the student or the machine.
    """
    faults = _student_faults(student, config, device)
    if faults:
        raise ConfigError(faults)
    model = student
    if config.load_in_4bit:
        model = quantized_copy(student, 4, device=device, dtype=dtype)
    if config.lora_r is not None:
        model = put_adapter(model, config, in_4bit=config.load_in_4bit)
    backend = config.torch_compile_backend if config.torch_compile else None
    try:
        recomputed = recomputed_layers(model, config.gradient_checkpointing)
        with recomputed, compiled_layers(model, backend):
            yield model
    except BaseException:
        if config.lora_r is not None:
            model.unload()
            student.requires_grad_(True)
        raise


def finish_student(model: Model, student: Model, batch: Batch) -> FinishedStudent:
    """Merge the trained adapter, if any, and compare the logits before and after.

    Args:
        model: From `prepared_student`, trained.
        student: What it was made from. In a 4-bit run it receives the dequantised weights and the
            adapter, and stays on the CPU, because it may be too large for the GPU.
        batch: Some examples, not packed.

    Raises:
        CheckpointError: The merged student gives other logits than the trained one.
    """
    if not has_adapter(model):
        return FinishedStudent(model)
    in_4bit = is_quantized(model)
    before = probe_logits(model, batch)
    adapter = TrainedAdapter(model.peft_config[model.active_adapter], adapter_weights(model))
    if in_4bit:
        widen_into(student, model)
    merged = merge_adapter(model, student if in_4bit else None)
    report = compare_logits(before, probe_logits(merged, batch))
    # 4-bit layers multiply in the run's arithmetic, whatever the type of the merged weights.
    judge_merge(report, None if in_4bit else next(merged.parameters()).dtype)
    return FinishedStudent(merged, report, adapter)


def _student_faults(student: Model, config: DistillationConfig, device: torch.device) -> list[str]:
    faults = []
    if has_adapter(student):
        faults += adapter_faults(student)
        if config.lora_r is not None:
            faults.append("the student has an adapter already; leave lora_r out")
    if is_quantized(student):
        faults.append(
            "the student's weights are quantised, so no adapter can be merged into them; assign it "
            "unquantised and set load_in_4bit"
        )
    elif config.load_in_4bit:
        reason = why_not_quantized(4, device)
        if reason is not None:
            faults.append(f"load_in_4bit: {reason}; leave it out")
    return faults
