"""A 4-bit decoder with LoRA from Unsloth, where that is installed and there is a CUDA device.

Unsloth is not among our dependencies: it needs a GPU, and pins versions of torch and transformers.
Without it the same training runs with our own layers, slower.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import nn

from ...inference.score_students.base_model import BaseName
from ...inference.sources.find_model import find_model
from .tuning import TuningSettings

_TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def unsloth_serves(settings: TuningSettings, device: torch.device) -> bool:
    """Tell whether Unsloth is to be used: low-rank changes of a 4-bit model, on CUDA."""
    asked = settings.four_bit and settings.rank > 0 and device.type == "cuda"
    return asked and find_spec("unsloth") is not None


def unsloth_decoder(
    base: BaseName, settings: TuningSettings, *, max_tokens: int
) -> tuple[Any, list[nn.Parameter]]:
    """Load a decoder with Unsloth, and put low-rank changes on it.

    Args:
        base: The pretrained decoder.
        settings: Rank, alpha, dropout, gradient checkpointing and seed.
        max_tokens: Of a text and its scores together.

    Returns:
        The model below peft's wrapper, and the parameters to train.
    """
    from unsloth import FastLanguageModel

    model, _ = FastLanguageModel.from_pretrained(
        model_name=str(find_model(base.name)), max_seq_length=max_tokens, load_in_4bit=True
    )
    wrapped = FastLanguageModel.get_peft_model(
        model,
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(_TARGETS),
        use_gradient_checkpointing="unsloth" if settings.gradient_checkpointing else False,
        random_state=settings.seed,
    )
    trained = [one for one in wrapped.parameters() if one.requires_grad]
    return wrapped.get_base_model(), trained
