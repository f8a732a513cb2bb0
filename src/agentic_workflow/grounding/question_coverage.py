"""Decide, before the student is asked, whether the table holds what a question asks for.

A question is answerable if every word of it is explained: by the record's name, the column, the
record's values, or the framing of a question. Unexplained words mean that something else is asked:
"New Mexico" is not Mexico, "gold chloride" is not gold, and "boiling symbol" is no column.

| refusal           | the question ...                                                          |
|-------------------|---------------------------------------------------------------------------|
| `no_record`       | names nothing that the table knows                                        |
| `several_records` | names more than one record                                                |
| `no_column`       | names a record, but no column, or two                                     |
| `no_value`        | asks for a cell that is empty                                             |
| `named_by_value`  | names a record by a value that does not identify it: the area of Vienna   |
| `other_words`     | contains words that nothing in the table explains                         |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ..record_search.lookup import Match, RecordLookup
from ..text_matching import (
    CONTRACTED,
    STOP_WORDS,
    as_number,
    fold,
    nfc,
    stem,
    stems,
    unspaced,
    words,
)

RefusalKind = Literal[
    "no_record", "several_records", "no_column", "no_value", "named_by_value", "other_words"
]

_FRAME = """
    accord actual answer appear ask assign belong bit call cell check column confirm contain
    correct curious current data database dataset datum detail display entry exact fact fetch
    field figure file find forget forgot forgotten found full give given got help hold identify
    info information kindly learn list listed look lookup made mention name named need note
    offer order precise present print provide question quickly read recall record recorded
    register remember remind report retrieve return right row say search see select something
    specify state stored table text thing think true try understand use value wonder word write
"""
_LIGHT = """
    again already always anyway around at behind briefly by called comes currently ever exactly
    generally goes got happen happens inside into just lie lies located normally onto perhaps
    please put quite really situated sit sits stand stands still today under used using
    usually via whatever within you yourself
"""
_FRAMING = frozenset(form for word in (_FRAME + _LIGHT).split() for form in (word, stem(word)))
"""Words about questions and tables, and words without content."""
_UNSPACED_FRAME = """
    的 是 多少 什么 甚么 什麼 甚麼 哪 哪里 哪裡 哪儿 谁 誰 几 幾 请问 請問 请 請
    告诉 告訴 我 想 知道 吗 嗎 呢 在 有 为 為 个 個
    の は が を に も と 何 なに なん です ですか でしょう か 教え て ください
    どこ だれ 誰 いくつ いくら いつ どれ くらい ある あり ます
    ของ คือ เป็น อะไร เท่าไร เท่าไหร่ ที่ไหน ใคร เมื่อไร เมื่อไหร่ มี อยู่
    ครับ ค่ะ คะ บอก กี่
"""
_FRAMING_UNSPACED = tuple(sorted(_UNSPACED_FRAME.split(), key=len, reverse=True))
"""Framing words in scripts without blanks, the longest first."""
_COUNTING = frozenset({"amount", "count", "number", "quantity", "total"})
"""Framing words where the cell holds a number: the number of tracks."""
_TURNING = frozenset({"not", "than", "except", "without", "never"})
"""Stop words that change the meaning of a question."""
_CODE = 6
"""Most letters of a value in a column of codes; a code identifies a record as its key does."""
_CLOSE = 0.75
"""Least similarity, 0 to 1, of a key that is offered for an unknown word."""
_RARE = 2
"""A word in at most this many known questions is taken for their subject."""


@dataclass(frozen=True)
class Refusal:
    """Why a question is not put to the student."""

    kind: RefusalKind
    about: tuple[str, ...] = ()
    """Words, keys or columns for the sentence to the user."""
    near: str = ""
    """The matched cell, where all but some words of the question fit."""


def refusal_of(
    question: str, match: Match | None, lookup: RecordLookup, *, whole_record: bool = False
) -> Refusal | None:
    """Decide whether a question can be answered from the table.

    Args:
        question: The user's words.
        match: The record and column they ask for.
        lookup: The table's index.
        whole_record: The whole record is asked for, not one column.

    Returns:
        None where it can be answered, else the reason.
    """
    question = nfc(question)
    plain = unmatched(match, whole_record=whole_record)
    if plain is not None or match is None:
        return plain
    if match.column is not None and not match.values():
        return Refusal("no_value", (match.row.key, match.column.label))
    if lookup.questions is not None:
        strange = _substituted(question, match, lookup)
        return Refusal("other_words", strange) if strange else None
    named_by, outside = _without_names(question, match, lookup)
    if named_by != lookup.table.key and not _names_records(named_by, question, match, lookup):
        return Refusal("named_by_value", (match.row.key,))
    if match.confidence == 1.0 and match.column is not None:
        return None  # exactly the wording that the student was trained on
    strange = unexplained(outside, match, lookup, named_by)
    return Refusal("other_words", strange, _near_fact(match)) if strange else None


def unmatched(match: Match | None, *, whole_record: bool = False) -> Refusal | None:
    """Decide whether a question names one record and one column, without checking its other words.

    Args:
        match: The record and column it asks for.
        whole_record: The whole record is asked for, not one column.

    Returns:
        None where it does, else the reason.
    """
    if match is None:
        return Refusal("no_record")
    if match.others:
        return Refusal("several_records", (match.row.key, *match.others))
    if match.column is None and not whole_record:
        return Refusal("no_column", (match.row.key,))
    return None


def refusal_sentence(refusal: Refusal, lookup: RecordLookup, near: tuple[str, ...] = ()) -> str:
    """Explain to the user why there is no answer, and what the table holds.

    Args:
        refusal: The reason.
        lookup: The table's index.
        near: Keys to offer where no record was named.
    """
    about = refusal.about
    if refusal.kind == "several_records":
        return (
            f"I don't know: this names several records ({', '.join(about)}); "
            "ask about one at a time."
        )
    if refusal.kind == "no_value":
        return f"I don't know: the table holds no {about[1]} of {about[0]}."
    if refusal.kind == "other_words":
        said = ", ".join(f'"{word}"' for word in about[:3])
        nearest = f" What it holds: {refusal.near}." if refusal.near else ""
        return f"I don't know: nothing in the table matches {said} in this question.{nearest}"
    if refusal.kind in ("no_column", "named_by_value"):
        labels = ", ".join(column.label for column in lookup.table.columns)
        return (
            f"I don't know: nothing in the table matches what is asked about {about[0]}. "
            f"It can be asked for: {labels}."
        )
    offered = f" Near to it: {', '.join(near)}." if near else ""
    return f"I don't know: nothing in the table matches this question.{offered}"


def unexplained(
    text: str, match: Match, lookup: RecordLookup, named_by: str = ""
) -> tuple[str, ...]:
    """List the words of a text that neither column, record nor framing explain.

    Args:
        text: A question without the names of records.
        match: The record and column found.
        lookup: The table's index.
        named_by: Column whose value names the record: "the element with the symbol Au".

    Returns:
        The folded words, in order.
    """
    table = lookup.table
    known = _FRAMING | set(stems(table.key.replace("_", " "))) | set(stems(table.source))
    for row in match.rows:
        known |= set(stems(" ".join([row.key, *row.values.values()])))
    inside = [word for row in match.rows for v in row.values.values() for word in words(v)]
    turning = set(_TURNING)
    wordings: list[str] = list(table.summary_templates)
    if match.column is not None:
        column = match.column
        wordings = [column.label, column.name, *column.templates, *column.also]
        if all(as_number(value) is not None for value in match.values()):
            known |= _COUNTING
    wordings += [column.label for column in table.columns if column.name == named_by]
    for wording in wordings:
        said = words(wording.replace("{key}", " ").replace("_", " "))
        known |= {stem(word) for word in said}
        inside += said
        turning -= set(said)
    return tuple(
        word
        for word in words(CONTRACTED.sub(" ", text))
        if word in turning
        or not (word in STOP_WORDS or {word, stem(word)} & known or _explained_inside(word, inside))
    )


def _explained_inside(word: str, known: Iterable[str]) -> bool:
    """Tell whether known and framing words make up a whole run of a script without blanks."""
    if not unspaced(word):
        return False
    left = word
    for part in (*sorted(filter(unspaced, known), key=len, reverse=True), *_FRAMING_UNSPACED):
        left = left.replace(fold(part), " ")
    return not left.strip()


def near_keys(question: str, lookup: RecordLookup, most: int = 3) -> tuple[str, ...]:
    """Find keys with a spelling similar to words of a question."""
    labels = {stem(w) for c in lookup.table.columns for w in words(c.label)}
    left = [w for w in words(question)
            if w not in STOP_WORDS and stem(w) not in labels | _FRAMING]  # fmt: skip
    keys = {fold(row.key): row.key for row in lookup.table.rows}
    found = get_close_matches(" ".join(left), keys, most, _CLOSE) if left else []
    for word in left if len(left) > 1 else []:
        found += get_close_matches(word, keys, 1, _CLOSE)
    return tuple(keys[name] for name in dict.fromkeys(found))[:most]


def _near_fact(match: Match) -> str:
    """Write the matched cell, to show it beside the refusal."""
    values = match.values()
    if match.column is None or len(values) != 1:
        return ""
    return f"{match.row.key}, {match.column.label}: {values[0]}"


def _without_names(question: str, match: Match, lookup: RecordLookup) -> tuple[str, str]:
    """Remove the matched record's name from a question; also give the column that named it."""
    wanted = {row.row for row in match.rows}
    named_by, rest = lookup.table.key, question
    spans = [
        span
        for span in lookup.find_records(question)
        if {lookup.table.rows[i].row for i in span.rows} & wanted
    ]
    for span in sorted(spans, key=lambda s: s.start, reverse=True):
        named_by = span.column
        rest = f"{rest[: span.start]} . {rest[span.end :]}"
    return named_by, rest


def _names_records(column: str, question: str, match: Match, lookup: RecordLookup) -> bool:
    """Tell whether a column's values identify records: the question names it, or they are codes."""
    if match.column is not None and match.column.name == lookup.table.key:
        return True  # "Which country has the capital Vienna?"
    if lookup.columns.mentions(column, list(words(question))):
        return True
    values = [row.values.get(column, "") for row in lookup.table.rows]
    return all(0 < len(value) <= _CODE and " " not in value for value in values)


def _substituted(question: str, match: Match, lookup: RecordLookup) -> tuple[str, ...]:
    """List words that replace the subject of a known question: Frankistan for France."""
    known = {stem(word) for row in match.rows for word in words(row.key)}
    asked = [word for word in words(question) if word not in STOP_WORDS]
    added = tuple(word for word in asked if stem(word) not in known | _FRAMING)
    if not added:
        return ()
    said = {stem(word) for word in asked}
    missing = [
        word
        for word in words(match.row.key)
        if word not in STOP_WORDS and stem(word) not in said and _rare(word, lookup)
    ]
    new = tuple(word for word in added if _rare(word, lookup))
    return new if missing else ()


def _rare(word: str, lookup: RecordLookup) -> bool:
    assert lookup.questions is not None
    return lookup.questions.known_in(word) <= _RARE
