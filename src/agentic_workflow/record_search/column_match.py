"""Find the column that a question asks for: by trained wording, by label, by templates' words."""

from __future__ import annotations

from collections import Counter

from ...tables import Column, FactTable
from ..text_matching import (
    CONTRACTED,
    STOP_WORDS,
    Letters,
    contains_words,
    nfc,
    stem,
    stems,
    unspaced,
    words,
)

_KEY = "\0"
"""Placeholder of the record's key in a trained wording."""
_ASKING = frozenset({"who", "whom", "whose", "when", "where"})
"""Question words that distinguish columns: who discovered it, when was it discovered."""
_ENOUGH = 0.5
"""Weighted share of a question's words that a column must explain if its label is not named."""
_CLEAR = 0.1
"""Lead a column must have over the next one."""


class ColumnIndex:
    """Find the column a question asks for."""

    def __init__(self, table: FactTable) -> None:
        """Index a table's labels and trained wordings."""
        self.table = table
        self._spelt: dict[tuple[str, str], Column] = {}
        self._trained: dict[tuple[str, ...], Column] = {}
        self._labels: list[tuple[tuple[str, ...], Column]] = []
        self._words: dict[str, set[str]] = {}
        for column in table.columns:
            vocabulary = set(_content(column.label))
            for template in column.templates:
                before, _, after = template.partition("{key}")
                self._spelt.setdefault((_spelling(before), _spelling(after)), column)
                self._trained.setdefault((*words(before), _KEY, *words(after)), column)
                vocabulary |= set(_content(template.replace("{key}", " ")))
            for text in column.also:
                vocabulary |= set(_content(text))
            self._words[column.name] = vocabulary
            self._labels += [(_label(text), column) for text in (column.label, *column.also)]
        self._known_in = Counter(word for known in self._words.values() for word in known)
        self._key_words = set(stems(table.key.replace("_", " ")))

    def find(
        self, before: str, after: str, without: tuple[str, ...] = ()
    ) -> tuple[Column | None, float]:
        """Find the column for the words around a record's name.

        Args:
            before: Text before the name.
            after: Text after it.
            without: Columns that are not asked for, because the record was named by them.

        Returns:
            The column and the confidence, 0 to 1; `(None, ...)` for none or two equal ones.
        """
        # Exact spelling first: words alone do not distinguish "price ($)" from "price (€)".
        trained = self._spelt.get((_spelling(before), _spelling(after))) or self._trained.get(
            (*words(before), _KEY, *words(after))
        )
        if trained is not None and trained.name not in without:
            return trained, 1.0
        content = _content(before) + _content(after)
        said = self._said(before, after, without)
        if len(said) == 1:
            return said[0], 0.6 + 0.35 * self._share(content, said[0].name)
        if len(said) > 1:
            return None, 0.3
        return self._by_words(content, without)

    def mentions(self, column: str, text: list[str]) -> bool:
        """Tell whether words contain a column's label."""
        said = tuple(stem(word) for word in text)
        return any(c.name == column and _says(said, label) for label, c in self._labels)

    def said_in(self, text: str) -> list[Column]:
        """Give the columns whose labels a text contains; not labels inside longer ones."""
        return self._said(text, "", ())

    def asks_for_key(self, before: str, after: str, named_by: str) -> bool:
        """Tell whether the record's key itself is asked for: "Which element has the symbol Au?"."""
        content = _content(before) + _content(after)
        named_words = self._words.get(named_by, set()) | self._key_words | _ASKING
        unknown = [word for word in content if word not in named_words]
        return len(unknown) <= (1 if self._key_words & set(content) else 0)

    def _said(self, before: str, after: str, without: tuple[str, ...]) -> list[Column]:
        sides = [tuple(stem(w) for w in words(side)) for side in (before, after)]
        hits = [
            (label, column)
            for label, column in self._labels
            if column.name not in without and any(_says(side, label) for side in sides)
        ]
        longest = [
            column
            for label, column in hits
            if not any(_longer(o, label) and _says(o, label) for o, _ in hits)
        ]
        return list({column.name: column for column in longest}.values())

    def _by_words(
        self, content: list[str], without: tuple[str, ...]
    ) -> tuple[Column | None, float]:
        ranked = sorted(
            ((self._share(content, c.name), i) for i, c in enumerate(self.table.columns)),
            key=lambda pair: (-pair[0], pair[1]),
        )
        asking = _ASKING & set(content)
        ranked = [
            (share, i)
            for share, i in ranked
            if (name := self.table.columns[i].name) not in without
            # "When was it discovered?" does not ask who discovered it.
            and (not asking or asking & self._words[name] or not _ASKING & self._words[name])
        ]
        if not ranked or ranked[0][0] <= _ENOUGH:
            return None, 0.2
        if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < _CLEAR:
            return None, 0.3
        return self.table.columns[ranked[0][1]], 0.9 * ranked[0][0]

    def _share(self, content: list[str], column: str) -> float:
        """Give the weighted share of a question's words that a column's wordings contain."""
        total = explained = 0.0
        for word in content:
            known_in = self._known_in.get(word, 0)
            if (not known_in and word in _ASKING) or word in self._key_words:
                continue
            if known_in == len(self._words) > 1:
                continue  # a word of every column distinguishes none
            weight = 1.0 / max(1, known_in)
            total += weight
            explained += weight if word in self._words[column] else 0.0
        return explained / total if total else 0.0


def _spelling(text: str) -> str:
    """Normalise a part of a question for exact comparison."""
    return " ".join(nfc(text).casefold().split())


def _says(text: tuple[str, ...], label: tuple[str, ...]) -> bool:
    """Tell whether words contain a label; in scripts without blanks it may be inside a word."""
    if contains_words(text, label):
        return True
    written = "".join(label)
    return unspaced(written) and any(
        next(Letters(word).find(Letters(written).text), None) is not None for word in text
    )


def _longer(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return (len(one), len("".join(one))) > (len(other), len("".join(other)))


def _label(label: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in words(label))


def _content(text: str) -> list[str]:
    return [
        stem(w) if w not in _ASKING else w
        for w in words(CONTRACTED.sub(" ", text))
        if w in _ASKING or w not in STOP_WORDS
    ]
