"""Vectors of the last texts, for all who read the same texts with the same encoder.

Several filters over one stream, and both stages of a cascade, often do: a vector is then
computed once. A text is known by its tokens, as readers may cut long texts at different places.

Sizes: N texts, H width of the vectors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Row = tuple[int, ...]
"""Token ids of a text."""
MOST_KEPT: Final = 4096
"""Vectors that are remembered; at 384 numbers each they take 6 MB."""


class VectorMemory:
    """The vectors of the last texts of one encoder."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.computed = 0
        """Texts whose vectors were computed."""
        self.remembered = 0
        """Texts whose vectors were there already."""
        self._kept: OrderedDict[Row, Vectors] = OrderedDict()
        self._lock = Lock()

    def vectors(
        self, rows: Sequence[Sequence[int]], compute: Callable[[list[Row]], Vectors]
    ) -> Vectors:
        """Give vectors (N, H) in the order of the rows; `compute` makes those that are missing."""
        keys = [tuple(row) for row in rows]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            missing = [key for key in dict.fromkeys(keys) if key not in found]
            self.remembered += len(keys) - len(missing)
            self.computed += len(missing)
            if missing or not keys:
                found.update(zip(missing, made := compute(missing), strict=True))
            for key in found:
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return np.stack([found[key] for key in keys]) if keys else made


@lru_cache(maxsize=8)
def shared_memory(key: Hashable) -> VectorMemory:
    """Give the memory of an encoder, the same one to all who name it."""
    return VectorMemory()
