"""Vectors of the last texts, for all who read the same texts with the same encoder.

Several filters over one stream, and both stages of a cascade, often do: tokens and vectors of a
text are then computed once.

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
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()

    def vectors(self, texts: Sequence[str], compute: Callable[[Sequence[str]], Vectors]) -> Vectors:
        """Give vectors (N, H) in the order of the texts; `compute` makes those that are missing."""
        if not texts:
            return compute(texts)
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
            missing = [text for text in dict.fromkeys(texts) if text not in found]
            self.remembered += len(texts) - len(missing)
            self.computed += len(missing)
            if missing:
                found.update(zip(missing, compute(missing), strict=True))
            for text in found:
                self._kept[text] = found[text]
                self._kept.move_to_end(text)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return np.stack([found[text] for text in texts])


@lru_cache(maxsize=8)
def shared_memory(key: Hashable) -> VectorMemory:
    """Give the memory of an encoder, the same one to all who name it."""
    return VectorMemory()
