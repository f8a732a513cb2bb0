"""Train on vectors of a frozen pretrained encoder: standardised, ridge, strength by validation.

The vectors are computed once and kept, so that a second training takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...inference.score_students.base_model import TextReader
from ...inference.score_students.head_student import HeadStudent, LinearScores
from ...inference.score_students.protocol import StudentFacts
from ...records import record_hash
from .ridge import RidgeFit, fit_ridge
from .score_examples import ScoreExamples

Vectors = NDArray[np.float32]
Progress = Callable[[Iterable[Any], str, int], Iterator[Any]]
"""Passes items on and shows how far it is: items, words, their number."""
_AT_ONCE = 256


def no_progress(items: Iterable[Any], _name: str, _total: int) -> Iterator[Any]:
    """Pass items on without a word."""
    return iter(items)


def train_frozen(
    train: ScoreExamples,
    val: ScoreExamples,
    facts: StudentFacts,
    reader: TextReader,
    *,
    cache: str | Path | None = None,
    progress: Progress = no_progress,
) -> HeadStudent:
    """Fit ridge on the vectors of `train`; `val` chooses the strength of each dimension.

    Args:
        train: Examples to fit.
        val: Of validation.
        facts: Dimensions and view.
        reader: The pretrained model, unchanged.
        cache: Folder of vectors; None computes them again.
        progress: Shows how far the vectors are.
    """
    head, fit = fit_head(
        kept_vectors(reader, train.texts, cache, progress=progress), train,
        kept_vectors(reader, val.texts, cache, progress=progress), val,
    )  # fmt: skip
    notes = {"strengths": list(fit.strengths), "val_mae": fit.val_mae.tolist()}
    return HeadStudent(facts, "frozen", reader, head, notes)


def fit_head(
    vectors: Vectors, train: ScoreExamples, val_vectors: Vectors, val: ScoreExamples
) -> tuple[LinearScores, RidgeFit]:
    """Standardise vectors (N, H) and fit ridge."""
    mean, scale = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 1e-8, scale, 1.0)
    fit = fit_ridge(
        (vectors - mean) / scale, train.targets, train.weights,
        (val_vectors - mean) / scale, val.targets,
    )  # fmt: skip
    return LinearScores(mean, scale, fit.weight, fit.bias), fit


def kept_vectors(
    reader: TextReader,
    texts: Sequence[str],
    cache: str | Path | None = None,
    *,
    progress: Progress = no_progress,
) -> Vectors:
    """Compute the vectors of texts, or read those that were kept for the same texts and model."""
    from safetensors.numpy import load_file, save_file

    path = None
    if cache is not None and reader.key is not None:
        known = [asdict(reader.base), asdict(reader.cut), list(texts)]
        path = Path(cache) / f"vectors-{record_hash(known)[:32]}.safetensors"
        if path.is_file():
            return np.asarray(load_file(path)["vectors"])
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    made = np.zeros((len(texts), reader.width), dtype=np.float32)
    starts = range(0, len(order), _AT_ONCE)
    for start in progress(starts, "vectors", len(starts)):
        places = order[start : start + _AT_ONCE]
        made[places] = reader.vectors([texts[place] for place in places])
    if path is not None:
        from ...files import atomic_path

        with atomic_path(path) as temporary:
            save_file({"vectors": made}, temporary)
    return made
