"""Answer questions about a database, over its tables joined along their foreign keys.

A view is a table with the tables that are joined to it. A few views that fit the words of the
question are chosen, and their plans are ranked together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ...tables import DatabaseTable
from ..joins.choose_views import ViewChooser
from ..joins.joined_tables import Database, JoinedTable, View, counts_records, plan_columns
from ..plans.language import Often, Plan
from ..plans.list_plans import Candidate, Question, list_plans, read_question
from ..ranker.encoder import Encoder
from ..ranker.features import take_apart
from ..ranker.ranking import AskedTable, Reading, merge_readings, plan_scores
from ..table.typed_table import TypedTable
from ..table.values import stem, words
from ..verified.verified_questions import VerifiedQuestions
from .ask_table import GENERAL, Asker, Context, Read

_JOIN: Final = 0.5
"""Penalty for each join, in logits."""
_COUNTED: Final = 4.0
"""Bonus of a plan that counts the records which the question names, or penalty of one that counts
others, in logits."""
_LEFT: Final = 0.7
"""Penalty for each content word of the question that a plan does not account for, in logits."""
_NAMED: Final = 0.7
"""Bonus of a plan whose answer is the name of a record, in logits: the name of a bike's brand is
preferred to the country of that brand."""


class DatabaseAsker(Asker):
    """Answers questions over the tables of a database, with at most two joins.

    Args:
        tables: The tables with their keys.
        student: Folder of the trained ranker; by default the one that comes with the package.
        encoder: As in `Asker`.
        verified: As in `Asker`; each entry names its table.
    """

    def __init__(
        self,
        tables: Sequence[DatabaseTable],
        *,
        student: str | Path = GENERAL,
        encoder: Encoder | None = None,
        verified: VerifiedQuestions | None = None,
    ) -> None:
        """Load the ranker and type the tables."""
        super().__init__(student, encoder, verified)
        self.database = Database(tables)
        self.chooser = ViewChooser(self.database, encoder, self.common)
        self.labels = {stem(word) for name in self.database.tables
                       for word in words(" ".join(self.database.spoken(name)))}  # fmt: skip
        self.alone = [self.database.joined(name, ()) for name in self.database.tables]
        self._asked: dict[View, AskedTable] = {}

    def rank(self, text: str) -> Read:
        """Rank the plans of several views in one list.

        The score of a plan is its margin over "the table cannot answer" in its own view, so that
        scores from views with many plans and with few are comparable.
        """
        scored: list[tuple[float, Candidate, JoinedTable]] = []
        questions: dict[View, Question] = {}
        spoken = words(text)
        said = {name: self.said(spoken, name) for name in self.database.tables}
        # Large tables contain almost any word, so words that are common in questions, or that
        # label a column, do not count as parts of values, and a word that stands in one table is
        # not taken for a misspelled word of another.
        quiet = self.common | {w for w in spoken if stem(w) in self.labels or w in self.known}
        known = self.known | {w for w in spoken if any(w in t.words for t in self.alone)}
        for view in self.chooser.choose(text, quiet, known):
            asked, table = self.asked(view), self.database.joined(*view)
            question = questions[view] = read_question(text, table, quiet, known)
            listed = list_plans(question, table, asked.runner)
            candidates = [one for one in listed if table.allows(one.plan)]
            if not candidates:
                continue
            seen = asked.see(question, candidates)
            scores = plan_scores(self.ranker, seen)
            above = (scores[:-1] - scores[-1]).tolist()
            left = self.left_out(question, table)
            for score, one in zip(above, candidates, strict=True):
                worth = _worth(one.plan, table, said) - _LEFT * left(one)
                scored.append((score + worth, one, table))
        return _pool(scored, questions, self.database)

    def left_out(self, question: Question, table: JoinedTable) -> Callable[[Candidate], int]:
        """Return a function that counts the content words which a plan does not account for."""
        stems = [stem(word) for word in question.words]
        telling = np.array([word not in self.common for word in question.words], dtype=bool)
        says = [
            {stem(word) for label in (c.label, *c.also, *c.name.split(".")[:-1])
             for word in words(label)}
            for c in table.columns
        ]  # fmt: skip
        named = [np.array([one in said for one in stems], dtype=bool) for said in says]
        nouns = {stem(word) for noun in table.nouns for word in words(noun)}
        records = np.array([one in nouns for one in stems], dtype=bool)

        def left(one: Candidate) -> int:
            held = records.copy()
            for column in plan_columns(one.plan):
                held |= named[column]
            for condition in one.conditions:
                if condition.start >= 0:
                    held[condition.start : condition.end] = True
            return int((telling & ~held).sum())

        return left

    def said(self, spoken: Sequence[str], name: str) -> int | None:
        """Find the first word that names the records of a table; None if no word does."""
        stems = [stem(word) for word in spoken]
        nouns = [
            [stem(word) for word in words(one)] for one in self.database.joined(name, ()).nouns
        ]
        places = [
            n for noun in nouns for n in range(len(stems)) if stems[n : n + len(noun)] == noun
        ]
        return min(places, default=None)

    def asked(self, view: View) -> AskedTable:
        """Return a view prepared for questions; it is prepared once."""
        if view not in self._asked:
            self._asked[view] = AskedTable(
                self.database.joined(*view), self.encoder, self.common, self.known
            )
        return self._asked[view]

    def tables(self) -> Mapping[str, TypedTable]:
        """Return each table with all tables that can be joined to it."""
        return {name: self.database.whole(name) for name in self.database.tables}

    def table_of(self, name: str) -> AskedTable:
        """Return a table with all tables that can be joined to it; the first table for ""."""
        first = next(iter(self.database.tables))
        return self.asked(self.database.whole(name or first).view)

    def table_before(self, before: Context) -> TypedTable:
        """Return the view that the previous turn was about."""
        return self.database.joined(*(before.view or (next(iter(self.database.tables)), ())))

    def holds(self) -> str:
        """Say that the tables do not hold the answer, and name them."""
        names = ", ".join(self.database.tables)
        return f"the tables do not seem to hold that. They are {names}."


def _pool(
    scored: list[tuple[float, Candidate, JoinedTable]], questions: dict[View, Question],
    database: Database,
) -> Read:  # fmt: skip
    """Rank the plans of all views together, merging those with the same answer."""
    chances = torch.softmax(torch.tensor([0.0, *(score for score, _, _ in scored)]), 0).tolist()
    merged = merge_readings(chances[1:], [candidate for _, candidate, _ in scored])
    found = [(reading, scored[number][2]) for reading, number in merged]
    first = database.joined(next(iter(database.tables)), ())
    found.append((Reading(chances[0], None), first))
    found.sort(key=lambda one: -one[0].probability)
    readings, tables = [one for one, _ in found], [table for _, table in found]
    view = tables[0].view
    question = (
        questions.get(view) or next(iter(questions.values()), None) or read_question("", first)
    )
    return Read(question, readings, tables)


def _worth(plan: Plan, table: JoinedTable, said: Mapping[str, int | None]) -> float:
    """Score what a ranker of single tables does not see: which records are counted, and the joins.

    Args:
        plan: A plan.
        table: The table it is over.
        said: Name of a table -> index of the first word of the question that names its records.

    Returns:
        A bonus or penalty in logits.
    """
    worth = -_JOIN * len(table.paths)
    if getattr(plan, "column", None) in table.naming:
        worth += _NAMED
    if not counts_records(plan):
        return worth
    noun = said[table.name]
    others = [place for place in said.values() if place is not None]
    if noun is None:
        return worth - (_COUNTED if others else 0.0)
    if isinstance(plan, Often):
        return worth + (_COUNTED if table.origins[plan.column].path else -_COUNTED)
    if any(one.column == table.key for one in take_apart(plan).conditions):
        return worth - _COUNTED  # A single record that is named need not be counted.
    return worth + (_COUNTED if noun == min(others) else 0.0)
