"""A student as a LangChain embedding model: a text becomes the mean of its last hidden states.

    from stillroom.inference.scoring.embeddings import StudentEmbeddings

    StudentEmbeddings(model="outputs/elements/student").embed_query("a noble gas")

Searching a student's own table needs no second model. `benchmarks/grounding.py` measures how
well that works: a small student knows the words of its table, not the language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from langchain_core.embeddings import Embeddings
from torch import Tensor
from torch.nn import functional

from ...errors import GenerationError
from ..checkpoints.load_student import Checkpoint, load_checkpoint
from ..prompt_tokens.prompt_ids import text_ids
from .model_limits import context_length, model_lock

_MOST_TOKENS = 8192
"""Tokens computed together, padding included."""


class StudentEmbeddings(Embeddings):
    """Embed texts with a causal language model.

    Args:
        model: A checkpoint folder, a hub name, or a loaded `Checkpoint`.
        device: Torch device; None chooses.

    Raises:
        CheckpointError: The folder lacks a part or is not safe to load.
        ModelNotFoundError: There is no such folder or model.
    """

    def __init__(self, model: str | Path | Checkpoint, device: str | None = None) -> None:
        """Load the model, unless it is loaded."""
        self.checkpoint = (
            model if isinstance(model, Checkpoint) else load_checkpoint(model, device=device)
        )

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts.

        A text longer than the model's context is read in parts; all its tokens have equal weight.

        Returns:
            One vector of length 1 per text, as wide as the model's hidden states.

        Raises:
            GenerationError: The hidden states are not finite.
        """
        if not texts:
            return []
        tokenizer, room = self.checkpoint.tokenizer, context_length(self.checkpoint.model)
        ids = [row or [tokenizer.eos_token_id] for row in text_ids(tokenizer, list(texts))]
        parts = [
            (i, row[at : at + room]) for i, row in enumerate(ids) for at in range(0, len(row), room)
        ]
        totals: dict[int, Tensor] = {}
        for batch in _batches(sorted(parts, key=lambda part: -len(part[1]))):
            for (place, _), total in zip(batch, self._sums([p for _, p in batch]), strict=True):
                totals[place] = totals[place] + total if place in totals else total
        # Normalised, the sum over the tokens is the same as their mean.
        return [functional.normalize(totals[i], dim=0).tolist() for i in range(len(ids))]

    def embed_query(self, text: str) -> list[float]:
        """Embed one text as `embed_documents` does."""
        return self.embed_documents([text])[0]

    @torch.inference_mode()
    def _sums(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Add up the last hidden states of each row of token ids; (B, D) float32 on the CPU."""
        model: Any = self.checkpoint.model
        width = max(map(len, rows))
        # Padding on the right, which causal attention of real tokens never sees.
        padded = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])  # (B, T)
        lengths = torch.tensor([len(row) for row in rows])
        there = torch.arange(width) < lengths[:, None]  # (B, T)
        with model_lock(model):
            hidden = model.base_model(
                input_ids=padded.to(model.device),
                attention_mask=there.long().to(model.device),
                use_cache=False,
            ).last_hidden_state  # (B, T, D)
        sums: Tensor = (hidden.float().cpu() * there[..., None]).sum(dim=1)
        if not bool(torch.isfinite(sums).all()):
            raise GenerationError(
                "the hidden states are no finite numbers; the weights are damaged"
            )
        return sums


def _batches(
    parts: Sequence[tuple[int, Sequence[int]]],
) -> Iterator[Sequence[tuple[int, Sequence[int]]]]:
    """Group parts, the longest first, into batches of bounded size."""
    start = 0
    while start < len(parts):
        size = max(1, _MOST_TOKENS // len(parts[start][1]))
        yield parts[start : start + size]
        start += size
