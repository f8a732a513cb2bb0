"""Check wordings by letting a teacher answer them about records whose cells are known.

Right answers show that a wording makes sense. Only records are used for which the teacher answers
the column's own template right, so that no wording is rejected for a fact that the teacher does not
know.
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
"""Least and largest limit of an answer's tokens, which depends on the longest cell."""
Wording = tuple[str, str]
"""Name of a column, and a wording with `{key}`."""
Context = Callable[[TableRow], str | None]
"""Writes the record of a row for the prompt of a teacher that was not trained on the table."""


class WholeOrCut:
    """Wraps a teacher, and reports its truncated answers as complete."""

    def __init__(self, teacher: Teacher) -> None:
        """Wrap a teacher."""
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
    """Asks a teacher wordings about known records, and counts its right answers."""

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
        """Take the settings; see `write_wordings`."""
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
        """Questions asked so far, including cached ones."""
        self.message = ""
        """Why the labeler ended early; empty if it did not."""

    def find_known(self) -> dict[str, list[TableRow]]:
        """Find records for which the teacher answers the columns' own templates right.

        Returns:
            Column -> at most `records` such records.
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
        """Ask wordings about one known record after another, as long as they can be accepted.

        Args:
            wordings: Wordings of columns with at least one known record.
            least: Least share of right answers, 0 to 1.

        Returns:
            For each wording its right answers divided by the known records of its column; None if
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
