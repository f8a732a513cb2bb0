"""Labels from a teacher on a server, which was not trained on the table and reads each record.

Each fact is asked for once. The answer labels all wordings of the question and determines the
verdicts on proposed answers, so a table costs one call per fact and one per summary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...prompts import prompts_sha256, render, verdict_focus, write_verdict
from ...records import Example
from ...tables import FactTable, TableRow
from ..batch.label_run import LabelTask

_REPLY: Final = {
    "qa": "Reply with the answer alone, in the words of the record.",
    "summarize": "Reply with the summary alone, in one sentence with the words of the record.",
}
_QUOTES: Final = "\"'`*“”‘’«» "
"""Characters that models put around a value."""
_LEAD: Final = re.compile(r"[^\n]*?(?:\b(?:is|are|was|were)|:)\s+([^\n]+)")
"""A one-line sentence: everything up to its first verb or colon, and the rest as group 1."""


def open_book_tasks(
    examples: Iterable[Example],
    table: FactTable,
    worked: Sequence[Example] = (),
    labels: Sequence[str] = (),
) -> list[LabelTask]:
    """Make one task per fact of `qa` and `summarize` examples; its id is the fact.

    Args:
        examples: Examples in any wordings; the first wording of each fact is asked.
        table: Table with their records.
        worked: Examples with gold targets, which are shown in the prompts of the same task.
        labels: The labels to choose from, if the answers are a few labels.
    """
    rows = {row.row: row for row in table.rows}
    first: dict[str, Example] = {}
    for example in examples:
        if example.fact is not None and example.task in _REPLY:
            first.setdefault(example.fact, example)

    def asked(example: Example) -> str:
        row = rows[example.source.row if example.source is not None else -1]
        text = example.fields["text"]
        summary = example.task == "summarize"
        ask = f"Summarize the following: {text}" if summary else f"Question: {text}"
        reply = _REPLY[example.task] if table.kind != "questions" else _reply_without_record(labels)
        return f"{record_text(table, row, example.fields.get('context'))}{ask}\n{reply}"

    def prompt(example: Example) -> str:
        shown = [e for e in worked if e.task == example.task and e.fact != example.fact]
        parts = [f"{asked(one)}\nAnswer: {one.target}" for one in shown]
        return "\n\n".join([*parts, f"{asked(example)}\nAnswer:"])

    return [
        LabelTask(fact, prompt(example), {"question": example.fields["text"]})
        for fact, example in first.items()
    ]


def _reply_without_record(labels: Sequence[str]) -> str:
    if not labels:
        return "Reply with the answer alone."
    return f"Reply with one of these alone: {', '.join(labels)}."


def record_text(table: FactTable, row: TableRow, context: str | None = None) -> str:
    """Write a record as the first part of a prompt, with one line per cell.

    For a table of questions, whose cells are the answers, only the context is written, if any.

    Args:
        table: Table with the names of the columns.
        row: The record.
        context: Text that belongs to the record; it is written last.
    """
    if table.kind == "questions":
        return f"Context: {context}\n\n" if context else ""
    named = [f"{table.key}: {row.key}"] if table.kind == "facts" else row.asked_by.values()
    cells = [f"{c.label}: {row.values[c.name]}" for c in table.columns if c.name in row.values]
    lines = [*dict.fromkeys(named), *cells, *([f"Context: {context}"] if context else [])]
    return "Record:\n" + "\n".join(lines) + "\n\n"


def as_cell(answer: str, row: TableRow) -> str:
    """Replace an answer by the record's cell that it equals, ignoring case, quotes and a lead-in.

    Models may answer in a sentence although only the value was asked for; then the part after the
    first verb or colon is compared. An answer that equals no cell is returned unchanged.

    >>> gold = TableRow(1, "Gold", {"symbol": "Au"})
    >>> as_cell('"au".', gold), as_cell("The symbol of Gold is Au.", gold)
    ('Au', 'Au')
    >>> as_cell("It is not Au.", gold)
    'It is not Au.'
    """
    said = _LEAD.fullmatch(answer.strip())
    found = _cell(answer, row) or (said and _cell(said[1], row))
    return found or answer


def _cell(text: str, row: TableRow) -> str | None:
    cells = list(dict.fromkeys([*row.values.values(), row.key]))
    bare = _bare(text)
    same = [cell for cell in cells if _bare(cell) == bare]
    if not same:
        folded = [cell for cell in cells if _bare(cell).casefold() == bare.casefold()]
        same = folded if len(folded) == 1 else []  # Co is not CO
    return same[0] if same else None


def _bare(text: str) -> str:
    return " ".join(text.split()).lstrip(_QUOTES).rstrip(f"{_QUOTES}.")


def label_by_fact(
    examples: Iterable[Example], answers: Mapping[str, str], teacher: str
) -> list[Example]:
    """Label examples with the teacher's answers to their facts; drop examples without an answer.

    Args:
        examples: Examples of all tasks; their targets are ignored. A gold answer that was proposed
            for validation is replaced by the teacher's answer, since gold answers are not known.
        answers: Fact -> the teacher's answer.
        teacher: Name of the teacher, which is written into the labels.
    """
    label = {"teacher": teacher, "prompt_hash": prompts_sha256()[:12]}
    labelled = []
    for example in examples:
        answer = None if example.fact is None else answers.get(example.fact)
        if not answer:
            continue
        labelled.append(
            replace(_judged(example, answer), label=label)
            if example.task == "validate"
            else replace(example, target=answer, label=label)
        )
    return labelled


def _judged(example: Example, answer: str) -> Example:
    fields = example.fields
    proposed = answer if fields["verdict"] == "yes" else fields["proposed"]
    target = write_verdict(answer, _bare(proposed) == _bare(answer))
    prompt = render("s2-validate", fields["text"], context=fields["context"], answer=proposed)
    return replace(
        example,
        prompt=prompt,
        target=target,
        focus=verdict_focus(target),
        fields={**fields, "proposed": proposed},
    )
