"""The tools: ask the workflow; describe, search, look up, compare and query the table.

All only read. `ask` is a turn of the service, so it is admitted, limited and recorded as any turn;
the others touch the table alone.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field

from ...tables import FactTable
from ..http.service import Service
from ..record_search.duckdb_store import RecordStore
from ..record_search.sql_tool import RecordSql
from ..record_search.table_tool import table_tools
from ..text_matching import fold

MOST_FOUND = 50
"""Most records of one search."""
Call = Callable[[str, dict[str, Any]], Awaitable["dict[str, Any] | str"]]


@dataclass(frozen=True)
class ServedTool:
    """One tool."""

    name: str
    description: str
    arguments: type[BaseModel]
    call: Call
    """Function from the caller's name and the checked arguments to the result."""
    result: type[BaseModel] | None = None
    """The result's form, where it is an object."""


class Ask(BaseModel):
    """Arguments of `ask`."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=20_000, description="a question or a task")
    context: str = Field(
        default="", max_length=200_000, description="a text that the answer is to be found in"
    )
    thread_id: str | None = Field(
        default=None, description="a conversation to go on with; none remembers nothing"
    )


class Cell(BaseModel):
    """A cell of the table that supports an answer."""

    table: str
    row: int
    key: str
    column: str
    value: str


class Reply(BaseModel):
    """Result of `ask`."""

    response: str
    verdict: str | None = Field(description="agrees, disagrees, unverified or abstained")
    reason: str = Field(description="why, in one sentence")
    citations: list[Cell]
    confidence: float | None = Field(description="probability that the answer is right")
    answered_by: str = Field(description="student, teacher or table")
    exit: str = Field(description="how the turn ended")
    choices: list[str] = Field(
        description="readings that are asked back about; ask with one of them in the same thread"
    )
    run_id: str
    model: str
    prompt_sha256: str
    checkpoint_sha256: str


class Nothing(BaseModel):
    """A tool without arguments."""

    model_config = ConfigDict(extra="forbid")


class Find(BaseModel):
    """Arguments of `find_records`."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=1000, description="part of a record's name or of any cell")
    limit: int = Field(default=10, ge=1, le=MOST_FOUND)


class Query(BaseModel):
    """Arguments of `query_table`."""

    model_config = ConfigDict(extra="forbid")
    sql: str = Field(max_length=20_000, description="one SELECT statement, in DuckDB's SQL")


def served_tools(service: Service) -> list[ServedTool]:
    """Make the tools of a service; those of the table where there is one with records."""
    tools = [
        ServedTool(
            "ask",
            "Answer a question, or summarize or check a text. Where the table supports the answer, "
            "its cells are cited; otherwise the answer abstains.",
            Ask,
            lambda owner, given: _ask(service, owner, given),
            Reply,
        )
    ]
    table = service.table
    if table is None or not table.rows or not table.columns:
        return tools
    store = RecordStore.of(table)
    weakref.finalize(service, store.close)  # at the end of the process at the latest
    sql = RecordSql(store)
    about = f"Describe the table {table.source}: key, columns, number of records, questions."
    find = f"Find records of {table.source} by a part of their name or of any cell."
    return [
        *tools,
        ServedTool("describe_table", about, Nothing, _quick(lambda _: _described(table, sql))),
        ServedTool("find_records", find, Find, _quick(lambda given: _found(table, given))),
        ServedTool(
            "query_table",
            f"Run one SELECT statement over the records of {table.source}. {sql.schema()}",
            Query,
            _quick(lambda given: _queried(sql, given["sql"])),
        ),
        *(_from_langchain(tool) for tool in table_tools(table)),
    ]


async def _ask(service: Service, owner: str, given: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    events = service.stream_events(
        service.default_workflow,
        owner,
        given["question"],
        context=given["context"] or None,
        thread_id=given["thread_id"],
    )
    async with aclosing(events) as stream:  # type: ignore[type-var]
        async for event in stream:
            if event["type"] in ("run", "final"):
                told |= event
    return Reply.model_validate(told).model_dump()


def _described(table: FactTable, sql: RecordSql) -> dict[str, Any]:
    return {
        "table": table.source,
        "key": table.key,
        "records": len(table.rows),
        "columns": [{"name": c.name, "label": c.label} for c in table.columns],
        "questions": list(table.examples),
        "sql": sql.schema(),
    }


def _found(table: FactTable, given: dict[str, Any]) -> dict[str, Any]:
    """Find records: those whose name matches come first, in the order of the table."""
    wanted = fold(given["text"].strip())
    named, others = [], []
    for row in table.rows:
        if wanted in fold(row.key):
            named.append(row)
        elif any(wanted in fold(value) for value in row.values.values()):
            others.append(row)
    found = [*named, *others]
    shown = [{"row": row.row, table.key: row.key, **row.values} for row in found[: given["limit"]]]
    return {"records": shown, "found": len(found)}


def _queried(sql: RecordSql, statement: str) -> dict[str, Any]:
    result = sql.query(statement)
    return {"columns": result.columns, "rows": result.rows, "complete": result.complete}


def _quick(function: Callable[[dict[str, Any]], dict[str, Any]]) -> Call:
    """Make a call of a function of the table, in a thread, since a table may be large."""

    async def call(owner: str, given: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(function, given)

    return call


def _from_langchain(tool: BaseTool) -> ServedTool:
    async def call(owner: str, given: dict[str, Any]) -> str:
        return str(await asyncio.to_thread(tool.invoke, given))

    schema: Any = tool.args_schema
    return ServedTool(tool.name, tool.description, schema, call)
