"""Key-value caches in preallocated buffers, for models of transformers.

transformers' `DynamicCache` concatenates at every token, and its `StaticCache` attends over the
whole capacity. These layers write in place and attend over what is written. Importing this module
loads transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from ..llama.row_cache import RowCache


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of one attention layer, (B, heads, capacity, head size)."""

    def __init__(self, capacity: int) -> None:
        """Make an empty layer for `capacity` tokens, prompt included."""
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Write the new keys and values; return views of all that are written."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_buffer = self._buffer(key_states)
            self._value_buffer = self._buffer(value_states)
        end = self.length + key_states.shape[2]
        self._key_buffer[:, :, self.length : end] = key_states
        self._value_buffer[:, :, self.length : end] = value_states
        self.length = end
        self._show()
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return the number of tokens written."""
        return self.length

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row of the batch."""
        self._key_buffer = self._key_buffer.repeat_interleave(repeats, dim=0)
        self._value_buffer = self._value_buffer.repeat_interleave(repeats, dim=0)
        self._show()

    def _buffer(self, states: Tensor) -> Tensor:
        batch, heads, _, size = states.shape
        return torch.empty(
            (batch, heads, self.capacity, size), dtype=states.dtype, device=states.device
        )

    def _show(self) -> None:
        self.keys = self._key_buffer[:, :, : self.length]
        self.values = self._value_buffer[:, :, : self.length]


def make_cache(model: Any, capacity: int) -> Any:  # noqa: ANN401
    """Make an empty cache for a model.

    Layers with full attention get buffers; others (sliding windows) keep transformers' layers.

    Args:
        model: A transformers causal language model.
        capacity: Most tokens per sequence, prompt included.
    """
    cache = DynamicCache(config=model.config)
    cache.layers = [
        PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer
        for layer in cache.layers
    ]
    return cache


def make_full_cache(model: Any, capacity: int) -> Any:  # noqa: ANN401
    """Make an empty cache in which all layers hold all tokens, also those with a sliding window.

    transformers' mask then hides what is outside the window.

    Args:
        model: A transformers causal language model.
        capacity: Most tokens per sequence.
    """
    cache = DynamicCache(config=model.config)
    cache.layers = [PreallocatedLayer(capacity) for _ in cache.layers]
    return cache


class RowLayer(DynamicLayer):  # type: ignore[misc]
    """One attention layer of a `RowCache`, for transformers in a decode step."""

    def __init__(self, rows: RowCache, number: int) -> None:
        """Wrap buffers `2 number` (keys) and `2 number + 1` (values)."""
        super().__init__()
        self._rows = rows
        self._number = number
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Write the newest token of every row; return views of all that is attended to."""
        rows, first, end = self._rows.rows, self._rows.first, self._rows.end
        shown = []
        for place, states in enumerate((key_states, value_states)):
            buffer = self._rows.buffers[2 * self._number + place][:rows]
            buffer[:, :, end - 1 : end] = states
            shown.append(buffer[:, :, first:end])
        return tuple(shown)

    def get_seq_length(self) -> int:
        """Return the number of columns before the newest."""
        return self._rows.end - 1 - self._rows.first


def view_rows(model: Any, rows: RowCache) -> Any:  # noqa: ANN401
    """Wrap a `RowCache`, with keys and values of each layer in turn, as a transformers cache."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RowLayer(rows, number) for number in range(len(rows.buffers) // 2)]
    return cache
