"""Answer with citations of table cells, and abstain if the table does not hold the answer.

    python examples/grounded_answers.py                          # the student of `make demo`
    python examples/grounded_answers.py outputs/mine/student "What is the capital of Peru?"

The table is stored in DuckDB beside the student. Questions are looked up in it before the student
is asked, and the numbers of an answer are compared with the cited cells. Questions that need
counting or comparing are answered by read-only SQL.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.distilled_agent import open_table
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding, open_grounding
from stillroom.agentic_workflow.record_search.sql_tool import RecordSql
from stillroom.errors import StillroomError
from stillroom.inference.scoring.embeddings import StudentEmbeddings
from stillroom.tables import FactTable

STUDENT = Path("outputs/elements/student")


def questions_for(table: FactTable) -> list[str]:
    """Ask for a cell that is there, a name one letter off, a column that is not there."""
    row = next(row for row in table.rows if row.values)
    label = next(column.label for column in table.columns if column.name in row.values)
    wrong = row.key + row.key[-1]
    return [
        f"Could you look up the {label} of {row.key}?",
        f"Summarize {row.key}",
        f"What is the {label} of {wrong}?",
        f"What is the phone number of {row.key}?",
    ]


def show(question: str, final: dict[str, Any]) -> None:
    print(f"you      {question}\nstudent  {final['response']}  ({final['verdict']})")
    for cell in final["citations"]:
        print(f"         {cell['table']}, row {cell['row']}, {cell['column']}: {cell['value']}")
    print()


def call_sql(grounding: Grounding, table: FactTable) -> None:
    """Call the tool as an agent would: with arguments, for JSON. Whatever writes is refused."""
    assert grounding.retriever is not None
    store = grounding.retriever.store
    values = {c.name: {row.values.get(c.name) for row in table.rows} for c in table.columns}
    name = store.columns[min(values, key=lambda column: len(values[column]))].replace('"', '""')
    tool = RecordSql(store).as_tool()
    for sql in (
        f'select "{name}", count(*) as records from records group by all order by 2 desc, 1',
        "drop table records",
    ):
        print(f"{tool.name}  {sql}\n             {json.loads(tool.invoke({'sql': sql}))}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", type=Path, default=STUDENT)
    parser.add_argument("questions", nargs="*")
    given = parser.parse_args()
    table = open_table(given.student)
    if table is None:
        sys.exit(f"{given.student}: there is no student with a table; run `make demo` first")
    try:
        grounding = open_grounding(table, StudentEmbeddings(given.student))
        workflow = MultiAgentWorkflow(given.student, grounding=grounding)
    except StillroomError as fault:
        sys.exit(str(fault))
    for question in given.questions or questions_for(table):
        show(question, workflow.explain(question))
    call_sql(grounding, table)


if __name__ == "__main__":
    main()
