"""Accepted answers that teach how a table is read: each becomes a verified question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...agentic_workflow.feedback.claims import Judged
from ...agentic_workflow.reading.table_reader import TableReader
from ...errors import DataError
from ...understanding.plans.language import Cells, Plan
from ...understanding.table.same_value import same_value
from ...understanding.verified.verified_questions import add_verified, verified_place
from .frozen_test import FrozenTest


def find_plans(
    judged: Sequence[Judged], reader: TableReader | None, frozen: FrozenTest
) -> list[tuple[str, Plan]]:
    """Find the plans of accepted answers to questions that the table reader does not answer so.

    A plan is taken only if it is the one reading of the question that gives the accepted answer,
    or the one that looks it up: the sum of one cell is the cell, but not what is asked.

    Args:
        judged: All answers of people.
        reader: Reads questions over the student's table; None for none.
        frozen: The test; its questions are left out.
    """
    if reader is None or reader.known is not None:
        return []
    found = []
    for one in judged:
        known = one.reference
        read_so = known is not None and known.source == "the table" and known.confirms(one.answer)
        if one.status != "accepted" or read_so or frozen.has_question(one.claim.question):
            continue
        read = reader.read(one.claim.question)
        if read.verdict == "answered" and same_value(", ".join(read.answer), one.answer):
            continue
        asked = reader.asker.ask(one.claim.question)
        plans = [plan for plan, (_, values, _) in zip(asked.plans, asked.readings, strict=False)
                 if values and same_value(", ".join(values), one.answer)]  # fmt: skip
        look_ups = [plan for plan in plans if isinstance(plan, Cells)]
        chosen = look_ups or plans
        if len(chosen) == 1:
            found.append((one.claim.question, chosen[0]))
    return found


def verify(student: Path, found: Sequence[tuple[str, Plan]], reader: TableReader) -> list[str]:
    """Add questions with their plans to the verified questions of a student.

    Returns:
        The questions that were added; those that are there with another plan are left alone.
    """
    place, added = verified_place(student), []
    for question, plan in found:
        try:
            if add_verified(place, question, plan, reader.typed):
                added.append(question)
        except DataError:  # a person verified it with another plan
            continue
    return added
