"""Find the record and column that answer a question, in code.

The index is built once; a look-up in ten thousand rows takes a fraction of a millisecond.

question -> longest key in the text, as whole words -> row
         -> rest of the text compared with labels and trained templates -> column
tables of questions: the known question with the highest weight of shared words -> row
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property

from ...tables import Column, FactTable, TableRow
from ..state import SourceRecord
from ..text_matching import STOP_WORDS, Letters, Token, as_number, nfc, tokens, unspaced, words
from .column_match import ColumnIndex
from .question_match import QuestionIndex

_GLUE = "+#"
"""Characters that belong to the word before them: C++ and C# are not C."""
_SHORT = 2
"""Values up to this many letters must match in case."""


@dataclass(frozen=True)
class Match:
    """The record and column that a question asks for."""

    rows: tuple[TableRow, ...]
    """Rows that match equally well; more than one only where several share a key."""
    column: Column | None
    """Column asked for; None where no column matches."""
    key_column: str
    confidence: float
    """0 to 1; 1 for the exact wording that the student was trained on."""
    others: tuple[str, ...] = ()
    """Further keys that the question names; not empty means ambiguous."""

    @property
    def row(self) -> TableRow:
        """The first row that matches."""
        return self.rows[0]

    def values(self) -> list[str]:
        """Give the right answers, one per row that has a value."""
        if self.column is None:
            return []
        name = self.column.name
        found = (r.key if name == self.key_column else r.values.get(name) for r in self.rows)
        return [value for value in found if value]


@dataclass(frozen=True)
class _Span:
    """A place in a question that names rows."""

    start: int
    end: int
    rows: tuple[int, ...]
    rank: tuple[int, int, int]
    """Words, letters and similarity of the spelling; larger is better."""
    column: str
    """Column that holds the text: the key column, or one with unique values."""


class RecordLookup:
    """Find rows and columns of one table."""

    def __init__(self, table: FactTable) -> None:
        """Index the table that travels with a student."""
        self.table = table
        self.columns = ColumnIndex(table)
        self.questions = QuestionIndex(table) if table.kind == "questions" else None
        self._names: dict[tuple[str, ...], list[tuple[int, str, str]]] = defaultdict(list)
        self._unspaced: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for i, row in enumerate(table.rows):
            for name in dict.fromkeys((row.key, *row.asked_by.values())):
                self._add_name(i, table.key, name)
                conditions = name.split(" and ") if row.asked_by else []
                if len(conditions) == 2:  # people put them in either order
                    self._add_name(i, table.key, " and ".join(reversed(conditions)))
        for column in table.columns:
            self._add_unique_values(column.name)
        self._longest = max((len(name) for name in self._names), default=0)
        self._by_length = sorted(self._unspaced, key=len, reverse=True)

    def find(self, question: str) -> Match | None:
        """Find the record and column that a question, claim or text names; None for no record."""
        question = nfc(question)
        if self.questions is not None:
            return self._find_question(question)
        spans = self.find_records(question)
        in_order = sorted(spans, key=lambda span: span.start)
        best: Match | None = None
        for span in in_order:
            column, confidence = self._column_for(question, span)
            other_rows = [s.rows[0] for s in in_order if not set(s.rows) & set(span.rows)]
            others = tuple(self.table.rows[i].key for i in dict.fromkeys(other_rows))
            match = Match(
                tuple(self.table.rows[i] for i in span.rows),
                column,
                self.table.key,
                confidence if not others or confidence == 1.0 else confidence / 2,
                () if confidence == 1.0 else others,
            )
            if best is None or match.confidence > best.confidence:
                best = match
        return best

    def find_records(self, text: str) -> list[_Span]:
        """Find the places in an NFC text that name records, the best first, without overlaps."""
        found = tokens(text)
        spans = [span for i in range(len(found)) for span in self._spans_at(text, found, i)]
        spans += self._unspaced_spans(text)
        keys = [span for span in spans if span.column == self.table.key]
        kept: list[_Span] = []
        # Other unique values (a symbol, a code) count only where no key is named.
        for span in sorted(keys or spans, key=lambda s: s.rank, reverse=True):
            if all(span.end <= k.start or span.start >= k.end for k in kept):
                kept.append(span)
        return kept

    def canonical_questions(self, match: Match) -> list[str]:
        """Write the question in every wording that the student was trained on."""
        if match.column is None:
            return []
        own = ("{key}",) if self.questions is not None else ()  # the key is the question
        key = nfc(match.row.asked_by.get(match.column.name, match.row.key))
        return [t.replace("{key}", key) for t in (*own, *match.column.templates)]

    def canonical_summaries(self, match: Match) -> list[str]:
        """Write the subject of a summary in every wording that the student was trained on."""
        return [t.replace("{key}", nfc(match.row.key)) for t in self.table.summary_templates]

    def source(self, match: Match, row: TableRow | None = None) -> SourceRecord:
        """Give the record of a match as plain values for the state."""
        chosen = row or match.row
        column = match.column.name if match.column else None
        value = chosen.key if column == self.table.key else chosen.values.get(column or "")
        return SourceRecord(
            table=self.table.source,
            row=chosen.row,
            key=chosen.key,
            key_column=self.table.key,
            column=column,
            value=value,
            values=dict(chosen.values),
        )

    @cached_property
    def column_values(self) -> dict[str, dict[tuple[str, ...], set[str]]]:
        """Column -> words of a value -> its spellings; the key column's values are included."""
        known: dict[str, dict[tuple[str, ...], set[str]]] = defaultdict(lambda: defaultdict(set))
        for row in self.table.rows:
            known[self.table.key][words(row.key)].add(row.key)
            for name, value in row.values.items():
                known[name][words(value)].add(value)
        return known

    def _add_name(self, row: int, column: str, text: str) -> None:
        name = words(text)
        if name:
            self._names[name].append((row, column, nfc(text)))
        if name and unspaced(text):
            self._unspaced[Letters(nfc(text)).text].append((row, column))

    def _add_unique_values(self, column: str) -> None:
        count = Counter(row.values.get(column) for row in self.table.rows)
        for i, row in enumerate(self.table.rows):
            value = row.values.get(column)
            if value and count[value] == 1 and len(value) <= 60:
                self._add_name(i, column, value)

    def _spans_at(self, text: str, found: list[Token], first: int) -> list[_Span]:
        for size in range(min(self._longest, len(found) - first), 0, -1):
            part = found[first : first + size]
            entries = self._names.get(tuple(token.text for token in part))
            if not entries:
                continue
            start, end = part[0].start, part[-1].end
            ranked = [(self._spelling(text, start, end, e[2]), e) for e in entries]
            best = max(rank for rank, _ in ranked)
            kept = [entry for rank, entry in ranked if rank == best]
            # A key wins over the same text in another column.
            column = next((e[1] for e in kept if e[1] == self.table.key), kept[0][1])
            rows = tuple(e[0] for e in kept if e[1] == column)
            if best > 0 and self._meant_as_name(text, found, first, size, best, column):
                return [_Span(start, end, rows, (size, end - start, best), column)]
        return []

    @staticmethod
    def _spelling(text: str, start: int, end: int, name: str) -> int:
        """Rate a spelling: 3 identical, 2 except case, 1 except marks, 0 another name."""
        lead = len(name) - len(name.lstrip("([{\"'«“"))
        for shift in (lead, 0):
            place = text[max(0, start - shift) : max(0, start - shift) + len(name)]
            after = text[max(0, start - shift) + len(name) :][:1]
            if place.casefold() == name.casefold() and after not in tuple(_GLUE):
                return 3 if place == name else 2
        glued = any(c in _GLUE for c in name) or text[end : end + 1] in tuple(_GLUE)
        return 0 if glued else 1

    def _meant_as_name(
        self, text: str, found: list[Token], first: int, size: int, spelling: int, column: str
    ) -> bool:
        """Tell whether words are a name: "In which year ..." does not name indium."""
        if len(found) == size or size > 1:
            return True
        token = found[first]
        quoted = text[token.start - 1 : token.start] in tuple("'\"“‘`«(") and first > 0
        if column != self.table.key and as_number(text[token.start : token.end]) is not None:
            return self.columns.mentions(column, [t.text for t in found])
        if token.text in STOP_WORDS:
            return spelling == 3 and (quoted or (first > 0 and text[token.start].isupper()))
        if len(token.text) <= _SHORT and column != self.table.key:
            return spelling == 3
        return True

    def _unspaced_spans(self, text: str) -> list[_Span]:
        """Find names in scripts without blanks."""
        if not self._unspaced or not unspaced(text):
            return []
        letters = Letters(text)
        spans: list[_Span] = []
        for name in self._by_length:
            entries = self._unspaced[name]
            columns = [column for _, column in entries]
            column = self.table.key if self.table.key in columns else columns[0]
            rows = tuple(row for row, c in entries if c == column)
            for start, end in letters.find(name):
                if all(start >= s.end or end <= s.start for s in spans):
                    spans.append(_Span(start, end, rows, (1, end - start, 2), column))
        return spans

    def _column_for(self, question: str, span: _Span) -> tuple[Column | None, float]:
        before, after = question[: span.start], question[span.end :]
        column, confidence = self.columns.find(before, after, (span.column,))
        if span.column == self.table.key or column is not None:
            return column, confidence
        if self.columns.asks_for_key(before, after, span.column):
            label = self.table.key.replace("_", " ")
            return Column(self.table.key, label), 0.8  # "Which element has the symbol Au?"
        return None, 0.2

    def _find_question(self, question: str) -> Match | None:
        assert self.questions is not None
        rows, confidence, others = self.questions.find(question)
        if not rows:
            return None
        column = self.table.columns[0] if self.table.columns else None
        return Match(
            tuple(self.table.rows[i] for i in rows),
            column,
            self.table.key,
            confidence,
            tuple(self.table.rows[i].key for i in others),
        )
