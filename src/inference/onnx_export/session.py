"""ONNX Runtime with an exported model in it: tokens and their cache in, logits out.

Buffers are handed over by address, so nothing is copied on the way in or out. What is handed over
is remembered: in a decode step, only a few numbers change.

Sizes: B rows, S new tokens of a row, P places that logits are wanted of, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import GenerationError, MissingDependencyError
from .kv_cache import SlotCache
from .shape import ExportDtype, ExportShape

_LEAST_VERSION = (1, 24)
"""Before it, a layer with a sliding window saw one token too many or too few (seen in 1.23.2)."""


class _Handed(NamedTuple):
    """What the runtime holds the addresses of."""

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
        MissingDependencyError: It, or what builds its graphs, is not installed, or is too old.
    """
    try:
        import onnx  # noqa: F401 - needed a moment later
        import onnxruntime
    except ImportError as fault:
        raise MissingDependencyError(fault.name or "onnxruntime", "cpu") from fault
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < _LEAST_VERSION:
        raise MissingDependencyError("onnxruntime 1.24.1 or newer", "cpu")
    return onnxruntime


class StepSession:
    """An exported model ready to compute. One thread at a time."""

    def __init__(
        self,
        shape: ExportShape,
        dtype: ExportDtype,
        tensors: Mapping[str, Tensor],
        *,
        threads: int | None = None,
    ) -> None:
        """Build the graph and let the runtime prepare it.

        Args:
            shape: Of the model.
            dtype: Of its matrices.
            tensors: What `ExportShape.tensors` names; read in place where the runtime does not lay
                them out anew.
            threads: That compute; None takes as many as torch.

        Raises:
            GenerationError: The runtime refuses the graph, as versions without its operators do.
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
        # The runtime's own heap keeps what the longest prompt took, and made no step faster.
        options.enable_cpu_mem_arena = False
        # Threads that wait in a loop take the processor from everybody else on it.
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
        self._handed: _Handed | None = None

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
        """Compute new tokens of rows that stand one after the other in a cache.

        With S above 1, either nothing of the rows was read before, or B is 1.

        Args:
            ids: (B, S) int64; what stands beyond a row's length is computed and never looked at.
            lengths: (B,) tokens of each row, the new ones included.
            places: (P,) which of the B S tokens to give the logits of, counted row by row.
            cache: Holds at least `max(lengths)` columns; written.
            first: Number of the first of the rows.

        Returns:
            (P, V) float32 logits, valid until the next call.
        """
        handed = self._hand_over(ids.shape, len(places), cache, first)
        handed.ids[:] = ids
        handed.places[:] = places
        handed.lengths[:] = lengths
        handed.lengths[:] -= 1
        handed.total[()] = max(lengths)
        self._session.run_with_iobinding(handed.binding)
        return handed.logits

    def _hand_over(
        self, sizes: tuple[int, ...], places: int, cache: SlotCache, first: int
    ) -> _Handed:
        """Give the runtime the addresses of everything, where they are not those of last time."""
        key = (*sizes, places, first, cache.columns, cache.buffers[0].data_ptr())
        if self._handed is not None and self._handed.key == key:
            return self._handed
        binding = self._session.io_binding()
        rows = sizes[0]
        handed = _Handed(
            key,
            binding,
            ids=np.zeros(sizes, np.int64),
            places=np.zeros(places, np.int64),
            lengths=np.zeros(rows, np.int32),
            total=np.zeros((), np.int32),
            logits=torch.empty(places, self.shape.vocabulary),
            buffers=cache.buffers.copy(),  # keeps the memory while its address is in use
        )
        for name in ("ids", "places", "lengths", "total"):
            array = getattr(handed, name)
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, buffer in zip(self._names, cache.buffers, strict=True):
            shape, address = (rows, *buffer.shape[1:]), buffer[first].data_ptr()
            binding.bind_input(name, "cpu", 0, np.float32, shape, address)
            binding.bind_output(f"{name}.next", "cpu", 0, np.float32, shape, address)
        logits = handed.logits
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.data_ptr())
        self._handed = handed
        return handed
