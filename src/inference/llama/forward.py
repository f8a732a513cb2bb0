"""The forward pass of a small Llama in plain torch, for batched decoding.

transformers spends three quarters of a small model's step on masks, output classes and module
calls. This is the same arithmetic in float32 on the weights of `llama.weights`, for the prompts of
new sequences and for one new token of each sequence.

Sizes: N tokens of all sequences together, B sequences, W width, D size of a head, H heads, G
key-value heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .row_cache import RowCache
from .weights import is_current, pack

_MOST_TOKENS = 4096
"""Prompt tokens computed at once; bounds the memory of activations."""
_FIRST_POSITIONS = 512

Attend = Callable[[int, Tensor], Tensor]
"""Attention: layer number and queries, keys and values (N, H + 2 G, D) to (N, H D)."""


class LlamaBatch:
    """Sequences of one model that are decoded together; see `engine.batch.Batch`."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers is untyped
        """Start without sequences; the model is one that `weights.fits`."""
        self._model = model
        self._weights = pack(model)
        width = self._weights.embedding.shape[1]
        # The mean of squares as a product: one pass where a reduction takes three.
        self._mean = torch.full((width, 1), 1 / width)
        self._eps = torch.full((1, 1), self._weights.eps)
        self._size = self._weights.layers[0].out.shape[0] // self._weights.heads
        shape = (2 * self._weights.key_heads, self._size)
        self._cache = RowCache(
            [shape] * len(self._weights.layers), torch.float32, self._mean.device
        )
        self._rotations = torch.zeros(0)
        self._grow_rotations(_FIRST_POSITIONS)

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return self._cache.rows

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return self._cache.tokens

    def is_current(self) -> bool:
        """Whether the model's weights have not changed since the batch was made."""
        return is_current(self._model, self._weights)

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Append sequences.

        Returns:
            (new sequences, V) logits after each prompt.
        """
        rows = self._cache.add([len(prompt) for prompt in prompts])
        logits, begin = [], 0
        while begin < len(prompts):
            end, tokens = begin + 1, len(prompts[begin])
            while end < len(prompts) and tokens + len(prompts[end]) <= _MOST_TOKENS:
                tokens += len(prompts[end])
                end += 1
            logits.append(self._read(prompts[begin:end], rows[begin:end]))
            begin = end
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def step(self, tokens: Tensor) -> Tensor:
        """Add a token (B,) to every sequence and give the logits (B, V) after it."""
        cache, weights = self._cache, self._weights
        cache.advance()
        rows, first, end = cache.rows, cache.first, cache.end
        bias = cache.bias()
        bias = None if bias is None else bias[:, None, None]  # (B, 1, 1, T)
        if bias is None:
            rotations = self._rotations_at(end - 1 - first, end - first)
        else:
            self._grow_rotations(end - first)
            rotations = self._rotations[cache.positions()]
        groups = weights.key_heads
        shape = (rows, groups, weights.heads // groups, self._size)

        def attend(number: int, heads: Tensor) -> Tensor:
            buffer = cache.buffers[number][:rows]
            buffer.select(2, end - 1).copy_(heads[:, weights.heads :])
            seen = buffer.narrow(2, first, end - first)
            # Heads that share keys stand where a sequence would: (B, G, H / G, D).
            mixed = functional.scaled_dot_product_attention(
                heads[:, : weights.heads].view(shape), seen[:, :groups], seen[:, groups:], bias
            )
            return mixed.reshape(rows, -1)

        return self._head(self._layers(tokens, rotations, attend))

    def drop(self, row: int) -> None:
        """Remove a sequence; the last one takes its number."""
        self._cache.drop(row)

    def _read(self, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> Tensor:
        """Compute prompts side by side, without padding; each attends to itself."""
        cache, weights = self._cache, self._weights
        lengths = [len(prompt) for prompt in prompts]
        rotations = torch.cat([self._rotations_at(0, length) for length in lengths])
        shared = weights.heads // weights.key_heads

        def attend(number: int, heads: Tensor) -> Tensor:
            buffer, mixed = cache.buffers[number], []
            for row, part in zip(rows, torch.split(heads, lengths), strict=True):
                parts = part.transpose(0, 1)  # (H + 2 G, T, D)
                buffer[row, :, cache.end - len(part) : cache.end] = parts[weights.heads :]
                sizes = [weights.heads, weights.key_heads, weights.key_heads]
                queries, keys, values = torch.split(parts, sizes)
                one = functional.scaled_dot_product_attention(
                    queries[None],
                    keys.repeat_interleave(shared, 0)[None],
                    values.repeat_interleave(shared, 0)[None],
                    is_causal=True,
                )  # (1, H, T, D)
                mixed.append(one[0].transpose(0, 1).reshape(len(part), -1))
            return torch.cat(mixed)

        flat = torch.tensor([token for prompt in prompts for token in prompt])
        hidden = self._layers(flat, rotations, attend)
        last = torch.tensor(lengths).cumsum(0) - 1
        return self._head(hidden[last])

    def _layers(self, tokens: Tensor, rotations: Tensor, attend: Attend) -> Tensor:
        """Compute hidden states (N, W) of tokens (N,) with RoPE's `rotations`."""
        weights = self._weights
        turned = weights.heads + weights.key_heads
        hidden = functional.embedding(tokens, weights.embedding)
        for number, layer in enumerate(weights.layers):
            heads = torch.mm(self._scaled(hidden), layer.query_key_value)
            heads = heads.view(len(tokens), -1, self._size)  # (N, H + 2 G, D)
            pairs = heads[:, :turned].view(len(tokens), turned, -1, 2)
            torch.view_as_complex(pairs).mul_(rotations)
            hidden.addmm_(attend(number, heads), layer.out)
            gate, up = torch.mm(self._scaled(hidden), layer.gate_up).chunk(2, dim=1)
            hidden.addmm_(functional.silu(gate).mul_(up), layer.down)
        return hidden

    def _head(self, hidden: Tensor) -> Tensor:
        return torch.mm(self._scaled(hidden), self._weights.head)

    def _scaled(self, hidden: Tensor) -> Tensor:
        """Divide by the root mean square (Zhang and Sennrich 2019, arXiv:1910.07467)."""
        return hidden * torch.addmm(self._eps, hidden * hidden, self._mean).rsqrt_()

    def _rotations_at(self, begin: int, end: int) -> Tensor:
        self._grow_rotations(end)
        return self._rotations[begin:end]

    def _grow_rotations(self, positions: int) -> None:
        """Make RoPE's rotations (positions, 1, D / 2), as complex numbers.

        Su et al. 2021, arXiv:2104.09864.
        """
        if positions <= len(self._rotations):
            return
        positions = max(positions, 2 * len(self._rotations))
        angles = torch.arange(positions)[:, None] * self._weights.frequencies
        scale = self._weights.rope_scale
        self._rotations = torch.complex(angles.cos() * scale, angles.sin() * scale)[:, None]
