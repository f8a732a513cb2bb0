"""What people said about a student's answers: from its chat page, a server, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...agentic_workflow.conversations.open_chat import CONVERSATIONS, FEEDBACK, chat_folder
from ...agentic_workflow.conversations.review_queue import ReviewQueue, gold_answers
from ...agentic_workflow.conversations.transcript import Transcript
from ...agentic_workflow.feedback.claims import AskedTurn, Rules
from ...agentic_workflow.feedback.feedback_store import Feedback, FeedbackStore
from ...agentic_workflow.feedback.spreadsheet_text import as_text
from ...agentic_workflow.reading.table_reader import TableReader
from ...data.readers.read_table import iter_records
from ...errors import ConfigError, DataError
from ...tables import FactTable

NEEDED: Final = ("question", "answer")
FIELDS: Final = ("question", "answer", "opinion", "correction", "comment", "owner", "run_id",
                 "about", "verdict", "workflow", "given_at", "exit", "answered_by")  # fmt: skip
"""Columns of a file with feedback; all but `NEEDED` may be absent."""


@dataclass(frozen=True)
class Evidence:
    """The review of a student with all opinions, and the files that they are read from."""

    queue: ReviewQueue
    store: FeedbackStore
    transcript: Transcript | None
    reader: TableReader | None

    def close(self) -> None:
        """Close the files."""
        self.store.close()
        if self.transcript is not None:
            self.transcript.close()


def open_evidence(
    student: Path,
    sources: Sequence[str] = (),
    *,
    rules: Rules | None = None,
    encoder: Any = "packaged",  # noqa: ANN401 - as in TableReader
) -> Evidence:
    """Open what people said about a student.

    Args:
        student: The student's folder.
        sources: Folders of `stillroom chat --keep` or `serve --data-dir`, and CSV or JSON Lines
            files with the columns `FIELDS`. Decisions are kept in the first folder, by default in
            that of the student's chat page.
        rules: When people are believed.
        encoder: As in `TableReader`.

    Raises:
        DataError: A file has a row without a question, or one that is no opinion.
    """
    folders = [Path(one) for one in sources if Path(one).is_dir()]
    place = folders[0] if folders else chat_folder(student)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    more: list[Feedback] = []
    turns: list[AskedTurn] = []
    for folder in folders[1:]:
        more += _opinions_in(folder)
        turns += _turns_in(folder)
    for one in sources:
        if not Path(one).is_dir():
            said, asked = read_feedback_file(one)
            more += said
            turns += asked
    table = FactTable.read(student)
    reader = None if table is None else TableReader(table, folder=student, encoder=encoder)
    store = FeedbackStore(place / FEEDBACK)
    has_turns = (place / CONVERSATIONS).is_file()
    transcript = Transcript(place / CONVERSATIONS) if has_turns else None
    queue = ReviewQueue(store, transcript, reader, gold=lambda: gold_answers(student), rules=rules,
                        more=more, further_turns=turns)  # fmt: skip
    return Evidence(queue, store, transcript, reader)


def read_feedback_file(path: str) -> tuple[list[Feedback], list[AskedTurn]]:
    """Read opinions from a CSV or JSON Lines file; all cells are texts, and no formula is computed.

    Returns:
        The opinions, and the turns of rows without one, such as questions that were not answered.

    Raises:
        DataError: A row has no question, or an opinion that is unknown; names the row.
    """
    said: list[Feedback] = []
    turns: list[AskedTurn] = []
    for number, record in enumerate(iter_records(path), start=1):
        given = {name: as_text(str(value)) for name, value in record.items()
                 if name in FIELDS and value is not None}  # fmt: skip
        missing = [name for name in NEEDED if name not in record]
        if missing or not given.get("question", "").strip():
            raise DataError("has no question; the columns are question, answer, and where known "
                            f"{', '.join(FIELDS[2:])}", path=path, row=number)  # fmt: skip
        exit_, by = given.pop("exit", "answered"), given.pop("answered_by", "student")
        run, owner = given.pop("run_id", f"{Path(path).name} row {number}"), given.pop("owner", "")
        opinion = given.pop("opinion", "wrong" if given.get("correction") else "")
        answer = given.setdefault("answer", "")
        turns.append(AskedTurn(run, owner or "unnamed", given["question"], answer, exit_, by,
                               given.get("about", ""), given.get("given_at", "")))  # fmt: skip
        if opinion:
            try:
                said.append(Feedback(**{**given, "run_id": run, "owner": owner or "unnamed",
                                        "opinion": opinion}))  # type: ignore[arg-type]  # fmt: skip
            except ConfigError as fault:
                raise DataError("; ".join(fault.faults), path=path, row=number) from fault
    return said, turns


def _opinions_in(folder: Path) -> list[Feedback]:
    if not (folder / FEEDBACK).is_file():
        return []
    store = FeedbackStore(folder / FEEDBACK)
    try:
        return list(store.all())
    finally:
        store.close()


def _turns_in(folder: Path) -> list[AskedTurn]:
    from ...agentic_workflow.conversations.review_queue import asked_turn

    if not (folder / CONVERSATIONS).is_file():
        return []
    transcript = Transcript(folder / CONVERSATIONS)
    try:
        return [asked_turn(owner, turn) for owner, turn in transcript.everyones_turns()]
    finally:
        transcript.close()
