"""A gate that runs a SQL answer, and compares its rows with those of the gold query."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from .record_values import read_text
from .result_rows import ResultKey, result_key, result_signature
from .sql_sandbox import SqlSandbox
from .sql_statements import split_statements
from .verdict import OK, Verdict

_READS: Final = frozenset({"SELECT", "WITH", "VALUES"})
_OTHERS: Final = frozenset({
    "ALTER", "ANALYZE", "ATTACH", "BEGIN", "COMMIT", "CREATE", "DELETE", "DETACH", "DROP", "END",
    "EXPLAIN", "INSERT", "PRAGMA", "REINDEX", "RELEASE", "REPLACE", "ROLLBACK", "SAVEPOINT",
    "UPDATE", "VACUUM",
})  # fmt: skip
"""First words of SQLite's other statements (sqlite.org/lang.html)."""


@dataclass(frozen=True)
class SqlOutcome:
    """What running a candidate and its gold query gave."""

    exec_pass: bool
    """Whether the candidate is one statement that only reads and that ended within the limits."""
    exec_error: str | None = None
    """None, or `empty_sql`, `multiple_statements`, `not_read_only`, `timeout`, `too_many_rows`,
    `too_large`, `sql_error: <text>`."""
    gold_match: bool | None = None
    """Whether the rows are those of the gold query; None without a gold query that ran."""
    gold_error: str | None = None
    """Why the gold query failed, as `exec_error`."""
    result_signature: str | None = None
    """Hash of the candidate's rows; None if it failed."""
    empty_match: bool = False
    """Whether both results have no rows: they match, but this proves nothing."""


class SqlExecution:
    """Runs candidates and gold queries in one sandbox, and remembers what gold queries gave."""

    def __init__(
        self, sandbox: SqlSandbox, *, normalize_order: bool = True, max_cached_gold: int = 1024
    ) -> None:
        """Take the sandbox.

        Args:
            sandbox: Runs the statements.
            normalize_order: Whether the order of rows counts only if the outermost gold query has
                ORDER BY; otherwise it always does.
            max_cached_gold: Most gold queries whose result is remembered, 0 or more.
        """
        self._sandbox = sandbox
        self._normalize_order = normalize_order
        self._max_cached = max_cached_gold
        self._gold: OrderedDict[str, _Ran] = OrderedDict()

    def evaluate(self, sql: str, gold_sql: str | None = None) -> SqlOutcome:
        """Run a candidate, and its gold query if there is one.

        Raises:
            DataError: The database cannot be opened.
        """
        ran = self._run(sql)
        gold = None if gold_sql is None else self._run_gold(gold_sql, sql, ran)
        gold_error = None if gold is None else gold.error
        if ran.key is None:
            failed_against = gold is not None and gold_error is None
            return SqlOutcome(False, ran.error, False if failed_against else None, gold_error)
        if gold is None or gold.key is None:
            return SqlOutcome(True, None, None, gold_error, ran.signature)
        ordered = gold.ordered or not self._normalize_order
        same = ran.key.matches(gold.key, ordered=ordered)
        empty = ran.key.count == gold.key.count == 0
        return SqlOutcome(True, None, same, None, ran.signature, empty)

    def _run_gold(self, gold_sql: str, sql: str, ran: _Ran) -> _Ran:
        if gold_sql == sql:  # also where a query is not the same twice, as with random()
            return ran
        if gold_sql in self._gold:
            self._gold.move_to_end(gold_sql)
            return self._gold[gold_sql]
        gold = self._run(gold_sql)
        if gold.error != "timeout":  # which may have been a busy machine
            self._gold[gold_sql] = gold
            while len(self._gold) > self._max_cached:
                self._gold.popitem(last=False)
        return gold

    def _run(self, sql: str) -> _Ran:
        if len(sql) > self._sandbox.limits.characters:
            return _Ran("too_large")
        statements = split_statements(sql)
        if len(statements) != 1:
            return _Ran("multiple_statements" if statements else "empty_sql")
        (statement,) = statements
        if statement.keyword in _OTHERS:
            return _Ran("not_read_only")
        result = self._sandbox.run(statement.text)
        if result.rows is None:
            return _Ran(result.error)
        if statement.keyword not in _READS:
            return _Ran("not_read_only")
        signature = result_signature(result.rows, normalize_order=self._normalize_order)
        return _Ran(None, result_key(result.rows), signature, statement.ordered)


@dataclass(frozen=True)
class _Ran:
    """One statement that ran or failed."""

    error: str | None
    key: ResultKey | None = None
    signature: str | None = None
    ordered: bool = False


@dataclass(frozen=True)
class ExecutionGate:
    """Passes SQL that runs and does not contradict its gold query."""

    execution: SqlExecution
    sql_field: str = "generation"
    gold_sql_field: str = "gold_sql"
    require_gold: bool = False
    """Whether a record fails without a gold query that ran."""
    name: str = "execution"

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Run a record's SQL.

        Returns:
            A verdict with `ok`; an `exec_error`; `gold_mismatch`; `empty_match` (passed: both
            results are empty); `gold_error: <exec_error>` (passed unless gold is required); or
            `missing <field>`, `not_finite`, `not_text`. The facts are those of `SqlOutcome`.

        Raises:
            DataError: The database cannot be opened.
        """
        sql, reason = read_text(record, self.sql_field)
        if sql is None:
            return Verdict(self.name, False, reason)
        gold_sql, reason = read_text(record, self.gold_sql_field)
        outcome = self.execution.evaluate(sql, gold_sql)
        if gold_sql is None and record.get(self.gold_sql_field) is not None:
            outcome = replace(outcome, gold_error=reason)
        passed, reason = judge_outcome(outcome, require_gold=self.require_gold)
        return Verdict(self.name, passed, reason, asdict(outcome))


def judge_outcome(outcome: SqlOutcome, *, require_gold: bool = False) -> tuple[bool, str]:
    """Say whether an outcome passes, and why.

    >>> judge_outcome(SqlOutcome(True, gold_match=True, empty_match=True))
    (True, 'empty_match')
    """
    if not outcome.exec_pass:
        return False, outcome.exec_error or "not_evaluated"
    if outcome.gold_error is not None:
        return not require_gold, f"gold_error: {outcome.gold_error}"
    if outcome.gold_match is None:
        return (False, "missing gold_sql") if require_gold else (True, OK)
    if not outcome.gold_match:
        return False, "gold_mismatch"
    return True, "empty_match" if outcome.empty_match else OK


def execution_score(
    exec_pass: bool | None,
    gold_match: bool | None,
    *,
    empty_match: bool = False,
    exec_score: float = 0.5,
    gold_score: float = 1.0,
    fail_score: float = 0.0,
) -> float | None:
    """Score an outcome: matches gold, only runs, or fails; None if it was not run.

    An empty result that matches an empty one is no proof, and scores as one that only runs.

    >>> execution_score(True, True), execution_score(True, True, empty_match=True)
    (1.0, 0.5)
    >>> execution_score(False, None), execution_score(None, None) is None
    (0.0, True)
    """
    if exec_pass is None:
        return None
    if exec_pass and gold_match and not empty_match:
        return gold_score
    return exec_score if exec_pass else fail_score
