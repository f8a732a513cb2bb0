"""Compare routing by scored labels with routing by generated labels, with the same model.

    python benchmarks/routing.py           # trains a router first; writes results/routing.md
    python benchmarks/routing.py --router outputs/router/model
    python benchmarks/routing.py --steps 60 --fuzz 500 --most 200   # a quick look, writes nothing

One small model is trained from scratch on two sets of requests: banking77 (77 intents, a tenth of
the requests held out) and requests for the three built-in agents (wordings and records held out).
Then each held-out request is routed twice: by the scores of the names (`label_route`), and by the
name that the model generates, which must be exactly one of the names.

The fuzzed requests are hostile: empty texts, control characters, special tokens, prompts that
imitate ours, names of routes that do not exist, very long texts.
"""

from __future__ import annotations

import argparse
import csv
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from langchain_core.messages import HumanMessage
from processor import processor
from routing_requests import BUILT_IN_NAMES, built_in_requests, fuzzed
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.model_calls.context_budget import context_budget, cut_to_fit
from stillroom.agentic_workflow.model_calls.deadlines import RunContext
from stillroom.agentic_workflow.nodes.agent_nodes import route_request
from stillroom.agentic_workflow.nodes.toolbox import Tools
from stillroom.agentic_workflow.policy import AnswerPolicy, Correction
from stillroom.agentic_workflow.routing import (
    BUILT_IN,
    AgentRoute,
    label_route,
    route_prompt,
    routing_examples,
    task_router,
)
from stillroom.agentic_workflow.workflow_input import whole_characters
from stillroom.distillation.settings import DistillationConfig
from stillroom.distillation.starter_student import StarterSize, train_starter
from stillroom.files import write_text
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.rate_interval import wilson_interval
from stillroom.records import Example, split_position

RESULTS = Path(__file__).parent / "results" / "routing.md"
BANKING = Path("../shared/data/banking77/train.csv")
NAUGHTY = Path("../shared/data/naughty-strings/blns.json")
HELD_OUT = 0.1
DEADLINE_S = 1.0
ADDED = (
    AgentRoute("weather", "tells the weather", ("rain",)),
    AgentRoute("translate", "translates a text into another language"),
)
Requests = dict[str, list[str]]


@dataclass
class Score:
    """How one set was routed in one way."""

    way: str
    right: int
    unknown: int
    asked: int
    ms: float

    @property
    def row(self) -> str:
        low, high = wilson_interval(self.right, self.asked)
        return (
            f"{self.way} | {100 * self.right / self.asked:.1f} % ({100 * low:.1f} to "
            f"{100 * high:.1f}) | {self.unknown} | {self.asked:,} | {self.ms:.1f}"
        )


def banking(path: Path) -> tuple[tuple[AgentRoute, ...], Requests, Requests]:
    """Read the 77 intents as routes, and their requests in two parts."""
    train: Requests = {}
    test: Requests = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["category"].strip("?_ ").replace("?", "")[:40]
            part = test if split_position(row["text"]) < HELD_OUT else train
            part.setdefault(name, []).append(row["text"])
    routes = tuple(AgentRoute(name, name.replace("_", " ")) for name in sorted(train))
    return routes, train, test


def train_router(examples: Sequence[Example], folder: Path, steps: int, seed: int) -> float:
    """Train a router from scratch; give the seconds it took."""
    began = time.monotonic()
    rng, batch = random.Random(seed), 64
    stream: list[Example] = []
    while len(stream) < steps * batch:
        again = rng.sample(list(examples), len(examples))
        stream += [replace(example, id=f"{example.id}:{len(stream)}") for example in again]
    config = DistillationConfig(
        teacher_model_name="starter",
        student_model_name="starter",
        alpha=0.0,
        batch_size=batch,
        num_epochs=1,
        learning_rate=4.8e-3,
        matrix_learning_rate=2.4e-3,
        optimizer="muon",
        warmup_ratio=0.02,
        max_steps=steps,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=0.6,
        max_length=512,
        seed=seed,
        device="cpu",
        too_long="truncate",
        output_dir=str(folder),
    )
    size = StarterSize(layers=2, vocabulary=1500)
    distiller, _ = train_starter(stream[: steps * batch], config, size=size)
    distiller.save_distilled_model(folder)
    return time.monotonic() - began


def by_scores(
    requests: Requests, routes: Sequence[AgentRoute], model: ChatStudent, correction: Correction
) -> tuple[Score, list[tuple[float, bool]]]:
    """Route by the scores of the names; give also (probability, right) of each request."""
    told, names = [], {route.name for route in routes}
    unknown, began = 0, time.monotonic()
    for name, queries in requests.items():
        for query in queries:
            choice = label_route(query, routes, model, correction=correction)
            unknown += choice.name not in names
            told.append((choice.probability or 0.0, choice.name == name))
    ms = 1000 * (time.monotonic() - began) / len(told)
    way = f"scored, correction `{correction}`"
    return Score(way, sum(right for _, right in told), unknown, len(told), ms), told


def by_words(requests: Requests, routes: Sequence[AgentRoute], model: ChatStudent) -> Score:
    """Let the model write the name, one request after the other as a router would."""
    names = {route.name for route in routes}
    examples = routing_examples(requests, routes, model)
    began = time.monotonic()
    said = [str(model.invoke(e.prompt).text).strip() for e in examples]
    ms = 1000 * (time.monotonic() - began) / len(examples)
    right = sum(name == e.target for name, e in zip(said, examples, strict=True))
    unknown = sum(name not in names for name in said)
    return Score("generated", right, unknown, len(examples), ms)


def risk_at(told: Sequence[tuple[float, bool]], least: float) -> str:
    """Say what stating a least probability does: how many are routed, and how many of them well."""
    kept = [right for probability, right in told if probability >= least]
    share = f"{100 * sum(kept) / len(kept):.1f} %" if kept else "none"
    return f"| {least:.0%} | {100 * len(kept) / len(told):.1f} % | {share} |"


def fuzz(count: int, model: ChatStudent, seed: int) -> tuple[int, int, float]:
    """Route hostile requests; give unknown routes, "cannot tell" and milliseconds."""
    policy = AnswerPolicy(route_confidence=0.5, route_correction="none")
    tools = Tools(model, routes=ADDED, policy=policy)
    known = {"qa", "summarize", "validate", "clarify", *(route.name for route in ADDED)}
    way_out = task_router([route.name for route in ADDED], clarifies=True)
    unknown = unclear = 0
    began = time.monotonic()
    for query in fuzzed(count, NAUGHTY, seed):
        state = {"messages": [HumanMessage(whole_characters(query))]}
        task = way_out({**state, **route_request(state, tools)})  # type: ignore[arg-type, typeddict-item]
        unknown += task not in known
        unclear += task == "clarify"
    return unknown, unclear, 1000 * (time.monotonic() - began) / count


def fuzz_by_words(count: int, model: ChatStudent, seed: int) -> int:
    """Let the model write a route for hostile requests; give how many are no route."""
    routes = (*BUILT_IN, *ADDED)
    names = {route.name for route in routes}
    budget = context_budget(model)
    assert budget is not None
    prompts = [
        route_prompt(
            routes, cut_to_fit(query, lambda part: budget.fits(route_prompt(routes, part)))
        )
        for query in fuzzed(count, NAUGHTY, seed)
    ]
    said = model.batch(prompts, {"max_concurrency": 32})
    return sum(str(message.text).strip() not in names for message in said)


def late_by() -> list[float]:
    """Measure how late runs end whose validator hangs, as shares of their deadline."""
    release, late = threading.Event(), []

    class Hanging(MultiAgentWorkflow):
        def _validator_node(self, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            release.wait(60)

    workflow = Hanging(None, chat_model=ScriptedModel(lambda prompt: "x"))
    workflow.run("warm up", limits=RunContext(deadline_s=0.1))
    for _ in range(10):
        began = time.monotonic()
        workflow.run("symbol?", limits=RunContext(deadline_s=DEADLINE_S))
        late.append((time.monotonic() - began) / DEADLINE_S - 1.0)
    release.set()
    return sorted(late)


def few(requests: Requests, most: int | None, seed: int) -> Requests:
    """Keep so many requests, the same ones in every run."""
    pairs = [(name, query) for name, queries in requests.items() for query in queries]
    kept = random.Random(seed).sample(pairs, min(most or len(pairs), len(pairs)))
    found: Requests = {}
    for name, query in kept:
        found.setdefault(name, []).append(query)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--router", type=Path, help="a router trained before")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--fuzz", type=int, default=10_000)
    parser.add_argument("--most", type=int, help="held-out requests of each set; all by default")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    routes, train, test = banking(BANKING)
    known, new = built_in_requests(args.seed)
    folder = args.router or Path("outputs/router/model")
    trained = "given"
    if args.router is None:
        examples = [*routing_examples(train, routes), *routing_examples(known, BUILT_IN)]
        took = train_router(examples, folder, args.steps, args.seed)
        trained = f"{args.steps} steps, {took:.0f} s"
        print(f"trained in {took:.0f} s on {len(examples):,} requests")
    model = ChatStudent(model=str(folder), max_tokens=32)
    late = late_by()
    lines = []
    clear = ""
    for title, requests, among in (
        ("banking77, 77 routes", few(test, args.most, 1), routes),
        (f"the built-in three: {', '.join(BUILT_IN_NAMES)}", few(new, args.most, 1), BUILT_IN),
    ):
        scored, told = by_scores(requests, among, model, "none")
        prior, _ = by_scores(few(requests, 300, 2), among, model, "prior")
        for score in (scored, prior, by_words(requests, among, model)):
            lines.append(f"| {title} | {score.row} |")
            print(lines[-1], flush=True)
        if among is routes:
            clear = "\n".join(risk_at(told, least) for least in (0.0, 0.5, 0.7, 0.9))
            print(clear)
    unknown, unclear, fuzz_ms = fuzz(args.fuzz, model, args.seed)
    written = min(500, args.fuzz)
    strays = fuzz_by_words(written, model, args.seed)
    report = f"""# Routing by scored labels

`python benchmarks/routing.py`, {date.today()}, {processor()}, one \
thread, other work on the machine.
Router: 2 layers, {sum(p.numel() for p in model.checkpoint.model.parameters()):,} parameters, from \
scratch ({trained}); the same weights in all rows. In brackets: 95 % Wilson intervals.

| requests | way | accuracy | no known route | requests | ms each |
|---|---|---|---|---|---|
{chr(10).join(lines)}

With a least probability (`AnswerPolicy.route_confidence`), banking77, scored:

| least probability | routed | of these right |
|---|---|---|
{clear}

Fuzzed: {args.fuzz:,} requests, empty and hostile ones included, over five routes: {unknown} \
unknown routes; {unclear:,} ended at "I cannot tell" (less than 50 %); {fuzz_ms:.1f} ms each. What \
the same model wrote for {written:,} of them was no route {strays} times.

A validator that hangs, deadline {DEADLINE_S:g} s, 10 runs: ended {100 * late[0]:.1f} to \
{100 * late[-1]:.1f} % late (bar: 10 %).
"""
    print(report)
    if args.fuzz >= 10_000 and args.most is None:
        write_text(RESULTS, report)
    if unknown or late[-1] > 0.1:
        raise SystemExit("a bar was missed")


if __name__ == "__main__":
    main()
