"""Ask the own questions of `stillroom ask`'s asker and of the agents, and compare the verdicts.

    python benchmarks/questions/agents.py                   # with the sentence encoder
    python benchmarks/questions/agents.py --encoder none    # by words alone

Both read the table as it travels with a student. The language model of the agents gives the cell
that it is asked for, so that the verdicts are those of the reading and of the validator. Each
conversation is one thread.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from fuzz_agents import read_tables
from measure import gives
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import FactTable

ASKED = Path(__file__).parent / "asked"
OUTCOMES = ("right", "wrong", "ask_back", "abstained")


def own_outcomes(table: FactTable, encoder: bool) -> Iterator[tuple[dict[str, str], str, str]]:
    """Yield each question of a table with the outcomes of the asker and of the agents."""
    reader = TableReader(table) if encoder else TableReader(table, encoder=None)

    def reply(prompt: str) -> str:
        match = reader.read(prompt.removeprefix("Question: ").removesuffix("\n\nAnswer:")).match
        return ", ".join(match.values()) if match is not None else ""

    workflow = MultiAgentWorkflow(
        None, chat_model=ScriptedModel(reply), table=table, grounding=Grounding(reader),
        checkpointer="memory",
    )  # fmt: skip
    decimal = reader.typed.columns[0].decimal
    before = {}
    with (ASKED / table.source).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            told = reader.asker.ask(row["question"], before.get(row["thread"]))
            if row["thread"] and told.context is not None:
                before[row["thread"]] = told.context
            said = workflow.explain(row["question"], thread_id=row["thread"] or row["n"])
            verdict = "answered" if said["verdict"] == "agrees" else said["exit"]
            found = [told.answer, (said["response"],)]
            verdicts = [told.verdict, verdict]
            yield (
                row,
                *(
                    _outcome(one, answer, row, decimal)
                    for one, answer in zip(verdicts, found, strict=True)
                ),
            )


def _outcome(verdict: str, answer: tuple[str, ...], row: dict[str, str], decimal: str) -> str:
    if verdict != "answered":
        return verdict
    good = row["verdict"] == "answered" and gives(answer, row["answer"], decimal)
    return "right" if good else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="minilm", help="none for words alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    counts: dict[tuple[str, str], Counter[str]] = {}
    for table in read_tables():
        for row, asker, agents in own_outcomes(table, args.encoder != "none"):
            counts.setdefault((row["verdict"], "asker"), Counter())[asker] += 1
            counts.setdefault((row["verdict"], "agents"), Counter())[agents] += 1
            if asker != agents:
                print(f"{table.source}: asker {asker}, agents {agents}: {row['question']}")
    for (kind, who), found in counts.items():
        told = ", ".join(f"{name} {found[name]}" for name in sorted(found, key=OUTCOMES.index))
        print(f"to be {kind}, {who}: {told}")


if __name__ == "__main__":
    main()
