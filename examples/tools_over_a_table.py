"""Run an agent that calls tools over a table: it looks up values and compares records.

    python examples/tools_over_a_table.py                          # the calls are scripted
    python examples/tools_over_a_table.py outputs/elements/student

With a student, its own table is used. Every call is valid whatever the student has learned, because
decoding is constrained to the parameters of the tools, and records and columns are closed lists.
Which record it chooses depends on what it has learned.
"""

import argparse
import csv
import sys

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.distilled_agent import open_student, open_table
from stillroom.agentic_workflow.nodes.tool_node import tool_agent
from stillroom.agentic_workflow.record_search.table_tool import table_tools
from stillroom.errors import StillroomError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.pipeline.main_job.settings import ELEMENTS
from stillroom.tables import Column, FactTable, TableRow

COLUMNS = {"symbol": "symbol", "atomic_mass": "atomic mass", "period": "period"}


def read_table() -> FactTable:
    with ELEMENTS.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    return FactTable(
        source=ELEMENTS.name,
        kind="facts",
        key="name",
        columns=tuple(Column(name, label, ()) for name, label in COLUMNS.items()),
        rows=tuple(
            TableRow(number, record["name"], {name: record[name] for name in COLUMNS})
            for number, record in enumerate(records, 1)
        ),
    )


def scripted() -> ScriptedModel:
    """Stand for a student: a call that goes wrong, which it is told, and one that does not."""
    wrong = {"first": "Gold", "second": "Silber", "column": "atomic_mass"}
    calls = [wrong, {**wrong, "second": "Silver"}]
    return ScriptedModel(
        [
            AIMessage("", tool_calls=[{"name": "compare_records", "args": args, "id": str(number)}])
            for number, args in enumerate(calls)
        ]
    )


def make_workflow(model: BaseChatModel, table: FactTable) -> MultiAgentWorkflow:
    workflow = MultiAgentWorkflow(model, table=table)
    compare = tool_agent(model, table_tools(table), first_call="compare_records", most_calls=3)
    workflow.add_agent("compare", "compares two records", compare, words=["compare"])
    return workflow


def compare(student: str | None) -> None:
    model = open_student(student) if student else scripted()
    table = (open_table(student) if student else None) or read_table()
    first, second = [row.key for row in table.rows if row.key in ("Gold", "Silver")] or (
        table.rows[0].key, table.rows[-1].key
    )  # fmt: skip
    labels = [column.label for column in table.columns]
    column = "atomic mass" if "atomic mass" in labels else labels[0]
    question = f"Compare the {column} of {first} and {second}"
    told = make_workflow(model, table).explain(question)
    print(question)
    for step in told["steps"]:
        print(f"{step['node']:>12}: {step['what']}: {step['detail']}")
    print(told["response"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", help="checkpoint folder; scripted by default")
    given = parser.parse_args()
    try:
        compare(given.student)
    except StillroomError as fault:
        sys.exit(str(fault))
