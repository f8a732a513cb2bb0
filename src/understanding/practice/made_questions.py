"""Put plans over made tables into the words that people would use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ..plans.language import (
    All,
    At,
    Beside,
    Both,
    Cells,
    Compared,
    Count,
    Difference,
    Distinct,
    Either,
    Exists,
    Group,
    Like,
    Often,
    Operator,
    Plan,
    Rows,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip
from ..table.typed_table import TypedTable
from ..table.values import Day, days, fold, quantities
from .made_tables import MadeColumn, MadeTable

T = TypeVar("T")
_ADD: Final = ("", "", "", "", "please", "according to the table", "in the list", "on this chart",
               "listed", "in total")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A question and the plan that it means."""

    text: str
    plan: Plan


class Asker:
    """Asks questions about one made table.

    Args:
        made: The table with its words.
        table: The same, typed.
        rng: Chooses.
    """

    def __init__(self, made: MadeTable, table: TypedTable, rng: random.Random) -> None:
        """Prepare for a table."""
        self.made, self.table, self.rng = made, table, rng
        names = [column.name for column in table.columns]
        self.key = names.index(made.key)
        self.columns = [(names.index(c.label), c) for c in made.columns]
        self.numbers = [
            (n, c) for n, c in self.columns
            if c.meaning.kind in ("number", "money") and table.columns[n].kind == "number"
        ]  # fmt: skip
        self.times = [(n, c) for n, c in self.columns if table.columns[n].kind == "date"]
        self.ordered = [*self.numbers, *self.times]
        self.shared = [(n, c) for n, c in self.columns if c.meaning.has]
        self.forms: list[Callable[[], Asked | None]] = [
            self._look_up, self._look_up, self._look_up, self._which, self._which, self._how_many,
            self._how_many, self._top, self._top, self._top_value, self._place, self._beside, self._total,
            self._difference, self._more_of_two, self._often, self._distinct, self._exists, self._flag,
            self._same, self._compare_count, self._which_compared, self._group, self._top_among,
            self._value_of_two, self._both, self._span, self._count_all,
        ]  # fmt: skip

    def ask(self, count: int) -> Iterator[Asked]:
        """Ask so many different questions, or as many as the table gives."""
        seen: set[str] = set()
        for _ in range(6 * count):
            asked = self.rng.choice(self.forms)()
            if asked is None or asked.text in seen:
                continue
            seen.add(asked.text)
            yield Asked(self._said(asked.text), asked.plan)
            if len(seen) >= count:
                return

    def _look_up(self) -> Asked | None:
        row, name = self._record()
        number, column = self._pick(self.columns)
        if not self.table.columns[number].texts[row]:
            return None
        ways = [*column.meaning.asks] * 2 + [
            "what is the {l} of {k}", "{k} {l}", "what {l} does {k} have", "what is {k}'s {l}",
            "{l} of {k}", "what {l} is {k}", "tell me the {l} of {k}", "which {l} has {k}",
            "i need the {l} for {k}", "{l} for {k}?",
        ]  # fmt: skip
        if column.meaning.noun:
            ways += [
                "how many {n} does {k} have",
                "how many {n} did {k} get",
                "number of {n} of {k}",
            ]
        text = self._fill(self._pick(ways), column, k=name)
        return Asked(text, Cells(Where(self.key, "is", fold(self._cell(row, self.key))), number))

    def _which(self) -> Asked | None:
        found = self._condition()
        if found is None:
            return None
        where, said = found
        text = self._pick([
            "which {o} is {s}", "which {m} are {s}", "name the {m} {s}", "what {o} is {s}",
            "{w} is {s}", "list all {m} {s}", "what {m} are there {s}", "give me the {m} {s}",
            "show {m} {s}", "{m} {s}", "which {o} was {s}", "what is the name of the {o} {s}",
        ])  # fmt: skip
        return Asked(self._fill(text, s=said), Cells(where, self.key))

    def _both(self) -> Asked | None:
        first, second = self._condition(), self._condition()
        if first is None or second is None or first[0].column == second[0].column:
            return None
        text = self._pick(["which {m} {s} are {t}", "how many {m} {s} are {t}", "which {o} {s} is {t}",
                           "how many {m} are {s} and {t}", "{m} {s} {t}"])  # fmt: skip
        rows = Both((first[0], second[0]))
        plan: Plan = Count(rows) if text.startswith("how") else Cells(rows, self.key)
        return Asked(self._fill(text, s=first[1], t=second[1]), plan)

    def _how_many(self) -> Asked | None:
        found = self._condition()
        if found is None:
            return None
        where, said = found
        text = self._pick([
            "how many {m} are {s}", "how many {m} are there {s}", "how many {m} were {s}",
            "number of {m} {s}", "what is the total number of {m} {s}", "how many {m} {s}",
            "how many times {s}", "count the {m} {s}", "how many {m} do we have {s}",
        ])  # fmt: skip
        return Asked(self._fill(text, s=said), Count(where))

    def _compare_count(self) -> Asked | None:
        found = self._compared()
        if found is None:
            return None
        where, said = found
        text = self._pick(["how many {m} have {s}", "how many {m} had {s}", "how many {m} are {s}",
                           "number of {m} with {s}", "how many {m} {s}"])  # fmt: skip
        return Asked(self._fill(text, s=said), Count(where))

    def _which_compared(self) -> Asked | None:
        found = self._compared()
        if found is None:
            return None
        where, said = found
        text = self._pick(["which {m} have {s}", "name the {m} with {s}", "which {o} has {s}",
                           "{m} {s}", "list {m} {s}", "anything {s}?", "{w} has {s}"])  # fmt: skip
        return Asked(self._fill(text, s=said), Cells(where, self.key))

    def _top(self) -> Asked | None:
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        said = self._superlative(column, highest)
        text = self._pick(
            [
                "which {o} {s}",
                "{w} {s}",
                "what {o} {s}",
                "name the {o} that {s}",
                "which of the {m} {s}",
            ]
        )
        adjective = self._adjective(column, highest)
        if adjective and self.rng.random() < 0.6:
            said = adjective
            text = self._pick(["which {o} is the {s}", "what is the {s} {o}", "{s} {o}", "{w} is the {s}",
                               "which is the {s} {o}", "the {s} {o}?", "which {o} was the {s}", "whats the {s}"])  # fmt: skip
        return Asked(self._fill(text, s=said), Cells(Top(All(), number, highest), self.key))

    def _top_among(self) -> Asked | None:
        found = self._condition()
        if found is None or not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        adjective = self._adjective(column, highest)
        if adjective and self.rng.random() < 0.6:
            text = self._fill(self._pick(["which is the {s} {o} {t}", "the {s} {o} {t}", "what is the {s} of the {m} {t}",
                                          "{s} {o} {t}"]), s=adjective, t=found[1])  # fmt: skip
        else:
            said = self._superlative(column, highest)
            text = self._fill(
                self._pick(
                    ["which {o} {t} {s}", "of the {m} {t}, which {s}", "among {m} {t}, {w} {s}"]
                ),
                s=said,
                t=found[1],
            )
        return Asked(text, Cells(Top(found[0], number, highest), self.key))

    def _top_value(self) -> Asked | None:
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        word = self._pick(["highest", "most", "largest", "greatest", "maximum", "biggest", "top"] if highest else
                          ["lowest", "least", "smallest", "fewest", "minimum"])  # fmt: skip
        if number in [n for n, _ in self.times]:
            word = self._pick(
                ["latest", "most recent", "last"] if highest else ["earliest", "first"]
            )
        target = number
        text = self._pick(["what is the {s} {l}", "what was the {s} {l}", "{s} {l}", "what is the {s} {l} of any {o}",
                           "the {s} number of {n}" if column.meaning.noun else "the {s} {l}"])  # fmt: skip
        if self.rng.random() < 0.4 and len(self.columns) > 1:
            target, other = self._pick(self.columns)
            if target == number:
                return None
            text = self._pick(["what is the {x} of the {o} with the {s} {l}", "{x} of the {o} with the {s} {l}",
                               "what {x} has the {o} with the {s} {l}", "which {x} has the {s} {l}", "what {x} had the {s} {l}"])  # fmt: skip
            return Asked(
                self._fill(text, column, s=word, x=other.label.lower()),
                Cells(Top(All(), number, highest), target),
            )
        return Asked(self._fill(text, column, s=word), Cells(Top(All(), number, highest), target))

    def _place(self) -> Asked | None:
        first = self.rng.random() < 0.5
        word = self._pick(
            ["first", "top", "first listed"]
            if first
            else ["last", "bottom", "final", "last listed"]
        )
        target, said = self.key, "{o}"
        if self.rng.random() < 0.3:
            target, column = self._pick(self.columns)
            said = column.label.lower()
        rows: Rows = All()
        tail = ""
        if self.rng.random() < 0.3 and (found := self._condition()) is not None:
            rows, tail = found[0], f" {found[1]}"
        place = 0 if first else -1
        if self.rng.random() < 0.15 and isinstance(rows, All):
            place = self.rng.randint(1, 3)
            word = ("second", "third", "fourth")[place - 1]
        text = self._pick([f"what is the {{s}} {said}{tail}", f"which {said}{tail} is listed {{s}}", f"{{s}} {said}{tail}",
                           f"who is the {{s}} {said}{tail}" if self.made.who else f"name the {{s}} {said}{tail}",
                           f"what {said}{tail} is at the {{s}} of the list", f"which {said}{tail} came {{s}}",
                           f"the {{s}} {said}{tail} on the list"])  # fmt: skip
        return Asked(self._fill(text, s=word), Cells(At(rows, place), target))

    def _beside(self) -> Asked | None:
        row, name = self._record()
        below = self.rng.random() < 0.5
        if not 0 <= row + (1 if below else -1) < len(self.made.records):
            return None
        after = ["which {o} comes after {k}", "what is listed right below {k}", "{w} came after {k}", "next {o} after {k}",
                 "what {o} follows {k}", "which {o} is next after {k}", "name the {o} directly below {k}", "who is listed under {k}"]  # fmt: skip
        before = ["which {o} comes before {k}", "what is listed right above {k}", "{w} came before {k}", "previous {o} to {k}",
                  "what {o} precedes {k}", "which {o} is just above {k}", "name the {o} directly before {k}", "{w} was previous to {k}"]  # fmt: skip
        text = self._fill(self._pick(after if below else before), k=name)
        rows = Beside(Where(self.key, "is", fold(self._cell(row, self.key))), 1 if below else -1)
        return Asked(text, Cells(rows, self.key))

    def _total(self) -> Asked | None:
        if not self.numbers:
            return None
        number, column = self._pick(self.numbers)
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        rows: Rows = All()
        tail = ""
        if self.rng.random() < 0.5 and (found := self._condition()) is not None:
            rows, tail = found[0], f" {found[1]}"
        if self.rng.random() < 0.6:
            ways = [f"what is the total {{n}} of the {{m}}{tail}", f"how many {{n}} are there altogether{tail}", f"total {{n}}{tail}",
                    f"how many {{n}} did all {{m}}{tail} have combined", f"what is the sum of {{n}}{tail}", f"how many {{n}} in all{tail}",
                    f"combined {{n}} of {{m}}{tail}", f"how much {{n}} {tail}", f"how many {{n}} did we have{tail}",
                    f"how many {{n}}{tail} altogether", f"how many {{n}} were there{tail}", f"what is the total number of {{n}}{tail}", f"how many total {{n}}{tail}"]  # fmt: skip
            return Asked(self._fill(self._pick(ways), n=thing), Total(rows, number, "sum"))
        ways = [f"what is the average {{n}}{tail}", f"average {{n}} of {{m}}{tail}", f"how many {{n}} on average{tail}", f"mean {{n}}{tail}",
                f"what is the average {{n}} per {{o}}{tail}"]  # fmt: skip
        return Asked(self._fill(self._pick(ways), n=thing), Total(rows, number, "average"))

    def _difference(self) -> Asked | None:
        if not self.numbers:
            return None
        number, column = self._pick(self.numbers)
        (row, name), (other, second) = self._record(), self._record()
        if row == other or not self._filled(number, row, other):
            return None
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        ways = ["how many more {n} does {k} have than {j}", "what is the difference in {n} between {k} and {j}",
                "how many more {n} did {k} get than {j}", "difference between {k} and {j} in {n}", "how much more {n} has {k} than {j}",
                "by how much is the {n} of {k} above that of {j}"]  # fmt: skip
        more = column.meaning.more
        if more:
            ways += [f"how much {self._pick(more)} is {{k}} than {{j}}"] * 2
        text = self._fill(self._pick(ways), n=thing, k=name, j=second)
        return Asked(text, Difference(self._is(row), self._is(other), number))

    def _more_of_two(self) -> Asked | None:
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        (row, name), (other, second) = self._record(), self._record()
        if row == other or not self._filled(number, row, other):
            return None
        highest = self.rng.random() < 0.6
        said = column.meaning.more if highest else column.meaning.less
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        word = "more" if highest else self._pick(["less", "fewer"])
        ways = [f"{{w}} has {word} {{n}}, {{k}} or {{j}}", f"which has {word} {{n}}, {{k}} or {{j}}", f"did {{k}} or {{j}} have {word} {{n}}",
                f"which {{o}} had {word} {{n}}, {{k}} or {{j}}"]  # fmt: skip
        if said:
            one = self._pick(said)
            ways += [
                f"what is {one}, {{k}} or {{j}}",
                f"which is {one}, {{k}} or {{j}}",
                f"is {{k}} or {{j}} {one}",
                f"{{w}} is {one}, {{k}} or {{j}}",
            ] * 2
        rows = Top(Either((self._is(row), self._is(other))), number, highest)
        return Asked(self._fill(self._pick(ways), n=thing, k=name, j=second), Cells(rows, self.key))

    def _value_of_two(self) -> Asked | None:
        """Ask whether one record has more than another."""
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        (row, name), (other, second) = self._record(), self._record()
        more = self.rng.random() < 0.6
        said = column.meaning.more if more else column.meaning.less
        if row == other or not self._filled(number, row, other):
            return None
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        ways = [
            f"does {{k}} have {'more' if more else 'fewer'} {{n}} than {{j}}",
            f"did {{k}} get {'more' if more else 'less'} {{n}} than {{j}}",
        ]
        if said:
            ways += [
                f"is {{k}} {self._pick(said)} than {{j}}",
                f"was {{k}} {self._pick(said)} than {{j}}",
            ] * 2
        text = self._fill(self._pick(ways), n=thing, k=name, j=second)
        return Asked(text, Compared(self._is(row), self._is(other), number, more))

    def _often(self) -> Asked | None:
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        most = self.rng.random() < 0.7
        word = "most" if most else self._pick(["least", "fewest"])
        ways = [f"which {{l}} has the {word} {{m}}", f"what {{l}} had the {word} {{m}}", f"which {{l}} appears the {word}", f"which {{l}} is listed the {word}",
                f"what is the {word} common {{l}}", f"which {{l}} occurs {'most often' if most else 'least often'}", f"from which {{l}} are the {word} {{m}}"]  # fmt: skip
        return Asked(self._fill(self._pick(ways), column), Often(All(), number, most))

    def _distinct(self) -> Asked | None:
        number, column = self._pick(self.columns)
        ways = ["how many different {l} values are there", "how many different {ls} are there", "how many {ls} are listed",
                "number of different {ls}", "how many {ls} are represented", "how many unique {ls}"]  # fmt: skip
        return Asked(self._fill(self._pick(ways), column), Distinct(All(), number))

    def _count_all(self) -> Asked | None:
        ways = ["how many {m} are there", "how many {m} are listed", "total number of {m}", "what is the number of {m}", "how many {m} do we have",
                "how many {m} are there in total", "how many {m} are in the table"]  # fmt: skip
        return Asked(self._fill(self._pick(ways)), Count(All()))

    def _exists(self) -> Asked | None:
        found, (row, name) = self._condition(), self._record()
        if found is None:
            return None
        if self.rng.random() < 0.5:
            ways = [
                "is there a {o} {s}",
                "are there any {m} {s}",
                "do we have a {o} {s}",
                "is there any {o} {s}",
            ]
            return Asked(self._fill(self._pick(ways), s=found[1]), Exists(found[0]))
        ways = ["is {k} {s}", "was {k} {s}", "is {k} {s}, yes or no", "did {k} {s}"]
        return Asked(
            self._fill(self._pick(ways), k=name, s=found[1]),
            Exists(Both((self._is(row), found[0]))),
        )

    def _flag(self) -> Asked | None:
        flags = [(n, c) for n, c in self.columns if c.meaning.kind == "flag"]
        if not flags:
            return None
        number, column = self._pick(flags)
        row, name = self._record()
        if not self._filled(number, row):
            return None
        ways = [
            "is {k} {l}",
            "is the {k} {l}",
            "{k}: {l}?",
            "is {k} {l} or not",
            "can you tell me if {k} is {l}",
        ]
        return Asked(self._fill(self._pick(ways), column, k=name), Cells(self._is(row), number))

    def _same(self) -> Asked | None:
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        row, name = self._record()
        ways = ["which other {o} has the same {l} as {k}", "{w} else has the same {l} as {k}", "what other {m} share the {l} of {k}",
                "which {o} is from the same {l} as {k}"]  # fmt: skip
        return Asked(
            self._fill(self._pick(ways), column, k=name),
            Cells(Like(self._is(row), number), self.key),
        )

    def _group(self) -> Asked | None:
        if not self.shared or not self.numbers:
            return None
        (by, column), (number, other) = self._pick(self.shared), self._pick(self.numbers)
        highest = self.rng.random() < 0.7
        thing = self._pick([*other.meaning.noun, other.label.lower()])
        word = "most" if highest else "least"
        ways = [
            f"which {{l}} has the {word} {{n}} in total",
            f"which {{l}} had the {word} {{n}} altogether",
            f"what {{l}} has the {word} {{n}} overall",
        ]
        return Asked(
            self._fill(self._pick(ways), column, n=thing), Group(All(), by, number, "sum", highest)
        )

    def _span(self) -> Asked | None:
        if len(self.times) < 2:
            return None
        (start, _), (end, _) = self.times[:2]
        row, name = self._record()
        if not self._filled(start, row) or not self._filled(end, row):
            return None
        ways = [
            "how long did {k} last",
            "how many years was {k} there",
            "how long was {k} in office",
            "how much time was between start and end of {k}",
        ]
        return Asked(self._fill(self._pick(ways), k=name), Span(self._is(row), start, end))

    def _condition(self) -> tuple[Where, str] | None:
        """Choose a value that records share, and say it."""
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        row, _ = self._record()
        cell = self._cell(row, number)
        if not cell:
            return None
        meaning = column.meaning
        if meaning.kind == "flag":
            yes = fold(cell) == "yes"
            said = column.label.lower() if yes else f"not {column.label.lower()}"
            return Where(number, "is", fold(cell)), said
        if meaning.kind in ("year", "date"):
            found = days(cell)
            if not found:
                return None
            day = found[0][0]
            whole = Day(day.year)
            text = self._pick(["in {y}", "from {y}", "of {y}"]).format(y=day.year)
            return Where(number, "=", whole), text
        operator: Operator = "is"
        value = fold(cell)
        if meaning.kind == "list":
            part = cell.split(", ")[0]
            operator, value, cell = "has", fold(part), part
        ways = [*meaning.has, "with {l} {v}", "whose {l} is {v}", "that have {v} as {l}"]
        said = self._fill(self._pick(ways), column, v=self._lowered(cell))
        return Where(number, operator, value), said

    def _compared(self) -> tuple[Where, str] | None:
        """Choose a bound for a column of numbers or dates, and say it."""
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        row, _ = self._record()
        cell = self._cell(row, number)
        operator: Operator = self._pick([">", "<", ">=", "<=", "="])
        if number in [n for n, _ in self.times]:
            found = days(cell)
            if not found:
                return None
            said = self._pick({">": ["after {y}", "later than {y}", "since {y}"], "<": ["before {y}", "earlier than {y}"],
                               ">=": ["in {y} or later", "from {y} on"], "<=": ["in {y} or earlier", "up to {y}", "until {y}"], "=": ["in {y}"]}[operator])  # fmt: skip
            return Where(number, operator, Day(found[0][0].year)), said.format(y=found[0][0].year)
        read = quantities(cell, self.table.columns[number].decimal)
        if not read:
            return None
        bound = read[0]
        said = self._pick({">": ["more than {v}", "over {v}", "above {v}", "greater than {v}"], "<": ["less than {v}", "under {v}", "below {v}", "fewer than {v}"],
                           ">=": ["at least {v}", "{v} or more", "no less than {v}"], "<=": ["at most {v}", "{v} or less", "no more than {v}", "up to {v}"],
                           "=": ["exactly {v}", "{v}"]}[operator])  # fmt: skip
        said = said.format(
            v=cell if bound.unit or self.rng.random() < 0.9 else str(int(bound.number))
        )
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        if self.rng.random() < 0.7:
            said = self._pick([f"{said} {thing}", f"a {thing} of {said}", f"{thing} {said}"])
        return Where(number, operator, bound.number), said

    def _superlative(self, column: MadeColumn, highest: bool) -> str:
        thing = self._pick([*column.meaning.noun, column.label.lower()])
        word = self._pick(
            ["most", "highest", "largest", "greatest", "most"]
            if highest
            else ["least", "lowest", "smallest", "fewest"]
        )
        return self._pick(
            [
                f"has the {word} {thing}",
                f"had the {word} {thing}",
                f"with the {word} {thing}",
                f"has the {word} number of {thing}",
            ]
        )

    def _adjective(self, column: MadeColumn, highest: bool) -> str:
        words = column.meaning.high if highest else column.meaning.low
        return self._pick(words) if words else ""

    def _is(self, row: int) -> Where:
        return Where(self.key, "is", fold(self._cell(row, self.key)))

    def _record(self) -> tuple[int, str]:
        row = self.rng.randrange(len(self.made.records))
        name = self._cell(row, self.key)
        parts = name.split()
        if len(parts) > 1 and self.rng.random() < 0.35:
            # People say a part of a name where that is enough.
            part = self._pick(parts)
            if sum(part in self._cell(other, self.key).split() for other in
                   range(len(self.made.records))) == 1:  # fmt: skip
                name = part
        return row, self._lowered(name)

    def _cell(self, row: int, column: int) -> str:
        return self.table.columns[column].texts[row]

    def _filled(self, column: int, *rows: int) -> bool:
        return all(self.table.columns[column].texts[row] for row in rows)

    def _pick(self, choices: Sequence[T]) -> T:
        return self.rng.choice(choices)

    def _lowered(self, text: str) -> str:
        return text.lower() if self.rng.random() < 0.5 else text

    def _fill(self, text: str, column: MadeColumn | None = None, **said: str) -> str:
        made = self.made
        who = self.rng.choice(["who", f"which {made.one}"]) if made.who else self.rng.choice(
            [f"which {made.one}", f"what {made.one}", "which one"])  # fmt: skip
        values = {"o": made.one, "m": made.many, "w": who, **said}
        if column is not None:
            label = column.label.lower().replace("_", " ")
            plural = (
                label
                if label.endswith("s")
                else label[:-1] + "ies"
                if label.endswith("y")
                else label + "s"
            )
            values |= {"l": label, "ls": plural}
            values.setdefault("n", self.rng.choice([*column.meaning.noun, label]))
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _said(self, text: str) -> str:
        """Write as people do: capitals or not, a question mark or not, a slip of the finger."""
        added = self.rng.choice(_ADD)
        text = f"{text} {added}".strip()
        if self.rng.random() < 0.25:
            text = text[0].upper() + text[1:]
        if self.rng.random() < 0.5 and not text.endswith("?"):
            text += "?"
        if self.rng.random() < 0.05 and len(text) > 12:
            at = self.rng.randrange(4, len(text) - 2)
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return text
