"""Where a student comes from, and whether it can learn from a teacher's logits.

A student made of the teacher's own layers starts far ahead of one from scratch, with labels and
with soft targets alike (measurements.md 5), so that is the way to begin where both are possible.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from ..errors import ConfigError, VocabularyError

Model = Any
"""A causal language model of transformers, whose classes are skipped by the type checker."""

_LAYER_KEY: Final = re.compile(r"^((?:model\.layers|transformer\.h)\.)(\d+)(\..*)$")
"""Names of layer weights in Llama, Qwen, Mistral, Gemma, ... and in GPT-2."""


def every_second_layer(layers: int) -> list[int]:
    """Choose every second layer, the last of each pair: never more than half of the depth.

    >>> every_second_layer(5)
    [1, 3]

    Args:
        layers: Of the teacher; 2 or more.

    Raises:
        ConfigError: There is nothing to leave out.
    """
    if layers < 2:
        raise ConfigError([f"the teacher has {layers} layer; nothing can be left out of it"])
    return list(range(1, layers, 2))


def layers_from_teacher(teacher: Model, keep: Sequence[int]) -> Model:
    """Make a student from some of the teacher's layers.

    Embeddings, head and norms are copied too. Nothing is shared with the teacher; what is tied in
    the teacher is tied in the student.

    Args:
        teacher: A decoder with `model.layers` or, as GPT-2, `transformer.h`.
        keep: Ascending numbers of the layers to copy, counted from 0.

    Returns:
        A float32 model of the same class, on the teacher's device, in train mode.

    Raises:
        ConfigError: The layers are not there, or the model's layers have other names.
    """
    names = teacher.state_dict()
    layers = {int(match[2]) for name in names if (match := _LAYER_KEY.match(name))}
    faults = []
    if not layers:
        faults.append(f"{type(teacher).__name__} has no model.layers or transformer.h to choose of")
    elif not keep or list(keep) != sorted(set(keep)) or not set(keep) <= layers:
        faults.append(f"layers {list(keep)} are asked of 0 to {max(layers)}, ascending")
    if faults:
        raise ConfigError(faults)
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(keep)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in keep]
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are all overwritten
        student = type(teacher)(config)
    student.load_state_dict({key: names[_teacher_key(key, keep)] for key in student.state_dict()})
    student.generation_config = copy.deepcopy(teacher.generation_config)
    return student.float().to(teacher.device).train()


def _teacher_key(key: str, keep: Sequence[int]) -> str:
    match = _LAYER_KEY.match(key)
    return f"{match[1]}{keep[int(match[2])]}{match[3]}" if match else key


def student_from_scratch(config: Any, *, layers: int, width: int, seed: int = 0) -> Model:  # noqa: ANN401
    """Make an untrained student of a teacher's family.

    Args:
        config: The teacher's; vocabulary, positions and proportions are taken over.
        layers: 1 or more.
        width: Hidden size; a multiple of the number of heads that results. Heads keep the teacher's
            size as far as that divides `width`.
        seed: Of the weights. The global generators are left alone.

    Returns:
        A float32 model on the CPU, in train mode.

    Raises:
        ConfigError: `layers` or `width` do not make a model; all faults at once.
    """
    from transformers import AutoModelForCausalLM

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
    if getattr(config, "intermediate_size", None):
        small.intermediate_size = max(8, round(config.intermediate_size * ratio / 8) * 8)
    if getattr(config, "n_inner", None):
        small.n_inner = max(8, round(config.n_inner * ratio / 8) * 8)
    if getattr(config, "head_dim", None):
        small.head_dim = width // heads
    if getattr(config, "num_key_value_heads", None):
        shared = config.num_attention_heads // config.num_key_value_heads
        small.num_key_value_heads = heads // shared if heads % shared == 0 else heads
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(small).float().train()


def compare_vocabularies(teacher_tokenizer: Any, student_tokenizer: Any) -> int:  # noqa: ANN401
    """Find how many ids mean the same token to teacher and student.

    Sizes are never trusted: ids are compared one by one. Tokens that only one of them has are
    allowed at the end, as added padding tokens are.

    Returns:
        V_eff: ids 0 to V_eff - 1 are shared; both heads are cut to them in the loss.

    Raises:
        VocabularyError: An id below that means different tokens.
    """
    teacher = {number: token for token, number in teacher_tokenizer.get_vocab().items()}
    student = {number: token for token, number in student_tokenizer.get_vocab().items()}
    shared = min(max(teacher, default=-1), max(student, default=-1)) + 1
    differing = [i for i in range(shared) if teacher.get(i) != student.get(i)]
    if differing or shared == 0:
        first = differing[0] if differing else 0
        raise VocabularyError(
            f"{len(differing)} of {shared} ids mean different tokens; id {first} is "
            f"{teacher.get(first)!r} to the teacher and {student.get(first)!r} to the student. "
            "Choose a student with the teacher's tokenizer (student_model_name="
            "'every_second_layer' makes one), train on the teacher's texts alone (alpha=0), or "
            "use a method for unlike tokenizers such as ULD or TRL's GOLD"
        )
    return shared


def shared_vocabulary(tokens: int, teacher: Model, student: Model) -> int:
    """Give V_eff: the shared ids that both heads have rows for.

    Args:
        tokens: Shared ids of the tokenizers.
        teacher: Its head may have more rows, for padding.
        student: Its head may have more rows, for padding.
    """
    return min(tokens, _head_rows(teacher), _head_rows(student))


def _head_rows(model: Model) -> int:
    weight: Tensor = model.get_output_embeddings().weight
    return len(weight)
