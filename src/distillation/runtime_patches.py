"""Temporary changes during a training run: attention, layers, progress bars, memory."""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from ..errors import ConfigError


def choose_attention(device: torch.device, dtype: torch.dtype) -> str:
    """Choose the attention a student is trained with: `eager` for bfloat16 on the CPU, else `sdpa`.

    torch 2.13's fused attention has no fast bfloat16 backward pass on the CPU: a step of 128
    examples of up to 32 tokens takes a Llama of 5 layers and width 128 205 ms of one processor with
    eager and 311 ms with sdpa, at 3 layers and width 256 353 and 408 ms (float32: 280 and 580 with
    either).
    """
    return "eager" if device.type == "cpu" and dtype == torch.bfloat16 else "sdpa"


@contextmanager
def attention_set_to(model: Any, name: str, *, force: bool = False) -> Iterator[None]:  # noqa: ANN401
    """Run a model with one attention implementation and restore its own after the block.

    Args:
        model: A model of transformers.
        name: `eager` or `sdpa`.
        force: Whether to replace another one too, such as flash attention.
    """
    before = model.config._attn_implementation
    chosen = before not in ("eager", "sdpa") and not force
    able = hasattr(model, "set_attn_implementation") and (name != "sdpa" or model._supports_sdpa)
    if before == name or chosen or not able:  # Gemma 2 caps its attention, which sdpa cannot
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def recomputed_layers(model: Any, wanted: bool) -> Iterator[None]:  # noqa: ANN401
    """Store only the inputs of a model's layers, and compute the rest again in the backward pass.

    No-op if it is not `wanted`.

    Raises:
        ConfigError: The model does not support it.
    """
    if not wanted:
        yield
        return
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ConfigError([f"{type(model).__name__} has no gradient_checkpointing; leave it out"])
    # use_reentrant=True would stop the gradient at frozen embeddings.
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # its name from transformers 5.23 on
        model.activation_checkpointing_enable(how)
        stop = model.activation_checkpointing_disable
    else:
        model.gradient_checkpointing_enable(how)
        stop = model.gradient_checkpointing_disable
    try:
        yield
    finally:
        stop()


@contextmanager
def compiled_layers(model: Any, backend: str | None) -> Iterator[None]:  # noqa: ANN401
    """Compile a model's layers for training, until the end of the block.

    Layers of one shape share their compiled code, and the head with its loss stays uncompiled.
    Evaluation runs the layers uncompiled, which saves a second compilation. Attention maps cannot
    be read meanwhile. No-op without a backend.

    Raises:
        ConfigError: The backend does not work here, or the model's layers are not known.
    """
    if backend is None:
        yield
        return
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    faults = [] if layers else [f"torch_compile finds no layers in {type(model).__name__}"]
    try:
        torch.compile(torch.square, backend=backend)(torch.ones(4))
    except RuntimeError as fault:
        reason = str(fault).strip().partition("\n")[0]
        faults.append(f"torch_compile_backend {backend!r} does not work here: {reason}")
    if faults:
        raise ConfigError(faults)
    aside: list[tuple[nn.Module, dict[int, Any]]] = []
    for layer in layers:
        layer.forward = _compiled_in_training(layer, backend, aside)
    try:
        with warnings.catch_warnings():  # torch 2.13 reads the gradient of a non-leaf tensor
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor")
            yield
    finally:
        for layer in layers:
            del layer.forward
        for module, hooks in aside:
            module._forward_hooks.update(hooks)
        torch.compiler.reset()  # else the next model's layers count as recompilations


def _compiled_in_training(
    layer: nn.Module, backend: str, aside: list[tuple[nn.Module, dict[int, Any]]]
) -> Callable[..., Any]:
    plain = layer.forward
    compiled = torch.compile(plain, backend=backend)
    began = False

    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        nonlocal began
        if not layer.training:
            return plain(*args, **kwargs)
        if not began:  # the first pass that reads hidden states adds the hooks
            aside.extend(_without_capturing_hooks(layer))
            began = True
        return compiled(*args, **kwargs)

    return forward


def _without_capturing_hooks(layer: nn.Module) -> list[tuple[nn.Module, dict[int, Any]]]:
    """Remove the hooks by which transformers reads attention maps: they break a layer's graph.

    transformers adds them when hidden states are read too.
    """
    taken = []
    for module in layer.modules():
        hooks = module._forward_hooks
        of_maps = {key: hook for key, hook in hooks.items() if module is not layer
                   and hook.__module__ == "transformers.utils.output_capturing"}  # fmt: skip
        for key in of_maps:
            del hooks[key]
        if of_maps:
            taken.append((module, of_maps))
    return taken


@contextmanager
def no_shard_bars() -> Iterator[None]:
    """Disable the progress bar of `save_pretrained`, which would show at every checkpoint."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def keep_freed_memory() -> None:
    """Let this process keep freed memory instead of returning it to the system.

    Each training step allocates and frees the same tensors. With glibc, returning their pages costs
    an eighth of a small model's step, and half of it at large vocabularies. The memory stays with
    the process until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in musl
    if mallopt is not None:
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never shrink the heap
        mallopt(-4, 0)  # M_MMAP_MAX: large tensors come from the heap too
