"""Serving classifiers: an answer is one token, and the tokens of answers are the labels.

So queue, deadlines, sampling and log-probabilities are those of every other student. The
log-probability of an answer is that of its label, the alternatives are the other labels.

Sizes: B texts, T positions, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import GenerationError


class LabelBatch:
    """A `Batch` of texts, each of which ends with its first token, a label's number."""

    def __init__(self, model: Any, pad_id: int) -> None:  # noqa: ANN401 - transformers is untyped
        """Start empty.

        Args:
            model: A classifier in eval mode.
            pad_id: Written into padding, which the mask hides.
        """
        self._model, self._pad_id = model, pad_id
        self._rows = 0

    @property
    def rows(self) -> int:
        """Number of texts."""
        return self._rows

    @property
    def tokens(self) -> int:
        """Nothing is cached."""
        return 0

    def is_current(self) -> bool:
        """Whether the weights are those it was made with: it reads the model's own."""
        return True

    @torch.inference_mode()
    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read B texts; give logits (B, C)."""
        device, width = self._model.device, max(map(len, prompts))
        ids = [[*p, *[self._pad_id] * (width - len(p))] for p in prompts]
        mask = [[1] * len(p) + [0] * (width - len(p)) for p in prompts]
        self._rows += len(prompts)
        logits: Tensor = self._model(
            input_ids=torch.tensor(ids, device=device),  # (B, T)
            attention_mask=torch.tensor(mask, device=device),
        ).logits
        return logits.float()

    def step(self, tokens: Tensor) -> Tensor:
        """Refuse a second token; `ServedModel.longest_answer` is 1."""
        raise GenerationError(f"{len(tokens)} labels are asked for more tokens")

    def drop(self, row: int) -> None:
        """Forget a text."""
        self._rows -= 1
