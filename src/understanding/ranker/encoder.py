"""A pretrained sentence encoder that encodes a question together with the columns of its table."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import ModelNotFoundError
from ...inference.sources.find_model import find_model
from ..plans.list_plans import Question
from ..table.typed_table import Column, TypedTable

ENCODER: Final = "minilm"
"""The encoder that the packaged ranker was trained with."""
WITHOUT: Final = (
    "without the sentence encoder fewer questions are understood; "
    f"stillroom models add {ENCODER} fetches it"
)
"""Note to users whose machine lacks the weights."""
LONGEST: Final = 320
"""Most tokens of a sequence; the columns of wide tables are split over several sequences."""
QUESTION: Final = 64
"""Most tokens of a question."""
COLUMN: Final = 14
"""Most tokens of a column."""
KINDS: Final = 20
"""Most tokens of a column of categories, whose values say what the column is about."""
BATCH: Final = 64
"""Texts in a batch."""
RANK: Final = 16
"""Rank of an adapter."""
MASKED: Final = 0.04
"""Share of the tokens that are masked in training."""
SCALE: Final = 2.0
"""Factor of the low-rank product that an adapter adds."""


class QuestionTokens(tuple[tuple[list[int], list[tuple[int, int]]], ...]):
    """A question and its columns as token sequences; several sequences for a wide table.

    Each sequence has the token ids and the start and end of each of its columns.
    """


class Encoder:
    """A BERT-like encoder with its tokenizer.

    Args:
        folder: Folder of its weights and tokenizer, in the Hugging Face format.
    """

    def __init__(self, folder: str | Path) -> None:
        """Load the encoder."""
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if shown:
            logging.enable_progress_bar()
        self._ids = lru_cache(maxsize=50_000)(self._tokenize)
        self._kept: dict[str, NDArray[np.float32]] = {}

    @property
    def width(self) -> int:
        """Number of dimensions of its vectors."""
        return int(self.model.config.hidden_size)

    def adapted(self, weights: Mapping[str, Tensor]) -> Encoder:
        """Return a copy with low-rank adapters merged into its layers; embeddings are shared.

        Args:
            weights: Adapters, as `adapter_weights` returns them.
        """
        other = copy.copy(self)
        other.model = copy.copy(self.model)
        other.model._modules = dict(self.model._modules)
        other.model.encoder = copy.deepcopy(self.model.encoder)
        with torch.no_grad():
            for name, module in _layers(other.model):
                down, up = weights[f"{name}.down"].float(), weights[f"{name}.up"].float()
                module.weight += SCALE * up @ down
        other._kept = {}
        other._ids = lru_cache(maxsize=50_000)(other._tokenize)
        return other

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as vectors of length 1, texts x `width`, and cache them."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            self._kept.update(zip(batch, self._vectors(batch), strict=True))
        return np.stack([self._kept[text] for text in texts])

    @torch.inference_mode()
    def vector(self, text: str) -> NDArray[np.float32]:
        """Encode one text as a vector of length 1, without caching it."""
        found: NDArray[np.float32] = self._vectors([text])[0]
        return found

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        given = self.tokenizer(
            texts, padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        hidden = self.model(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return vectors

    def prepare(self, question: Question, table: TypedTable) -> QuestionTokens:
        """Tokenize a question and the columns of its table.

        A column is given by its label with the value that the question names, or else with some of
        its values; see `column_text`.
        """
        asked = [self.tokenizer.cls_token_id, *self._ids(question.text)[:QUESTION]]
        asked.append(self.tokenizer.sep_token_id)
        named = {one.column: str(one.value) for one in question.hints}
        named |= {one.column: one.phrase for one in reversed(question.mentions)}
        parts: list[tuple[list[int], list[tuple[int, int]]]] = [(list(asked), [])]
        for number, column in enumerate(table.columns):
            most = KINDS if column.is_category else COLUMN
            ids = self._ids(column_text(column, named.get(number)))[:most]
            here, spans = parts[-1]
            if len(here) + len(ids) + 1 > LONGEST and spans:
                here, spans = list(asked), []
                parts.append((here, spans))
            spans.append((len(here), len(here) + max(1, len(ids))))
            here += [*ids, self.tokenizer.sep_token_id]
        return QuestionTokens(parts)

    def varied(self, reading: QuestionTokens, rng: random.Random) -> QuestionTokens:
        """Return a reading with its columns in random order and a few tokens masked.

        In training, no question should be known by a single word or by the order of the columns.
        """
        masked: int = self.tokenizer.mask_token_id
        special = {self.tokenizer.cls_token_id, self.tokenizer.sep_token_id}
        parts: list[tuple[list[int], list[tuple[int, int]]]] = []
        for ids, spans in reading:
            seen = [
                masked if one not in special and rng.random() < MASKED else one for one in ids
            ]  # fmt: skip
            here, at = seen[: min(spans)[0]] if spans else seen, list(spans)
            for number in rng.sample(range(len(spans)), len(spans)):
                start, end = spans[number]
                at[number] = (len(here), len(here) + end - start)
                here = [*here, *seen[start:end], self.tokenizer.sep_token_id]
            parts.append((here, at))
        return QuestionTokens(parts)

    def read(self, readings: Sequence[QuestionTokens]) -> list[Tensor]:
        """Encode questions together with their columns.

        Args:
            readings: Results of `prepare`.

        Returns:
            For each question, (columns + 1) x `width`: a vector for each column, then that of the
            question.
        """
        flat = [part for reading in readings for part in reading]
        longest = max(len(ids) for ids, _ in flat)
        padded = torch.zeros(len(flat), longest, dtype=torch.long)
        mask = torch.zeros(len(flat), longest, dtype=torch.long)
        kinds = torch.zeros(len(flat), longest, dtype=torch.long)
        for row, (ids, spans) in enumerate(flat):
            padded[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = 1
            if spans:
                kinds[row, min(spans)[0] : len(ids)] = 1
        hidden = self.model(
            input_ids=padded, attention_mask=mask, token_type_ids=kinds
        ).last_hidden_state
        found: list[Tensor] = []
        row = 0
        for reading in readings:
            vectors, whole = [], []
            for _, spans in reading:
                vectors += [hidden[row, start:end].mean(0) for start, end in spans]
                whole.append(hidden[row, : min(spans)[0] if spans else None].mean(0))
                row += 1
            found.append(torch.stack([*vectors, torch.stack(whole).mean(0)]))
        return found

    def _tokenize(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def packaged_encoder() -> Encoder | None:
    """Load the encoder that the packaged ranker was trained with; None without its weights."""
    try:
        return Encoder(find_model(ENCODER))
    except ModelNotFoundError:
        return None


def column_text(column: Column, named: str | None) -> str:
    """Describe a column for the encoder.

    Args:
        column: The column.
        named: A value of the column that the question names; None if it names none.

    Returns:
        Its label with the named value, or else with up to four of its values.
    """
    label = " or ".join([column.label, *column.also[:3]])
    if named is not None:
        return f"{label} = {named}"
    if column.is_category:
        often = sorted(column.rows_of, key=lambda one: -len(column.rows_of[one]))[:4]
        return f"{label}: {', '.join(value[:24] for value in often)}"
    count = 2 if column.kind == "text" else 1
    values = list(dict.fromkeys(text for text in column.texts[:50] if text))[:count]
    return f"{label}: {', '.join(value[:24] for value in values)}"


class Adapted(nn.Module):
    """A linear layer with a trainable low-rank product added (LoRA, Hu et al. 2021)."""

    def __init__(self, base: nn.Linear, rank: int = RANK) -> None:
        """Wrap a layer; its output is unchanged until the adapter is trained."""
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, values: Tensor) -> Tensor:
        """Apply the layer and add the low-rank product."""
        return torch.as_tensor(self.base(values) + SCALE * (values @ self.down.T) @ self.up.T)


def add_adapters(
    encoder: Encoder, weights: Mapping[str, Tensor] | None = None
) -> list[nn.Parameter]:
    """Wrap the linear layers of an encoder in adapters and freeze all other weights.

    Args:
        encoder: The encoder; it is changed in place.
        weights: Result of `adapter_weights` to continue from; None starts new adapters.

    Returns:
        The trainable parameters.
    """
    encoder.model.requires_grad_(False)
    trained: list[nn.Parameter] = []
    for name, module in list(_layers(encoder.model)):
        parent, _, last = name.rpartition(".")
        wrapped = Adapted(module)
        if weights is not None:
            down, up = weights[f"{name}.down"], weights[f"{name}.up"]
            # Adapters of a lower rank are extended by rows whose product is zero at first.
            wrapped.down.data[: len(down)] = down
            wrapped.up.data[:, : up.shape[1]] = up
        setattr(encoder.model.get_submodule(parent), last, wrapped)
        trained += [wrapped.down, wrapped.up]
    return trained


def adapter_weights(encoder: Encoder) -> dict[str, Tensor]:
    """Return the adapter weights of an encoder, named by layer with `.down` and `.up`."""
    found = {}
    for name, module in encoder.model.named_modules():
        if isinstance(module, Adapted):
            found[f"{name}.down"] = module.down.detach()
            found[f"{name}.up"] = module.up.detach()
    return found


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.startswith("encoder."):
            yield name, module
