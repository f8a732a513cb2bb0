"""The pretrained model that a student reads with: named, not copied, and changed by what was tuned.

A student's folder holds the changes alone: low-rank factors, or whole parameters that were tuned.
The hash of the pretrained weights is kept, so that a student is never put on another model.

Sizes: N texts, T tokens, H width of the hidden states.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import CheckpointError, ConfigError
from ...files import file_sha256
from ..checkpoints.label_encoder import mean_pooled
from ..checkpoints.load_student import Checkpoint, load_checkpoint
from ..scoring.model_limits import context_length, model_lock
from ..sources.find_model import find_model
from .int8_linear import int8_model
from .vector_memory import shared_memory

DOWN: Final = ".down"
UP: Final = ".up"
"""Ends of the names of low-rank factors: a layer's weight grows by up (O, r) x down (r, I)."""
WHOLE: Final = "whole."
"""Start of the name of a parameter that was tuned whole."""
MOST_TOKENS: Final = 4096
"""Tokens computed together, padding included."""
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class TextCut:
    """How a text that is too long is cut: to its head, or to its head and its tail."""

    max_tokens: int = 256
    """Most tokens, special ones and the separator included."""
    tail_tokens: int = 0
    """Of these for the end of the text; 0 keeps the head alone."""
    separator: str = " [...] "

    def __post_init__(self) -> None:
        """Refuse numbers out of range.

        Raises:
            ConfigError: Lists them.
        """
        if not (self.max_tokens >= 8 and 0 <= self.tail_tokens < self.max_tokens):
            raise ConfigError([f"max_tokens is {self.max_tokens} and tail_tokens "
                               f"{self.tail_tokens}; allowed are 8 or more, and 0 or more below "
                               "it"])  # fmt: skip


@dataclass(frozen=True)
class BaseName:
    """Which pretrained model a student reads with."""

    name: str
    """Alias such as `minilm`, folder, or hub name."""
    sha256: str
    """Of its weights; empty for a model from the hub."""
    dtype: str = "float32"
    """`float32` or `bfloat16`."""


class TextReader:
    """Turns texts into vectors (N, H) with a pretrained model, changed or not.

    Args:
        base: Names the model.
        cut: How long texts are cut.
        changes: Tuned tensors on the CPU; None reads with the model as it is.
        device: Torch device; None chooses.

    Raises:
        ModelNotFoundError: The model is not on this machine.
        CheckpointError: Its weights are others, or the changes do not fit.
    """

    def __init__(
        self,
        base: BaseName,
        cut: TextCut,
        changes: Mapping[str, Tensor] | None = None,
        *,
        device: str | None = None,
    ) -> None:
        """Load the model, unless an unchanged one is loaded."""
        self.base, self.cut, self.changes = base, cut, dict(changes or {})
        if self.changes:
            self.checkpoint = load_base(base, device)
            apply_changes(self.checkpoint.model, self.changes)
        else:
            with _guard:
                self.checkpoint = _shared(base, device)
        self.model: Any = self.checkpoint.model.base_model
        self._rows = TokenRows(self.checkpoint, cut)
        self._is_int8 = False

    @property
    def width(self) -> int:
        """H."""
        return int(self.checkpoint.model.config.hidden_size)

    @property
    def key(self) -> tuple[BaseName, TextCut] | None:
        """Readers of one key give the same vectors; None for one that was tuned."""
        return None if self.changes or self._is_int8 else (self.base, self.cut)

    def int8(self) -> TextReader:
        """Give this reader with its layers in eight bits.

        Raises:
            ConfigError: The model is not on a processor.
        """
        made = copy.copy(self)
        if not self.changes:
            with _guard:
                made.model = _shared_int8(self.base, self.checkpoint.device.type)
        else:
            made.model = int8_model(self.model)
        made._is_int8 = True
        return made

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give the mean of the last hidden states of each text, of length 1; (N, H).

        Those of the last texts are remembered for all readers of an unchanged model.
        """
        rows = self._rows(texts)
        if self.changes:
            return self._computed(rows)
        key = (self.base, self._is_int8, str(self.checkpoint.device))
        return shared_memory(key).vectors(rows, self._computed)

    @torch.inference_mode()
    def _computed(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        for places in length_batches(rows):
            ids, mask = padded([rows[place] for place in places], self.checkpoint.device)
            with model_lock(self.checkpoint.model):
                hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            found[places] = mean_pooled(hidden.float(), mask).cpu().numpy()
        return found


class TokenRows:
    """Turns texts into rows of token ids, cut as `TextCut` says."""

    def __init__(self, checkpoint: Checkpoint, cut: TextCut) -> None:
        """Find what the tokenizer puts around a text."""
        self.tokenizer = checkpoint.tokenizer
        room = min(cut.max_tokens, context_length(checkpoint.model))
        whole, plain = self.tokenizer("a")["input_ids"], self._plain(["a"])[0]
        at = next((n for n in range(len(whole)) if whole[n : n + len(plain)] == plain), 0)
        self._before, self._after = whole[:at], whole[at + len(plain) :]
        self._separator = self._plain([cut.separator])[0] if cut.tail_tokens else []
        self._room = room - len(self._before) - len(self._after)
        self._tail = min(cut.tail_tokens, max(self._room - len(self._separator) - 1, 0))

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Give one row per text; an empty text has at least one token."""
        filler = [self.tokenizer.eos_token_id or self.tokenizer.pad_token_id or 0]
        rows = [[*self._before, *self._cut(row), *self._after] for row in self._plain(texts)]
        return [row or filler for row in rows]

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        return rows

    def _cut(self, row: list[int]) -> list[int]:
        if len(row) <= self._room:
            return row
        if not self._tail:
            return row[: self._room]
        head = self._room - self._tail - len(self._separator)
        return [*row[:head], *self._separator, *row[-self._tail :]]


def length_batches(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Group the places of rows by length into batches of at most `MOST_TOKENS`, padding included.

    >>> length_batches([[1], [1, 2, 3], [1, 2]])
    [[1, 2, 0]]
    """
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
    batches, start = [], 0
    while start < len(order):
        size = max(1, min(64, MOST_TOKENS // max(1, len(rows[order[start]]))))
        batches.append(order[start : start + size])
        start += size
    return batches


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Pad rows on the right; ids and mask, (B, T) each."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(width) < lengths[:, None]).long()
    return ids.to(device), mask.to(device)


def name_base(name: str, *, dtype: str = "float32") -> BaseName:
    """Name a pretrained model with the hash of its weights.

    Raises:
        ModelNotFoundError: It is an alias whose model is not on this machine.
        ConfigError: The type is unknown.
    """
    if dtype not in _DTYPES:
        raise ConfigError([f"dtype is {dtype!r}; allowed are {sorted(_DTYPES)}"])
    folder = Path(find_model(name))
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return BaseName(str(name), " ".join(_hash(one) for one in files), dtype)


def load_base(base: BaseName, device: str | None = None) -> Checkpoint:
    """Load the pretrained model of a student, and check that it is the same one.

    Raises:
        ModelNotFoundError: It is not on this machine.
        CheckpointError: Its weights are others.
    """
    found = name_base(base.name, dtype=base.dtype)
    if found.sha256 != base.sha256:
        raise CheckpointError(f"the weights of {base.name!r} are not those that the student was "
                              "trained on; train it again")  # fmt: skip
    return load_checkpoint(
        base.name, device=device, dtype=_DTYPES[base.dtype], kinds=("encoder", "causal")
    )


@torch.no_grad()
def apply_changes(model: Any, changes: Mapping[str, Tensor]) -> None:  # noqa: ANN401
    """Put tuned tensors into a model: whole parameters, and products of low-rank factors.

    Raises:
        CheckpointError: A name is unknown to the model, or a shape is another.
    """
    own = dict(model.named_parameters())
    for name, tensor in changes.items():
        if name.endswith(DOWN):
            continue
        target = name.removeprefix(WHOLE) if name.startswith(WHOLE) else (
            f"{name.removesuffix(UP)}.weight"
        )  # fmt: skip
        if target not in own:
            raise CheckpointError(f"the model has no parameter {target!r}, which the student tunes")
        weight = own[target]
        if name.startswith(WHOLE):
            change = tensor
        else:
            down = changes.get(name.removesuffix(UP) + DOWN)
            if down is None:
                raise CheckpointError(f"{name} has no {DOWN} beside it")
            change = weight.detach().float().cpu() + tensor.float() @ down.float()
        if change.shape != weight.shape or not bool(torch.isfinite(change).all()):
            raise CheckpointError(f"{name} is {tuple(change.shape)}, or not finite; "
                                  f"{tuple(weight.shape)} is needed")  # fmt: skip
        weight.copy_(change.to(weight.device, weight.dtype))


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hash_once(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _hash_once(path: Path, size: int, changed_ns: int) -> str:
    return file_sha256(path)


_guard = threading.Lock()


@lru_cache(maxsize=2)
def _shared_int8(base: BaseName, device: str) -> Any:  # noqa: ANN401 - transformers is untyped
    return int8_model(_shared(base, device).model.base_model)


@lru_cache(maxsize=2)
def _shared(base: BaseName, device: str | None) -> Checkpoint:
    """Keep unchanged models, so that several students on one stream load them once."""
    return load_base(base, device)
