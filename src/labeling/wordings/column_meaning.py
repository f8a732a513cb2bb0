"""Match wordings to the columns of a table with the vectors of a sentence encoder.

A column is described by its own question and by its name with example cells; a wording asks for the
column with the nearest description. Some column is always the nearest, so a wording must also be
near to the frames of the column's kind of values: "How heavy is it?" fits no column of a table of
prices and colours. All texts have "it" in place of the record's name, which says nothing about the
column and would outweigh the words that do.

Sizes: C columns, W wordings, K kinds of values, D the encoder's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ...tables import FactTable
from .column_values import value_forms
from .question_frames import KINDS, Kind

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

    Vectors = NDArray[np.float64]

SHOWN_CELLS: Final = 3
"""Number of example cells in a column's description."""
LEAST_KIND: Final = 0.35
"""Least cosine between a column and a kind of values whose frames it uses."""
KIND_LEAD: Final = 0.08
"""Most by which the cosine of a second kind may be below that of the nearest kind."""
KIND_SLACK: Final = 0.1
"""Most by which a wording may be nearer to the frames of another kind. It was chosen on wordings of
our own; a larger value accepts wordings for values that the table does not have."""
LEAST_COSINE: Final = 0.5
"""Least cosine between a wording and its column if the column has no kind of values."""
MOST_KINDS: Final = 2
"""Most kinds of values whose frames a column uses."""


class ColumnMeanings:
    """The columns of a table as vectors, which judge what a wording asks for."""

    def __init__(self, table: FactTable, encoder: Embeddings) -> None:
        """Embed the columns.

        Args:
            table: A table of kind `facts` or `rows`; its columns have templates.
            encoder: A sentence encoder such as all-MiniLM-L6-v2; its vectors may have any length.
        """
        self._encoder = encoder
        self._cells = {c.name: example_cells(table, c.name) for c in table.columns}
        self._names = [c.name for c in table.columns]
        self._labels = {c.name: c.label for c in table.columns}
        described = [self._describe(c.label, c.templates[0], c.name) for c in table.columns]
        self._columns = _means(self._embed([text for two in described for text in two]), 2)  # (C,D)

    def judge(self, wordings: Sequence[str], column: str) -> list[tuple[float, bool]]:
        """Judge whether wordings ask for a column.

        Args:
            wordings: With `{key}` for the record.
            column: Name of the column that they are meant for.

        Returns:
            For each wording its lead: its cosine to the column minus the highest cosine to another
            column (in a table with one column the cosine itself); and whether it asks for the
            column's kind of values.
        """
        if not wordings:
            return []
        vectors = self._embed([_without_key(w) for w in wordings])  # (W, D)
        cosines = vectors @ self._columns.T  # (W, C)
        place = self._names.index(column)
        others = np.delete(cosines, place, axis=1)
        leads = cosines[:, place] - (others.max(axis=1) if others.shape[1] else 0.0)
        own = [KINDS.index(kind) for kind in self.kinds(column)]
        if own:
            by_kind = vectors @ self._frames.T  # (W, K)
            rival = np.delete(by_kind, own, axis=1).max(axis=1)
            fits = by_kind[:, own].max(axis=1) >= rival - KIND_SLACK
        else:
            fits = cosines[:, place] >= LEAST_COSINE
        return [(float(lead), bool(fit)) for lead, fit in zip(leads, fits, strict=True)]

    @cached_property
    def _frames(self) -> Vectors:
        """Mean vector of the frames of each kind, (K, D)."""
        return np.concatenate(
            [_means(self._embed([_without_key(f) for f in k.frames]), len(k.frames)) for k in KINDS]
        )

    def kinds(self, column: str) -> list[Kind]:
        """Choose the kinds of values that a column is nearest to, the nearest first.

        Only kinds whose values look like the column's cells are considered.
        """
        forms = value_forms(self._cells[column])
        able = [kind for kind in KINDS if forms & set(kind.values)]
        label, shown = self._labels[column], self._cells[column][:SHOWN_CELLS]
        own = _means(self._embed([label, f"{label}: {', '.join(shown)}"]), 2)[0]  # (D,)
        cosines = [float(self._abouts[KINDS.index(kind)] @ own) for kind in able]
        ranked = sorted(zip(cosines, able, strict=True), key=lambda pair: -pair[0])
        floor = max([LEAST_KIND, *(cosine - KIND_LEAD for cosine, _ in ranked[:1])])
        return [kind for cosine, kind in ranked[:MOST_KINDS] if cosine >= floor]

    @cached_property
    def _abouts(self) -> Vectors:
        """Mean vector of the phrases that describe each kind, (K, D)."""
        return np.concatenate([_means(self._embed(k.about), len(k.about)) for k in KINDS])

    def _describe(self, label: str, template: str, name: str) -> list[str]:
        shown = ", ".join(self._cells[name][:SHOWN_CELLS])
        return [_without_key(template), f"{label}: {shown}"]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.asarray(self._encoder.embed_documents(list(texts)))
        return _normalised(vectors)


def example_cells(table: FactTable, column: str, most: int = 50) -> list[str]:
    """List up to `most` distinct cells of a column, in the table's order."""
    cells = dict.fromkeys(r.values[column] for r in table.rows if column in r.values)
    return list(cells)[:most]


def _without_key(wording: str) -> str:
    return wording.replace("{key}", "it")


def _normalised(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def _means(vectors: Vectors, size: int) -> Vectors:
    """Average each group of `size` consecutive vectors, and normalise the averages to length 1."""
    groups = vectors.reshape(-1, size, vectors.shape[-1])
    return _normalised(groups.mean(axis=1))
