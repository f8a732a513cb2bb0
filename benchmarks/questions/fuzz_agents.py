"""Ask the agents fuzzed questions: no answer may name a column, row or value that does not exist.

    python benchmarks/questions/fuzz_agents.py              # 10,000 questions over six tables
    python benchmarks/questions/fuzz_agents.py --count 500 --encoder

Questions are random sequences of words of the table and other words, names with a wrong letter,
numbers, other scripts, markup and SQL. The language model of the agents answers at random. Accepted
answers must have citations, each citation must be an unchanged cell of the table, and an answer
must consist of its cells, or be a computed number, yes or no. The exit status is 1 at the first
fault.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from pathlib import Path

from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import FactTable
from stillroom.understanding.table.values import fold, to_number

TABLES = Path(__file__).parent / "tables"
ELSEWHERE = (
    "phlogiston", "Atlantis", "price of", "Ω≈ç√", "北京的", "ประชากร", "'; drop table records; --",
    "<script>alert(1)</script>", "{key}", "null", "nan", "-1e309", "0x7f", "1/0", "\u202e", "%s",
    "rows where", "select * from", "😀", "the the the", "not", "none of", "as well as", "1.234,56",
)  # fmt: skip
GLUE = (
    "what is the", "of", "and", "how many", "which", "is", "highest", "lowest", "most", "average",
    "between", "than", "more", "the", "in", "before", "after", "first", "last", "?", "not", "who",
)  # fmt: skip


def read_tables() -> list[FactTable]:
    """Read the benchmark's own tables as they would travel with a student."""
    found = []
    for path in sorted(TABLES.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            mark = ";" if ";" in file.readline() else ","
            file.seek(0)
            records = list(csv.DictReader(file, delimiter=mark))
        found.append(build_question_set(records, profile_table(records, source=path.name)).table)
    return found


def make_question(table: FactTable, rng: random.Random) -> str:
    """Make one question of words of the table, of glue, and of what is nowhere."""
    row, column = rng.choice(table.rows), rng.choice(table.columns)
    parts = [rng.choice(GLUE) for _ in range(rng.randrange(4))]
    parts += rng.sample([row.key, column.label, *row.values.values()], rng.randrange(1, 3))
    if rng.random() < 0.4:
        parts.append(rng.choice(ELSEWHERE))
    if rng.random() < 0.3:
        parts.append(str(rng.randrange(-5, 3000)))
    if rng.random() < 0.5:
        rng.shuffle(parts)
    text = " ".join(parts)
    if rng.random() < 0.2 and len(text) > 3:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice("aeiou xz'\"-") + text[at + rng.randrange(2) :]
    return text


def faults_of(workflow: MultiAgentWorkflow, table: FactTable, question: str) -> list[str]:
    """Ask a question; list what of the answer does not exist."""
    final = workflow.explain(question)
    cells = {(row.row, table.key): row.key for row in table.rows}
    cells |= {(row.row, name): text for row in table.rows for name, text in row.values.items()}
    faults = [
        f"cites {cited}"
        for cited in final["citations"]
        if cells.get((cited["row"], cited["column"])) != cited["value"]
    ]
    if final["verdict"] != "agrees":
        return faults
    if not final["citations"] and final["response"] not in ("0", "no"):
        faults.append(f"{final['response']!r} cites nothing")
    if final["answered_by"] == "table" and not _is_computed(final["response"]):
        known = {fold(text) for text in cells.values()}
        left = fold(final["response"])
        for text in sorted(known, key=len, reverse=True):
            left = left.replace(text, "") if text else left
        if left.strip(", "):
            faults.append(f"{final['response']!r} is in no cell")
    return faults


def _is_computed(answer: str) -> bool:
    return answer in ("yes", "no") or to_number(answer) is not None or "e+" in answer


def workflow_of(table: FactTable, rng: random.Random, encoder: bool) -> MultiAgentWorkflow:
    """Make agents over a table whose language model answers with anything."""
    values = [text for row in table.rows for text in (row.key, *row.values.values())]
    model = ScriptedModel(lambda prompt: rng.choice([*rng.sample(values, 3), "42", "Atlantis", ""]))
    reader = TableReader(table) if encoder else TableReader(table, encoder=None)
    return MultiAgentWorkflow(None, chat_model=model, table=table, grounding=Grounding(reader))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", action="store_true", help="with the sentence encoder")
    args = parser.parse_args()
    rng, tables = random.Random(args.seed), read_tables()
    workflows = [workflow_of(table, rng, args.encoder) for table in tables]
    for number in range(args.count):
        place = number % len(tables)
        question = make_question(tables[place], rng)
        found = faults_of(workflows[place], tables[place], question)
        if found:
            sys.exit(f"{tables[place].source}: {question!r}: {'; '.join(found)}")
    print(f"{args.count:,} questions over {len(tables)} tables: nothing that does not exist")


if __name__ == "__main__":
    main()
