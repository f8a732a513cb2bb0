"""Low-rank changes of a model's linear layers (LoRA), and the tensors that training changes.

Source: Hu et al. 2021 (arXiv 2106.09685). Sizes: I inputs, O outputs, r rank of a layer.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConfigError
from ...inference.score_students.base_model import DOWN, UP, WHOLE

_HEADS: Final = ("lm_head", "pooler", "embed_out")


class LowRank(nn.Module):
    """A frozen linear layer plus scale x up x down; unchanged until it is trained.

    Args:
        base: Linear, in full precision or quantised; has `in_features` and `out_features`.
        rank: Of the product.
        alpha: The product is scaled by alpha / rank.
        dropout: Share of the inputs of `down` that are dropped in training.
    """

    def __init__(self, base: Any, rank: int, alpha: float, dropout: float) -> None:  # noqa: ANN401
        """Wrap the layer; `down` is drawn at random, and `up` is zero."""
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.dropout = nn.Dropout(dropout)
        place = base.weight.device
        drawn = torch.randn(rank, base.in_features) / base.in_features**0.5
        self.down = nn.Parameter(drawn.to(place))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=place))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        low = functional.linear(self.dropout(x.float()), self.down)
        y: Tensor = self.base(x)
        return y + self.scale * functional.linear(low, self.up).to(y.dtype)


def put_low_rank(model: Any, *, rank: int, alpha: float, dropout: float) -> list[nn.Parameter]:  # noqa: ANN401
    """Wrap all linear layers but heads in low-rank changes, and freeze the rest.

    Returns:
        The parameters to train.

    Raises:
        ConfigError: The model has no linear layer.
    """
    model.requires_grad_(False)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(part in name.split(".") for part in _HEADS)
    }
    if not found:
        raise ConfigError([f"{type(model).__name__} has no linear layer for a low-rank change"])
    trained = []
    for name, module in found.items():
        wrapped = LowRank(module, rank, alpha, dropout)
        model.set_submodule(name, wrapped)
        trained += [wrapped.down, wrapped.up]
    return trained


def take_whole(model: Any) -> list[nn.Parameter]:  # noqa: ANN401
    """Choose the layers of an encoder to be tuned whole; embeddings and pooler stay frozen.

    Embeddings of words are half of a small encoder; rare words would be moved by one text alone.
    """
    for name, own in model.named_parameters():
        own.requires_grad_("embedding" not in name and "pooler" not in name)
    return [own for own in model.parameters() if own.requires_grad]


def changes_of(model: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Copy what training has changed, under the names that `apply_changes` reads."""
    made: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, LowRank):
            made[name + DOWN] = module.down.detach().cpu().clone()
            made[name + UP] = (module.scale * module.up.detach()).cpu().clone()
        elif "default" in getattr(module, "lora_A", {}):  # a layer of peft
            scale = module.scaling["default"]
            made[name + DOWN] = module.lora_A["default"].weight.detach().float().cpu().clone()
            made[name + UP] = scale * module.lora_B["default"].weight.detach().float().cpu()
    if made:
        return made
    return {
        WHOLE + name: own.detach().cpu().clone()
        for name, own in model.named_parameters()
        if own.requires_grad
    }
