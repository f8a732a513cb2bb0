"""Scores from a pretrained model: its mean hidden state, standardised, and a linear map.

`frozen` reads with the model as it is; `tuned` with an encoder whose layers were tuned; `lora` with
a decoder that low-rank factors change. All are the same computation.

Sizes: N texts, H width of the hidden states, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import ConfigError
from ...files import atomic_folder
from .base_model import BaseName, TextCut, TextReader
from .protocol import (
    STUDENT_FILE,
    WEIGHTS_FILE,
    Floats,
    StudentFacts,
    read_weights,
    require_weights,
    write_student_file,
)


@dataclass(frozen=True)
class LinearScores:
    """Standardises vectors and maps them to scores."""

    mean: Floats
    """(H,)."""
    scale: Floats
    """(H,), above 0."""
    weight: Floats
    """(H, D)."""
    bias: Floats
    """(D,)."""

    def __call__(self, vectors: NDArray[Any]) -> Floats:
        """Map (N, H) to (N, D)."""
        made: Floats = (vectors - self.mean) / self.scale @ self.weight + self.bias
        return made


@dataclass(frozen=True)
class HeadStudent:
    """A pretrained model and a linear map."""

    facts: StudentFacts
    kind: str
    reader: TextReader
    head: LinearScores
    notes: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained, for `student.json`."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, in the order of the columns of `predict`."""
        return self.facts.dimensions

    @property
    def view_hash(self) -> str:
        """Hash of the view of the labels that it learned from."""
        return self.facts.view_hash

    def predict(self, texts: Sequence[str]) -> Floats:
        """Score texts; (N, D)."""
        return self.facts.clipped(self.head(self.reader.vectors(texts)))

    def int8(self) -> HeadStudent:
        """Give the same student with a model in eight bits."""
        return replace(self, reader=self.reader.int8())

    def save(self, folder: str | Path) -> Path:
        """Write the student into a folder, whole or not at all; give the folder."""
        from safetensors.torch import save_file

        tensors = {f"head.{k}": torch.from_numpy(np.ascontiguousarray(v))
                   for k, v in _parts(self.head).items()}  # fmt: skip
        tensors |= {f"change.{name}": own.contiguous() for name, own in self.reader.changes.items()}
        told = {"base": asdict(self.reader.base), "cut": asdict(self.reader.cut),
                "notes": dict(self.notes)}  # fmt: skip
        with atomic_folder(folder) as made:
            write_student_file(made, self.kind, self.facts, told)
            save_file(tensors, made / WEIGHTS_FILE)
        return Path(folder)


def open_head(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> HeadStudent:
    """Open a saved student; errors are those of `open_score_student`."""
    base, cut = read_base(folder, settings)
    weights = read_weights(folder)
    changes = {
        name.removeprefix("change."): own
        for name, own in weights.items()
        if name.startswith("change.")
    }
    reader = TextReader(base, cut, changes, device=device)
    parts = {
        name.removeprefix("head."): own.numpy().astype(np.float64)
        for name, own in weights.items()
        if name.startswith("head.")
    }
    wide, dimensions = reader.width, len(facts.dimensions)
    shapes = {
        "mean": (wide,),
        "scale": (wide,),
        "weight": (wide, dimensions),
        "bias": (dimensions,),
    }
    require_weights(parts, shapes, folder)
    notes = settings.get("notes", {})
    return HeadStudent(facts, settings["kind"], reader, LinearScores(**parts), notes)


def read_base(folder: Path, settings: Mapping[str, Any]) -> tuple[BaseName, TextCut]:
    """Read from `student.json` the pretrained model and how texts are cut for it.

    Raises:
        ConfigError: Either is missing or not allowed.
    """
    try:
        return BaseName(**settings["base"]), TextCut(**settings["cut"])
    except (KeyError, TypeError) as fault:
        raise ConfigError([f"{folder / STUDENT_FILE}: base or cut is missing or not as `save` "
                           f"writes it ({fault})"]) from fault  # fmt: skip


def _parts(head: LinearScores) -> dict[str, Floats]:
    return {"mean": head.mean, "scale": head.scale, "weight": head.weight, "bias": head.bias}
