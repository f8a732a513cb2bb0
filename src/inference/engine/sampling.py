"""Sampling tokens from logits, with separate settings for every row.

Sizes: B rows, V vocabulary, K likeliest tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

_FIRST_RANKS = 256


def sample(
    logits: Tensor, temperature: Tensor, top_p: Tensor, top_k: Tensor, draws: Tensor
) -> Tensor:
    """Choose a token per row at random, by inverting the cumulative distribution.

    Args:
        logits: (B, V) float32; minus infinity where a token may not come.
        temperature: (B,) above 0.
        top_p: (B,) above 0 to 1; a row keeps the likeliest tokens that together have this
            probability (Holtzman et al. 2020, arXiv:1904.09751).
        top_k: (B,) 1 or more; V or more keeps all.
        draws: (B,) float64 from [0, 1): the random numbers.

    Returns:
        (B,) ids. A row depends on its own logits, settings and number only.
    """
    scaled = logits / temperature[:, None]
    # A row that keeps all tokens needs no order, and sorting is most of the time.
    whole = (top_p >= 1) & (top_k >= logits.shape[1])
    chosen = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    if bool(whole.any()):
        chosen[whole] = _invert(scaled[whole].double().softmax(dim=-1), draws[whole])
    if not bool(whole.all()):
        rest = ~whole
        chosen[rest] = _sample_likeliest(scaled[rest], top_p[rest], top_k[rest], draws[rest])
    return chosen


def make_draws(seed: int, prompt: Sequence[int], steps: int) -> Tensor:
    """Draw the random numbers (steps,) of one answer; they depend only on the arguments.

    Args:
        seed: Given by the user.
        prompt: Token ids.
        steps: How many; more steps begin with the same numbers.
    """
    key = f"{seed} {list(prompt)}".encode()
    start = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
    source = torch.Generator().manual_seed(start)
    return torch.rand(steps, generator=source, dtype=torch.float64)


def _sample_likeliest(scaled: Tensor, top_p: Tensor, top_k: Tensor, draws: Tensor) -> Tensor:
    """Sample among the likeliest tokens; the first ranks are mostly enough to find them."""
    total = scaled.double().logsumexp(dim=-1, keepdim=True)
    ranks = min(_FIRST_RANKS, scaled.shape[1])
    order, probabilities = _rank(scaled, total, ranks)
    if not bool(((probabilities.sum(dim=-1) >= top_p) | (top_k <= ranks)).all()):
        ranks = scaled.shape[1]
        order, probabilities = _rank(scaled, total, ranks)
    before = probabilities.cumsum(dim=-1) - probabilities
    left_out = before >= top_p[:, None]
    left_out |= torch.arange(ranks, device=scaled.device) >= top_k[:, None]
    places = _invert(probabilities.masked_fill(left_out, 0), draws)
    return order.gather(1, places[:, None]).squeeze(1)


def _rank(scaled: Tensor, total: Tensor, ranks: int) -> tuple[Tensor, Tensor]:
    """Return ids (B, K) and probabilities (B, K) of the likeliest tokens, best first.

    Of equal ones the smaller id goes first for any number of ranks, so that the sample of a row
    does not depend on the other rows.
    """
    ids = scaled.topk(ranks, dim=-1).indices.sort(dim=-1).values
    values, order = scaled.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    return ids.gather(1, order), (values.double() - total).exp()


def _invert(weights: Tensor, draws: Tensor) -> Tensor:
    """Map draws from [0, 1) to indexes (B,) of weights (B, K), in proportion to the weights."""
    cumulative = weights.cumsum(dim=-1)
    places = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)
    return places.squeeze(1).clamp(max=weights.shape[1] - 1)
