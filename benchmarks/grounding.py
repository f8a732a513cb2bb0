"""Compare answers with and without grounding: citations, supported numbers, abstention.

    python benchmarks/grounding.py elements=outputs/elements/student countries=... albums=... tracks
    python benchmarks/grounding.py elements --questions 40      # a quick look, writes nothing

A name is a table of `grounding_tables`, and the folder after it is its student. Without a folder
the answers are simulated: four of five are right if the table has an answer; if it has none, they
are made up from other cells. This does not measure a student, but what grounding does with one that
is often wrong.

The same questions (`grounding_questions`) are answered in three ways: by the student alone
(`AgenticWorkflow`), by the validating workflow (`MultiAgentWorkflow(grounding=False)`), and by that
workflow with grounding. Right answers are read from the table. Numbers in answers are compared with
the cited cells by code in this file, not by the code under test. With `--write` the results are
written to results/grounding.md, with a picture. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grounding_free import count_free, free_cases, free_lines
from grounding_questions import KINDS, Case, make_cases
from grounding_report import WAYS, draw, write
from grounding_retrieval import retrieval, retrieval_lines
from grounding_tables import NAMES, facts_elsewhere, make_table, other_labels, simulated
from langchain_core.language_models import BaseChatModel
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.distilled_agent import open_student, open_table
from stillroom.agentic_workflow.grounding.answer_check import answers_agree
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding, open_grounding
from stillroom.rate_interval import wilson_interval
from stillroom.tables import FactTable

RESULTS = Path(__file__).parent / "results" / "grounding.md"


@dataclass
class Tally:
    """What one way of answering came to."""

    answerable: int = 0
    accepted: int = 0
    """Answerable questions whose answer was accepted."""
    right: int = 0
    abstained: int = 0
    refused: dict[str, list[int]] = field(default_factory=dict)
    """Kind -> 1 for each question of it that was abstained from, else 0."""
    taken: int = 0
    """Questions without an answer to which an answer was accepted."""
    summaries: int = 0
    summaries_accepted: int = 0
    cited: int = 0
    cited_there: int = 0
    without_citation: int = 0
    """Accepted answers that cite nothing."""
    numbers: int = 0
    supported: int = 0
    seconds: float = 0.0
    misses: list[str] = field(default_factory=list)

    @property
    def refusals(self) -> tuple[int, int]:
        """Questions without an answer: abstained from, and all."""
        found = [one for kind in self.refused.values() for one in kind]
        return sum(found), len(found)


@dataclass(frozen=True)
class Said:
    """A response, however it came about."""

    text: str
    verdict: str
    citations: list[dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """One table, answered in all ways."""

    name: str
    student: str
    """`trained` or `simulated`."""
    table: FactTable
    tallies: dict[str, Tally]
    hits: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Of retrieval; see `grounding_retrieval`."""
    free: dict[str, Counter[str]] = field(default_factory=dict)
    """What became of the questions of `grounding_free`."""


def main() -> None:
    options = _options()
    measured = [_measure_table(*given.partition("=")[::2], options) for given in options.tables]
    for one in measured:
        print("\n".join(["", *section(one)]))
        for line in one.tallies["grounded"].misses[: options.show]:
            print(line)
    verdicts = [line for one in measured for line in judge(one)]
    print("\n".join(["", *verdicts]))
    if options.write:
        write(RESULTS, measured, [section(one) for one in measured], verdicts, options.seed)
        draw(RESULTS.with_suffix(".svg"), measured)
    sys.exit(any(line.startswith("missed") for line in verdicts))


def _measure_table(name: str, folder: str, options: argparse.Namespace) -> Measured:
    if name not in NAMES:
        raise SystemExit(f"there is no table {name!r}; choose from {', '.join(NAMES)}")
    table = open_table(folder) if folder else make_table(name)
    if table is None:
        raise SystemExit(f"{folder} has no table.json")
    cases = make_cases(
        table,
        options.questions,
        options.seed,
        other_labels=other_labels(name, table),
        foreign=facts_elsewhere(name),
    )
    model = open_student(folder) if folder else simulated(table, options.seed)
    embedding = None
    if folder:
        from stillroom.inference.scoring.embeddings import StudentEmbeddings

        embedding = StudentEmbeddings(folder)
    grounding = open_grounding(table, embedding)
    ways = dict(zip(WAYS, ways_of(table, model, grounding), strict=True))
    tallies = {way: measure(cases, table, answer) for way, answer in ways.items()}
    own = free_cases(name, table)
    free = {way: count_free(own, answer) for way, answer in ways.items()}
    student = "trained" if folder else "simulated"
    return Measured(name, student, table, tallies, retrieval(cases, grounding), free)


def ways_of(
    table: FactTable, model: BaseChatModel, grounding: Grounding
) -> tuple[Callable[[str], Said], ...]:
    """Give the three ways of answering a question."""
    return alone(model), validated(model, table, False), validated(model, table, grounding)


def alone(model: BaseChatModel) -> Callable[[str], Said]:
    workflow = AgenticWorkflow(None, chat_model=model)

    def answer(question: str) -> Said:
        text = str(workflow.run(question)["response"])
        silent = not text.strip() or text.lower().startswith("i don't know")
        return Said(text, "abstained" if silent else "agrees", [])

    return answer


def validated(
    model: BaseChatModel, table: FactTable, grounding: Grounding | bool
) -> Callable[[str], Said]:
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, grounding=grounding)

    def answer(question: str) -> Said:
        result = workflow.run(question)
        facts = result["messages"][-1].response_metadata
        text, verdict = str(result["response"]), str(facts.get("verdict") or "abstained")
        if grounding:
            return Said(text, verdict, facts.get("citations", []))
        return Said(text, verdict, [{"row": row} for row in facts.get("rows", [])])

    return answer


def measure(cases: list[Case], table: FactTable, answer: Callable[[str], Said]) -> Tally:
    """Ask every question; count."""
    cells = {row.row: {table.key: row.key, **row.values} for row in table.rows}
    tally = Tally()
    for case in cases:
        began = time.process_time()
        said = answer(case.question)
        tally.seconds += time.process_time() - began
        accepted = said.verdict == "agrees"
        if case.kind == "answerable":
            _count_answer(said, case, accepted, tally)
        elif case.kind == "summary":
            tally.summaries += 1
            tally.summaries_accepted += accepted
        else:
            gone = said.verdict == "abstained"
            tally.refused.setdefault(case.kind, []).append(int(gone))
            tally.taken += accepted
            if not gone:
                tally.misses.append(f"{case.kind}, {said.verdict}: {case.question} -> {said.text}")
        if accepted:
            _count_citations(said, case, cells, tally)
    return tally


def _count_answer(said: Said, case: Case, accepted: bool, tally: Tally) -> None:
    fits = any(answers_agree(said.text, value) for value in case.answers)
    tally.answerable += 1
    tally.accepted += accepted
    tally.abstained += said.verdict == "abstained"
    tally.right += accepted and fits
    if said.verdict == "abstained":
        tally.misses.append(f"abstained: {case.question} -> {said.text}")
    elif accepted and not fits:
        tally.misses.append(f"wrong: {case.question} -> {said.text} not {case.answers}")


def _count_citations(
    said: Said, case: Case, cells: dict[int, dict[str, str]], tally: Tally
) -> None:
    tally.without_citation += not said.citations
    for citation in said.citations:
        row = cells.get(citation["row"], {})
        tally.cited += 1
        tally.cited_there += bool(row) and (
            "column" not in citation or row.get(citation["column"]) == citation["value"]
        )
    # Without citations of cells: all cells of the records that the question is about.
    texts = [c["value"] for c in said.citations if "value" in c]
    if not texts and case.kind in ("answerable", "summary"):
        texts = [text for row in case.rows for text in cells[row].values()]
    held = [number for text in texts for number in _numbers(text)]
    for number in _numbers(said.text):
        tally.numbers += 1
        tally.supported += any(math.isclose(number, h) for h in held)


def _numbers(text: str) -> Iterator[float]:
    for found in re.finditer(r"(?<!\w)\d+(?:[.,]\d+)*", text):
        plain = found.group().replace(",", "")
        if plain.count(".") <= 1:
            yield float(plain)


def judge(one: Measured) -> list[str]:
    """Hold the grounded figures against the bars: a line for each, `holds` or `missed`."""
    tally = one.tallies["grounded"]
    gone, asked = tally.refusals
    bars = [
        ("accepted answers that cite", tally.accepted - tally.without_citation, tally.accepted, 1),
        ("cited rows and cells exist", tally.cited_there, tally.cited, 1.0),
        ("numbers supported", tally.supported, tally.numbers, 0.99),
        ("abstained where there is no answer", gone, asked, 0.95),
        ("not abstained where there is one", tally.answerable - tally.abstained,
         tally.answerable, 0.95),
    ]  # fmt: skip
    return [
        f"{'holds' if whole and part / whole >= bar else 'missed'}  {one.name}: {what}: "
        f"{part}/{whole}, at least {bar:.0%}"
        for what, part, whole, bar in bars
    ]


def section(one: Measured) -> list[str]:
    """Write the figures of one table."""
    some = one.tallies[WAYS[0]]
    head = (
        f"{len(one.table.rows):,} records, {len(one.table.columns)} columns, "
        f"{one.student} student; {some.answerable} answerable questions, "
        f"{some.refusals[1]} others, {some.summaries} summaries."
    )
    rows: list[tuple[str, Callable[[Tally], str], str]] = [
        ("cited rows and cells exist", lambda t: share(t.cited_there, t.cited), "100 %"),
        ("numbers supported", lambda t: share(t.supported, t.numbers), "at least 99 %"),
        ("abstained where there is no answer", lambda t: share(*t.refusals), "at least 95 %"),
        *((f"- {kind}", _of_kind(kind), "") for kind in KINDS if kind in some.refused),
        ("answer accepted where there is none", lambda t: share(t.taken, t.refusals[1]), ""),
        ("abstained where there is an answer",
         lambda t: share(t.abstained, t.answerable), "at most 5 %"),
        ("answer accepted where there is one", lambda t: share(t.accepted, t.answerable), ""),
        ("- of these right", lambda t: share(t.right, t.accepted), ""),
        ("summaries accepted", lambda t: share(t.summaries_accepted, t.summaries), ""),
        ("ms of CPU per question", _milliseconds, ""),
    ]  # fmt: skip
    return [
        f"## {one.name}",
        "",
        head,
        "",
        "| | " + " | ".join(WAYS) + " | bar |",
        "|---|" + "--:|" * len(WAYS) + "--:|",
        *(
            f"| {label} | {' | '.join(value(one.tallies[way]) for way in WAYS)} | {bar} |"
            for label, value, bar in rows
        ),
        "",
        *retrieval_lines(one.hits),
        *free_lines(one.free),
    ]


def _of_kind(kind: str) -> Callable[[Tally], str]:
    return lambda tally: share(sum(tally.refused[kind]), len(tally.refused[kind]))


def _milliseconds(tally: Tally) -> str:
    return f"{1000 * tally.seconds / (tally.answerable + tally.refusals[1] + tally.summaries):.1f}"


def share(part: int, whole: int) -> str:
    """Write a share with its 95 % interval (Wilson 1927)."""
    if not whole:
        return "none"
    low, high = wilson_interval(part, whole)
    return f"{100 * part / whole:.1f} % ({100 * low:.1f}-{100 * high:.1f}), {part}/{whole}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="+", help="NAME, or NAME=FOLDER with its student")
    parser.add_argument("--questions", type=int, default=300, help="of each half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=10, help="misses to print")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
