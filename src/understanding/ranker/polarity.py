"""Whether a column of yes and no is asked for its yes or for its no.

The ranker sees that a plan has a condition on such a column, but not which of the two it compares
with. What people mean is known without training: a question that names the column and denies
nothing asks for yes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..plans.language import Where
from ..plans.list_plans import Candidate, Question
from ..table.typed_table import TypedTable
from ..table.values import stem, words, yes_or_no
from .features import take_apart

_NEGATIONS: Final = frozenset({
    "not", "no", "none", "nobody", "nothing", "without", "never", "neither", "nor", "cannot",
    "free", "isnt", "arent", "wasnt", "werent", "doesnt", "dont", "didnt", "hasnt", "havent",
    "cant", "wont", "nicht", "nichts", "niemand", "kein", "keine", "keinen", "keinem", "keiner",
    "keines", "ohne", "nie", "weder", "pas", "sans", "aucun", "aucune", "sin", "ningun",
    "ninguna", "senza", "nessun", "nessuna", "nessuno",
})  # fmt: skip
"""Words of negation; English words that end with n't are others."""


@dataclass(frozen=True)
class Weights:
    """Logits that are added to the score of a plan.

    Attributes:
        named_no: It asks for the no of a column that the question names, which denies nothing.
        other_no: It asks for the no of another column, and the question denies nothing.
        denied_yes: It asks for yes, and the question has a negation.
    """

    named_no: float
    other_no: float
    denied_yes: float


WEIGHTS: Final = Weights(-3.0, -0.8, -0.5)
"""Fitted on 119 of the written questions that ask for a column of yes and no, weighted by how often
each kind is asked: without a negation, 1,035 ask for yes and 93 for no; with one, 52 and 144."""


def has_negation(spoken: Sequence[str]) -> bool:
    """Tell whether the folded words of a question have a negation.

    >>> has_negation(["which", "isn't", "toxic"]), has_negation(["which", "is", "toxic"])
    (True, False)
    """
    out = " out of " in f" {' '.join(spoken)} "
    return out or any(word in _NEGATIONS or word.endswith("n't") for word in spoken)


def polarity(
    question: Question,
    table: TypedTable,
    candidates: Sequence[Candidate],
    common: Container[str],
    weights: Weights = WEIGHTS,
) -> NDArray[np.float32]:
    """Compute what is added to the score of each plan, and last of "the table cannot answer".

    Args:
        question: The question.
        table: The table.
        candidates: The plans.
        common: Words without content of their own, such as articles.
        weights: The weights.
    """
    found = np.zeros(len(candidates) + 1, dtype=np.float32)
    flags = {n for n, column in enumerate(table.columns) if column.kind == "flag"}
    if not flags:
        return found
    stems, denied = {stem(word) for word in question.words}, has_negation(question.words)
    named = {n for n in flags if _is_named(n, table, stems, common)}

    def worth(where: Where) -> float:
        if where.operator != "is" or where.column not in flags:
            return 0.0
        asks_yes = yes_or_no(str(where.value))
        if denied:
            return weights.denied_yes if asks_yes else 0.0
        if asks_yes:
            return 0.0
        return weights.named_no if where.column in named else weights.other_no

    for number, candidate in enumerate(candidates):
        conditions = take_apart(candidate.plan).conditions
        found[number] = min((worth(one) for one in conditions), default=0.0)
    return found


def _is_named(
    number: int, table: TypedTable, stems: Container[str], common: Container[str]
) -> bool:
    """Tell whether a question has all words of a column's label that are not common."""
    column = table.columns[number]
    for label in (column.label, *column.also):
        said = words(label)
        telling = [word for word in said if word not in common] or said
        if telling and all(stem(word) in stems for word in telling):
            return True
    return False
