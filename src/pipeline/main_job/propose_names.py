"""Propose what people may call the columns of a table, for the user to keep or delete.

Two sources: the words of common columns (price: cost, how much), where a column's label is one of
them; and, where a sentence encoder is at hand, the kind of values that it takes a column for.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...tables import FactTable

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

MOST_NAMES: Final = 5
"""Most names that are proposed for a column."""
_UNITS: Final = frozenset(
    {
        "eur", "usd", "gbp", "chf", "kg", "g", "lb", "oz", "km", "m", "cm", "mm", "mi", "ft",
        "km2", "m2", "sqm", "ha", "l", "ml", "h", "min", "s", "c", "f", "kmh", "mph", "pct",
        "percent",
    }
)  # fmt: skip
"""Words at the end of a label that name a unit, not the column."""
_HOW: Final = re.compile(r"(how [a-z]+) (?:is|are|does|do|did|was|were)\b")


@dataclass(frozen=True)
class NameProposal:
    """Names that people may use for a column."""

    common: tuple[str, ...] = ()
    """Names of common columns with the same label."""
    likely: tuple[str, ...] = ()
    """Names of the kind of values that the encoder takes it for; less sure."""


def propose_names(table: FactTable, encoder: Embeddings | None = None) -> dict[str, NameProposal]:
    """Propose names for the columns of a table.

    A name that fits two columns, or is the label of another one, is not proposed.

    Args:
        table: A table of kind `facts` or `rows`.
        encoder: A sentence encoder such as all-MiniLM-L6-v2; None proposes common names only.

    Returns:
        Name of a column -> its proposal, for columns with one.
    """
    from ...labeling.wordings.column_meaning import ColumnMeanings

    common = {column.name: _common_names(column.label) for column in table.columns}
    likely: dict[str, list[str]] = {}
    if encoder is not None:
        meanings = ColumnMeanings(table, encoder)
        for column in table.columns:
            kinds = meanings.kinds(column.name)[:1]
            likely[column.name] = [name for kind in kinds for name in kind.about]
    labels = {column.name: _plain(column.label) for column in table.columns} | {"": table.key}
    every = {name: [*common[name], *likely.get(name, ())] for name in common}
    counts = Counter(one for names in every.values() for one in set(names))

    def kept(name: str, proposed: list[str], beside: tuple[str, ...] = ()) -> tuple[str, ...]:
        own = set(labels[name].split())
        fit = [
            one
            for one in dict.fromkeys(proposed)
            if counts[one] == 1 and one not in labels.values() and one not in beside
            and not own & set(one.split())
        ]  # fmt: skip
        return tuple(fit[:MOST_NAMES])

    proposals = {}
    for column in table.columns:
        first = kept(column.name, common[column.name])
        second = kept(column.name, likely.get(column.name, []), first)
        if first or second:
            proposals[column.name] = NameProposal(first, second)
    return proposals


def _common_names(label: str) -> list[str]:
    """List the names of common columns that have this label."""
    from ...understanding.practice.made_tables import common_columns

    own, found = _plain(label), []
    for meaning in common_columns():
        labels = [_plain(one) for one in meaning.labels]
        if own in labels:
            found += [one for one in labels if one != own]
            asks = meaning.said.get("asks", ())
            found += [match[1] for ask in asks if (match := _HOW.match(ask)) is not None]
    return [one for one in dict.fromkeys(found) if one not in ("how much", "how many")]


def _plain(label: str) -> str:
    """Write a label in small letters, without brackets and without a unit at its end."""
    words = re.sub(r"[(\[].*?[)\]]", " ", label.casefold()).split()
    while len(words) > 1 and words[-1].strip(".") in _UNITS:
        words.pop()
    return " ".join(words)
