"""Find values that a question says in other words, e.g. "shiny like metal" for metallic luster."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..plans.language import Where
from ..plans.list_plans import Question
from ..table.typed_table import TypedTable
from .encoder import Encoder

MOST: Final = 4
"""Most hints for a question, each for a different column."""
NAMES: Final = 60
"""Most different values of a column that is searched."""
LEAST: Final = {"kind": 0.15, "name": 0.35}
"""Least cosine similarity of the question to a category ("kind") or to the name of a record."""


class Hints:
    """Finds the values that are nearest in meaning to a question.

    Args:
        table: The table.
        encoder: The sentence encoder.
    """

    def __init__(self, table: TypedTable, encoder: Encoder) -> None:
        """Keep the arguments; the values are encoded at the first question."""
        self.table, self.encoder = table, encoder

    @cached_property
    def _values(self) -> tuple[list[tuple[int, str, float]], NDArray[np.float32]]:
        """The values, each with its column and least similarity, and their vectors."""
        values = []
        for number, column in enumerate(self.table.columns):
            if column.is_category:
                kind = "kind"
            elif number == self.table.key and column.kind == "text" and not column.is_code:
                kind = "name"
            else:
                continue
            if len(column.rows_of) <= NAMES:
                values += [(number, value, LEAST[kind]) for value in column.rows_of]
        if not values:
            return [], np.zeros((0, self.encoder.width), dtype=np.float32)
        columns = self.table.columns
        texts = [f"{columns[number].label}: {value[:60]}" for number, value, _ in values]
        return values, self.encoder.encode(texts)

    def find(self, question: Question) -> list[Where]:
        """Find the nearest value of each column of which the question names no value.

        Args:
            question: The question.

        Returns:
            At most `MOST` conditions, the nearest value first.
        """
        values, vectors = self._values
        named = {one.column for one in question.mentions if one.whole or one.coverage > 0.5}
        if not any(number not in named for number, _, _ in values):
            return []
        alike = vectors @ self.encoder.vector(question.text)
        best: dict[int, tuple[float, str]] = {}
        for (number, value, least), score in zip(values, alike.tolist(), strict=True):
            if number not in named and score >= max(least, best.get(number, (0.0, ""))[0]):
                best[number] = (score, value)
        ranked = sorted(best.items(), key=lambda one: -one[1][0])[:MOST]
        return [Where(number, "is", value) for number, (_, value) in ranked]
