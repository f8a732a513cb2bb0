"""Store what people say about answers, beside the id of the run that gave each of them.

    store = FeedbackStore("outputs/elements/chat/feedback.db")
    store.give(Feedback("5881e3c1", "anna", "What is the symbol of gold?", "Ag", "wrong",
                        correction="Au", about="elements.csv row 79"))
    [one.correction for one in store.all()]

A person has one opinion on a run, the latest. What one person can say about one record, and in all,
is limited, so that nobody alone decides what the next student learns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from ...errors import ConfigError, FeedbackLimitError
from ..local_database import LocalDatabase

Opinion = Literal["good", "wrong"]
Ruling = Literal["accepted", "rejected"]

MOST_CHARS: Final = 2000
"""Longest comment and longest correction."""
PER_RECORD: Final = 5
"""Most opinions of one person on answers about one record."""
PER_PERSON: Final = 1000
"""Most opinions of one person in all."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS feedback (
    run_id TEXT NOT NULL, owner TEXT NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL,
    opinion TEXT NOT NULL, comment TEXT NOT NULL, correction TEXT NOT NULL, about TEXT NOT NULL,
    verdict TEXT NOT NULL, workflow TEXT NOT NULL, given_at TEXT NOT NULL,
    PRIMARY KEY (owner, run_id)
);
CREATE INDEX IF NOT EXISTS feedback_about ON feedback (owner, about);
CREATE TABLE IF NOT EXISTS decisions (
    id TEXT PRIMARY KEY, verdict TEXT NOT NULL, answer TEXT NOT NULL, reviewer TEXT NOT NULL,
    decided_at TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Feedback:
    """An opinion of one person on one answer.

    Raises:
        ConfigError: The opinion is unknown, an id is empty, or a text is too long.
    """

    run_id: str
    """The run that gave the answer."""
    owner: str
    """Who says so."""
    question: str
    answer: str
    """The answer that was given."""
    opinion: Opinion
    comment: str = ""
    correction: str = ""
    """The right answer; empty where it was not given."""
    about: str = ""
    """The record that the answer cites, e.g. `elements.csv row 79`; empty stands for the
    question."""
    verdict: str = ""
    """The validator's finding on the answer."""
    workflow: str = ""
    """What gave the answer."""
    given_at: str = ""
    """ISO 8601 in UTC; empty for now."""

    def __post_init__(self) -> None:
        """Check the fields."""
        faults = [
            f"{name} is empty; give the id" for name in ("run_id", "owner")
            if not getattr(self, name)
        ]  # fmt: skip
        if self.opinion not in get_args(Opinion):
            faults.append(f"opinion is {self.opinion!r}; allowed are {list(get_args(Opinion))}")
        for name in ("comment", "correction"):
            count = len(getattr(self, name))
            if count > MOST_CHARS:
                faults.append(f"{name} has {count:,} characters; allowed are {MOST_CHARS:,}")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Decision:
    """What a reviewer decided about an answer of people, or about a proposal."""

    verdict: Ruling
    answer: str = ""
    """The answer as the reviewer wrote it; empty for that of the people."""
    reviewer: str = "local"
    decided_at: str = ""
    """ISO 8601 in UTC; empty for now."""


_NAMES: Final = tuple(one.name for one in fields(Feedback))


class FeedbackStore:
    """The opinions in one SQLite file.

    Args:
        path: The file; `:memory:` for none.
        per_record: Most opinions of one person on answers about one record.
        per_person: Most opinions of one person in all.
    """

    def __init__(
        self,
        path: str | Path = ":memory:",
        *,
        per_record: int = PER_RECORD,
        per_person: int = PER_PERSON,
    ) -> None:
        """Open the file."""
        self._database = LocalDatabase(path, _SCHEMA)
        self._per_record = per_record
        self._per_person = per_person

    def give(self, said: Feedback) -> None:
        """Store an opinion; it replaces the person's earlier one on the same run.

        Raises:
            FeedbackLimitError: The person has said enough about this record, or in all.
        """
        about = said.about or " ".join(said.question.casefold().split())
        given_at = said.given_at or datetime.now(UTC).isoformat(timespec="seconds")
        row = dict(zip(_NAMES, astuple(said), strict=True)) | {"about": about, "given_at": given_at}
        with self._database.transaction() as connection:
            others, same = connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(about = ?), 0) FROM feedback "
                "WHERE owner = ? AND run_id <> ?",
                (about, said.owner, said.run_id),
            ).fetchone()
            if same >= self._per_record:
                raise FeedbackLimitError(
                    f"you have said something about {same} answers on {about} already; that is as "
                    "much as one person can"
                )
            if others >= self._per_person:
                raise FeedbackLimitError(
                    f"you have said something about {others:,} answers already; that is as much as "
                    "one person can"
                )
            connection.execute(
                f"INSERT OR REPLACE INTO feedback ({', '.join(_NAMES)}) "
                f"VALUES ({', '.join('?' for _ in _NAMES)})",
                [row[name] for name in _NAMES],
            )

    def withdraw(self, owner: str, run_id: str) -> None:
        """Remove a person's opinion on a run; no-op without one."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM feedback WHERE owner = ? AND run_id = ?", (owner, run_id)
            )

    def of_runs(self, owner: str, run_ids: list[str]) -> dict[str, Feedback]:
        """Return a person's opinions by run."""
        marks = ", ".join("?" for _ in run_ids)
        found = self._read(f"WHERE owner = ? AND run_id IN ({marks})", [owner, *run_ids])
        return {one.run_id: one for one in found}

    def all(self) -> Iterator[Feedback]:
        """Yield all opinions, the oldest first."""
        return self._read("", [])

    def decide(self, place: str, decision: Decision) -> None:
        """Store what a reviewer decided; it replaces an earlier decision.

        Args:
            place: Id of what was decided about; see `claims.Claim` and `proposals.Proposal`.
            decision: The decision.

        Raises:
            ConfigError: The answer is too long.
        """
        if len(decision.answer) > MOST_CHARS:
            raise ConfigError([f"answer has {len(decision.answer):,} characters; allowed are "
                               f"{MOST_CHARS:,}"])  # fmt: skip
        at = decision.decided_at or datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)",
                (place, decision.verdict, decision.answer, decision.reviewer, at),
            )

    def decisions(self) -> dict[str, Decision]:
        """Return what reviewers decided, by id."""
        rows = self._database.rows(
            "SELECT id, verdict, answer, reviewer, decided_at FROM decisions ORDER BY rowid"
        )
        return {place: Decision(*rest) for place, *rest in rows}

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, where: str, values: list[str]) -> Iterator[Feedback]:
        query = f"SELECT {', '.join(_NAMES)} FROM feedback {where} ORDER BY given_at, rowid"
        return (Feedback(*row) for row in self._database.rows(query, values))
