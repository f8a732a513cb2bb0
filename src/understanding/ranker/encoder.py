"""A pretrained sentence encoder: texts and their words as vectors, kept once computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class Encoder:
    """Mean-pooled, normalised vectors of texts.

    Args:
        folder: A BERT-like encoder with its tokenizer.
        batch_size: Texts per forward pass.
    """

    def __init__(self, folder: str | Path, batch_size: int = 64) -> None:
        """Load the encoder."""
        from transformers import AutoModel, AutoTokenizer

        self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.batch_size = batch_size
        self._kept: dict[str, NDArray[np.float32]] = {}

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give the vectors of texts: texts x dimensions, each of length 1."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            hidden, mask = self._forward(batch)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            vectors = torch.nn.functional.normalize(pooled, dim=-1).numpy()
            self._kept.update(zip(batch, vectors, strict=True))
        return np.stack([self._kept[text] for text in texts])

    @torch.inference_mode()
    def encode_question(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the vector of one text, and those of its tokens, special ones left out."""
        hidden, mask = self._forward([text])
        pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        tokens = torch.nn.functional.normalize(hidden[0, 1:-1], dim=-1)
        return pooled[0].numpy(), np.asarray(tokens.numpy())

    def _forward(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        hidden = self.model(**batch).last_hidden_state
        return hidden, batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
