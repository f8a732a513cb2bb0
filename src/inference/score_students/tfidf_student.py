"""Scores from words: TF-IDF and a linear map; no pretrained model, thousands of texts a second.

Sizes: N texts, V terms, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...config import read_written_json
from ...errors import CheckpointError
from ...files import atomic_folder, write_json
from .protocol import (
    WEIGHTS_FILE,
    Floats,
    StudentFacts,
    read_weights,
    require_weights,
    write_student_file,
)
from .term_weights import BLOCKS, TermWeights

TERMS_FILE: Final = "terms.json"


@dataclass(frozen=True)
class TfidfStudent:
    """TF-IDF and a linear map."""

    facts: StudentFacts
    terms: TermWeights
    weight: Floats
    """(V, D)."""
    bias: Floats
    """(D,)."""
    strengths: tuple[float, ...] = ()
    """Of the ridge penalty of each dimension."""
    kind: str = "tfidf"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, in the order of the columns of `predict`."""
        return self.facts.dimensions

    @property
    def view_hash(self) -> str:
        """Hash of the view of the labels that it learned from."""
        return self.facts.view_hash

    def predict(self, texts: Sequence[str]) -> Floats:
        """Score texts; (N, D). Not found in the terms, a text gets the bias."""
        return self.facts.clipped(self.terms.matrix(texts) @ self.weight + self.bias)

    def save(self, folder: str | Path) -> Path:
        """Write the student into a folder, whole or not at all; give the folder."""
        from safetensors.numpy import save_file

        tensors = {"weight": self.weight, "bias": self.bias}
        tensors |= {f"idf.{block}": self.terms.idf[block] for block in BLOCKS}
        with atomic_folder(folder) as made:
            write_student_file(made, self.kind, self.facts, {"strengths": list(self.strengths)})
            write_json(
                made / TERMS_FILE, {name: list(own) for name, own in self.terms.terms.items()}
            )
            save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, made / WEIGHTS_FILE)
        return Path(folder)


def open_tfidf(folder: Path, facts: StudentFacts, settings: Mapping[str, Any]) -> TfidfStudent:
    """Open a saved student.

    Raises:
        CheckpointError: A file is missing, damaged, or does not fit the others.
    """
    weights = {name: own.numpy() for name, own in read_weights(folder).items()}
    terms = read_written_json(folder / TERMS_FILE)
    if not isinstance(terms, dict) or set(terms) != set(BLOCKS):
        raise CheckpointError(f"{folder / TERMS_FILE} does not list the terms of {list(BLOCKS)}")
    width = sum(map(len, terms.values()))
    shapes: dict[str, tuple[int, ...]] = {
        "weight": (width, len(facts.dimensions)),
        "bias": (len(facts.dimensions),),
    }
    shapes |= {f"idf.{block}": (len(terms[block]),) for block in BLOCKS}
    require_weights(weights, shapes, folder)
    return TfidfStudent(
        facts,
        TermWeights(terms, {block: weights[f"idf.{block}"] for block in BLOCKS}),
        weights["weight"],
        weights["bias"],
        tuple(settings.get("strengths", ())),
    )
