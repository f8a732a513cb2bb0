"""Running SQL answers in a sandbox, and scores for what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ....errors import ConfigError
from ....labeling.gates.record_values import read_text
from ....labeling.gates.sql_execution import SqlExecution, SqlOutcome, execution_score
from ....labeling.gates.sql_sandbox import SqlLimits, SqlSandbox
from ..step import Record, RowStep, StepOutput
from .fields import read_mark, require_field


class SQLiteExecEval(RowStep):
    """Runs an answer on a SQLite database, read-only and within limits, and compares its rows.

    The answer must be one statement that only reads. Rows count in their order if the outermost
    gold query has ORDER BY. `load` starts a process that runs the SQL, and `unload` ends
    it; without `load` each `process` does both.
    """

    db_path: str | Path
    """SQLite file; it is never changed."""
    sql_field: str = "generation"
    gold_sql_field: str = "gold_sql"
    exec_pass_field: str = "exec_pass"
    """Gets whether the answer ran to its end."""
    exec_error_field: str = "exec_error"
    """Gets null, or `empty_sql`, `multiple_statements`, `not_read_only`, `timeout`,
    `too_many_rows`, `too_large`, `sql_error: <text>`, `not_text`, `not_finite`."""
    gold_match_field: str = "gold_match"
    """Gets whether the rows are those of the gold query; null without one that ran."""
    result_signature_field: str = "result_signature"
    """Gets the hash of the rows; null if the answer failed."""
    gold_error_field: str = "gold_error"
    """Gets why the gold query failed; null if it ran, or if there is none."""
    empty_match_field: str = "empty_match"
    """Gets whether the match is one of two results without rows, which proves nothing."""
    normalize_order: bool = True
    """Whether the order of rows counts only if the gold query asks for one; otherwise always."""
    max_rows: int | None = None
    """Most rows of a result; None sets no limit but that of bytes."""
    cache_gold_results: bool = True
    """Whether the results of gold queries are remembered."""
    max_cached_gold: int = 1024
    """Most gold queries that are remembered, 0 or more."""
    timeout_s: float = 5.0
    """Seconds that a statement may take."""

    def __post_init__(self) -> None:
        """Check the settings; the database is opened by `load`."""
        super().__post_init__()
        self._limits = SqlLimits(timeout_s=self.timeout_s, rows=self.max_rows)
        if self.max_cached_gold < 0:
            raise ConfigError([f"max_cached_gold is {self.max_cached_gold}; allowed: 0 or more"])
        self._sandbox: SqlSandbox | None = None
        self._execution: SqlExecution | None = None

    @property
    def inputs(self) -> list[str]:
        """The answer."""
        return [self.sql_field]

    @property
    def outputs(self) -> list[str]:
        """What was found."""
        return [
            self.exec_pass_field,
            self.exec_error_field,
            self.gold_match_field,
            self.result_signature_field,
            self.gold_error_field,
            self.empty_match_field,
        ]

    def load(self) -> None:
        """Open the database.

        Raises:
            DataNotFoundError: There is no such file.
            UnreadableFileError: It is no SQLite database.
        """
        self._open()

    def unload(self) -> None:
        """End the process that runs the SQL."""
        if self._sandbox is not None:
            self._sandbox.close()
        self._sandbox = self._execution = None

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Run the answers of a batch."""
        with self._loaded():
            batches = list(super().process(*inputs))
        yield from batches

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Run the answers of a batch, each by itself."""
        with self._loaded():
            return super().run_rows(*inputs)

    def apply(self, record: Record) -> Record:
        """Run one answer.

        Raises:
            IdentityError: There is no answer.
            DataError: The database cannot be opened.
        """
        require_field("SQLiteExecEval", record, self.sql_field)
        with self._loaded() as execution:
            outcome = self._evaluate(record, execution)
        return {
            **record,
            self.exec_pass_field: outcome.exec_pass,
            self.exec_error_field: outcome.exec_error,
            self.gold_match_field: outcome.gold_match,
            self.result_signature_field: outcome.result_signature,
            self.gold_error_field: outcome.gold_error,
            self.empty_match_field: outcome.empty_match,
        }

    def _evaluate(self, record: Record, execution: SqlExecution) -> SqlOutcome:
        gold, gold_fault = read_text(record, self.gold_sql_field)
        no_gold = record.get(self.gold_sql_field) is None
        sql, fault = read_text(record, self.sql_field)
        if record[self.sql_field] is None:
            sql = ""
        if sql is None:
            return SqlOutcome(False, fault, None if no_gold or gold is None else False)
        outcome = execution.evaluate(sql, gold)
        if no_gold or gold is not None:
            return outcome
        return SqlOutcome(
            outcome.exec_pass,
            outcome.exec_error,
            gold_error=gold_fault,
            result_signature=outcome.result_signature,
        )

    @contextmanager
    def _loaded(self) -> Iterator[SqlExecution]:
        """Give the open database, or open it for a while."""
        execution = self._execution
        if execution is not None:
            yield execution
            return
        try:
            yield self._open()
        finally:
            self.unload()

    def _open(self) -> SqlExecution:
        self.unload()
        self._sandbox = SqlSandbox(self.db_path, self._limits)
        self._execution = SqlExecution(
            self._sandbox,
            normalize_order=self.normalize_order,
            max_cached_gold=self.max_cached_gold if self.cache_gold_results else 0,
        )
        return self._execution


class ScoreFromExecEval(RowStep):
    """Scores what `SQLiteExecEval` found: matches gold, only runs, or fails.

    Two results without rows match, but this proves nothing: the record scores as one that only
    runs. A record that was not run has no score.

    >>> found = [{"exec_pass": True, "gold_match": True}, {"exec_pass": True, "gold_match": None},
    ...          {"exec_pass": False, "gold_match": False}, {"exec_pass": None, "gold_match": None}]
    >>> [record["teacher_score"] for record in next(ScoreFromExecEval().process(found))]
    [1.0, 0.5, 0.0, None]
    """

    exec_pass_field: str = "exec_pass"
    gold_match_field: str = "gold_match"
    empty_match_field: str = "empty_match"
    """Where it is missing, no match counts as one of empty results."""
    score_field: str = "teacher_score"
    exec_score: float = 0.5
    gold_score: float = 1.0
    fail_score: float = 0.0

    @property
    def inputs(self) -> list[str]:
        """What was found."""
        return [self.exec_pass_field, self.gold_match_field]

    @property
    def outputs(self) -> list[str]:
        """The score."""
        return [self.score_field]

    def apply(self, record: Record) -> Record:
        """Score a record.

        Raises:
            IdentityError: A field is missing.
            DataError: A field holds no truth value.
        """
        for field in self.inputs:
            require_field("ScoreFromExecEval", record, field)
        score = execution_score(
            read_mark(record, self.exec_pass_field),
            read_mark(record, self.gold_match_field),
            empty_match=bool(read_mark(record, self.empty_match_field)),
            exec_score=self.exec_score,
            gold_score=self.gold_score,
            fail_score=self.fail_score,
        )
        return {**record, self.score_field: score}
