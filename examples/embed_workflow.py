"""Ask a student from other Python code.

python examples/embed_workflow.py                          # the student of `make demo`
python examples/embed_workflow.py outputs/mine/student "What is the capital of Peru?"
"""

import argparse
import sys

from stillroom import MultiAgentWorkflow
from stillroom.errors import StillroomError

STUDENT = "outputs/elements/student"


def ask(checkpoint: str, question: str | None) -> None:
    workflow = MultiAgentWorkflow(checkpoint)
    table = workflow.agent.table
    question = question or (table.examples[0] if table and table.examples else "Who are you?")
    print(workflow.run(question)["response"])  # the answer
    why = workflow.explain(question)  # and where it came from
    print(why["verdict"], [(source["row"], source["column"]) for source in why["sources"]])
    for piece in workflow.stream(question):  # the same, as it is made
        print(piece, end="", flush=True)
    print()
    graph = workflow.graph  # LangGraph's own graph: a Runnable, a subgraph, or for Studio
    print(graph.get_graph().draw_mermaid())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", default=STUDENT, help=f"default: {STUDENT}")
    parser.add_argument("question", nargs="?", help="default: one that the table can answer")
    given = parser.parse_args()
    try:
        ask(given.student, given.question)
    except StillroomError as fault:
        sys.exit(str(fault))
