"""Questions from a table: examples for training, held-out examples, and the table for the student.

One phrasing of each fact is held out from training in every task, so a score on the held-out
examples measures knowledge of the fact and not of a sentence.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...prompts import render, verdict_focus, write_verdict
from ...records import Example, Source, sha256_text, split_position
from ...tables import Column, FactTable, TableRow
from ..readers.cells import cell_text, compared
from .conditions import unique_conditions
from .phrasings import (
    CONDITION_TEMPLATES,
    QUESTION_TEMPLATES,
    SUMMARY_TEMPLATES,
    check_templates,
    fill,
    paraphrases,
    vary,
)
from .profile import TableProfile, column_label

SUMMARY_COLUMNS = 4
"""Most columns in a summary: the first ones asked about that have a value."""
WRONG_ANSWERS = 8
"""Most wrong answers proposed for a fact."""
VALIDATE_MAX_CHARS = 80
"""Longer answers are not validated, as the prompt would be mostly answer."""


@dataclass(frozen=True)
class QuestionSet:
    """The questions of a table, for training and evaluation."""

    table: FactTable
    train: list[Example]
    """One example per fact, task and training phrasing; for validate one right and one wrong
    proposal each."""
    held_out: list[Example]
    """The held-out phrasings in every task, with gold targets."""
    gold_facts: frozenset[str]
    """Facts whose gold answers may train the student; the teacher labels the others."""
    phrasings: int
    """Phrasings per fact, including the held-out one."""
    ambiguous: int = 0
    """Facts left out because they share a question with another fact."""

    @property
    def facts(self) -> int:
        """Count the facts asked about, without summaries."""
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
        templates: Question templates with `{key}` and `{label}`; None for the built-in six. In a
            table without a key, `{key}` is a condition such as `opponent is Lions`.
        gold_share: Share of the facts, 0 to 1, whose gold answers may train the student.
        seed: Decides the held-out phrasings, the gold facts and the wrong answers.
        watch: Yields the rows unchanged; may show a progress bar.

    Raises:
        ConfigError: The templates or the share are not usable.
    """
    built_in = CONDITION_TEMPLATES if profile.kind == "rows" else QUESTION_TEMPLATES
    asked = check_templates(templates) if templates is not None else built_in
    table = fact_table(records, profile, asked)
    values = _values_by_column(table)
    distinct = {name: sorted(set(texts)) for name, texts in values.items()}
    maker = _Maker(table, _contexts(records, profile), seed, distinct)
    made = [example for row in watch(table.rows) for example in maker.examples_of(row)]
    ambiguous = _ambiguous_facts(made)
    examples = [example for example in made if example.fact not in ambiguous]
    facts = list(dict.fromkeys(e.fact for e in examples if e.fact))
    # An exact share, not one draw per fact; sorting by hashes is a stable shuffle.
    ranked = sorted(facts, key=lambda fact: split_position(f"{seed}:gold:{fact}"))
    gold = frozenset(ranked[: round(gold_share * len(ranked))])
    return QuestionSet(
        table=table,
        train=[e for e in examples if not e.fields["held_out"]],
        held_out=[e for e in examples if e.fields["held_out"]],
        gold_facts=gold,
        phrasings=len(paraphrases("")) if profile.kind == "questions" else len(asked),
        ambiguous=len(ambiguous),
    )


def _ambiguous_facts(examples: Sequence[Example]) -> set[str]:
    """Find the facts that share a question with another fact whose answer differs."""
    by_question: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        if example.task == "qa":
            about = example.fields["context"] or ""
            by_question.setdefault((compared(example.fields["text"]), about), []).append(example)
    return {
        example.fact
        for asked in by_question.values()
        if len({example.target for example in asked}) > 1
        for example in asked
        if example.fact is not None
    }


WORDING_SHARE = 0.5
"""Share of the questions that are put in one of the further wordings, where there are any."""


def training_stream(
    examples: Sequence[Example],
    table: FactTable,
    count: int,
    *,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    fresh_negatives: bool = False,
    wordings: Mapping[str, Sequence[str]] | None = None,
    wording_share: float = WORDING_SHARE,
) -> list[Example]:
    """Draw training examples in varied wording, with the tasks mixed by weight.

    Args:
        examples: Labelled examples (`target` set).
        table: Source of wrong answers.
        count: Number of examples to draw.
        seed: The same seed draws the same examples.
        weights: Task -> share of the examples; None for `TASK_WEIGHTS`.
        fresh_negatives: Draw a new wrong answer for each "no" in `validate`. Needs gold answers.
        wordings: Column -> further wordings with `{key}`. The answer to a question does not depend
            on its wording, so a question keeps its target in another one.
        wording_share: Share of the questions, 0 to 1, that are put in one of the further wordings.

    Returns:
        `count` examples with new ids. Within a task each example is drawn equally often, in
        shuffled rounds.
    """
    rng = random.Random(seed)
    # A generator of its own: without wordings a seed draws the same stream as ever.
    reword = _Reworder(wordings or {}, wording_share, random.Random(f"{seed}:wordings"))
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
        drawn = reword(rounds[task].pop())
        varied = _varied(drawn, rng, values if fresh_negatives else None)
        stream.append(replace(varied, id=f"{varied.id}#{len(stream)}"))
    return stream


TASK_WEIGHTS = {"qa": 0.25, "summarize": 0.08, "validate": 0.67}
"""Share of each task in training; summaries are few but long, validation is the hardest task."""


@dataclass(frozen=True)
class _Reworder:
    """Puts questions in further wordings of their column."""

    wordings: Mapping[str, Sequence[str]]
    share: float
    rng: random.Random

    def __call__(self, example: Example) -> Example:
        known = self.wordings.get(example.fields.get("column", ""), ())
        if not known or self.rng.random() >= self.share:
            return example
        text = fill(self.rng.choice(known), example.fields["key"])
        return replace(example, fields={**example.fields, "text": text})


def draw_wordings(
    examples: Sequence[Example],
    wordings: Mapping[str, Sequence[str]],
    count: int,
    *,
    seed: int = 0,
) -> list[Example]:
    """Draw unlabelled questions in further wordings, for a teacher that gives texts alone.

    Args:
        examples: Those of task `qa` are reworded; one wording of each fact is enough.
        wordings: Column -> wordings with `{key}`.
        count: Questions to draw; less where there are no more of them.
        seed: The same seed draws the same questions.

    Returns:
        Different questions without target, all facts equally often, in shuffled order.
    """
    by_fact = {e.fact: e for e in examples if e.task == "qa" and e.fact is not None}
    rng = random.Random(f"{seed}:drawn")
    open_: dict[str, list[str]] = {}
    for fact, example in by_fact.items():
        known = list(wordings.get(example.fields["column"], ()))
        rng.shuffle(known)
        open_[fact] = known
    drawn: list[Example] = []
    while len(drawn) < count and any(open_.values()):
        facts = [fact for fact, known in open_.items() if known]
        rng.shuffle(facts)
        for fact in facts[: count - len(drawn)]:
            example, number = by_fact[fact], len(open_[fact])
            text = fill(open_[fact].pop(), example.fields["key"])
            drawn.append(
                replace(
                    example,
                    id=f"{fact}:wording:{number}",
                    prompt=render("s2-qa", text, context=example.fields["context"]),
                    target=None,
                    fields={**example.fields, "text": text},
                )
            )
    return drawn


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
            right = compared(fields["right"])
            others = values[fields["column"]]
            proposed = next(
                (v for v in (rng.choice(others) for _ in range(20)) if compared(v) != right),
                proposed,
            )
        return replace(
            example,
            prompt=render("s2-validate", text, context=fields["context"], answer=proposed),
        )
    return replace(example, prompt=render("s2-qa", text, context=fields["context"]))


def fact_table(
    records: Sequence[Mapping[str, Any]], profile: TableProfile, templates: tuple[str, ...]
) -> FactTable:
    """Make the table of a student.

    Args:
        records: The flat records that `profile` was made from.
        profile: Their profile.
        templates: Question templates with `{key}` and `{label}`.
    """
    rows = _condition_rows(records, profile) if profile.kind == "rows" else _keyed_rows(
        records, profile
    )  # fmt: skip
    by_templates = profile.kind != "questions"
    labels = {name: profile.labels.get(name) or column_label(name) for name in profile.columns}
    columns = tuple(
        Column(
            name,
            label,
            tuple(t.replace("{label}", label) for t in templates) if by_templates else (),
        )
        for name, label in labels.items()
    )
    return FactTable(
        source=profile.source,
        kind=profile.kind,
        key=profile.key,
        columns=columns,
        rows=tuple(rows),
        examples=_example_questions(rows, columns, profile.kind, templates[0]),
        summary_templates=SUMMARY_TEMPLATES if profile.kind == "facts" else (),
    )


def _keyed_rows(records: Sequence[Mapping[str, Any]], profile: TableProfile) -> list[TableRow]:
    skipped = {row for row, _ in profile.skipped_rows}
    keys = [cell_text(record.get(profile.key)) for record in records]
    counts = Counter(
        compared(key) for row, key in enumerate(keys, 1) if key is not None and row not in skipped
    )
    rows = []
    for number, (record, key) in enumerate(zip(records, keys, strict=True), 1):
        if key is None or number in skipped:
            continue
        if profile.key_suffix and counts[compared(key)] > 1:
            key = f"{key} ({cell_text(record.get(profile.key_suffix))})"
        rows.append(TableRow(number, key, _values(record, profile.columns)))
    return rows


def _condition_rows(records: Sequence[Mapping[str, Any]], profile: TableProfile) -> list[TableRow]:
    """Make the rows of a table without a key, with a condition on other cells for each cell.

    Where no cell has such a condition (one column, or repeated records), the condition is the
    number of the record.
    """
    used = dict.fromkeys((*profile.condition_columns, *profile.columns))
    skipped = {row for row, _ in profile.skipped_rows}
    kept = [(row, record) for row, record in enumerate(records, 1) if row not in skipped]
    texts = {name: [cell_text(record.get(name)) for _, record in kept] for name in used}
    conditions = unique_conditions(texts, profile.columns, profile.labels)
    numbered = not any(conditions)
    rows = []
    for (number, record), asked_by in zip(kept, conditions, strict=True):
        values = _values(record, profile.columns)
        by_number = f"{profile.key} is {number}"
        if numbered:
            asked_by = dict.fromkeys(values, by_number)
        rows.append(TableRow(number, next(iter(asked_by.values()), by_number), values, asked_by))
    return rows


def _values(record: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    cells = {name: cell_text(record.get(name)) for name in columns}
    return {name: text for name, text in cells.items() if text is not None}


def _example_questions(
    rows: list[TableRow], columns: tuple[Column, ...], kind: str, template: str
) -> tuple[str, ...]:
    """Choose a few example questions from different rows and columns."""
    if kind == "rows":
        rows = [row for row in rows if row.asked_by]
    step = max(1, len(rows) // 5)
    picked = rows[step // 2 :: step][:5]
    if kind == "questions":
        return tuple(row.key for row in picked)
    questions = []
    for i, row in enumerate(picked):
        for column in (*columns[i % len(columns) :], *columns):
            if _askable(kind, row, column):
                key = row.asked_by.get(column.name, row.key)
                questions.append(fill(template, key, column.label))
                break
    return tuple(questions)


def _askable(kind: str, row: TableRow, column: Column) -> bool:
    return column.name in (row.asked_by if kind == "rows" else row.values)


def _nfc(text: str) -> str:
    """Normalise a text of a question to one Unicode form."""
    return unicodedata.normalize("NFC", text)


def _contexts(records: Sequence[Mapping[str, Any]], profile: TableProfile) -> dict[int, str]:
    if profile.context is None:
        return {}
    texts = {n: cell_text(r.get(profile.context)) for n, r in enumerate(records, 1)}
    return {n: _nfc(t) for n, t in texts.items() if t is not None}


def _values_by_column(table: FactTable) -> dict[str, list[str]]:
    return {
        c.name: [r.values[c.name] for r in table.rows if c.name in r.values] for c in table.columns
    }


@dataclass(frozen=True)
class _Maker:
    """Makes the examples of a row."""

    table: FactTable
    contexts: dict[int, str]
    seed: int
    distinct: dict[str, list[str]]
    """Column -> its different values, sorted."""

    def examples_of(self, row: TableRow) -> list[Example]:
        examples = []
        for column in self.table.columns:
            if _askable(self.table.kind, row, column):
                examples.extend(self._fact(row, column))
        if self.table.summary_templates:
            examples.extend(self._summary(row))
        return examples

    def _fact(self, row: TableRow, column: Column) -> list[Example]:
        fact = f"{row.row}:{column.name}"
        answer = row.values[column.name]
        key = _nfc(row.asked_by.get(column.name, row.key))
        if self.table.kind == "questions":
            texts = list(paraphrases(key))
        else:
            texts = [fill(t, key) for t in column.templates]
        held_out = self._pick(fact, len(texts))
        wrong = self._wrong_answers(row, column)
        examples = []
        for i, text in enumerate(texts):
            examples.append(self._example(row, column, fact, text, i, i == held_out))
            if len(answer) > VALIDATE_MAX_CHARS or not wrong:
                continue
            proposals = [(answer, "yes"), (wrong[i % len(wrong)], "no")]
            if i == held_out:  # evaluate one proposal, which is right for about half of the facts
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
            "key": _nfc(row.asked_by.get(column.name, row.key)),
            "text": text,
            "column": column.name,
            "right": row.values[column.name],
            "context": context,
            "held_out": held_out,
        }
        answer = row.values[column.name]
        example = Example(
            id=f"{fact}:qa:{phrasing}",
            prompt=render("s2-qa", text, context=context),
            target=answer,
            task="qa",
            fact=fact,
            source=Source(self.table.source, row.row, column.name),
            fields=fields,
        )
        if proposal is None:
            return example
        proposed, verdict = proposal
        target = write_verdict(answer, verdict == "yes")
        return replace(
            example,
            id=f"{fact}:validate:{phrasing}:{verdict}",
            prompt=render("s2-validate", text, context=context, answer=proposed),
            target=target,
            focus=verdict_focus(target),
            task="validate",
            fields={**fields, "proposed": proposed, "verdict": verdict},
        )

    def _summary(self, row: TableRow) -> list[Example]:
        told = [c for c in self.table.columns if c.name in row.values][:SUMMARY_COLUMNS]
        if not told:
            return []
        target = f"{row.key}: " + ", ".join(f"{c.label} {row.values[c.name]}" for c in told) + "."
        fact = f"{row.row}:summary"
        held_out = self._pick(fact, len(self.table.summary_templates))
        key = _nfc(row.key)
        texts = [fill(template, key) for template in self.table.summary_templates]
        return [
            Example(
                id=f"{fact}:summarize:{i}",
                prompt=render("s2-summarize", text),
                target=target,
                task="summarize",
                fact=fact,
                source=Source(self.table.source, row.row),
                fields={"key": key, "text": text, "held_out": i == held_out},
            )
            for i, text in enumerate(texts)
        ]

    def _wrong_answers(self, row: TableRow, column: Column) -> list[str]:
        """Draw wrong answers from the same column, independently for each fact."""
        right = compared(row.values[column.name])
        distinct = self.distinct[column.name]
        rng = random.Random(sha256_text(f"{self.seed}:{row.row}:{column.name}"))
        drawn = rng.sample(distinct, min(WRONG_ANSWERS + 2, len(distinct)))
        return [value for value in drawn if compared(value) != right][:WRONG_ANSWERS]

    def _pick(self, key: str, choices: int) -> int:
        return int(sha256_text(f"{self.seed}:{key}")[:8], 16) % choices
