"""Convert generated tables and questions into training examples for the ranker."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import torch

from ..plans.language import Plan, Where
from ..plans.list_plans import Candidate, Question
from ..plans.run_plan import Answer
from ..ranker.encoder import Encoder
from ..ranker.features import take_apart
from ..ranker.ranking import AskedTable
from ..ranker.train_ranker import Example
from ..table.typed_table import TypedTable, typed_table
from ..table.values import fold, words
from .domains import LANGUAGES, Domain, all_domains, read_phrases
from .made_questions import QuestionMaker
from .made_tables import POOL, MadeTable, make_table

TAKEN: Final = 0.12
"""Share of the questions whose column or record is removed from the table."""
ABSENT: Final = 0.14
"""Share of the questions about a column, record or value that the table does not have."""
COMMON: Final = 0.08
"""A word is common if questions about at least this share of the tables have it."""
FUNCTION_WORDS: Final = ["an", "be", "been", "being", "can", "could", "would", "should", "will", "shall", "may", "might", "must", "were", "am", "it", "its", "it's", "he", "she", "they", "them", "his", "her", "their", "our", "your", "my", "you", "us", "where", "when", "why", "whom", "how's", "who's", "what's", "where's", "that's", "if", "then", "so", "but", "also", "just", "only", "into", "onto", "out", "off", "about", "there's", "these", "those", "here", "have", "having", "whats", "hows", "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "und", "oder", "von", "vom", "zu", "zum", "zur", "in", "im", "am", "an", "auf", "aus", "bei", "mit", "nach", "ist", "sind", "war", "waren", "wird", "werden", "wurde", "wurden", "hat", "haben", "hatte", "wie", "was", "wer", "wen", "wem", "wo", "wann", "welche", "welcher", "welches", "welchen", "viele", "viel", "es", "er", "sie", "ich", "wir"]  # fmt: skip
"""Function words of English and German, which are common beside those that are found."""
MOST: Final = 500
"""Most plans of a training example; if there are more, some wrong ones are left out."""


def common_words(seed: int, tables: int = 300, each: int = 12) -> frozenset[str]:
    """Find the words that are common in questions about any table.

    Args:
        seed: Seed of the generated tables and questions.
        tables: Number of tables.
        each: Questions per table.
    """
    count: Counter[str] = Counter()
    for number in range(tables):
        rng = random.Random(f"{seed} common {number}")
        made = make_table(rng)
        typed = typed_table(made.records, key=made.key)
        own = {word for text in (made.one, made.many, *typed.numbered) for word in words(text)}
        own |= set(typed.words)
        asked = {w for one in QuestionMaker(made, typed, rng).ask(each) for w in words(one.text)}
        count.update(asked - own)
    found = {word for word, seen in count.items() if seen >= COMMON * tables}
    return frozenset(found | set(FUNCTION_WORDS))


def known_words(least: int = 2) -> frozenset[str]:
    """Return the words of over three letters that occur `least` times or more in the domains."""
    count: Counter[str] = Counter()
    for domain in all_domains():
        for meaning in domain.columns:
            said = [text for texts in meaning.said.values() for text in texts]
            count.update(word for text in (*said, *meaning.labels) for word in words(text))
    return frozenset(word for word, seen in count.items() if seen >= least and len(word) > 3)


def leaning_words() -> frozenset[str]:
    """Return the words that refer to a record of the previous question, such as `its`."""
    said = [text for one in LANGUAGES for text in read_phrases(one)["leaning"]]
    return frozenset(text for text in said if " " not in text)


def practice_examples(
    seed: int,
    tables: range,
    each: int,
    encoder: Encoder | None,
    common: frozenset[str],
    domains: Sequence[Domain] | None = None,
    pool: float = POOL,
    known: frozenset[str] = frozenset(),
) -> Iterator[Example]:
    """Generate training examples.

    Args:
        seed: Seed of the tables and questions.
        tables: Numbers of the tables; a number and a seed always give the same table.
        each: Questions per table.
        encoder: The sentence encoder, whose tokens the examples hold; None without one.
        common: Words without content of their own, such as articles.
        domains: As in `make_table`.
        pool: As in `make_table`.
        known: Words that are usual in questions; they are not taken for misspelled values.
    """
    for number in tables:
        rng = random.Random(f"{seed} {number}")
        made = make_table(rng, domains, pool)
        key = made.key if rng.random() < 0.7 else None
        whole = AskedTable(typed_table(made.records, key=key), encoder, common, known)
        for asked in QuestionMaker(made, whole.table, rng).ask(each, ABSENT):
            if asked.plan is None:
                yield _unanswerable(whole, asked.text, rng)
                continue
            if made.key and rng.random() < TAKEN:
                part = _without(made, whole.table, asked.plan, rng)
                if part is not None:
                    yield _unanswerable(AskedTable(part, encoder, common, known), asked.text, rng)
                continue
            answer = whole.runner.run(asked.plan)
            question, candidates = whole.read(asked.text)
            right = [answer is not None and _means(one, asked.plan, answer) for one in candidates]
            if any(right):
                kept = _some(candidates, right, rng)
                flags = dict(zip(map(id, candidates), right, strict=True))
                yield _example(whole, question, kept, [flags[id(one)] for one in kept])


def _unanswerable(asked: AskedTable, text: str, rng: random.Random) -> Example:
    question, candidates = asked.read(text)
    kept = _some(candidates, [False] * len(candidates), rng)
    return _example(asked, question, kept, [False] * len(kept))


def _example(
    asked: AskedTable, question: Question, candidates: Sequence[Candidate], right: list[bool]
) -> Example:
    seen = asked.see(question, candidates)
    return Example(seen, torch.tensor([*right, not any(right)]))


def _means(candidate: Candidate, plan: Plan, answer: Answer) -> bool:
    """Tell whether a candidate has the right answer and a structure like that of the right plan."""
    mine, its = take_apart(candidate.plan), take_apart(plan)
    return (
        mine.outer == its.outer
        and mine.target == its.target
        and (mine.of == its.of or len(answer.rows) == 1)
        and (mine.order == its.order or its.of == "rows")
        and (mine.outer not in _SAYING or _columns(mine.conditions) == _columns(its.conditions))
        and sorted(map(fold, candidate.answer.values)) == sorted(map(fold, answer.values))
    )


_SAYING: Final = ("exists", "compared more", "compared less", "count")
"""Kinds of plans whose right candidates must also have conditions on the same columns, since many
conditions give the same answer."""


def _columns(conditions: Sequence[Where]) -> list[int]:
    return sorted(one.column for one in conditions)


def _some(candidates: list[Candidate], right: list[bool], rng: random.Random) -> list[Candidate]:
    if len(candidates) <= MOST:
        return candidates
    kept = [one for one, good in zip(candidates, right, strict=True) if good][: MOST // 2]
    wrong = [one for one, good in zip(candidates, right, strict=True) if not good]
    return kept + rng.sample(wrong, min(len(wrong), MOST - len(kept)))


def _without(
    made: MadeTable, table: TypedTable, plan: Plan, rng: random.Random
) -> TypedTable | None:
    """Remove what a question needs from its table: its columns, or the record that it names."""
    parts = take_apart(plan)
    assert made.key is not None
    key = table.numbered[made.key]
    columns = {parts.target, parts.order, *(one.column for one in parts.conditions)} - {None, key}
    named = [one for one in parts.conditions if one.column == key]
    if named and (not columns or rng.random() < 0.5):
        gone = str(named[0].value)
        records = [one for one in made.records if fold(one[made.key]) != gone]
        return typed_table(records, key=made.key) if records else None
    if not columns:
        return None
    lost = {table.columns[number].name for number in columns if number is not None}
    records = [{n: v for n, v in one.items() if n not in lost} for one in made.records]
    return typed_table(records, key=made.key) if len(records[0]) > 1 else None
