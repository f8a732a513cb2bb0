"""Batched decoding of sequences that may join and leave at any step.

    batch = open_batch(model)
    logits = batch.add([[5, 6, 7], [8]])             # after each prompt
    logits = batch.step(logits.argmax(dim=-1))       # after one more token of each
    batch.drop(0)                                    # the last sequence becomes number 0

Three implementations: `llama.forward` for small Llamas, `JoinedBatch` for models whose keys and
values can be put into one buffer, and `SoloBatch` for the rest.

Sizes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor

from ...errors import GenerationError
from ..llama.row_cache import RowCache
from ..llama.weights import fits


class Batch(Protocol):
    """Sequences numbered from 0. Used by one thread at a time, in inference mode."""

    @property
    def rows(self) -> int:
        """Number of sequences."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        ...

    def is_current(self) -> bool:
        """Whether the model has not changed since the batch was made."""
        ...

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Append sequences; return the logits (new, V) after each."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token (B,) to every sequence; return the logits (B, V) after it."""
        ...

    def drop(self, row: int) -> None:
        """Remove a sequence; the last one takes its number."""
        ...


def open_batch(model: Any) -> Batch:  # noqa: ANN401 - transformers is untyped
    """Make an empty batch of the fastest kind that fits a model.

    Args:
        model: A transformers causal language model in eval mode.

    Raises:
        GenerationError: The model keeps its state in a cache that transformers' `DynamicCache`
            does not cover.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    if fits(model):
        from ..llama.forward import LlamaBatch

        return LlamaBatch(model)
    if "cache_params" in signature(model.forward).parameters:
        raise GenerationError(
            f"models of type {model.config.model_type!r} keep their state in a way of their own "
            "and are not decoded here; serve the model elsewhere and use engine='remote'"
        )
    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if kinds and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}:
        return JoinedBatch(model)
    return SoloBatch(model)


class JoinedBatch:
    """Sequences in one `RowCache`, computed by transformers.

    Layers with a sliding window hold all tokens here; transformers' mask lets them see the window.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        """Start without sequences."""
        self._model = model
        self._cache: RowCache | None = None
        self._view: Any = None

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return 0 if self._cache is None else self._cache.rows

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return 0 if self._cache is None else self._cache.tokens

    def is_current(self) -> bool:
        """Weights are read in place, so only another implementation would be a change."""
        return not fits(self._model)

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Append sequences, padded on the left so that all end in the same column."""
        from ..scoring.prompt_cache import make_full_cache

        device = self._model.device
        width = max(len(prompt) for prompt in prompts)
        pads = [width - len(prompt) for prompt in prompts]
        ids = torch.tensor([[0] * p + list(q) for p, q in zip(pads, prompts, strict=True)])
        columns = torch.arange(width, device=device)
        padding = torch.tensor(pads, device=device)[:, None]
        cache = make_full_cache(self._model, width)
        logits: Tensor = self._model(
            input_ids=ids.to(device),
            # Without padding transformers takes its fast path, which needs no mask.
            attention_mask=(columns >= padding).long() if any(pads) else None,
            position_ids=(columns - padding).clamp(min=0),  # (B, T)
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        self._take(cache, pads)
        return logits[:, -1].float()

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to every sequence."""
        cache = self._cache
        if cache is None:
            raise IndexError("the batch has no sequences")
        cache.advance()
        bias = cache.bias()
        logits: Tensor = self._model(
            input_ids=tokens[:, None],
            attention_mask=None if bias is None else (bias == 0).long(),
            position_ids=cache.positions()[:, None],
            past_key_values=self._view,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float()

    def drop(self, row: int) -> None:
        """Remove a sequence."""
        if self._cache is not None:
            self._cache.drop(row)

    def _take(self, cache: Any, pads: Sequence[int]) -> None:  # noqa: ANN401
        """Copy the keys and values of new sequences into the rows."""
        from ..scoring.prompt_cache import view_rows

        filled = [layer for layer in cache.layers if layer.is_initialized]
        parts = [states for layer in filled for states in (layer.keys, layer.values)]
        if self._cache is None:
            shapes = [(part.shape[1], part.shape[3]) for part in parts]
            self._cache = RowCache(shapes, parts[0].dtype, parts[0].device)
            self._view = view_rows(self._model, self._cache)
        rows = self._cache.add([parts[0].shape[2] - pad for pad in pads])
        end = self._cache.end
        for buffer, part in zip(self._cache.buffers, parts, strict=True):
            for place, (row, pad) in enumerate(zip(rows, pads, strict=True)):
                length = part.shape[2] - pad
                buffer[row, :, end - length : end] = part[place, :, pad:]


class SoloBatch:
    """Sequences that are computed one after the other, each with its own cache.

    For models whose state cannot be put into one buffer, such as recurrent ones.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        """Start without sequences."""
        self._model = model
        self._caches: list[Any] = []
        self._lengths: list[int] = []

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return len(self._caches)

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return sum(self._lengths)

    def is_current(self) -> bool:
        """Weights are read in place."""
        return True

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Append sequences."""
        from transformers.cache_utils import DynamicCache

        logits = []
        for prompt in prompts:
            cache = DynamicCache(config=self._model.config)
            logits.append(self._forward(list(prompt), 0, cache))
            self._caches.append(cache)
            self._lengths.append(len(prompt))
        return torch.cat(logits)

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to every sequence."""
        logits = []
        for row, token in enumerate(tokens.tolist()):
            logits.append(self._forward([token], self._lengths[row], self._caches[row]))
            self._lengths[row] += 1
        return torch.cat(logits)

    def drop(self, row: int) -> None:
        """Remove a sequence; the last one takes its number."""
        for kept in (self._caches, self._lengths):
            last = kept.pop()
            if row < len(kept):
                kept[row] = last

    def _forward(self, ids: list[int], begin: int, cache: Any) -> Tensor:  # noqa: ANN401
        device = self._model.device
        places = torch.arange(begin, begin + len(ids), device=device)
        logits: Tensor = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=places[None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float()  # (1, V)
