"""Choose the views of a database (tables with joins) that account for the words of a question."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..mentions.find_values import find_values
from ..ranker.encoder import Encoder
from ..table.values import stem, words
from .joined_tables import Database, JoinedTable, Path, View

Weights = NDArray[np.float64]
"""How well each word of a question is accounted for, 0 to 1."""
MOST_VIEWS: Final = 8
"""Most views that are chosen for a question."""
_BEHIND: Final = 1.6
"""How far a chosen view may score below the best one; each word of the question scores up to 1."""
_JOIN: Final = 0.3
"""Penalty for each join."""
_NOUN: Final = 0.5
"""Bonus if the question names the records of the view's first table."""


@dataclass(frozen=True)
class _Place:
    """How well a table at the end of a path fits a question.

    Attributes:
        covered: How well it accounts for each word.
        alike: Highest cosine similarity of the question and a label; 0 without an encoder.
    """

    covered: Weights
    alike: float


class ViewChooser:
    """Chooses views by the words of a question.

    Args:
        database: The database.
        encoder: The sentence encoder; without one, words alone count.
        common: Words without content of their own, such as articles.
    """

    def __init__(self, database: Database, encoder: Encoder | None, common: Container[str]) -> None:
        """Keep the arguments."""
        self.database, self.encoder, self.common = database, encoder, common

    def choose(self, text: str, quiet: Container[str], known: Container[str] = ()) -> list[View]:
        """Choose views, the best first.

        Args:
            text: The question.
            quiet: Words that match a value only if they are the whole value.
            known: Words that are not taken for misspelled values.
        """
        spoken = words(text)
        telling = np.array([word not in self.common for word in spoken], dtype=float)
        values = {
            name: self._by_value(spoken, self.database.joined(name, ()), quiet, known)
            for name in self.database.tables
        }
        places: dict[tuple[str, Path], _Place] = {}
        worth = []
        views = [view for view in self.database.views if self._is_said(spoken, view)]
        for name, paths in views:
            covered, alike = np.zeros(len(spoken)), 0.0
            for path in ((), *paths):
                place = places.get((name, path))
                if place is None:
                    place = places[name, path] = self._place(text, spoken, (name, path), values)
                covered, alike = np.maximum(covered, place.covered), max(alike, place.alike)
            noun = self._says(spoken, self.database.joined(name, ()).nouns)
            total = float((covered * telling).sum()) + alike - _JOIN * len(paths)
            worth.append(total + _NOUN * bool(noun.any()))
        order = sorted(range(len(worth)), key=lambda n: (-worth[n], n))
        return [views[n] for n in order[:MOST_VIEWS] if worth[n] >= worth[order[0]] - _BEHIND]

    def _is_said(self, spoken: list[str], view: View) -> bool:
        """Tell whether a question names each self-reference of a view, such as the boss."""
        name, paths = view
        return all(
            bool(self._says(spoken, [self.database.role(name, path)]).any())
            for path in paths
            if self.database.table_at(name, path) is self.database.table_at(name, path[:-1])
        )

    def _place(
        self, text: str, spoken: list[str], view: tuple[str, Path], values: Mapping[str, Weights]
    ) -> _Place:
        name, path = view
        table = self.database.table_at(name, path)
        said = self.database.spoken(table.name)
        if path:
            said.append(self.database.role(name, path))
        covered = np.maximum(values[table.name], self._says(spoken, said))
        alike = 0.0
        if self.encoder is not None and text.strip():
            labels = self.encoder.encode(list(dict.fromkeys(said)))
            alike = float((labels @ self.encoder.encode([text])[0]).max())
        return _Place(covered, alike)

    def _by_value(
        self, spoken: list[str], table: JoinedTable, quiet: Container[str], known: Container[str]
    ) -> Weights:
        covered = np.zeros(len(spoken))
        for mention in find_values(spoken, table, quiet, known):
            part = covered[mention.start : mention.end]
            worth = mention.alike * (1.0 if mention.whole else 0.7 + 0.3 * mention.coverage)
            np.maximum(part, worth, out=part)
        return covered

    def _says(self, spoken: list[str], labels: Iterable[str]) -> Weights:
        stems = {stem(word) for label in labels for word in words(label)}
        return np.array([stem(word) in stems for word in spoken], dtype=float)
