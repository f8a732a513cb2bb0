"""From a table to questions: examples to train on, examples held out, and the table that goes with
the student.

One phrasing of each fact is held out. It never occurs in training in any task, so a score on the
held-out part says whether the student knows the fact, not the sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..prompts import render, verdict_focus, write_verdict
from ..records import Example, Source, sha256_text, split_position
from ..tables import Column, FactTable, TableRow
from .phrasings import (
    QUESTION_TEMPLATES,
    SUMMARY_TEMPLATES,
    check_templates,
    fill,
    paraphrases,
    vary,
)
from .profile import TableProfile, cell_text, column_label

SUMMARY_COLUMNS = 4
"""Columns told in a summary: the first ones asked about that have a value."""
WRONG_ANSWERS = 8
"""Different wrong answers proposed for a fact, at most."""
VALIDATE_MAX_CHARS = 80
"""Longer answers are not put up for validation: the prompt would be mostly answer."""


@dataclass(frozen=True)
class QuestionSet:
    """Everything that training and evaluation need to know about a table."""

    table: FactTable
    train: list[Example]
    """One example per fact, task and training phrasing; validate: one right and one wrong proposal
    each."""
    held_out: list[Example]
    """The held-out phrasings, in every task, with gold targets."""
    gold_facts: frozenset[str]
    """Facts whose gold answers may be used for training the student; the teacher labels the
    rest."""
    phrasings: int
    """Phrasings per fact, the held-out one counted."""

    @property
    def facts(self) -> int:
        """Count the facts asked for, summaries not counted."""
        return len({e.fact for e in self.held_out if e.task == "qa"})

    def is_gold(self, example: Example) -> bool:
        """Say whether the gold answer of this example may be used."""
        return example.fact in self.gold_facts


def build_question_set(
    records: Sequence[Mapping[str, Any]],
    profile: TableProfile,
    *,
    templates: Sequence[str] | None = None,
    gold_share: float = 0.5,
    seed: int = 0,
    watch: Callable[[Sequence[TableRow]], Iterable[TableRow]] = iter,
) -> QuestionSet:
    """Make training and held-out questions from a table.

    Args:
        records: The flat records that `profile` was made from, in file order.
        profile: From `profile.profile_table`.
        templates: Question templates with `{key}` and `{label}`; the built-in six when None.
        gold_share: Share of the facts, 0 to 1, whose gold answers the student may see.
        seed: Which phrasing is held out, which facts are gold, which wrong answers are proposed.
        watch: Gives the rows on, one by one, and may show a progress bar meanwhile.

    Raises:
        ConfigError: The templates or the share are not usable.
    """
    asked = check_templates(templates) if templates is not None else QUESTION_TEMPLATES
    table = _fact_table(records, profile, asked)
    values = _values_by_column(table)
    distinct = {name: sorted(set(texts)) for name, texts in values.items()}
    maker = _Maker(table, _contexts(records, profile), seed, distinct)
    examples = [example for row in watch(table.rows) for example in maker.examples_of(row)]
    facts = list(dict.fromkeys(e.fact for e in examples if e.fact))
    # An exact share rather than a coin per fact; the order of hashes is as good as a shuffle and
    # stable.
    ranked = sorted(facts, key=lambda fact: split_position(f"{seed}:gold:{fact}"))
    gold = frozenset(ranked[: round(gold_share * len(ranked))])
    return QuestionSet(
        table=table,
        train=[e for e in examples if not e.fields["held_out"]],
        held_out=[e for e in examples if e.fields["held_out"]],
        gold_facts=gold,
        phrasings=len(asked) if profile.kind == "facts" else len(paraphrases("")),
    )


def training_stream(
    examples: Sequence[Example],
    table: FactTable,
    count: int,
    *,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    fresh_negatives: bool = False,
) -> list[Example]:
    """Draw a stream of training examples with varied wording, the tasks mixed by weight.

    Args:
        examples: Labelled examples (`target` set).
        table: Source of wrong answers, and of the keys that must stay whole.
        count: Length of the stream.
        seed: The same seed gives the same stream.
        weights: Task -> share of the stream; by default as `TASK_WEIGHTS`.
        fresh_negatives: Draw a new wrong answer for each "no" in `validate`. Only where gold is
        known.

    Returns:
        `count` examples with ids of their own. Within a task each example comes up equally often,
        in shuffled rounds.
    """
    rng = random.Random(seed)
    by_task: dict[str, list[Example]] = {}
    for example in examples:
        by_task.setdefault(example.task, []).append(example)
    tasks = list(by_task)
    shares = [(weights or TASK_WEIGHTS).get(task, 1.0) for task in tasks]
    values = _values_by_column(table)
    rounds: dict[str, list[Example]] = {task: [] for task in tasks}
    stream: list[Example] = []
    for task in rng.choices(tasks, shares, k=count):
        if not rounds[task]:
            rounds[task] = list(by_task[task])
            rng.shuffle(rounds[task])
        varied = _varied(rounds[task].pop(), rng, values if fresh_negatives else None)
        stream.append(replace(varied, id=f"{varied.id}#{len(stream)}"))
    return stream


TASK_WEIGHTS = {"qa": 0.25, "summarize": 0.08, "validate": 0.67}
"""Share of each task in a training stream; summaries are few but long, validation is the hardest to
learn."""


def _varied(
    example: Example, rng: random.Random, values: Mapping[str, list[str]] | None
) -> Example:
    fields = example.fields
    if example.task == "summarize":
        text = vary(fields["text"], fields["key"], rng) if rng.random() < 0.5 else fields["text"]
        return replace(example, prompt=render("s2-summarize", text))
    text = vary(fields["text"], fields["key"], rng)
    if example.task == "validate":
        proposed = fields["proposed"]
        if values is not None and fields["verdict"] == "no":
            right = fields["right"].casefold()
            others = values[fields["column"]]
            proposed = next(
                (v for v in (rng.choice(others) for _ in range(20)) if v.casefold() != right),
                proposed,
            )
        return replace(
            example,
            prompt=render("s2-validate", text, context=fields["context"], answer=proposed),
        )
    return replace(example, prompt=render("s2-qa", text, context=fields["context"]))


def _fact_table(
    records: Sequence[Mapping[str, Any]], profile: TableProfile, templates: tuple[str, ...]
) -> FactTable:
    skipped = {row for row, _ in profile.skipped_rows}
    keys = [cell_text(record.get(profile.key)) for record in records]
    counts: dict[str, int] = {}
    for key in keys:
        counts[(key or "").casefold()] = counts.get((key or "").casefold(), 0) + 1
    rows = []
    for number, (record, key) in enumerate(zip(records, keys, strict=True), 1):
        if key is None or number in skipped:
            continue
        if profile.key_suffix and counts[key.casefold()] > 1:
            key = f"{key} ({cell_text(record.get(profile.key_suffix))})"
        cells = {name: cell_text(record.get(name)) for name in profile.columns}
        rows.append(TableRow(number, key, {n: t for n, t in cells.items() if t is not None}))
    is_facts = profile.kind == "facts"
    columns = tuple(
        Column(
            name,
            column_label(name),
            tuple(t.replace("{label}", column_label(name)) for t in templates) if is_facts else (),
        )
        for name in profile.columns
    )
    return FactTable(
        source=profile.source,
        kind=profile.kind,
        key=profile.key,
        columns=columns,
        rows=tuple(rows),
        examples=_example_questions(rows, columns, is_facts, templates[0]),
        summary_templates=SUMMARY_TEMPLATES if is_facts else (),
    )


def _example_questions(
    rows: list[TableRow], columns: tuple[Column, ...], is_facts: bool, template: str
) -> tuple[str, ...]:
    """Pick a few questions a user may start with, from different rows and columns."""
    step = max(1, len(rows) // 5)
    picked = rows[step // 2 :: step][:5]
    if not is_facts:
        return tuple(row.key for row in picked)
    questions = []
    for i, row in enumerate(picked):
        column = next((c for c in columns[i % len(columns) :] if c.name in row.values), None)
        if column is not None:
            questions.append(fill(template, row.key, column.label))
    return tuple(questions)


def _contexts(records: Sequence[Mapping[str, Any]], profile: TableProfile) -> dict[int, str]:
    if profile.context is None:
        return {}
    texts = {n: cell_text(r.get(profile.context)) for n, r in enumerate(records, 1)}
    return {n: t for n, t in texts.items() if t is not None}


def _values_by_column(table: FactTable) -> dict[str, list[str]]:
    return {
        c.name: [r.values[c.name] for r in table.rows if c.name in r.values] for c in table.columns
    }


@dataclass(frozen=True)
class _Maker:
    """Writes the examples of one row after another."""

    table: FactTable
    contexts: dict[int, str]
    seed: int
    distinct: dict[str, list[str]]
    """Column -> its different values, sorted."""

    def examples_of(self, row: TableRow) -> list[Example]:
        examples = []
        for column in self.table.columns:
            if column.name in row.values:
                examples.extend(self._fact(row, column))
        if self.table.summary_templates:
            examples.extend(self._summary(row))
        return examples

    def _fact(self, row: TableRow, column: Column) -> list[Example]:
        fact = f"{row.row}:{column.name}"
        answer = row.values[column.name]
        if self.table.kind == "facts":
            texts = [fill(t, row.key) for t in column.templates]
        else:
            texts = list(paraphrases(row.key))
        held_out = self._pick(fact, len(texts))
        wrong = self._wrong_answers(row, column)
        examples = []
        for i, text in enumerate(texts):
            examples.append(self._example(row, column, fact, text, i, i == held_out))
            if len(answer) > VALIDATE_MAX_CHARS or not wrong:
                continue
            proposals = [(answer, "yes"), (wrong[i % len(wrong)], "no")]
            if i == held_out:  # one proposal in evaluation, right for about half of the facts
                proposals = [proposals[self._pick(f"{fact}:proposal", 2)]]
            examples.extend(
                self._example(row, column, fact, text, i, i == held_out, proposal=p)
                for p in proposals
            )
        return examples

    def _example(
        self,
        row: TableRow,
        column: Column,
        fact: str,
        text: str,
        phrasing: int,
        held_out: bool,
        proposal: tuple[str, str] | None = None,
    ) -> Example:
        context = self.contexts.get(row.row)
        fields: dict[str, Any] = {
            "key": row.key,
            "text": text,
            "column": column.name,
            "right": row.values[column.name],
            "context": context,
            "held_out": held_out,
        }
        source = Source(self.table.source, row.row, column.name)
        if proposal is None:
            prompt = render("s2-qa", text, context=context)
            return Example(
                id=f"{fact}:qa:{phrasing}",
                prompt=prompt,
                target=row.values[column.name],
                task="qa",
                fact=fact,
                source=source,
                fields=fields,
            )
        proposed, verdict = proposal
        return Example(
            id=f"{fact}:validate:{phrasing}:{verdict}",
            prompt=render("s2-validate", text, context=context, answer=proposed),
            target=write_verdict(row.values[column.name], verdict == "yes"),
            focus=verdict_focus(write_verdict(row.values[column.name], verdict == "yes")),
            task="validate",
            fact=fact,
            source=source,
            fields={**fields, "proposed": proposed, "verdict": verdict},
        )

    def _summary(self, row: TableRow) -> list[Example]:
        told = [c for c in self.table.columns if c.name in row.values][:SUMMARY_COLUMNS]
        if not told:
            return []
        target = f"{row.key}: " + ", ".join(f"{c.label} {row.values[c.name]}" for c in told) + "."
        fact = f"{row.row}:summary"
        held_out = self._pick(fact, len(self.table.summary_templates))
        return [
            Example(
                id=f"{fact}:summarize:{i}",
                prompt=render("s2-summarize", fill(template, row.key)),
                target=target,
                task="summarize",
                fact=fact,
                source=Source(self.table.source, row.row),
                fields={
                    "key": row.key,
                    "text": fill(template, row.key),
                    "held_out": i == held_out,
                },
            )
            for i, template in enumerate(self.table.summary_templates)
        ]

    def _wrong_answers(self, row: TableRow, column: Column) -> list[str]:
        """Give wrong answers of the same column, different ones for different facts."""
        right = row.values[column.name].casefold()
        distinct = self.distinct[column.name]
        rng = random.Random(sha256_text(f"{self.seed}:{row.row}:{column.name}"))
        drawn = rng.sample(distinct, min(WRONG_ANSWERS + 2, len(distinct)))
        return [value for value in drawn if value.casefold() != right][:WRONG_ANSWERS]

    def _pick(self, key: str, choices: int) -> int:
        return int(sha256_text(f"{self.seed}:{key}")[:8], 16) % choices
