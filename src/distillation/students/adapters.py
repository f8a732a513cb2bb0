"""Put LoRA adapters (extra `peft`) on a student, merge them, and compare the logits.

A saved student is an ordinary checkpoint, so the adapter is added to the weights when training
ends; over a 4-bit base to the dequantised weights, because it was trained on those. The logits must
stay the same, except for rounding.

Source: Hu et al. 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...errors import CheckpointError, ConfigError, MissingDependencyError
from ...files import atomic_folder
from ..batches.forward import Batch, model_inputs
from ..batches.model_kinds import model_kind
from ..settings import DistillationConfig

Model = Any
"""A model of transformers or peft, whose classes are skipped by the type checker."""
ADAPTER_FOLDER: Final = "adapter"
PROBE_EXAMPLES: Final = 2
PROBE_POSITIONS: Final = 64
MOST_ROUNDING: Final = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Largest difference of logits that rounding explains, as a share of the largest logit; 5e-2 for
half types and 4-bit layers."""

_TASKS: Final = {
    "causal": "CAUSAL_LM",
    "encoder_decoder": "SEQ_2_SEQ_LM",
    "classifier": "SEQ_CLS",  # peft trains the new head whole
}


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter before it was merged."""

    settings: Any
    """The configuration of peft."""
    weights: dict[str, Tensor]


def has_adapter(model: Model) -> bool:
    """Tell whether a model is wrapped by peft."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def put_adapter(model: Model, config: DistillationConfig, *, in_4bit: bool = False) -> Model:
    """Wrap a model in a new LoRA adapter, which starts at zero.

    Raises:
        MissingDependencyError: peft is not installed.
        ConfigError: No named module can have an adapter.
    """
    peft = _peft()
    targets = config.lora_target_modules
    names = targets if isinstance(targets, str) else list(targets)
    saved = config.lora_modules_to_save
    settings = peft.LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=names,
        modules_to_save=None if saved is None else list(saved),
        task_type=_TASKS[model_kind(model)],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            return _wrapped(model, settings, in_4bit=in_4bit)
        except (ValueError, TypeError) as fault:
            raise ConfigError(
                [f"no LoRA adapter for {type(model).__name__} with lora_target_modules={names!r}, "
                 f"lora_modules_to_save={saved!r}: {fault}"]
            ) from fault  # fmt: skip


def _wrapped(model: Model, settings: Any, *, in_4bit: bool = False) -> Model:  # noqa: ANN401
    model.is_loaded_in_4bit = in_4bit  # peft reads the model's attribute, not its layers
    try:
        with quiet_peft():
            wrapped = _peft().get_peft_model(model, settings)
    finally:
        del model.is_loaded_in_4bit
    # Otherwise peft looks this name up on the hub at every checkpoint.
    wrapped.peft_config["default"].base_model_name_or_path = None
    _untie(wrapped)
    return wrapped


def _untie(model: Model) -> None:
    """Untie head and embeddings where one has an adapter: merging would change the other."""
    base = model.get_base_model()
    head, embeddings = base.get_output_embeddings(), base.get_input_embeddings()
    if head is None or not base.config.tie_word_embeddings:
        return
    wraps = ("base_layer", "modules_to_save")
    if not any(hasattr(module, name) for module in (head, embeddings) for name in wraps):
        return
    plain = getattr(head, "base_layer", getattr(head, "original_module", head))
    plain.weight = nn.Parameter(plain.weight.detach().clone(), requires_grad=False)
    base.config.tie_word_embeddings = False


def adapter_faults(model: Model) -> list[str]:
    """List why a user's own adapter on a student cannot be merged; empty if it can."""
    tuner = getattr(model, "base_model", None)
    if not hasattr(tuner, "merge_and_unload"):
        kind = next(iter(model.peft_config.values())).peft_type
        return [
            f"the student has an adapter of type {getattr(kind, 'value', kind)}, which cannot be "
            "merged into its weights, so it would not be saved; use LoRA"
        ]
    return []


def merge_adapter(model: Model, base: Model | None = None) -> Model:
    """Add an adapter to the weights below it.

    Args:
        model: Wrapped by peft; its base is changed in place, unless `base` is given.
        base: A wide model that replaces the 4-bit one below the adapter; changed in place.

    Returns:
        The plain model, in eval mode; all of its parameters require gradients again.

    Raises:
        CheckpointError: The sum is not finite.
    """
    if base is not None:
        model = _moved(model, base)
    try:
        with quiet_peft():
            merged = model.eval().merge_and_unload(safe_merge=True)
    except ValueError as fault:
        raise CheckpointError(f"the adapter cannot be merged: {fault}") from fault
    return merged.requires_grad_(True)


def _moved(model: Model, base: Model) -> Model:
    """Move a model's adapter to another base."""
    settings = copy.deepcopy(model.peft_config["default"])
    moved = _wrapped(base, settings)
    _peft().set_peft_model_state_dict(moved, adapter_weights(model))
    return moved


def adapter_weights(model: Model) -> dict[str, Tensor]:
    """Copy the adapter's weights to the CPU, under peft's names."""
    found = _peft().get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}


@torch.no_grad()
def probe_logits(model: Model, batch: Batch) -> Tensor:
    """Return a model's logits at the first positions of a batch, (P, V) on the CPU."""
    place = next(model.parameters()).device
    piece = {name: v[:PROBE_EXAMPLES, :PROBE_POSITIONS].to(place) if v.dim() == 2
             else v[:PROBE_EXAMPLES].to(place) for name, v in batch.items()}  # fmt: skip
    logits: Tensor = model.eval()(**model_inputs(piece)).logits
    return logits.float().flatten(0, -2).cpu()


def compare_logits(before: Tensor, after: Tensor) -> dict[str, float]:
    """Compare logits (P, V) before merging an adapter with those after it.

    Returns:
        `max_logit_difference`, `largest_logit` (of `before`) and `same_choice`, the share of
        positions whose largest logit is of the same id.
    """
    return {
        "max_logit_difference": float((after - before).abs().max()),
        "largest_logit": float(before.abs().max()),
        "same_choice": float((before.argmax(-1) == after.argmax(-1)).float().mean()),
    }


def judge_merge(report: Mapping[str, float], dtype: torch.dtype | None) -> None:
    """Refuse a difference of logits that rounding does not explain.

    Args:
        report: From `compare_logits`.
        dtype: Type of the merged weights; None if the adapter was on 4-bit weights.

    Raises:
        CheckpointError: The difference is larger.
    """
    difference, largest = report["max_logit_difference"], report["largest_logit"]
    share = 5e-2 if dtype is None else MOST_ROUNDING.get(dtype, 5e-2)
    if not difference <= share * max(largest, 1.0):
        raise CheckpointError(
            f"merging moved the logits by up to {difference:.2g} (the largest is {largest:.2g}) and"
            f" kept {report['same_choice']:.0%} of the choices, which is more than rounding; the "
            "adapter has parts that merging leaves out, so use LoRA without them"
        )


def save_adapter(folder: Path, adapter: TrainedAdapter, *, base: str, revision: str | None) -> Path:
    """Write an adapter in peft's format into the folder of the student it was merged into.

    Args:
        folder: Folder of the student; the adapter gets a folder in it.
        adapter: As it was trained.
        base: Folder or hub name of the model it was trained on.
        revision: Commit of a hub model.
    """
    named = copy.deepcopy(adapter.settings)
    named.base_model_name_or_path, named.revision = base, revision
    named.inference_mode = True
    with atomic_folder(folder / ADAPTER_FOLDER) as temporary:
        save_file(adapter.weights, temporary / "adapter_model.safetensors", {"format": "pt"})
        named.save_pretrained(str(temporary))
    return folder / ADAPTER_FOLDER


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Suppress warnings of peft that do not apply here.

    peft 0.21 reads an attribute that transformers 5.23 deprecates, warns of tied heads, which
    `_untie` handles, and reports the transposed layers of GPT-2.
    """
    with warnings.catch_warnings():
        for words in ("is_gradient_checkpointing", "tie_word_embeddings", "fan_in_fan_out"):
            warnings.filterwarnings("ignore", message=f"(?s).*{words}")
        yield


def _peft() -> Any:  # noqa: ANN401 - peft is untyped
    try:
        import peft
    except ImportError as fault:
        raise MissingDependencyError("peft", "peft") from fault
    return peft
