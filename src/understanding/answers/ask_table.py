"""Ask a table in ordinary words: an answer with its cells, a question back, or "I don't know"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ..plans.in_words import plan_in_words
from ..plans.language import All, Both, Cells, Either, Plan, Rows, Where
from ..plans.list_plans import Question
from ..ranker.encoder import Encoder
from ..ranker.ranking import AskedTable, Reading, load_ranker, rank
from ..table.typed_table import TypedTable

GENERAL: Final = Path(__file__).resolve().parents[1] / "general_student"
"""The student that comes with the package."""
LEAST: Final = 0.7
"""Least probability of an answer that is given."""
CLOSE: Final = 0.5
"""Share of the first reading's probability from which on a second one is asked about."""
SHOWN: Final = 5
"""Readings that are explained."""

Verdict = Literal["answered", "ask_back", "abstained"]


@dataclass(frozen=True)
class Cell:
    """A cell that an answer rests on: its record, counted from 1, column and text."""

    row: int
    column: str
    text: str


@dataclass(frozen=True)
class TableAnswer:
    """What came of a question.

    Attributes:
        answer: Its values; empty where it was not answered.
        verdict: What was done.
        confidence: Probability of the likeliest reading, 0 to 1.
        cells: What the answer rests on.
        plan: How the question was read, in words.
        message: What is said to the user.
        readings: The likeliest readings in words, with their answers and probabilities.
        context: What a next question of the same thread builds on.
    """

    answer: tuple[str, ...]
    verdict: Verdict
    confidence: float
    cells: tuple[Cell, ...]
    plan: str
    message: str
    readings: tuple[tuple[str, tuple[str, ...], float], ...]
    context: Context | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "answer": list(self.answer),
            "verdict": self.verdict,
            "confidence": round(self.confidence, 4),
            "cells": [vars(cell) for cell in self.cells],
            "plan": self.plan,
        }


@dataclass(frozen=True)
class Context:
    """The turn before: its question, as it was completed, and its plan."""

    text: str
    question: Question
    plan: Plan


class TableAsker:
    """Answers questions over one table.

    Args:
        table: The table.
        student: Folder of the student that understands; the general one by default.
        encoder: The sentence encoder that it was trained with; without one it sees words alone,
            and understands less.
    """

    def __init__(
        self, table: TypedTable, *, student: str | Path = GENERAL, encoder: Encoder | None = None
    ) -> None:
        """Load the student."""
        self.ranker, common, self.settings = load_ranker(student)
        self.asked = AskedTable(table, encoder, common)

    def ask(self, text: str, before: Context | None = None, *, always: bool = False) -> TableAnswer:
        """Answer a question.

        Args:
            text: The question.
            before: The turn before, of a conversation.
            always: Whether to answer whatever the confidence.
        """
        return self._answer(*self.read(text, before), always)

    def read(self, text: str, before: Context | None = None) -> tuple[Question, list[Reading]]:
        """Rank what a question may mean.

        Args:
            text: The question.
            before: The turn before, of a conversation.

        Returns:
            The question, completed by the turn before where it leans on it, and its readings, the
            likeliest first.
        """
        question, readings = self._read(text)
        if before is not None:
            for whole in follow_ups(question, before, self.asked.table):
                other = self._read(whole)
                if other[1][0].candidate is not None and not _stands_alone(readings, other[1]):
                    return other
        return question, readings

    def _read(self, text: str) -> tuple[Question, list[Reading]]:
        question, candidates = self.asked.read(text)
        seen = self.asked.see(question, candidates)
        return question, rank(self.ranker, seen, candidates)

    def _answer(self, question: Question, readings: list[Reading], always: bool) -> TableAnswer:
        table = self.asked.table
        known = [one for one in readings if one.candidate is not None]
        told = tuple(
            (plan_in_words(one.candidate.plan, table), one.candidate.answer.values, one.probability)
            for one in known[:SHOWN]
            if one.candidate is not None
        )
        best = known[0].candidate if known else None
        if best is None or (readings[0].candidate is None and not always):
            return self._abstained(readings[0].probability if readings else 0.0, told)
        confidence = known[0].probability
        if confidence < LEAST and not always:
            second = known[1] if len(known) > 1 else None
            if second is not None and second.probability >= CLOSE * confidence > 0.1:
                message = f"Do you mean {told[0][0]}, or {told[1][0]}?"
                return TableAnswer((), "ask_back", confidence, (), told[0][0], message, told)
            return self._abstained(confidence, told)
        cells = tuple(
            Cell(row + 1, column.name, column.texts[row])
            for row in best.answer.rows
            for column in [table.columns[_cited(best.answer.column, best.plan, table)]]
        )
        return TableAnswer(
            best.answer.values,
            "answered",
            confidence,
            cells,
            told[0][0],
            ", ".join(best.answer.values),
            told,
            Context(question.text, question, best.plan),
        )

    def _abstained(
        self, confidence: float, told: tuple[tuple[str, tuple[str, ...], float], ...]
    ) -> TableAnswer:
        labels = ", ".join(column.label for column in self.asked.table.columns[:12])
        message = (
            f"I don't know: the table does not seem to hold that. It can be asked for {labels}."
        )
        return TableAnswer((), "abstained", confidence, (), "", message, told)


def _stands_alone(readings: list[Reading], completed: list[Reading]) -> bool:
    """Tell whether a question is read better as it stands than completed by the turn before.

    A column of all rows is what a question without its record looks like.
    """
    best = readings[0]
    if best.candidate is None or best.probability < completed[0].probability:
        return False
    plan = best.candidate.plan
    return not (isinstance(plan, Cells) and isinstance(plan.rows, All))


def _cited(column: int | None, plan: Plan, table: TypedTable) -> int:
    """Choose the column whose cells are cited: the answer's, else that of a condition."""
    if column is not None:
        return column
    found = _conditions(getattr(plan, "rows", None) or getattr(plan, "one", None))
    return found[0].column if found else (table.key or 0)


def _conditions(rows: Rows | None) -> tuple[Where, ...]:
    match rows:
        case Where():
            return (rows,)
        case Both(conditions) | Either(conditions):
            return conditions
        case None:
            return ()
        case _:
            return _conditions(getattr(rows, "rows", None))


def follow_ups(question: Question, before: Context, table: TypedTable) -> list[str]:
    """Complete a question that leans on the one before.

    "and its price?" names no record: that of the turn before is meant. "what about silver?" names
    a record and asks nothing of it: what the turn before asked is meant.

    Args:
        question: The new question.
        before: The turn before.
        table: The table.

    Returns:
        Whole questions, the likeliest first; none where the question stands alone.
    """
    old = [one for one in before.question.mentions if _is_named(one.column, before.plan)]
    here = [one for one in question.mentions if old and one.column == old[0].column]
    if not old:
        return []
    said = " ".join(before.question.words[old[0].start : old[0].end])
    if here:
        new = here[0]
        rest = [word for n, word in enumerate(question.words) if not new.start <= n < new.end]
        labels = {word for column in table.columns for word in column.label.casefold().split()}
        if len(rest) <= 4 and not labels & set(rest):
            kept = list(before.question.words)
            kept[old[0].start : old[0].end] = question.words[new.start : new.end]
            return [" ".join(kept)]
        return []
    return [f"{question.text.strip().rstrip('?')} of {said}"] if question.words else []


def _is_named(column: int, plan: Plan) -> bool:
    rows = getattr(plan, "rows", None) or getattr(plan, "one", None)
    return any(one.column == column and one.operator in ("is", "has") for one in _conditions(rows))
