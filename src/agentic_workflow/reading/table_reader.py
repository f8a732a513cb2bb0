"""Find which cell or which computation over the table a request asks for, if any.

    reader = TableReader(FactTable.read(folder))
    reader.read("how heavy is gold").cells       # ((78, "atomic_mass"),)

`understanding` lists and ranks the readings of a question and decides, as for `stillroom ask`,
whether to answer, to ask back, or to abstain. Its answer is not given where the question may be
about something that the table does not have (`question_fit`).
"""

from __future__ import annotations

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, Literal

from ...tables import Column, FactTable, TableRow
from ...understanding.answers.ask_table import Context, Read, TableAsker, ask_which, cited_column
from ...understanding.plans.in_words import plan_in_words
from ...understanding.plans.language import Both, Cells, Either, Exists, Top, Where
from ...understanding.plans.list_plans import Candidate, Question, read_question
from ...understanding.ranker.encoder import WITHOUT, Encoder, packaged_encoder
from ...understanding.ranker.ranking import Reading
from ...understanding.table.typed_facts import typed_facts
from ...understanding.table.typed_table import TypedTable
from ...understanding.table.values import fold as fold_value
from ...understanding.table.values import stem as stem_value
from ...understanding.table.values import words as value_words
from ...understanding.verified.verified_questions import verified_place
from ..state import SourceRecord
from ..text_matching import Letters, nfc, unspaced, words
from .known_questions import KnownQuestions
from .plain_words import ASKING, FRAMING, TURNING
from .question_fit import SURE, Fit, fit_of, is_name, label_stems, rows_of_phrase

Verdict = Literal["answered", "ask_back", "abstained"]
_LOOKED_AT: Final = 10
"""Number of readings that are compared with the words of the question."""
_TWICE: Final = 2.0
"""A reading that fits exactly is taken if it is this many times likelier than the next such one."""
_MEANS: Final = 0.42
"""Least cosine similarity to a column that no word names, and that unexplained words then mean."""
_EVEN: Final = 0.5
"""A reading that is asked back about below this probability is more likely wrong than right."""
_CLOSE_NAME: Final = 0.75
"""Least similarity, 0 to 1, of a name that is offered for an unknown word."""
_KEPT: Final = 256
"""Number of cached results, so that the nodes of a turn read a request once."""

_AROUND: Final = ' "?.!'
"""What may stand around a reading that is chosen by its words."""
_NOTHING: Final = "I don't know: nothing in the table matches this question."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """The record and column that a request asks for."""

    rows: tuple[TableRow, ...]
    """The records; more than one only if several share a name."""
    column: Column | None
    """The column; None if the whole record is asked for."""
    key_column: str

    @property
    def row(self) -> TableRow:
        """The first record."""
        return self.rows[0]

    def values(self) -> list[str]:
        """Return the right answers, one for each record that has a value."""
        return [text for row in self.rows if (text := self.value_of(row))]

    def value_of(self, row: TableRow) -> str | None:
        """Return the text of the asked column in a record; None without a value or a column."""
        name = self.column.name if self.column else ""
        return row.key if name == self.key_column else row.values.get(name)


@dataclass(frozen=True)
class Understood:
    """The interpretation of a request.

    Attributes:
        text: The request, completed from the previous turn if it is a follow-up.
        verdict: Whether to answer, to ask back, or to abstain.
        confidence: Probability of the reading, 0 to 1.
        plan: The reading in words.
        answer: The values of the answer.
        cells: Row number and column name of each cell that supports the answer.
        match: Record and column, if one cell or a record is asked for; the language model then
            writes the answer.
        message: Text to show to the user if there is no answer.
        nothing_named: Whether no record is named, so that similar ones may be offered.
        left: Words of the request that nothing in the table explains.
        choices: The readings that are asked back about, each as it would be answered.
    """

    text: str
    verdict: Verdict
    confidence: float = 0.0
    plan: str = ""
    answer: tuple[str, ...] = ()
    cells: tuple[tuple[int, str], ...] = ()
    match: Match | None = None
    message: str = ""
    nothing_named: bool = False
    left: tuple[str, ...] = ()
    choices: tuple[Understood, ...] = ()

    def chosen(self, text: str) -> Understood | None:
        """Return the reading asked back about that a text gives in its words; None if none."""
        said = _spelling(text).strip(_AROUND)
        found = [one for one in self.choices if _spelling(one.plan).strip(_AROUND) == said]
        return replace(found[0], confidence=1.0) if found else None


class TableReader:
    """Reads requests over one table.

    Args:
        table: The student's table.
        folder: The student's folder, which may have a ranker trained for its table
            (`understanding/`) and verified questions.
        encoder: The sentence encoder; by default the packaged one, if its weights are installed.
    """

    def __init__(
        self,
        table: FactTable,
        *,
        folder: str | Path | None = None,
        encoder: Encoder | Literal["packaged"] | None = "packaged",
    ) -> None:
        """Prepare a reader; the table is typed and the ranker loaded when first needed."""
        self.table = table
        self.known = KnownQuestions(table) if table.kind == "questions" else None
        self._folder = None if folder is None else Path(folder)
        self._encoder = encoder
        self._kept: OrderedDict[tuple[str, str, bool], Understood] = OrderedDict()

    @cached_property
    def typed(self) -> TypedTable:
        """The table with typed columns, as `understanding` needs it."""
        return typed_facts(self.table)

    @cached_property
    def asker(self) -> TableAsker:
        """The asker that lists and ranks the readings of questions."""
        encoder = shared_encoder() if self._encoder == "packaged" else self._encoder
        asker = TableAsker(self.typed, encoder=encoder)
        if self._folder is not None:
            asker.use_verified(verified_place(self._folder))
        return asker

    def call_columns(self, words: Mapping[str, Sequence[str]]) -> None:
        """Replace the other names of columns, from the next question on.

        Args:
            words: Name of a column -> all its other names; columns not in it keep theirs.

        Raises:
            ConfigError: There is no such column, or a name has no letter or digit.
        """
        self.table = self.table.renamed(words)
        for name in ("typed", "asker", "plain", "_wordings", "_unspaced_names"):
            self.__dict__.pop(name, None)
        self._kept.clear()

    def read(self, text: str, before: str = "", *, strict: bool = True) -> Understood:
        """Find what a question asks for.

        Args:
            text: The question.
            before: The completed question of the previous turn; empty for none.
            strict: Whether to ask back or to abstain where the question may be about something
                else than the likeliest reading. Otherwise the asker's verdict is taken.
        """
        place = (text, before, strict)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        found = self._read(nfc(text), before, strict)
        if found.text != text and found.text == self._parted(nfc(text)):
            found = replace(found, text=text)
        self._kept[place] = found
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def read_record(self, text: str) -> Understood:
        """Find the one record that a text names, as for a summary."""
        match, others, left = self.named_records(text)
        if match is None:
            return Understood(text, "abstained", message=_NOTHING, nothing_named=True)
        if others:
            named = ", ".join((match.row.key, *others))
            return Understood(
                text,
                "abstained",
                message=f"I don't know: this names several records ({named}); "
                "ask about one at a time.",
            )
        cells = tuple((row.row, name) for row in match.rows for name in row.values)
        message = f"I don't know: {_strange(left)}." if left else ""
        verdict: Verdict = "abstained" if left else "answered"
        plan = f"the record of {match.row.key}"
        return Understood(text, verdict, 1.0, plan, (), cells, match, message, left=left)

    def named_records(self, text: str) -> tuple[Match | None, tuple[str, ...], tuple[str, ...]]:
        """Find the records that a text names by their key.

        Returns:
            The first record, the names of others, and the words of the text that are neither
            plain words nor values of the first record.
        """
        question = self.question(text)
        named = self._named(question)
        if not named:
            return None, (), ()
        inside = {place for start, end, _ in named for place in range(start, end)}
        known = {
            word
            for text_ in (*self.table.summary_templates, self.table.key.replace("_", " "))
            for word in value_words(text_.replace("{key}", " "))
        }
        first = named[0][2]
        known |= {
            word for row in first for c in self.typed.columns for word in value_words(c.texts[row])
        }
        left = tuple(
            word
            for place, word in enumerate(question.words)
            if place not in inside and word not in self.plain and word not in known
        )
        others = dict.fromkeys(
            self.table.rows[rows[0]].key for _, _, rows in named[1:] if not set(rows) & set(first)
        )
        match = Match(tuple(self.table.rows[row] for row in first), None, self.table.key)
        return match, tuple(others), left

    def rows_named(self, text: str) -> list[int]:
        """Return the numbers of the records that a text names by their key, or else by another
        value that only one record has."""
        question = self.question(text)
        found = [row for _, _, rows in self._named(question) for row in rows]
        for one in question.mentions if not found else ():
            rows = rows_of_phrase(self.typed.columns[one.column], one.phrase, text)
            plain = all(word in self.plain for word in question.words[one.start : one.end])
            if one.whole and len(rows) == 1 and (not plain or is_name(text, one.phrase, True)):
                found += rows
        return [self.table.rows[row].row for row in dict.fromkeys(found)]

    def _named(self, question: Question) -> list[tuple[int, int, list[int]]]:
        """Find the keys that a question names, each with its start, end and rows."""
        if self.typed.key is None:
            return []
        column, text = self.typed.columns[self.typed.key], question.text
        return [
            (one.start, one.end, rows)
            for one in question.mentions
            if one.column == self.typed.key
            and one.whole
            and one.alike >= SURE
            and (rows := rows_of_phrase(column, one.phrase, text))
            and (
                one.end - one.start > 1
                or question.words[one.start] not in self.plain
                or is_name(text, one.phrase, True)
            )
        ]

    def question(self, text: str) -> Question:
        """Find the values, numbers and dates that a text names."""
        asker = self.asker
        return read_question(self._parted(nfc(text)), self.typed, asker.common, asker.known)

    @cached_property
    def plain(self) -> frozenset[str]:
        """Words without content of their own: common and framing words, and words of templates."""
        labels = {word for column in self.typed.columns for word in label_stems(column)}
        own = {
            word
            for column in self.table.columns
            for template in column.templates
            for word in value_words(template.replace("{key}", " "))
            if stem_value(word) not in labels
        }
        asked = [
            ASKING & {word for template in column.templates for word in value_words(template)}
            for column in self.table.columns
        ]
        telling = set().union(*asked) - (asked[0].intersection(*asked) if asked else set())
        return (self.asker.common | FRAMING | own) - TURNING - (ASKING if telling else frozenset())

    @cached_property
    def row_by_number(self) -> dict[int, TableRow]:
        """Number of a record, counted from 1 -> the record."""
        return {row.row: row for row in self.table.rows}

    @cached_property
    def column_values(self) -> dict[str, dict[tuple[str, ...], set[str]]]:
        """Column -> words of a value -> its spellings; the key column's values are included."""
        known: dict[str, dict[tuple[str, ...], set[str]]] = defaultdict(lambda: defaultdict(set))
        for row in self.table.rows:
            known[self.table.key][words(row.key)].add(row.key)
            for name, value in row.values.items():
                known[name][words(value)].add(value)
        return known

    def columns_said(self, text: str) -> list[Column]:
        """Return the columns whose names a text contains, apart from names inside longer ones."""
        said = [stem_value(word) for word in value_words(self._parted(text))]
        spoken = f" {' '.join(said)} "
        hits = [
            (f" {' '.join(stem_value(word) for word in value_words(name))} ", column)
            for column in self.table.columns
            for name in (column.label, *column.also)
        ]
        hits = [(name, column) for name, column in hits if name.strip() and name in spoken]
        longest = [
            column
            for name, column in hits
            if not any(name != other and name in other for other, _ in hits)
        ]
        return list({column.name: column for column in longest}.values())

    def wordings(self, match: Match) -> list[str]:
        """List the question for a match in all wordings that the language model was trained on."""
        if match.column is None:
            return [t.replace("{key}", nfc(match.row.key)) for t in self.table.summary_templates]
        own = ("{key}",) if self.known is not None else ()  # the key is the question
        key = nfc(match.row.asked_by.get(match.column.name, match.row.key))
        return [t.replace("{key}", key) for t in (*own, *match.column.templates)]

    def source(self, match: Match, row: TableRow) -> SourceRecord:
        """Return a record as plain values for the state."""
        return SourceRecord(
            table=self.table.source,
            row=row.row,
            key=row.key,
            key_column=self.table.key,
            column=match.column.name if match.column else None,
            value=match.value_of(row) if match.column else None,
            values=dict(row.values),
        )

    def near(self, text: str, most: int = 3) -> tuple[str, ...]:
        """Return names of records whose spelling is similar to words of a text."""
        left = [word for word in value_words(text) if word not in self.plain]
        names = {fold_value(row.key): row.key for row in self.table.rows}
        found = get_close_matches(" ".join(left), names, most, _CLOSE_NAME) if left else []
        for word in left if len(left) > 1 else []:
            found += get_close_matches(word, names, 1, _CLOSE_NAME)
        return tuple(names[name] for name in dict.fromkeys(found))[:most]

    def _read(self, text: str, before: str, strict: bool) -> Understood:
        if self.known is not None:
            return self._known_question(text)
        if not self.table.rows or not self.table.columns:
            return Understood(text, "abstained", message=_NOTHING, nothing_named=True)
        trained = self._trained(text)
        if trained is not None:
            return trained
        read = self.asker.read(self._parted(text), self._context(before))
        exact = None if read.verified else self._exact_look_up(read)
        return exact or self._told(read, strict)

    def _exact_look_up(self, read: Read) -> Understood | None:
        """Answer a question that consists of names of the table and framing words.

        Such a question is answered whatever the confidence of the ranker.
        """
        readings = [one for one in read.readings if one.candidate is not None][:_LOOKED_AT]
        fits = [(one, self._fit(read.question, one)) for one in readings]
        exact = [(one, fit) for one, fit in fits if fit.exact]
        look_ups = [(one, fit) for one, fit in exact if self._is_about_record(one)]
        if not look_ups:
            return None
        (best, fit), *others = look_ups
        # No word may ask for the computation of a likelier reading.
        framing = FRAMING.issuperset(word.partition("'")[0] for word in fit.framed)
        rest = sum(one.probability for one, _ in others)
        if (
            (best is not exact[0][0] and not framing)
            or best.probability < _TWICE * max([one.probability for one, _ in others], default=0.0)
            or self._is_empty(read.question, best)
        ):
            return None
        return self._answered(read.question, best, best.probability / (best.probability + rest))

    def _is_about_record(self, one: Reading) -> bool:
        """Tell whether a reading looks up a column of one record, or of several named by key."""
        if not _is_look_up(one):
            return False
        assert one.candidate is not None
        wheres = [condition.where for condition in one.candidate.conditions]
        by_key = all(where.column == self.typed.key for where in wheres)
        return all(map(self._is_whole, wheres)) and (by_key or len(one.candidate.answer.rows) == 1)

    def _is_whole(self, where: Where) -> bool:
        """Tell whether a condition has a whole value, or most words of the only one with them."""
        column = self.typed.columns[where.column]
        if where.operator != "has" or where.value in column.rows_of_item:
            return True
        rows = self.asker.asked.runner.rows(where)
        said, there = (len(value_words(str(t))) for t in (where.value, column.texts[rows[0]]))
        return len(rows) == 1 and said > there / 2

    def _told(self, read: Read, strict: bool) -> Understood:
        """Take the asker's verdict, unless the question may be about something else."""
        verdict, chosen = self.asker.decide(read)
        known = [one for one in read.readings if one.candidate is not None]
        if not known or not read.question.words:
            return self._nothing(read.question)
        best, fit = known[0], self._fit(read.question, known[0])
        doubted = strict and not read.verified
        other = fit.beside and (verdict == "answered" or fit.guessed)
        if doubted and (other or self._is_empty(read.question, best)):
            verdict = "abstained"
        elif (
            doubted
            and verdict == "answered"
            and (fit.guessed or self._is_denied(read, best) or self._is_far(fit, best))
        ):
            verdict = "ask_back"
        if verdict == "abstained":
            return self._nothing(read.question, best.probability, fit.left)
        if verdict == "answered":
            return self._answered(read.question, best, best.probability)
        offered = [self._answered(read.question, one, one.probability) for one in chosen]
        plans = list(dict.fromkeys(one.plan for one in offered))
        return Understood(
            read.question.text,
            verdict,
            best.probability,
            plans[0],
            message=ask_which(plans),
            nothing_named=best.probability < _EVEN and not self._named(read.question),
            choices=tuple(offered),
        )

    def _is_denied(self, read: Read, one: Reading) -> bool:
        """Tell whether a question has a word such as `not` that a look-up does not use."""
        return _is_look_up(one) and not TURNING.isdisjoint(read.question.words)

    def _is_far(self, fit: Fit, one: Reading) -> bool:
        """Tell whether no word names the column of a look-up and the words left are unlike it."""
        assert one.candidate is not None
        plan, encoder = one.candidate.plan, self.asker.encoder
        if encoder is None or fit.named or not fit.left or not _is_look_up(one):
            return False
        assert isinstance(plan, Cells)
        column = self.typed.columns[plan.column]
        left, *names = encoder.encode([" ".join(fit.left), column.label, *column.also])
        return plan.column != self.typed.key and max(float(left @ name) for name in names) < _MEANS

    def _is_empty(self, question: Question, one: Reading) -> bool:
        """Tell whether a question asks for one column of a record that has no value there, or a
        reading only repeats the name that the question gives."""
        plan = None if one.candidate is None else one.candidate.plan
        rows = plan.rows if isinstance(plan, Cells) and plan.column == self.typed.key else None
        if isinstance(rows, Where) and rows.column == self.typed.key and rows.operator == "is":
            return True
        match, others, _ = self.named_records(question.text)
        said = self.columns_said(question.text)
        if match is None or others or len(said) != 1 or not _is_look_up(one):
            return False
        return not replace(match, column=said[0]).values()

    def _fit(self, question: Question, one: Reading) -> Fit:
        assert one.candidate is not None
        return fit_of(question, one.candidate, self.typed, self.plain)

    def _answered(self, question: Question, one: Reading, sure: float) -> Understood:
        assert one.candidate is not None
        candidate = one.candidate
        return Understood(
            question.text,
            "answered",
            min(1.0, sure),
            self._in_words(candidate),
            candidate.answer.values,
            self._cells(candidate),
            self._match(candidate),
        )

    def _nothing(
        self, question: Question, sure: float = 0.0, left: tuple[str, ...] = ()
    ) -> Understood:
        """Abstain, with a message that says why and what the table holds."""
        text = question.text
        match, others, _ = self.named_records(text)
        if match is None:
            return Understood(text, "abstained", sure, message=_NOTHING, nothing_named=True)
        said = self.columns_said(text)
        labels = ", ".join(column.label for column in self.table.columns)
        message = (
            f"I don't know: nothing in the table matches what is asked about {match.row.key}. "
            f"It can be asked for: {labels}."
        )
        if len(said) == 1 and not others:
            values = Match(match.rows, said[0], self.table.key).values()
            if not values:
                message = f"I don't know: the table holds no {said[0].label} of {match.row.key}."
            elif left:
                message = (
                    f"I don't know: {_strange(left)}. "
                    f"What it holds: {match.row.key}, {said[0].label}: {values[0]}."
                )
        return Understood(text, "abstained", sure, message=message, left=left)

    def _in_words(self, candidate: Candidate | None) -> str:
        if candidate is None:
            return ""
        match = self._match(candidate)
        if match is not None and match.column is not None and self.table.kind != "rows":
            return f"the {match.column.label} of {match.row.key}"
        return plan_in_words(candidate.plan, self.typed)

    def _match(self, candidate: Candidate) -> Match | None:
        """Return the record and column of a plan that looks up one cell; None for other plans."""
        plan = candidate.plan
        if not isinstance(plan, Cells) or not isinstance(plan.rows, Where | Both):
            return None
        name = self.typed.columns[plan.column].name
        column = next((c for c in self.table.columns if c.name == name), None)
        there = self.asker.asked.runner.rows(plan.rows)
        rows = tuple(self.table.rows[row] for row in there)
        if column is None or len({row.key for row in rows}) != 1:
            return None
        return Match(rows, column, self.table.key)

    def _cells(self, candidate: Candidate) -> tuple[tuple[int, str], ...]:
        """List the cells that support an answer: its own, and those by which its rows were chosen.

        A "no" is supported by the rows that meet all conditions but one.
        """
        plan, rows = candidate.plan, list(candidate.answer.rows)
        columns = [cited_column(candidate, self.typed)]
        if isinstance(plan, Exists) and isinstance(plan.rows, Both):
            columns = [condition.column for condition in plan.rows.conditions]
            rows = rows or self._almost(plan.rows.conditions)
        elif isinstance(plan, Cells) and isinstance(plan.rows, Top):
            columns.append(plan.rows.column)
        names = list(dict.fromkeys(self.typed.columns[column].name for column in columns))
        return tuple((self.table.rows[row].row, name) for row in rows for name in names)

    def _almost(self, conditions: Sequence[Where]) -> list[int]:
        """Find the rows that meet all conditions but one: that on the key is not left out where
        another can be, and the fewest rows are taken."""
        runner = self.asker.asked.runner
        found = []
        for left_out in conditions:
            kept = tuple(one for one in conditions if one is not left_out)
            rows = [int(row) for row in runner.rows(kept[0] if len(kept) == 1 else Both(kept))]
            if rows:
                found.append((left_out.column == self.typed.key, len(rows), rows))
        return min(found, default=(False, 0, []))[2]

    def _trained(self, text: str) -> Understood | None:
        """Answer a question that has exactly a wording that the language model was trained on."""
        match = self._trained_match(text)
        if match is None or not match.values():
            return None
        assert match.column is not None
        cells = tuple((row.row, match.column.name) for row in match.rows if match.value_of(row))
        plan = f"the {match.column.label} of {match.row.key}"
        return Understood(text, "answered", 1.0, plan, tuple(match.values()), cells, match)

    def _trained_match(self, text: str) -> Match | None:
        said = _spelling(text)
        for before, after, column in self._wordings:
            inner = said[len(before) : len(said) - len(after)]
            if said.startswith(before) and said.endswith(after) and inner:
                rows = self._rows_asked.get((column.name, inner), self._rows_asked.get(("", inner)))
                if rows:
                    return Match(tuple(rows), column, self.table.key)
        return None

    @cached_property
    def _wordings(self) -> list[tuple[str, str, Column]]:
        found = []
        for column in self.table.columns:
            for template in column.templates:
                before, _, after = template.partition("{key}")
                found.append((_spelling(before, "end"), _spelling(after, "start"), column))
        return found

    @cached_property
    def _rows_asked(self) -> dict[tuple[str, str], list[TableRow]]:
        found: dict[tuple[str, str], list[TableRow]] = defaultdict(list)
        for row in self.table.rows:
            if self.table.kind != "rows":
                found["", _spelling(row.key)].append(row)
            for name, condition in row.asked_by.items():
                parts = condition.split(" and ")
                for said in {condition, " and ".join(reversed(parts)) if len(parts) == 2 else ""}:
                    if said:
                        found[name, _spelling(said)].append(row)
        return found

    def _known_question(self, text: str) -> Understood:
        assert self.known is not None
        rows, others = self.known.find(text)
        if not rows:
            return Understood(text, "abstained", message=_NOTHING, nothing_named=True)
        if others:
            keys = [self.table.rows[row].key for row in (rows[0], others[0])]
            offered = [
                replace(self._known_answer(key, [row]), plan=key)
                for key, row in zip(keys, (rows[0], others[0]), strict=True)
            ]
            told = " or ".join(f'"{key}"' for key in keys)
            message = f"Do you mean {told}?"
            return Understood(text, "ask_back", 0.5, message=message, choices=tuple(offered))
        return self._known_answer(text, rows)

    def _known_answer(self, text: str, rows: Sequence[int]) -> Understood:
        column = self.table.columns[0] if self.table.columns else None
        match = Match(tuple(self.table.rows[row] for row in rows), column, self.table.key)
        if column is None or not match.values():
            return Understood(text, "abstained", message=_NOTHING, nothing_named=True)
        cells = tuple((row.row, column.name) for row in match.rows if match.value_of(row))
        plan = f'the answer to "{match.row.key}"'
        return Understood(text, "answered", 1.0, plan, tuple(match.values()), cells, match)

    def _context(self, before: str) -> Context | None:
        """Make the context of a follow-up by reading the previous question again."""
        if not before.strip():
            return None
        read = self.asker.read(self._parted(before))
        best = next((one.candidate for one in read.readings if one.candidate is not None), None)
        return None if best is None else Context(read.question.text, read.question, best.plan)

    def _parted(self, text: str) -> str:
        """Put spaces around names of the table in scripts that are written without spaces."""
        if not unspaced(text):
            return text
        letters, taken = Letters(text), list[tuple[int, int]]()
        for name in self._unspaced_names:
            for start, end in letters.find(name):
                if all(end <= a or start >= b for a, b in taken):
                    taken.append((start, end))
        for start, end in sorted(taken, reverse=True):
            text = f"{text[:start]} {text[start:end]} {text[end:]}"
        return text

    @cached_property
    def _unspaced_names(self) -> list[str]:
        texts = {row.key for row in self.table.rows}
        texts |= {v for row in self.table.rows for v in row.values.values() if len(v) <= 40}
        texts |= {t for c in self.table.columns for t in (c.label, *c.also)}
        names = {Letters(nfc(text)).text for text in texts if unspaced(text)}
        return sorted(names, key=len, reverse=True)


@lru_cache(maxsize=1)
def shared_encoder() -> Encoder | None:
    """Load the packaged encoder once per process; warn and return None without its weights."""
    encoder = packaged_encoder()
    if encoder is None:
        _log.warning(WITHOUT)
    return encoder


def _strange(left: Sequence[str]) -> str:
    said = ", ".join(f'"{word}"' for word in left[:3])
    return f"nothing in the table matches {said} in this question"


def _is_look_up(one: Reading) -> bool:
    """Tell whether a reading looks up a column under conditions that the question names."""
    assert one.candidate is not None
    plan = one.candidate.plan
    if not isinstance(plan, Cells) or not isinstance(plan.rows, Where | Both | Either):
        return False
    conditions = one.candidate.conditions
    rows = (plan.rows,) if isinstance(plan.rows, Where) else plan.rows.conditions
    if any(where.operator not in ("is", "has", "=") for where in rows):
        return False
    named = all(c.start >= 0 or not isinstance(c.where.value, str) for c in conditions)
    return bool(conditions) and named and plan.column not in {c.where.column for c in conditions}


def _spelling(text: str, side: str = "") -> str:
    """Normalise a text for exact comparison.

    Args:
        text: The text.
        side: Side of a template where the name stands, "start" or "end"; a space there is kept.
    """
    plain = nfc(text).casefold()
    joined = " ".join(plain.split())
    if side == "end" and plain[-1:].isspace():
        return joined + " "
    return " " + joined if side == "start" and plain[:1].isspace() else joined
