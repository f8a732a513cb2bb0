"""An ONNX Runtime session of an exported model: from tokens and their cache to logits.

Buffers are bound by address, so nothing is copied. Bindings are reused while the addresses stay the
same, as in most decode steps.

Sizes: B rows, S new tokens of a row, P places to return logits of, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import GenerationError, MissingDependencyError
from .kv_cache import SlotCache
from .layout import ExportDtype, ExportShape

_LEAST_VERSION = (1, 24)
"""Older versions attend to one token too many or too few in a sliding window (seen in 1.23.2)."""


class _Bound(NamedTuple):
    """Buffers bound to the session, and their key."""

    key: tuple[int, ...]
    binding: Any
    ids: np.ndarray
    places: np.ndarray
    lengths: np.ndarray
    total: np.ndarray
    logits: Tensor
    buffers: list[Tensor]


def require_runtime() -> Any:  # noqa: ANN401 - onnxruntime is untyped
    """Import ONNX Runtime.

    Raises:
        MissingDependencyError: onnx or onnxruntime is missing, or too old.
    """
    try:
        import onnx  # noqa: F401 - needed by `graph`
        import onnxruntime
    except ImportError as fault:
        raise MissingDependencyError(fault.name or "onnxruntime", "cpu") from fault
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < _LEAST_VERSION:
        raise MissingDependencyError("onnxruntime 1.24.1 or newer", "cpu")
    return onnxruntime


class StepSession:
    """An exported model ready to compute; for one thread at a time."""

    def __init__(
        self,
        shape: ExportShape,
        dtype: ExportDtype,
        tensors: Mapping[str, Tensor],
        *,
        threads: int | None = None,
    ) -> None:
        """Build the graph and compile it.

        Args:
            shape: Shape of the model.
            dtype: Type of its matrices.
            tensors: Those of `ExportShape.tensors`; used in place unless the runtime repacks them.
            threads: Number of compute threads; None takes as many as torch.

        Raises:
            GenerationError: The runtime refuses the graph, as versions without its operators.
        """
        runtime = require_runtime()
        from .graph import build_graph

        frequencies, scale = tensors["frequencies"].numpy(), float(tensors["rope_scale"])
        graph, constants = build_graph(shape, dtype, frequencies, scale)
        read_above = ("frequencies", "rope_scale")
        stored = {n: t.numpy() for n, t in tensors.items() if n not in read_above}
        self._given = stored | constants
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        # The runtime's arena keeps the memory of the longest prompt and makes no step faster.
        options.enable_cpu_mem_arena = False
        # Spinning threads would take the processor from other work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = [runtime.OrtValue.ortvalue_from_numpy(array) for array in self._given.values()]
        options.add_external_initializers(list(self._given), values)
        try:
            self._session = runtime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as fault:  # the runtime's errors have no common base
            raise GenerationError(
                f"ONNX Runtime {runtime.__version__} does not take the export ({fault}); serve the "
                "checkpoint with engine='transformers', or install another version"
            ) from fault
        self.shape = shape
        self._names = [f"{n}.{kind}" for n in range(shape.layers) for kind in ("keys", "values")]
        self._bound: _Bound | None = None

    def open_cache(self) -> SlotCache:
        """Make an empty cache."""
        shape = self.shape
        return SlotCache(2 * shape.layers, shape.key_heads, shape.head_size, shape.positions)

    def forward(
        self,
        ids: np.ndarray,
        lengths: Sequence[int],
        places: Sequence[int] | np.ndarray,
        cache: SlotCache,
        first: int = 0,
    ) -> Tensor:
        """Compute new tokens of consecutive rows of a cache.

        With S above 1, either the rows are new, or B is 1.

        Args:
            ids: (B, S) int64; tokens beyond a row's length are computed and ignored.
            lengths: (B,) tokens of each row, the new ones included.
            places: (P,) which of the B S tokens to give the logits of, counted row by row.
            cache: Has at least `max(lengths)` columns; is written.
            first: Number of the first of the rows.

        Returns:
            (P, V) float32 logits, valid until the next call.
        """
        bound = self._bind(ids.shape, len(places), cache, first)
        bound.ids[:] = ids
        bound.places[:] = places
        bound.lengths[:] = lengths
        bound.lengths[:] -= 1
        bound.total[()] = max(lengths)
        self._session.run_with_iobinding(bound.binding)
        return bound.logits

    def _bind(self, sizes: tuple[int, ...], places: int, cache: SlotCache, first: int) -> _Bound:
        """Bind all buffers, unless the same ones are bound already."""
        key = (*sizes, places, first, cache.columns, cache.buffers[0].data_ptr())
        if self._bound is not None and self._bound.key == key:
            return self._bound
        binding = self._session.io_binding()
        rows = sizes[0]
        bound = _Bound(
            key,
            binding,
            ids=np.zeros(sizes, np.int64),
            places=np.zeros(places, np.int64),
            lengths=np.zeros(rows, np.int32),
            total=np.zeros((), np.int32),
            logits=torch.empty(places, self.shape.vocabulary),
            buffers=cache.buffers.copy(),  # keeps the memory alive while its address is bound
        )
        for name in ("ids", "places", "lengths", "total"):
            array = getattr(bound, name)
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, buffer in zip(self._names, cache.buffers, strict=True):
            shape, address = (rows, *buffer.shape[1:]), buffer[first].data_ptr()
            binding.bind_input(name, "cpu", 0, np.float32, shape, address)
            binding.bind_output(f"{name}.next", "cpu", 0, np.float32, shape, address)
        logits = bound.logits
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.data_ptr())
        self._bound = bound
        return bound
