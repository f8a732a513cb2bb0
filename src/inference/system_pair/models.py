"""Loading teachers and students as pairs of model and tokenizer.

teacher, tokenizer = load_teacher("Qwen/Qwen2.5-7B-Instruct")
student, tokenizer = load_student("./distilled-qwen2.5-0.5b")
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from ...errors import CheckpointError, ConfigError, MissingDependencyError
from ...files import read_json
from ..checkpoints.load_student import choose_device, load_checkpoint
from ..checkpoints.training_records import attach_training_records, read_training_records
from .answers import find_checkpoint

logger = logging.getLogger(__name__)

ADAPTER_FILE = "adapter_config.json"


def load_teacher(
    model_name: str,
    use_tpu: bool | None = None,
    *,
    bits: int | None = None,
    device: str | None = None,
) -> tuple[Any, Any]:
    """Load a teacher; its precision and device are logged.

    Args:
        model_name: A folder or hub name.
        use_tpu: TPUs are not used; True is an error.
        bits: 8 or 4 quantises its linear layers (extra `peft`). None takes 8 on CUDA if
            bitsandbytes works, else half precision there, and float32 on the CPU.
        device: `cpu`, `cuda`, ...; None takes CUDA if available.

    Returns:
        Model and tokenizer; the tokenizer has a padding token.

    Raises:
        ConfigError: `use_tpu` or `bits` has an unsupported value.
        ModelNotFoundError: There is no such model.
        CheckpointError: Its folder is damaged or unsafe.
        MissingDependencyError: `bits` was given and bitsandbytes is not installed.
    """
    if use_tpu:
        raise ConfigError(["use_tpu is True; TPUs are not used. Leave it out: CUDA or the CPU runs "
                           "the teacher"])  # fmt: skip
    if bits not in (None, 4, 8):
        raise ConfigError([f"bits is {bits!r}; allowed are 8, 4 and None"])
    place = choose_device(device)
    half = torch.bfloat16 if place.type == "cuda" and torch.cuda.is_bf16_supported() else None
    dtype = None if place.type == "cpu" else half or torch.float16
    held = _bits_for(bits, place)
    folder = find_checkpoint(model_name) or model_name
    loaded = load_checkpoint(folder, device="cpu" if held else place, dtype=dtype)
    model = loaded.model
    if held:
        from ..checkpoints.quantization import quantize

        model = quantize(model, held, device=place, dtype=dtype or torch.float32)
    how = f"{held} bit" if held else str(next(model.parameters()).dtype).removeprefix("torch.")
    logger.info("teacher %s: %s on %s", model_name, how, place)
    attach_training_records(model, _training_records(folder))
    return model, loaded.tokenizer


def _bits_for(bits: int | None, place: torch.device) -> Any:  # noqa: ANN401 - 4, 8 or None
    """Choose the bits; log a warning and return None if this machine cannot run them."""
    if bits is None and place.type != "cuda":
        return None
    from ..checkpoints.quantization import why_not_quantized

    wanted: Any = bits or 8
    try:
        reason = why_not_quantized(wanted, place)
    except MissingDependencyError as fault:
        if bits is not None:
            raise
        reason = str(fault)
    if reason is None:
        return wanted
    logger.warning("the teacher is not held in %d bit: %s", wanted, reason)
    return None


def load_student(model_path: str) -> tuple[Any, Any]:
    """Load a student from its folder, or from the newest checkpoint below it.

    Args:
        model_path: A folder or hub name. The folder of a LoRA adapter loads with its base model
            (extra `peft`).

    Returns:
        Model and tokenizer; the tokenizer has a padding token. The training records are attached
        to the model, so that it is prompted in the same format.

    Raises:
        ModelNotFoundError: There is no such folder or model.
        CheckpointError: It is damaged or unsafe.
        MissingDependencyError: It is an adapter and peft is not installed.
    """
    folder = find_checkpoint(model_path) or model_path
    if (Path(folder) / ADAPTER_FILE).is_file() and not (Path(folder) / "config.json").is_file():
        model, tokenizer = _load_adapter(Path(folder))
    else:
        loaded = load_checkpoint(folder)
        model, tokenizer = loaded.model, loaded.tokenizer
    attach_training_records(model, _training_records(folder))
    return model, tokenizer


def _load_adapter(folder: Path) -> tuple[Any, Any]:
    base = read_json(folder / ADAPTER_FILE).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"{folder / ADAPTER_FILE}: names no base model")
    if not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(f"{folder}: has no adapter_model.safetensors; other weights are not "
                              "loaded")  # fmt: skip
    try:
        from peft import PeftModel
    except ImportError as fault:
        raise MissingDependencyError("peft", "peft") from fault
    loaded = load_checkpoint(base)
    try:
        with warnings.catch_warnings():
            # peft 0.21 reads an attribute that transformers 5.23 deprecates.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
            model = PeftModel.from_pretrained(loaded.model, str(folder))
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as fault:
        raise CheckpointError(f"{folder}: the adapter does not fit {base} ({fault})") from fault
    return model.merge_and_unload().eval(), loaded.tokenizer


def _training_records(folder: str) -> Any:  # noqa: ANN401 - TrainingRecords or None
    return read_training_records(folder) if Path(folder).is_dir() else None
