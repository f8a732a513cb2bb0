"""Let an agent find a mistake in a table, and correct it only after a person's approval.

    python examples/human_approval.py                  # asks at the keyboard
    python examples/human_approval.py --decision yes   # or no; for scripts

The student is scripted, so no training is needed. The thread is stored in a file, so the decision
may also come later, from another program.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

from stillroom.agentic_workflow.agent import AgenticWorkflow, AgentState
from stillroom.agentic_workflow.nodes.human_approval import (
    Proposal,
    decide,
    pending_approvals,
    with_approval,
)
from stillroom.files import write_text
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.pipeline.main_job.settings import ELEMENTS

Table = list[dict[str, str]]


def read_table(path: Path) -> Table:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Table) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())  # whole or not at all


def make_workflow(table: Path, threads: Path) -> AgenticWorkflow:
    def propose(state: AgentState) -> Proposal | None:
        found = next(row["symbol"] for row in read_table(table) if row["name"] == "Gold")
        answer = state["results"][-1]
        if answer == found:
            return None
        details = {"file": table.name, "record": "Gold", "column": "symbol"}
        return {
            "action": f"correct the symbol of Gold from {found} to {answer}",
            "details": {**details, "old": found, "new": answer},
        }

    def write(state: AgentState, approved: Proposal) -> None:
        rows = read_table(table)
        for row in rows:
            if row["name"] == "Gold":
                row["symbol"] = approved["details"]["new"]
        write_table(table, rows)

    workflow = AgenticWorkflow(
        None, chat_model=ScriptedModel(["Au"]), checkpointer=f"sqlite:///{threads}"
    )
    workflow.add_node("correct_record", with_approval(write, propose, "correct_record"))
    return workflow


def ask(folder: Path, decision: str | None) -> None:
    table, threads = folder / "elements.csv", folder / "threads.db"
    rows = read_table(ELEMENTS)
    for row in rows:
        if row["name"] == "Gold":
            row["symbol"] = "Ag"  # the mistake to be found
    write_table(table, rows)

    workflow = make_workflow(table, threads)
    workflow.run("What is the symbol of Gold?", thread_id="desk")
    (proposal,) = pending_approvals(workflow.graph, "desk")
    print(f"The agent wants to {proposal.action} in {table}.")

    decision = decision or input("Approve? yes or no: ").strip().lower()
    state = decide(workflow.graph, "desk", approve=decision == "yes")
    print(state["steps"][-1]["what"])
    print("Gold:", next(row["symbol"] for row in read_table(table) if row["name"] == "Gold"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("outputs/approval"))
    parser.add_argument("--decision", choices=["yes", "no"])
    given = parser.parse_args()
    try:
        ask(given.folder, given.decision)
    except EOFError:
        sys.exit("\nnobody can be asked here; pass --decision yes or --decision no")
    except OSError as fault:
        sys.exit(f"{given.folder}: cannot be written ({fault.strerror}); pass another --folder")
