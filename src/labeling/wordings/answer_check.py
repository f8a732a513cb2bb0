"""The teacher answers a wording about several records; right answers show that it makes sense.

The records of a column are those for which the teacher is right when asked by the column's own
template, so that a wording is not blamed for a fact that the teacher does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ...prompts import render
from ...tables import FactTable, TableRow
from ..batch.label_run import LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..batch.progress import LabelProgress
from ..teachers.protocol import DecodeProfile, Prompt, Teacher, TeacherAnswer
from .outcome import TRIED_ROWS
from .teacher_wordings import key_of, spread_rows
from .wording_form import says

LEAST_TOKENS, MOST_TOKENS = 16, 64
"""Bounds of an answer's length; a text is recognised by its beginning."""
Wording = tuple[str, str]
"""Name of a column, and a wording with `{key}`."""
Context = Callable[[TableRow], str | None]
"""Writes the record for a teacher that reads it; None for one that was taught the table."""


class WholeOrCut:
    """A teacher whose answers also count where they are cut off."""

    def __init__(self, teacher: Teacher) -> None:
        """Take the teacher."""
        self._teacher = teacher
        self.honours_idempotency = bool(getattr(teacher, "honours_idempotency", False))

    @property
    def name(self) -> str:
        """Name of the teacher."""
        return self._teacher.name

    @property
    def revision(self) -> str | None:
        """Revision of the teacher."""
        return self._teacher.revision

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Answer a prompt; see `Teacher.ask`."""
        answer = await self._teacher.ask(prompt, profile, call_id=call_id)
        return replace(answer, finish_reason="stop") if answer.finish_reason == "length" else answer

    async def close(self) -> None:
        """Close the teacher."""
        await self._teacher.close()


class AnswerCheck:
    """Asks a teacher wordings about records whose cells are known."""

    def __init__(
        self,
        table: FactTable,
        teacher: Teacher,
        folder: str | Path,
        *,
        records: int,
        facts: Collection[str] | None,
        context: Context | None,
        settings: LabelSettings | None,
        seed: int,
        progress: Callable[[LabelProgress], None] | None,
    ) -> None:
        """Set what is asked; see `write_wordings`."""
        self._table, self._facts, self._context, self._seed = table, facts, context, seed
        self._records, self._progress = records, progress
        longest = max((len(v) for row in table.rows for v in row.values.values()), default=0)
        self._labeler = BatchLabeler(
            WholeOrCut(teacher),
            folder,
            profile=DecodeProfile(max_tokens=min(MOST_TOKENS, max(LEAST_TOKENS, longest))),
            settings=settings,
        )
        self._values = {
            c.name: frozenset(r.values[c.name] for r in table.rows if c.name in r.values)
            for c in table.columns
        }
        self._known: dict[str, list[TableRow]] = {}
        self.calls = 0
        """Questions asked so far, cached ones included."""
        self.message = ""
        """Why the labeler ended early; empty where it did not."""

    def find_known(self) -> dict[str, list[TableRow]]:
        """Find records that the teacher knows by the columns' own templates.

        Returns:
            Column -> at most `records` of them.
        """
        asked = [
            (column, row)
            for column in self._table.columns
            for row in spread_rows(
                self._table,
                column.name,
                [r for r in self._table.rows if self._may_compare(r, column.name)],
                TRIED_ROWS * self._records,
                self._seed,
            )
        ]
        right = self._ask([(c.name, c.templates[0], row) for c, row in asked])
        self._known = {c.name: [] for c in self._table.columns}
        for (column, row), is_right in zip(asked, right, strict=True):
            if is_right and len(self._known[column.name]) < self._records:
                self._known[column.name].append(row)
        return self._known

    def agreement(self, wordings: Sequence[Wording], least: float) -> list[float | None]:
        """Ask wordings about one record after the other, while they can still be accepted.

        Args:
            wordings: Of columns with a known record.
            least: Least share of right answers, 0 to 1.

        Returns:
            The share of right answers of each among all known records of its column; None where
            the labeler ended before that was known.
        """
        rows = [self._known[column] for column, _ in wordings]
        right, wrong = [0] * len(wordings), [0] * len(wordings)
        alive = list(range(len(wordings)))
        for number in range(self._records):
            asked = [i for i in alive if number < len(rows[i])]
            answers = self._ask([(*wordings[i], rows[i][number]) for i in asked])
            if self.message:
                return [None if i in alive else right[i] / len(rows[i]) for i in range(len(rows))]
            for i, is_right in zip(asked, answers, strict=True):
                right[i] += is_right
                wrong[i] += not is_right
            alive = [i for i in alive if len(rows[i]) - wrong[i] >= least * len(rows[i])]
        return [count / len(known) for count, known in zip(right, rows, strict=True)]

    def _may_compare(self, row: TableRow, column: str) -> bool:
        return self._facts is None or f"{row.row}:{column}" in self._facts

    def _ask(self, questions: Sequence[tuple[str, str, TableRow]]) -> list[bool]:
        """Ask (column, wording, record) and return which answers are right."""
        if not questions:
            return []
        tasks = []
        for number, (column, wording, row) in enumerate(questions):
            text = wording.replace("{key}", key_of(self._table, row, column) or "", 1)
            about = self._context(row) if self._context else None
            tasks.append(LabelTask(str(number), render("s2-qa", text, context=about)))
        run = self._labeler.run(tasks, progress=self._progress)
        self.calls += len(tasks)
        self.message = run.message if run.stopped else ""
        return [
            one.answer is not None
            and says(one.answer.text, row.values[column], self._values[column])
            for one, (column, _, row) in zip(run.results, questions, strict=True)
        ]
