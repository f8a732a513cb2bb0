"""Ask a table in ordinary words: an answer with its cells, a question back, or "I don't know"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from ..plans.in_words import plan_in_words
from ..plans.language import All, Both, Cells, Either, Plan, Rows, Where
from ..plans.list_plans import Candidate, Question, read_question
from ..ranker.encoder import Encoder
from ..ranker.ranking import AskedTable, Reading, load_ranker, rank
from ..table.typed_table import TypedTable
from ..verified.verified_questions import VerifiedQuestions, question_key

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
        plans: The plans of the readings.
        asked: The question, completed by the turn before where it leant on it.
        verified: Whether a person approved the plan.
    """

    answer: tuple[str, ...]
    verdict: Verdict
    confidence: float
    cells: tuple[Cell, ...]
    plan: str
    message: str
    readings: tuple[tuple[str, tuple[str, ...], float], ...]
    context: Context | None = None
    plans: tuple[Plan, ...] = ()
    asked: str = ""
    verified: bool = False

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


@dataclass(frozen=True)
class _Read:
    """A question as it was read; `fault` says why a verified one cannot be answered."""

    question: Question
    readings: list[Reading]
    verified: bool = False
    fault: str = ""


class TableAsker:
    """Answers questions over one table.

    Args:
        table: The table.
        student: Folder of the student that understands; the general one by default.
        encoder: The sentence encoder that it was trained with; without one it sees words alone,
            and understands less.
        verified: Questions that are always answered by their plans.
    """

    def __init__(
        self,
        table: TypedTable,
        *,
        student: str | Path = GENERAL,
        encoder: Encoder | None = None,
        verified: VerifiedQuestions | None = None,
    ) -> None:
        """Load the student."""
        self.ranker, common, self.settings = load_ranker(student)
        self.asked = AskedTable(table, encoder, common)
        self.verified = verified or VerifiedQuestions()

    def ask(self, text: str, before: Context | None = None, *, always: bool = False) -> TableAnswer:
        """Answer a question.

        Args:
            text: The question.
            before: The turn before, of a conversation.
            always: Whether to answer whatever the confidence.
        """
        return self._answer(self._completed(text, before), always)

    def read(self, text: str, before: Context | None = None) -> tuple[Question, list[Reading]]:
        """Rank what a question may mean.

        Args:
            text: The question.
            before: The turn before, of a conversation.

        Returns:
            The question, completed by the turn before where it leans on it, and its readings, the
            likeliest first; at least one.
        """
        read = self._completed(text, before)
        return read.question, read.readings

    def _completed(self, text: str, before: Context | None) -> _Read:
        read = self._read(text)
        if before is not None and not read.verified:
            for whole in follow_ups(read.question, before, self.asked.table):
                other = self._read(whole)
                if other.verified or (
                    other.readings[0].candidate is not None
                    and not _stands_alone(read.readings, other.readings)
                ):
                    return other
        return read

    def _read(self, text: str) -> _Read:
        key = question_key(text)
        if key in self.verified.texts:
            return self._approved(text, key)
        question, candidates = self.asked.read(text)
        seen = self.asked.see(question, candidates)
        return _Read(question, rank(self.ranker, seen, candidates))

    def _approved(self, text: str, key: str) -> _Read:
        """Read a verified question."""
        question = read_question(text, self.asked.table, self.asked.common)
        fault = self.verified.broken.get(key, "")
        if fault:
            return _Read(
                question, [Reading(1.0, None)], True, f"its verified plan cannot be used: {fault}."
            )
        plan = self.verified.plans[key][1]
        answer = self.asked.runner.run(plan)
        if answer is None:
            told = plan_in_words(plan, self.asked.table)
            return _Read(
                question, [Reading(1.0, None)], True, f"{told}, as was verified, gives nothing."
            )
        return _Read(question, [Reading(1.0, Candidate(plan, answer, ()))], True)

    def _answer(self, read: _Read, always: bool) -> TableAnswer:
        table, readings = self.asked.table, read.readings
        known = [(one.candidate, one.probability) for one in readings if one.candidate is not None]
        told = tuple(
            (plan_in_words(one.plan, table), one.answer.values, chance)
            for one, chance in known[:SHOWN]
        )
        none = TableAnswer(
            (), "abstained", readings[0].probability, (), "",
            f"I don't know: {read.fault or self._holds()}", told,
            plans=tuple(one.plan for one, _ in known[:SHOWN]),
            asked=read.question.text, verified=read.verified,
        )  # fmt: skip
        if not known or (readings[0].candidate is None and not always):
            return none
        best, confidence = known[0]
        if confidence < LEAST and not always:
            if len(known) > 1 and known[1][1] >= CLOSE * confidence > 0.1:
                message = f"Do you mean {told[0][0]}, or {told[1][0]}?"
                return replace(none, verdict="ask_back", plan=told[0][0], message=message)
            return none
        return replace(
            none,
            answer=best.answer.values,
            verdict="answered",
            confidence=confidence,
            cells=_cells(best, table),
            plan=told[0][0],
            message=", ".join(best.answer.values),
            context=Context(read.question.text, read.question, best.plan),
        )

    def _holds(self) -> str:
        labels = ", ".join(column.label for column in self.asked.table.columns[:12])
        return f"the table does not seem to hold that. It can be asked for {labels}."


def _cells(best: Candidate, table: TypedTable) -> tuple[Cell, ...]:
    """Name the cells that an answer rests on."""
    column = table.columns[_cited(best.answer.column, best.plan, table)]
    return tuple(Cell(int(row) + 1, column.name, column.texts[row]) for row in best.answer.rows)


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
