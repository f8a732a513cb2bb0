"""Reduce a teacher's logits to what a cache stores, and turn that back into probabilities.

The tail is stored as log p of all other ids together. If it were computed later from the float16
logits and a normaliser, its probability would be negative in half of the rows of a confident
teacher.

Sizes: N supervised positions, V vocabulary, K kept ids, G temperatures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..losses.divergences import LOWEST_TEACHER_LOG_PROBABILITY

LARGEST_DELTA = torch.finfo(torch.float16).max


def keep_largest(
    logits: Tensor, labels: Tensor, k: int, temperatures: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the largest logits, and the probability of all other ids together.

    Args:
        logits: (N, V) float32; overwritten. -inf is allowed, but not for a whole row.
        labels: (N,) token ids; each replaces the last kept id if it is not among the largest.
        k: Ids to keep, 1 to V - 1.
        temperatures: Temperatures that log_tail is computed for.

    Returns:
        ids (N, K) int32 by descending logit, ties by lower id; delta (N, K) float16, the largest
        logit minus each; log_tail (N, G) float32, -60 to 0.

    Raises:
        ValueError: A row has a NaN or infinite largest logit.
    """
    top = logits.amax(dim=1, keepdim=True)  # (N, 1); NaN comes through
    if not bool(torch.isfinite(top).all()):
        raise ValueError("the teacher's logits are not finite")
    ids = _largest_ids(logits, k)  # (N, K)
    missing = (ids != labels[:, None]).all(dim=1)
    ids[missing, -1] = labels[missing]
    shifted = logits.sub_(top)
    kept = shifted.gather(1, ids)
    delta = (-kept).clamp(max=LARGEST_DELTA).half()
    rest = shifted.scatter_(1, ids, -math.inf)
    powers = torch.empty_like(rest)
    log_tail = torch.empty(len(rest), len(temperatures), device=rest.device)  # (N, G)
    for place, temperature in enumerate(temperatures):
        tail = torch.div(rest, temperature, out=powers).exp_().sum(dim=1).log()
        # log sigmoid(tail - kept) = log p_tail, accurate however small either side is.
        log_tail[:, place] = functional.logsigmoid(tail - torch.logsumexp(kept / temperature, 1))
    return ids.int(), delta, log_tail.clamp(min=LOWEST_TEACHER_LOG_PROBABILITY)


def _largest_ids(values: Tensor, k: int) -> Tensor:
    """Return the indices of the K < V largest values, (N, K) int64, ties by lower index."""
    largest, ids = values.topk(k + 1, dim=1)
    least, ids = largest[:, k - 1 : k], ids[:, :k].contiguous()  # (N, 1), (N, K)
    # topk chooses arbitrarily among equal values at the border, and half precision has many.
    tied = (least == largest[:, k:]).nonzero()[:, 0]
    if len(tied):
        row, border = values[tied], least[tied]
        equal, above = row == border, row > border
        missing = k - above.sum(dim=1, keepdim=True)
        chosen = above | (equal & (equal.cumsum(dim=1) <= missing))
        ids[tied] = chosen.nonzero()[:, 1].view(len(tied), k)
    ids = ids.sort(dim=1).values
    order = values.gather(1, ids).sort(dim=1, descending=True, stable=True).indices
    return ids.gather(1, order)


def draw_ids(
    logits: Tensor, k: int, temperature: float, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Draw ids from the teacher with replacement, which is unbiased for losses linear in p.

    Source: Random Sampling Knowledge Distillation, Anshumann et al. 2025 (arXiv 2503.16870).

    Args:
        logits: (N, V) float32.
        k: Draws per row, 1 to min(V - 1, 65,535).
        temperature: Temperature of the distribution, above 0.
        seeds: One seed per row, so that the draws of a row do not depend on its batch.

    Returns:
        ids (N, K) int32, distinct; count (N, K) int32, descending, with the sum K in each row. Rows
        with fewer distinct draws are filled up with ids of count 0.

    Raises:
        ValueError: A row has a NaN or infinite largest logit.
    """
    if not bool(torch.isfinite(logits.amax(dim=1)).all()):
        raise ValueError("the teacher's logits are not finite")
    p = functional.softmax(logits / temperature, dim=1)
    generator = torch.Generator(device=logits.device)
    counts = torch.zeros(logits.shape, dtype=torch.int32, device=logits.device)
    one = torch.ones(k, dtype=torch.int32, device=logits.device)
    for row, seed in enumerate(seeds):
        generator.manual_seed(seed)
        drawn = torch.multinomial(p[row], k, replacement=True, generator=generator)  # (K,)
        counts[row].index_add_(0, drawn, one)
    ids = _largest_ids(counts.float(), k)  # distinct by construction, zeros last, by lower id
    return ids.int(), counts.gather(1, ids)


def stored_log_probabilities(delta: Tensor, log_tail: Tensor, temperature: float) -> Tensor:
    """Compute log p of the kept ids: log softmax(-delta / T) + log(1 - p_tail(T)).

    Together with the tail, the probabilities of a row sum to 1.

    Args:
        delta: (N, K) float32.
        log_tail: (N,) float32 at the same temperature.
        temperature: T.

    Returns:
        (N, K) float32.
    """
    log_kept = torch.log(-torch.expm1(log_tail)).clamp(min=LOWEST_TEACHER_LOG_PROBABILITY)
    return functional.log_softmax(-delta / temperature, dim=1) + log_kept[:, None]
