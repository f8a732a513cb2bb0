"""Answers with their cells as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ..feedback.spreadsheet_text import without_formula
from .transcript import ChatTurn

COLUMNS = ("asked_at", "question", "answer", "verdict", "confidence", "answered_by", "workflow",
           "run_id", "table", "row", "column", "cell")  # fmt: skip


def answers_csv(turns: Iterable[ChatTurn]) -> str:
    """Write answers as CSV, one line for each cited cell, at least one for each answer.

    Args:
        turns: The turns in order.

    Returns:
        CSV text with a header, fields as `without_formula` leaves them.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for turn in turns:
        final = turn.final
        confidence = final.get("confidence")
        told = [
            turn.asked_at,
            turn.question,
            final.get("response") or "",
            final.get("verdict") or "unverified",
            "" if confidence is None else f"{confidence:.4f}",
            final.get("answered_by") or "",
            turn.workflow,
            turn.run_id,
        ]
        cells = [[c["table"], str(c["row"]), c["column"], c["value"]]
                 for c in final.get("citations") or []]  # fmt: skip
        for cell in cells or [[""] * 4]:
            writer.writerow([without_formula(str(field)) for field in (*told, *cell)])
    return out.getvalue()
