"""Count the matrix products of a step, and measure how fast this machine computes them.

The floating-point operations of a system are counted by formula: 2 per multiply-add, and a backward
pass twice the forward pass. Attention counts in full if there is a padding mask, and half in this
project's runs, which need none. Not counted are the head at the single position that transformers
always computes, and everything but matrix products (softmax, AdamW, norms).

Sizes: R rows of a head, H width, V vocabulary, F feed-forward width, B examples, T positions.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from cases import PAIRS, Case, Sizes

_HEAD_UNITS = {
    # system: (student's, teacher's) products of a row with a head, of 2 H V each; over all
    # positions or supervised rows only
    "ce_trainer": (3, 0, "all"),
    "ce_rows": (3, 0, "supervised"),
    "cached": (3, 0, "supervised"),
    "online": (3, 1, "supervised"),
    "trl_gkd": (3, 1, "all"),
    "liger": (3, 1, "shifted"),
    "liger_triton": (3, 1, "shifted"),
    "trl_chunked": (4, 2, "shifted"),  # logits of both are made again in the backward pass
}


def step_products(case: Case, batch: Mapping[str, int]) -> float:
    """Count the floating point operations in the products of one micro-batch.

    Args:
        case: Whose system.
        batch: `examples`, `positions` (padding included) and supervised `tokens`.
    """
    pair, (ours, theirs, which) = PAIRS[case.pair], _HEAD_UNITS[case.system]
    B, T = batch["examples"], batch["positions"]
    if case.system == "trl_chunked" and case.device == "cuda":
        which = "supervised"  # with Triton it selects rows
    rows = {"all": B * T, "shifted": B * (T - 1), "supervised": batch["tokens"]}[which]
    own = case.system in ("ce_rows", "cached", "online")
    # They leave out of the last block's feed-forward layer what nobody reads.
    unread = B * T - batch["tokens"] if own else 0

    def body(sizes: Sizes) -> float:
        return body_products(sizes, B, T, causal=own) - feed_forward(sizes, unread)

    flops = 3 * body(pair.student)
    flops += ours * 2 * rows * pair.student.width * pair.vocabulary
    if theirs:
        flops += body(pair.teacher)
        flops += theirs * 2 * rows * pair.teacher.width * pair.vocabulary
    return flops


def body_products(sizes: Sizes, examples: int, positions: int, *, causal: bool) -> float:
    """Count a forward pass through the layers, without the head."""
    H, F, T = sizes.width, sizes.feed_forward, positions
    matrices = 4 * H * H + 3 * H * F  # query, key, value, output; gate, up, down
    # Scores and their product with the values, of one example.
    attention = (2 if causal else 4) * T * T * H
    return sizes.layers * examples * (2 * T * matrices + attention)


def feed_forward(sizes: Sizes, positions: int) -> float:
    """Count a forward pass of some positions through one feed-forward layer."""
    return 2 * positions * 3 * sizes.width * sizes.feed_forward


def product_rate(pair: str, rows: int, positions: int, device: str = "cpu") -> dict[str, float]:
    """Time bare products at a student's shapes, in preallocated memory.

    Args:
        pair: Which models.
        rows: Of a product with the head.
        positions: Rows of a product inside the layers.
        device: `cpu` (float32) or `cuda` (bfloat16).

    Returns:
        GFLOP/s, best of some: `logits` (R, H) (H, V), `by_hidden` (R, V) (V, H), `by_head` (V, R)
        (R, H), `layer` (positions, H) (H, F), and `step`: a step's three products with the head
        one after the other.
    """
    V, H, F = PAIRS[pair].vocabulary, PAIRS[pair].student.width, PAIRS[pair].student.feed_forward
    kind = {"device": device, "dtype": torch.bfloat16 if device == "cuda" else torch.float32}
    hidden, head = torch.randn(rows, H, **kind), torch.randn(V, H, **kind)
    z, x, w = (torch.randn(n, m, **kind) for n, m in ((rows, V), (positions, H), (F, H)))
    by_hidden, by_head, inner = (
        torch.empty(n, m, **kind) for n, m in ((rows, H), (V, H), (positions, F))
    )
    calls = {
        "logits": lambda: torch.mm(hidden, head.T, out=z),
        "by_hidden": lambda: torch.mm(z, head, out=by_hidden),
        "by_head": lambda: torch.mm(z.T, hidden, out=by_head),
        "layer": lambda: torch.mm(x, w.T, out=inner),
    }
    flops = dict.fromkeys(("logits", "by_hidden", "by_head"), 2.0 * rows * H * V)
    flops["layer"] = 2.0 * positions * H * F
    seconds = {name: _best_seconds(call, device) for name, call in calls.items()}
    rates = {name: flops[name] / seconds[name] / 1e9 for name in calls}
    head_seconds = sum(seconds[name] for name in ("logits", "by_hidden", "by_head"))
    return rates | {"step": 3 * flops["logits"] / head_seconds / 1e9}


def _best_seconds(call: object, device: str, least_s: float = 0.5) -> float:
    best, spent, calls = float("inf"), 0.0, 0
    while spent < least_s or calls < 5:
        start = time.perf_counter()
        call()  # type: ignore[operator]
        if device == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter() - start
        best, spent, calls = min(best, took), spent + took, calls + 1
    return best
