"""Combine several agents: one of your own, a router with a confidence, and a validator's trace.

    python examples/multi_agent.py                     # trains a tiny router first, about 10 s
    python examples/multi_agent.py outputs/elements/student

An agent is a name, a description and a node. A router as small as this one is rarely in doubt, so
it also gets requests that fit no agent; below 90 % confidence it asks the user. Without a
checkpoint the answering student is scripted, and makes a mistake for the validator to find.
"""

import argparse
import csv
import sys
from dataclasses import replace

from stillroom.agentic_workflow.agent import AgentState, MultiAgentWorkflow
from stillroom.agentic_workflow.distilled_agent import open_student
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.agentic_workflow.routing import BUILT_IN, AgentRoute, routing_examples
from stillroom.console import quiet_libraries
from stillroom.errors import StillroomError
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.pipeline.main_job.settings import ELEMENTS
from stillroom.tables import Column, FactTable, TableRow

NEIGHBOURS = AgentRoute("neighbours", "names what stands before and after an element")
REQUESTS = {
    "qa": ("What is the symbol of {}?", "Which period is {} in?", "{}: atomic mass?"),
    "summarize": ("Sum up {}.", "Give an overview of {}.", "{} in a few words"),
    "validate": ("Is it true that {} is a metal?", "{} is a gas, right?", "Can {} be a noble gas?"),
    "clarify": ("{}", "{}, please", "I like {}"),
    "neighbours": ("What is next to {}?", "Which elements stand around {}?", "{}: its neighbours?"),
}


def read_table() -> FactTable:
    with ELEMENTS.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    wordings = ("What is the symbol of {key}?", "Which symbol does {key} have?")
    return FactTable(
        source=ELEMENTS.name,
        kind="facts",
        key="name",
        columns=(Column("symbol", "symbol", wordings),),
        rows=tuple(
            TableRow(number, record["name"], {"symbol": record["symbol"]})
            for number, record in enumerate(records, 1)
        ),
    )


def train_router(names: list[str], steps: int) -> ChatStudent:
    """Train a model that does nothing but route; a student of yours can be trained on the same."""
    # Here, because what trains takes seconds to load.
    from stillroom.distillation.settings import DistillationConfig
    from stillroom.distillation.starter_student import StarterSize, train_starter
    from stillroom.inference.checkpoints.load_student import Checkpoint

    requests = {name: [w.format(n) for w in some for n in names] for name, some in REQUESTS.items()}
    examples = routing_examples(requests, (*BUILT_IN, NEIGHBOURS))
    drawn = [examples[7919 * n % len(examples)] for n in range(16 * steps)]
    stream = [replace(example, id=str(number)) for number, example in enumerate(drawn)]
    config = DistillationConfig(
        teacher_model_name="starter", student_model_name="starter", alpha=0.0, batch_size=16,
        num_epochs=1, max_steps=steps, learning_rate=5e-3, matrix_learning_rate=5e-3,
        optimizer="muon", lr_scheduler="warmup_stable_decay", decay_ratio=0.5, device="cpu",
    )  # fmt: skip
    size = StarterSize(layers=1, width=64, heads=1, vocabulary=600)
    trained, _ = train_starter(stream, config, size=size)
    router = Checkpoint(trained.student_model.eval(), trained.tokenizer, None, "router", {})
    return ChatStudent(model=router, max_tokens=16)


def make_workflow(student: str | None, table: FactTable, router: ChatStudent) -> MultiAgentWorkflow:
    names = [row.key for row in table.rows]

    def name_neighbours(state: AgentState) -> dict[str, list[str]]:
        place = next(n for n, name in enumerate(names) if name in state["query"])
        around = names[max(0, place - 1) : place] + names[place + 1 : place + 2]
        return {"results": [*state["results"], " and ".join(around)]}

    scripted = ScriptedModel(lambda prompt: "Ag" if "the symbol" in prompt else "Au")
    workflow = MultiAgentWorkflow(
        student,
        chat_model=None if student else scripted,
        table=None if student else table,
        policy=AnswerPolicy(router=router, route_correction="none", route_confidence=0.9),
    )
    workflow.add_agent(NEIGHBOURS.name, NEIGHBOURS.description, name_neighbours)
    return workflow


def ask(student: str | None, steps: int) -> None:
    quiet_libraries()
    table = read_table()
    if student:
        open_student(student)  # a wrong folder is said before the router is trained
    router = train_router([row.key for row in table.rows], steps)
    workflow = make_workflow(student, table, router)

    for question in ("What is next to Gold?", "What is the symbol of Gold?", "Gold, please"):
        told = workflow.explain(question)
        sure = told["route_probability"]
        print(f"\n{question}\n  {told['response']}  [{told['exit']}]")
        print(f"  route {told['task_type']}" + (f", {sure:.0%} sure" if sure is not None else ""))
        for step in told["steps"]:
            print(f"  {step['node']:>12}: {step['what']}: {step['detail']}")
    print()
    print(workflow.get_graph().draw_mermaid())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", nargs="?", help="checkpoint folder; scripted by default")
    parser.add_argument("--steps", type=int, default=200, help="of the router's training")
    given = parser.parse_args()
    if given.steps < 1:
        parser.error(f"--steps is {given.steps}; allowed is 1 or more")
    try:
        ask(given.student, given.steps)
    except StillroomError as fault:
        sys.exit(str(fault))
