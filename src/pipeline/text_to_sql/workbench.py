"""The databases of a run as SQLite files, with a grammar and a sandbox for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ...data.text_to_sql.build_database import build_database
from ...data.text_to_sql.database import Database
from ...inference.constrained.grammar import Grammar
from ...inference.constrained.sql_grammar import read_sql_schema, sql_grammar
from ...labeling.gates.sql_cleaner import clean_sql_output
from ...labeling.gates.sql_execution import SqlExecution, SqlOutcome
from ...labeling.gates.sql_sandbox import SqlLimits, SqlSandbox

Record = Mapping[str, Any]


class Workbench:
    """Runs the SQL of records on the database that each is about."""

    def __init__(self, databases: Iterable[Database], folder: Path) -> None:
        """Build the files that are missing; sandboxes start with their first statement."""
        paths = {one.name: folder / f"{one.name}.sqlite" for one in databases}
        for database in databases:
            if not paths[database.name].is_file():
                build_database(database, paths[database.name])
        self._grammars = {name: sql_grammar(read_sql_schema(path)) for name, path in paths.items()}
        self._sandboxes = {name: SqlSandbox(path, SqlLimits()) for name, path in paths.items()}
        self._executions = {name: SqlExecution(box) for name, box in self._sandboxes.items()}

    def __enter__(self) -> Workbench:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the sandboxes."""
        for sandbox in self._sandboxes.values():
            sandbox.close()

    def grammars(self, records: Sequence[Record]) -> list[Grammar]:
        """Give the grammar of each record's answer: SELECT over the names of its database."""
        return [self._grammars[record["table_id"]] for record in records]

    def judge(self, record: Record, generation: str) -> tuple[str, SqlOutcome]:
        """Clean what a model wrote, run it, and compare its rows with those of the gold query."""
        sql = clean_sql_output(generation)
        return sql, self._executions[record["table_id"]].evaluate(sql, record["gold_sql"])
