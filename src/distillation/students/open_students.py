"""Make a student: from some of the teacher's layers, or untrained in the teacher's family.

A student made of the teacher's layers learns far faster than an untrained one, from labels as well
as from soft targets, so prefer it where both are possible.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...inference.checkpoints.architectures import ModelKind, auto_class

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""

_LAYER_KEY: Final = re.compile(
    r"^((?:model\.layers|transformer\.h|(?:bert|roberta)\.encoder\.layer|"
    r"distilbert\.transformer\.layer|(?:en|de)coder\.block)\.)(\d+)(\..*)$"
)
"""Names of layer weights in Llama, Qwen, Mistral, Gemma, ..., in GPT-2, in BERT and similar models,
and in both halves of T5."""


def layer_modules(model: Model) -> dict[str, list[nn.Module]]:
    """Find a model's layers, in their order.

    Returns:
        `main` for the layers of a decoder or an encoder; an encoder-decoder has those of the
        encoder there, and `decoder` for those of the decoder.

    Raises:
        ConfigError: The layers have unknown names.
    """
    found: dict[str, list[nn.Module]] = {}
    for name, module in model.named_modules():
        if (match := _LAYER_KEY.match(f"{name}.")) and not match[3].strip("."):
            found.setdefault(_stack(match[1]), []).append(module)
    if not found:
        raise ConfigError(
            [f"the layers of {type(model).__name__} have unknown names; use 'from_scratch'"]
        )
    return found


def every_second_layer(layers: int) -> list[int]:
    """Choose every second layer, the last of each pair: never more than half of the depth.

    >>> every_second_layer(5)
    [1, 3]

    Raises:
        ConfigError: The teacher has one layer only.
    """
    if layers < 2:
        raise ConfigError([f"the teacher has {layers} layer; nothing can be left out of it"])
    return list(range(1, layers, 2))


def layers_from_teacher(
    teacher: Model, keep: Sequence[int], *, keep_decoder: Sequence[int] | None = None
) -> Model:
    """Make a student from some of the teacher's layers.

    Embeddings, head and norms are copied too. No tensor is shared with the teacher; tied weights
    stay tied.

    Args:
        teacher: A decoder (Llama, Qwen, Gemma, GPT-2, ...), an encoder (BERT, RoBERTa, DistilBERT)
            or both (T5).
        keep: Ascending numbers of the layers to copy, counted from 0; in an encoder-decoder those
            of the encoder.
        keep_decoder: Layers of its decoder; None for the same as `keep`.

    Returns:
        A float32 model of the same class, on the teacher's device, in train mode.

    Raises:
        ConfigError: The layers do not exist, or have unknown names.
    """
    names = teacher.state_dict()
    kept = {"main": keep, "decoder": keep if keep_decoder is None else keep_decoder}
    faults = _layer_faults(teacher, names, kept)
    if faults:
        raise ConfigError(faults)
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(keep)
    if getattr(config, "num_decoder_layers", None):
        config.num_decoder_layers = len(kept["decoder"])
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in keep]
    with torch.random.fork_rng(devices=[]):  # the random weights are all overwritten
        student = type(teacher)(config)
    student.load_state_dict({key: names[_teacher_key(key, kept)] for key in student.state_dict()})
    if hasattr(teacher, "generation_config"):
        student.generation_config = copy.deepcopy(teacher.generation_config)
    return student.float().to(teacher.device).train()


def half_of(teacher: Model) -> Model:
    """Make a student from every second layer of a teacher, in both halves of an encoder-decoder.

    Raises:
        ConfigError: There is one layer only, or the layers have unknown names.
    """
    keep = every_second_layer(teacher.config.num_hidden_layers)
    decoder_layers = getattr(teacher.config, "num_decoder_layers", None)
    of_decoder = every_second_layer(decoder_layers) if decoder_layers else None
    return layers_from_teacher(teacher, keep, keep_decoder=of_decoder)


def _layer_faults(
    teacher: Model, names: Mapping[str, Tensor], kept: Mapping[str, Sequence[int]]
) -> list[str]:
    """List what is wrong with the layers to copy, for each stack."""
    layers: dict[str, set[int]] = {}
    for name in names:
        if match := _LAYER_KEY.match(name):
            layers.setdefault(_stack(match[1]), set()).add(int(match[2]))
    if not layers:
        return [f"the layers of {type(teacher).__name__} have unknown names; use 'from_scratch'"]
    return [
        f"the layers to copy are {list(kept[stack])}; allowed are 0 to {max(existing)}, ascending"
        for stack, existing in layers.items()
        if not kept[stack]
        or list(kept[stack]) != sorted(set(kept[stack]))
        or not set(kept[stack]) <= existing
    ]


def _stack(prefix: str) -> str:
    return "decoder" if prefix.startswith("decoder.") else "main"


def _teacher_key(key: str, kept: Mapping[str, Sequence[int]]) -> str:
    match = _LAYER_KEY.match(key)
    if match is None or "relative_attention_bias" in key:  # only T5's first block has it
        return key
    return f"{match[1]}{kept[_stack(match[1])][int(match[2])]}{match[3]}"


def student_from_scratch(
    config: Any,  # noqa: ANN401
    *,
    layers: int,
    width: int,
    seed: int = 0,
    kind: ModelKind = "causal",
) -> Model:
    """Make an untrained student of a teacher's family.

    Args:
        config: The teacher's; vocabulary, positions and proportions are kept.
        layers: 1 or more.
        width: Hidden size, even. Heads keep the teacher's size as far as it divides `width`.
        seed: Seed of the weights; the global random generators are not changed.
        kind: Kind of the model; an encoder-decoder gets `layers` in each half.

    Returns:
        A float32 model on the CPU, in train mode.

    Raises:
        ConfigError: `layers` or `width` is out of range; all faults at once.
    """
    head_size = max(1, config.hidden_size // config.num_attention_heads)
    faults = []
    if layers < 1:
        faults.append(f"student_layers is {layers!r}; allowed is 1 or more")
    if width < 2 or width % 2:
        faults.append(f"student_width is {width!r}; allowed is an even number from 2 on")
    if faults:
        raise ConfigError(faults)
    heads = max(1, width // head_size)
    while width % heads or (width // heads) % 2:  # rotary positions need an even head size
        heads -= 1
    small = copy.deepcopy(config)
    ratio = width / config.hidden_size
    small.num_hidden_layers, small.hidden_size, small.num_attention_heads = layers, width, heads
    if getattr(config, "layer_types", None):
        small.layer_types = [config.layer_types[i % len(config.layer_types)] for i in range(layers)]
    if getattr(config, "num_decoder_layers", None):
        small.num_decoder_layers = layers
    for inner in ("intermediate_size", "n_inner", "hidden_dim", "d_ff"):
        if getattr(config, inner, None):
            setattr(small, inner, max(8, round(getattr(config, inner) * ratio / 8) * 8))
    if getattr(config, "head_dim", None):
        small.head_dim = width // heads
    if getattr(config, "num_key_value_heads", None):
        shared = config.num_attention_heads // config.num_key_value_heads
        small.num_key_value_heads = heads // shared if heads % shared == 0 else heads
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return auto_class(kind).from_config(small).float().train()
