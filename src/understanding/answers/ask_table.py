"""Answer questions about a table: with its cells, with a question back, or with "I don't know"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from ..joins.joined_tables import JoinedTable, View
from ..plans.in_words import plan_in_words
from ..plans.language import All, Both, Cells, Either, Plan, Rows, Where
from ..plans.list_plans import Candidate, Question, read_question
from ..plans.run_plan import PlanRunner
from ..ranker.encoder import Encoder
from ..ranker.features import take_apart
from ..ranker.ranking import AskedTable, Reading, load_ranker, rank
from ..table.typed_table import TypedTable
from ..table.values import stem, words
from ..verified.verified_questions import VerifiedQuestions, question_key, read_verified

GENERAL: Final = Path(__file__).resolve().parents[1] / "general_student"
"""The trained ranker that comes with the package."""
CLOSE: Final = 0.5
"""The user is asked to choose between two readings if the second has at least this share of the
probability of the first."""
LIKELY: Final = 0.6
"""Lowest probability at which the user is asked to confirm a single reading, and at which a
question that names a column and a record in full is answered."""
JOINING: Final = frozenset({"and", "or", "und", "oder", "et", "y", "o", "e"})
"""Words that join a question to the previous one."""
SHOWN: Final = 5
"""Number of readings that are listed in an answer."""

Verdict = Literal["answered", "ask_back", "abstained"]


@dataclass(frozen=True)
class Cell:
    """A cell that supports an answer.

    Attributes:
        row: Number of the record, counted from 1.
        column: Name of the column.
        text: Text of the cell.
        table: Name of the table in a database, else empty.
    """

    row: int
    column: str
    text: str
    table: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `table` only if it is not empty."""
        return {name: value for name, value in vars(self).items() if name != "table" or value}


@dataclass(frozen=True)
class TableAnswer:
    """The result of a question.

    Attributes:
        answer: The values of the answer; empty unless the verdict is "answered".
        verdict: Whether the question was answered, asked back about, or abstained from.
        confidence: Probability of the likeliest reading, 0 to 1.
        cells: Cells that support the answer.
        plan: The likeliest plan in words; empty if the verdict is "abstained".
        message: Text to show to the user.
        readings: The likeliest readings, each with its plan in words, its answer and probability.
        context: Context for a follow-up question; None if the question was not answered.
        plans: The plans of the readings.
        tables: The table of each of the plans.
        asked: The question, completed from the previous turn if it is a follow-up.
        verified: Whether the question is a verified one, whose plan a person approved.
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
    tables: tuple[TypedTable, ...] = ()
    asked: str = ""
    verified: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without the message and the readings."""
        return {
            "answer": list(self.answer),
            "verdict": self.verdict,
            "confidence": round(self.confidence, 4),
            "cells": [cell.to_dict() for cell in self.cells],
            "plan": self.plan,
            **self._joins(),
        }

    def _joins(self) -> dict[str, Any]:
        """Return the tables and keys that the plan joins; empty unless it is over a database."""
        table = self.tables[0] if self.tables else None
        if not isinstance(table, JoinedTable):
            return {}
        tables = dict.fromkeys([table.name, *(one.table for one in table.origins)])
        return {"tables": list(tables), "joins": list(table.joined)}


@dataclass(frozen=True)
class Context:
    """The previous turn: its completed question, its plan, and in a database its view."""

    text: str
    question: Question
    plan: Plan
    view: View | None = None


@dataclass(frozen=True)
class Read:
    """A question with its ranked readings.

    Attributes:
        question: The question.
        readings: At least one reading, the likeliest first.
        tables: The table of each reading.
        verified: Whether the question is a verified one.
        fault: Why a verified question cannot be answered; empty if it can.
    """

    question: Question
    readings: Sequence[Reading]
    tables: Sequence[TypedTable]
    verified: bool = False
    fault: str = ""


class Asker(ABC):
    """Base class that answers questions; subclasses rank the plans over a table or a database.

    Args:
        student: Folder of the trained ranker.
        encoder: The sentence encoder that the ranker was trained with; without one, a ranker that
            uses words alone is loaded, which understands fewer questions.
        verified: Questions that are always answered by their approved plans.
    """

    def __init__(
        self, student: str | Path, encoder: Encoder | None, verified: VerifiedQuestions | None
    ) -> None:
        """Load the ranker."""
        self.ranker, self.common, self.settings = load_ranker(student, encoder)
        self.least = float(self.settings["least"])
        self.known = frozenset(self.settings.get("known", ()))
        self.leaning = frozenset(self.settings.get("leaning", ()))
        self.encoder = encoder
        self.verified = verified or VerifiedQuestions()

    @abstractmethod
    def rank(self, text: str) -> Read:
        """Rank the readings of a question, without the previous turn."""

    @abstractmethod
    def tables(self) -> Mapping[str, TypedTable]:
        """Return the tables that verified questions may name."""

    @abstractmethod
    def table_of(self, name: str) -> AskedTable:
        """Return the table that a verified question names."""

    @abstractmethod
    def table_before(self, before: Context) -> TypedTable:
        """Return the table that the previous turn was about."""

    @abstractmethod
    def holds(self) -> str:
        """Say that the data do not hold the answer, and what can be asked instead."""

    def use_verified(self, place: str | Path) -> None:
        """Load the verified questions of a file; no-op if there is no such file.

        Raises:
            DataError: As in `read_verified`.
        """
        if Path(place).is_file():
            self.verified = read_verified(place, self.tables())

    def ask(self, text: str, before: Context | None = None, *, always: bool = False) -> TableAnswer:
        """Answer a question, ask back, or abstain.

        Args:
            text: The question.
            before: The previous turn of the conversation.
            always: Whether to answer with the likeliest plan at any confidence.
        """
        return self._answer(self.read(text, before), always)

    def read(self, text: str, before: Context | None = None) -> Read:
        """Rank the readings of a question, completed from the previous turn if it is a follow-up.

        Args:
            text: The question.
            before: The previous turn of the conversation.
        """
        read = self._read(text)
        if before is not None and not read.verified:
            table = self.table_before(before)
            question = read.question
            if read.tables[0] is not table:
                question = read_question(text, table, self.common, self.known)
            leans = not self.leaning.isdisjoint(question.words)
            completed = follow_ups(question, before, table, self.leaning, self.common)
            others = [self._read(one) for one in completed]
            for other in others:
                if other.verified:
                    return other
            known = [one for one in others if one.readings[0].candidate is not None]
            if known:
                best = max(known, key=lambda one: one.readings[0].probability)
                if names_alone(question, self.common) or not _stands_alone(
                    read.readings, best.readings, leans
                ):
                    return best
        return read

    def _read(self, text: str) -> Read:
        key = question_key(text)
        return self._approved(text, key) if key in self.verified.texts else self.rank(text)

    def _approved(self, text: str, key: str) -> Read:
        """Return the approved reading of a verified question, or why it cannot be answered."""
        name, plan = self.verified.plans.get(key, ("", None))
        asked = self.table_of(name)
        question = read_question(text, asked.table, self.common, self.known)
        answer = None if plan is None else PlanRunner(asked.table).run(plan)
        if plan is not None and answer is not None:
            reading = Reading(1.0, Candidate(plan, answer, ()))
            return Read(question, [reading], [asked.table], True)
        fault = (
            f"its verified plan cannot be used: {self.verified.broken[key]}." if plan is None
            else f"its verified plan, {_in_words(plan, asked.table)}, has no answer."
        )  # fmt: skip
        return Read(question, [Reading(1.0, None)], [asked.table], True, fault)

    def decide(self, read: Read, *, always: bool = False) -> tuple[Verdict, list[Reading]]:
        """Decide on a verdict from the probabilities of the readings.

        Args:
            read: The question with its readings.
            always: As in `ask`.

        Returns:
            The verdict and its readings: the one to answer with, the one or two to ask back about,
            or none.
        """
        known = [one for one in read.readings if one.candidate is not None]
        if not known or (read.readings[0].candidate is None and not always):
            return "abstained", []
        best = known[0].probability
        if best >= self.least or always:
            return "answered", known[:1]
        if best >= LIKELY and is_literal(known[0], read, self.common):
            return "answered", known[:1]
        if len(known) > 1 and known[1].probability >= CLOSE * best > 0.1:
            return "ask_back", known[:2]
        return ("ask_back", known[:1]) if best >= LIKELY else ("abstained", [])

    def _answer(self, read: Read, always: bool) -> TableAnswer:
        known = [
            (one.candidate, one.probability, table)
            for one, table in zip(read.readings, read.tables, strict=True)
            if one.candidate is not None
        ]
        told = tuple(
            (_in_words(one.plan, table), one.answer.values, chance)
            for one, chance, table in known[:SHOWN]
        )
        none = TableAnswer(
            (), "abstained", read.readings[0].probability, (), "",
            f"I don't know: {read.fault or self.holds()}", told,
            plans=tuple(one.plan for one, _, _ in known[:SHOWN]),
            tables=tuple(table for _, _, table in known[:SHOWN]),
            asked=read.question.text, verified=read.verified,
        )  # fmt: skip
        verdict, chosen = self.decide(read, always=always)
        if verdict == "abstained":
            return none
        if verdict == "ask_back":
            message = ask_which([plan for plan, _, _ in told[: len(chosen)]])
            return replace(none, verdict=verdict, plan=told[0][0], message=message)
        best, confidence, table = known[0]
        return replace(
            none,
            answer=best.answer.values,
            verdict=verdict,
            confidence=confidence,
            cells=_cells(best, table),
            plan=told[0][0],
            message=", ".join(best.answer.values),
            context=Context(
                read.question.text,
                read.question,
                best.plan,
                table.view if isinstance(table, JoinedTable) else None,
            ),
        )


class TableAsker(Asker):
    """Answers questions over one table.

    Args:
        table: The table.
        student: Folder of the trained ranker; by default the one that comes with the package.
        encoder: As in `Asker`.
        verified: As in `Asker`.
    """

    def __init__(
        self,
        table: TypedTable,
        *,
        student: str | Path = GENERAL,
        encoder: Encoder | None = None,
        verified: VerifiedQuestions | None = None,
    ) -> None:
        """Load the ranker and prepare the table."""
        super().__init__(student, encoder, verified)
        self.asked = AskedTable(table, encoder, self.common, self.known)

    def rank(self, text: str) -> Read:
        """Rank the readings of a question, without the previous turn."""
        question, candidates = self.asked.read(text)
        seen = self.asked.see(question, candidates)
        readings = rank(self.ranker, seen, candidates)
        return Read(question, readings, [self.asked.table] * len(readings))

    def tables(self) -> Mapping[str, TypedTable]:
        """Return the table under its name."""
        return {self.asked.table.name: self.asked.table}

    def table_of(self, name: str) -> AskedTable:
        """Return the table, whatever the name."""
        return self.asked

    def table_before(self, before: Context) -> TypedTable:
        """Return the table."""
        return self.asked.table

    def holds(self) -> str:
        """Say that the table does not hold the answer, and name its first twelve columns."""
        labels = ", ".join(column.label for column in self.asked.table.columns[:12])
        return f"the table does not seem to hold that. It can be asked for {labels}."


def ask_which(plans: Sequence[str]) -> str:
    """Ask which of one or two plans, in words, is meant."""
    return f"Do you mean {', or '.join(plans)}?"


def _cells(best: Candidate, table: TypedTable) -> tuple[Cell, ...]:
    """List the cells that support an answer."""
    number = cited_column(best, table)
    if isinstance(table, JoinedTable):
        return tuple(
            Cell(row + 1, column, text, name)
            for name, row, column, text in table.cells(number, best.answer.rows)
        )
    column = table.columns[number]
    return tuple(
        Cell(table.number_of(row), column.name, column.cell(row)) for row in best.answer.rows
    )


def _in_words(plan: Plan, table: TypedTable) -> str:
    """Put a plan into words; in a database with the name of its table."""
    told = plan_in_words(plan, table)
    return f"{told}, in {table.name}" if isinstance(table, JoinedTable) else told


def is_literal(reading: Reading, read: Read, common: Container[str]) -> bool:
    """Tell whether a question names a column and a record in full, and nothing else.

    Args:
        reading: The likeliest reading of the question.
        read: The question with its readings.
        common: Words without content of their own, such as articles.
    """
    assert reading.candidate is not None
    table = read.tables[read.readings.index(reading)]
    parts = take_apart(reading.candidate.plan)
    held = reading.candidate.conditions
    if (parts.outer, parts.of, parts.set) != ("cells", "rows", "one") or parts.target is None:
        return False
    named = held[0]
    if named.where.column != table.key or named.start < 0 or min(named.alike, named.coverage) < 1:
        return False
    said = [
        word for place, word in enumerate(read.question.words)
        if not named.start <= place < named.end
    ]  # fmt: skip
    stems = {stem(word) for word in said}
    column = table.columns[parts.target]
    for label in (column.label, *column.also):
        parts_of_label = {stem(word) for word in words(label)}
        if parts_of_label and parts_of_label <= stems:
            return all(word in common or stem(word) in parts_of_label for word in said)
    return False


def names_alone(question: Question, common: Container[str]) -> bool:
    """Tell whether a question only joins a name to the previous one, as "and the fern?" does."""
    named = {n for one in question.mentions if one.whole for n in range(one.start, one.end)}
    rest = [word for n, word in enumerate(question.words) if n not in named]
    joined = bool(named) and question.words[0] in JOINING
    return joined and len(rest) <= 2 and all(word in common for word in rest)


def _stands_alone(
    readings: Sequence[Reading], completed: Sequence[Reading], leans: bool = False
) -> bool:
    """Tell whether a question is better read as it stands than completed from the previous turn.

    A reading that lists a whole column is not taken, since a question that leaves out its record
    looks like that. Neither is one of a question with a word such as `its`.

    Args:
        readings: Readings of the question as it stands.
        completed: Readings of the completed question.
        leans: Whether the question has a word that refers to the previous turn, such as `its`.
    """
    best = readings[0]
    if leans or best.candidate is None or best.probability < completed[0].probability:
        return False
    plan = best.candidate.plan
    return not (isinstance(plan, Cells) and isinstance(plan.rows, All))


def cited_column(candidate: Candidate, table: TypedTable) -> int:
    """Choose the column whose cells are cited: the answer's, or else the first condition's."""
    if candidate.answer.column is not None:
        return candidate.answer.column
    plan = candidate.plan
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


def follow_ups(
    question: Question,
    before: Context,
    table: TypedTable,
    leaning: Container[str],
    common: Container[str],
) -> list[str]:
    """Complete a follow-up question from the previous turn.

    "and its price?" names no record, so that of the previous turn is put in. "what about silver?"
    names a record and asks for nothing, so the previous question is repeated for it.

    Args:
        question: The new question.
        before: The previous turn.
        table: The table.
        leaning: Words such as `its` that refer to a record of the previous turn.
        common: Words without content of their own; "what about silver?" has only these and a name.

    Returns:
        Complete questions, the likeliest first; none if the question is not a follow-up.
    """
    old = [one for one in before.question.mentions if _is_named(one.column, before.plan)]
    if not old:
        return []
    said = " ".join(before.question.words[old[0].start : old[0].end])
    # Of several names of the previous question, the one of the same column is replaced.
    here = [(one, last) for last in old for one in question.mentions if one.column == last.column]
    if here:
        new, last = here[0]
        rest = [word for n, word in enumerate(question.words) if not new.start <= n < new.end]
        if all(word in common for word in rest):
            kept = list(before.question.words)
            kept[last.start : last.end] = question.words[new.start : new.end]
            return [" ".join(kept)]
        return []
    if any(one.whole and one.column == table.key for one in question.mentions):
        return []
    leans = next((n for n, word in enumerate(question.words) if word in leaning), None)
    if leans is not None:
        named = " ".join([*question.words[:leans], said, *question.words[leans + 1 :]])
        return [named, f"{question.text.strip().rstrip('?')} of {said}"]
    if not question.words or any(one.whole for one in question.mentions):
        return []
    return [f"{question.text.strip().rstrip('?')} of {said}"]


def _is_named(column: int, plan: Plan) -> bool:
    rows = getattr(plan, "rows", None) or getattr(plan, "one", None)
    return any(one.column == column and one.operator in ("is", "has") for one in _conditions(rows))
