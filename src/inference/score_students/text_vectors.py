"""Vectors of texts by a pretrained encoder, computed once for all who read the same texts.

Several filters over one stream, and both stages of a cascade, often read the same text with the
same encoder. `open_vectors` gives all of them one encoder, which remembers the vectors of the last
texts, so tokens and vectors of a text are computed once.

Sizes: N texts, B texts of a batch, T tokens, E width of the encoder.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import CheckpointError, GenerationError
from ..checkpoints.label_encoder import mean_pooled
from ..sources.find_model import find_model

Vectors = NDArray[np.float32]
MOST_TOKENS: Final = 256
"""Of a text; what is behind them is not read."""
MOST_KEPT: Final = 4096
"""Vectors that are remembered; at 384 numbers each they take 6 MB."""
BATCH_TOKENS: Final = 4096
"""Tokens computed together, padding included."""


class TextVectors:
    """An encoder such as all-MiniLM: a text becomes the mean of its last hidden states."""

    def __init__(
        self, encoder: str | Path, *, max_tokens: int = MOST_TOKENS, device: str | None = None
    ) -> None:
        """Load the encoder.

        Args:
            encoder: A folder, or the name of a model such as `minilm`.
            max_tokens: Of a text, special ones included.
            device: Torch device; None is the processor.

        Raises:
            ModelNotFoundError: It is not on this machine.
            CheckpointError: The folder holds no encoder.
        """
        from transformers import AutoModel, AutoTokenizer

        folder = find_model(encoder)
        try:
            # safetensors alone, and no code of the folder: nothing in it is ever run.
            self.model: Any = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            ).eval()
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as fault:
            raise CheckpointError(f"{folder} holds no encoder: {fault}") from fault
        self.model.to(device or "cpu")
        self.name = str(encoder)
        self.max_tokens = max_tokens
        self.computed = 0
        """Texts whose vectors were computed."""
        self.remembered = 0
        """Texts whose vectors were there already."""
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()
        self._rounded: TextVectors | None = None

    def int8(self) -> TextVectors:
        """Give this encoder with its layers in eight bits; the same one to all who ask.

        Raises:
            ConfigError: The encoder is not on a processor.
        """
        with self._lock:
            if self._rounded is None:
                from .int8_linear import int8_model

                made = copy.copy(self)
                made.model = int8_model(self.model)
                made._kept, made._lock, made._rounded = OrderedDict(), Lock(), made
                made.computed = made.remembered = 0
                self._rounded = made
            return self._rounded

    @property
    def width(self) -> int:
        """E."""
        return int(self.model.config.hidden_size)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Give vectors of length 1, (N, E), in the order of the texts.

        Raises:
            GenerationError: A vector is not finite.
        """
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        with self._lock:
            found = {text: self._kept[text] for text in dict.fromkeys(texts) if text in self._kept}
            missing = [text for text in dict.fromkeys(texts) if text not in found]
            self.remembered += len(texts) - len(missing)
            self.computed += len(missing)
            found.update(zip(missing, self._computed(missing), strict=True))
            for text in found:
                self._kept[text] = found[text]
                self._kept.move_to_end(text)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return np.stack([found[text] for text in texts])

    @torch.inference_mode()
    def _computed(self, texts: Sequence[str]) -> list[Vectors]:
        if not texts:
            return []
        ids = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, verbose=False
        )["input_ids"]
        made: list[Vectors] = [np.empty(0, dtype=np.float32)] * len(texts)
        order = sorted(range(len(texts)), key=lambda place: len(ids[place]))
        while order:
            size = max(1, BATCH_TOKENS // len(ids[order[-1]]))
            batch, order = order[-size:], order[:-size]
            given = self.tokenizer.pad({"input_ids": [ids[n] for n in batch]}, return_tensors="pt")
            given = {name: tensor.to(self.model.device) for name, tensor in given.items()}
            hidden = self.model(**given).last_hidden_state  # (B, T, E)
            rows = mean_pooled(hidden.float(), given["attention_mask"]).cpu().numpy()
            if not np.isfinite(rows).all():
                raise GenerationError(f"vectors of {self.name} are not finite; it is damaged")
            for place, row in zip(batch, rows, strict=True):
                made[place] = row
        return made


@lru_cache(maxsize=4)
def open_vectors(
    encoder: str, *, max_tokens: int = MOST_TOKENS, device: str | None = None
) -> TextVectors:
    """Open an encoder, once for all who ask for the same one."""
    return TextVectors(encoder, max_tokens=max_tokens, device=device)
