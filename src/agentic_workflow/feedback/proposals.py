"""Other names for columns, proposed from questions that were not answered.

    for one in propose_names(turns, feedback, table, unknown_words, encode):
        print(one.in_words())     # 14 people asked for "weight": column atomic mass?

Questions are grouped by the words that nothing in the table explains: by their meaning where the
sentence encoder is at hand, else by their spelling. A column is proposed if the corrections that
people gave to these questions stand in it, or if its name is near in meaning or spelling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...records import sha256_text
from ...tables import Column, FactTable
from ...understanding.table.same_value import same_value
from ...understanding.table.values import fold, stem
from ...understanding.table.values import words as value_words
from .claims import AskedTurn
from .feedback_store import Decision, Feedback

LEAST_PEOPLE: Final = 2
"""Fewest people who must have asked."""
MOST_WORDS: Final = 4
"""Longest name, in words; more unexplained words are no name of a column."""
ALIKE: Final = 0.6
"""Least cosine similarity of the words of one group."""
NEAR: Final = 0.4
"""Least cosine similarity of a proposed column."""
SPELT_ALIKE: Final = 0.75
"""Least similarity of spelling, 0 to 1, where there is no encoder."""
UNANSWERED: Final = ("abstained", "ask_back")

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Encodes texts as vectors of length 1, texts x dimensions."""
UnknownWords = Callable[[str], tuple[str, ...]]
"""Finds the words of a question that nothing in the table explains."""


@dataclass(frozen=True)
class Proposal:
    """A name that people use and the table does not know."""

    id: str
    words: str
    """The name, as most people say it."""
    people: int
    questions: tuple[str, ...]
    """Some of the questions."""
    column: str = ""
    """Name of the column that may be meant; empty where none is near."""
    label: str = ""
    """What the column is called in questions."""
    because: str = ""
    """Why this column."""

    def in_words(self) -> str:
        """Say what is proposed.

        >>> Proposal("1", "weight", 14, (), "atomic_mass", "atomic mass").in_words()
        '14 people asked for "weight": column atomic mass?'
        """
        told = f'{self.people} people asked for "{self.words}"'
        return f"{told}: column {self.label}?" if self.column else f"{told}: no column is near"

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {**asdict(self), "questions": list(self.questions), "in_words": self.in_words()}


@dataclass
class _Group:
    names: Counter[str] = field(default_factory=Counter)
    people: set[str] = field(default_factory=set)
    questions: dict[str, None] = field(default_factory=dict)
    columns: Counter[str] = field(default_factory=Counter)
    """Columns that hold the corrections."""

    @property
    def name(self) -> str:
        return min(self.names, key=lambda one: (-self.names[one], one))


def propose_names(
    turns: Iterable[AskedTurn],
    feedback: Iterable[Feedback],
    table: FactTable,
    unknown_words: UnknownWords,
    encode: Encode | None = None,
    decisions: Mapping[str, Decision] | None = None,
    *,
    least_people: int = LEAST_PEOPLE,
) -> list[Proposal]:
    """Propose other names of columns.

    Args:
        turns: Turns of conversations; only those without an answer count.
        feedback: Opinions on them; their corrections tell which column was meant.
        table: The table.
        unknown_words: Finds the words of a question that the table does not explain.
        encode: The sentence encoder; None compares spelling.
        decisions: Proposal id -> what a reviewer decided; these are not proposed again.
        least_people: Fewest people who must have asked.

    Returns:
        The proposals, those of the most people first.
    """
    corrections = {one.run_id: one.correction for one in feedback if one.correction}
    groups: list[_Group] = []
    for turn in turns:
        if turn.exit not in UNANSWERED:
            continue
        name = " ".join(unknown_words(turn.question))
        if not name or len(name.split()) > MOST_WORDS:
            continue
        group = _group_of(name, groups, encode)
        group.names[name] += 1
        group.people.add(turn.owner)
        group.questions[turn.question] = None
        correction = corrections.get(turn.run_id)
        if correction:
            group.columns.update(_columns_with(correction, turn.question, table))
    asked = [one for one in groups if len(one.people) >= least_people]
    proposals = [_proposal(one, table, encode) for one in asked]
    decided = decisions or {}
    open_ = [one for one in proposals if one.id not in decided]
    return sorted(open_, key=lambda one: (-one.people, one.words))


def _group_of(name: str, groups: list[_Group], encode: Encode | None) -> _Group:
    for group in groups:
        if name in group.names or _stems(name) == _stems(group.name):
            return group
    if encode is not None and groups:
        vectors = encode([name, *(group.name for group in groups)])
        nearness = vectors[1:] @ vectors[0]
        best = int(nearness.argmax())
        if nearness[best] >= ALIKE:
            return groups[best]
    groups.append(_Group())
    return groups[-1]


def _columns_with(correction: str, question: str, table: FactTable) -> list[str]:
    """List the columns in which the records that a question names hold the correction."""
    said = f" {fold(question)} "
    named = [row for row in table.rows if f"{fold(row.key)}" in said]
    return [
        column.name
        for column in table.columns
        if any(same_value(row.values.get(column.name, ""), correction) for row in named)
    ]


def _proposal(group: _Group, table: FactTable, encode: Encode | None) -> Proposal:
    column, because = None, ""
    if group.columns:
        name, count = group.columns.most_common(1)[0]
        column = next(one for one in table.columns if one.name == name)
        because = f"{count} corrections stand in it"
    elif encode is not None:
        names = [(one, text) for one in table.columns for text in (one.label, *one.also)]
        vectors = encode([group.name, *(text for _, text in names)])
        nearness = vectors[1:] @ vectors[0]
        best = int(nearness.argmax()) if len(names) else 0
        if names and nearness[best] >= NEAR:
            column, because = names[best][0], f"its name is near in meaning ({nearness[best]:.2f})"
    else:
        likeness = [(_spelling(group.name, one), one.name, one) for one in table.columns]
        best_ = max(likeness, default=None)
        if best_ is not None and best_[0] >= SPELT_ALIKE:
            column, because = best_[2], "its name is spelt alike"
    return Proposal(
        sha256_text(f"name\n{group.name}\n{column.name if column else ''}")[:10],
        group.name,
        len(group.people),
        tuple(group.questions)[:3],
        column.name if column else "",
        column.label if column else "",
        because,
    )


def _spelling(name: str, column: Column) -> float:
    texts = [fold(text) for text in (column.label, *column.also)]
    return max(SequenceMatcher(None, fold(name), text).ratio() for text in texts)


def _stems(name: str) -> tuple[str, ...]:
    return tuple(sorted(stem(word) for word in value_words(name)))
