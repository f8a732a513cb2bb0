"""Generate questions about generated tables, each with its plan, in the words people would use."""

from __future__ import annotations

import random
import re
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
from ..table.values import Day, days, fold, quantities, yes_or_no
from .domains import Meaning, all_domains, read_phrases
from .made_tables import MadeColumn, MadeTable

T = TypeVar("T")
OWN: Final = 0.65
"""Probability that a column's own wording is used, if it has one."""
_WHICH: Final = {"die": "welche", "der": "welcher", "das": "welches"}
_TWICE: Final = re.compile(
    r"\b(is|are|was|were|sind|ist|have|has|with|haben) (that|who|whose|where|with|die|mit) "
)
_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}


@dataclass(frozen=True)
class Asked:
    """A question and its plan; None if the table cannot answer it."""

    text: str
    plan: Plan | None


class QuestionMaker:
    """Generates questions about one generated table.

    Args:
        made: The table with its wordings.
        table: The same table, typed.
        rng: Source of all random choices.
    """

    def __init__(self, made: MadeTable, table: TypedTable, rng: random.Random) -> None:
        """Collect the columns of each kind and the forms of questions that fit the table."""
        self.made, self.table, self.rng = made, table, rng
        self.phrases = read_phrases(made.domain.language)
        self.columns = [(table.numbered[c.label], c) for c in made.columns]
        self.key = table.numbered[made.key] if made.key else -1
        self.numbers = self._of("number", typed="number")
        self.times = self._of("date", typed="date")
        self.ordered = [*self.numbers, *self.times]
        self.shared = self._of("shared", "person", "list", "flag", "date", "text")
        self.flags = self._of("flag", typed="flag")
        keyed: list[Callable[[], Asked | None]] = [
            *[self._look_up] * 6, self._which, self._which, self._top, self._top, self._two_most, self._compare,
            self._compare, self._difference, self._two_sum, self._beside, self._is, self._is, self._flag,
            self._same, self._span, self._which_not, self._empty, self._either, self._two_values, self._list_column,
        ]  # fmt: skip
        logged: list[Callable[[], Asked | None]] = [
            *[self._log_value] * 4, *[self._log_which] * 3, self._log_top, self._log_top, self._log_exists,
            self._log_exists, self._total, self._total, self._group,
        ]  # fmt: skip
        both: list[Callable[[], Asked | None]] = [
            self._count, self._count, self._count_all, self._compared, self._compared, self._top_value, self._total,
            self._often, self._different, self._group, self._exists, self._place, self._both, self._top_among,
        ]  # fmt: skip
        self.forms = both + (keyed if made.key else logged)
        self.nothing: list[Callable[[], Asked | None]] = [self._absent] * 5 + [
            self._absent_value, self._absent_value,
            *([self._absent_record] * 3 if made.key else []),
        ]  # fmt: skip

    def ask(self, count: int, unanswerable: float = 0.0) -> Iterator[Asked]:
        """Generate different questions.

        Args:
            count: Number of questions; there are fewer if the table does not give as many.
            unanswerable: Share of questions that the table cannot answer, 0 to 1.
        """
        seen: set[str] = set()
        for _ in range(6 * count):
            empty = self.rng.random() < unanswerable
            asked = self.rng.choice(self.nothing if empty else self.forms)()
            if asked is None or asked.text in seen:
                continue
            seen.add(asked.text)
            yield Asked(self._said(asked.text), asked.plan)
            if len(seen) >= count:
                return

    # One record.

    def _look_up(self) -> Asked | None:
        row, name = self._record()
        number, column = self._pick(self.columns)
        if not self.table.columns[number].texts[row]:
            return None
        ways = self.phrases["value"]
        if column.meaning.says("noun") and column.meaning.kind == "number":
            ways += self.phrases["number value"]
        text = self._own(column.meaning, "asks", ways)
        return Asked(self._fill(text, column, k=name), Cells(self._named(row), number))

    def _two_values(self) -> Asked | None:
        """Ask for a column by offering some of its values instead of its label."""
        row, name = self._record()
        found = [(n, c) for n, c in self.columns if c.meaning.kind == "shared"]
        if not found:
            return None
        number, _ = self._pick(found)
        values = list(dict.fromkeys(t for t in self.table.columns[number].texts if t))[:4]
        cell = self._cell(row, number)
        if not cell or len(values) < 2 or self.made.domain.language != "en":
            return None
        first, second = self.rng.sample(values, 2)
        text = self._pick([f"is {{k}} {first} or {second}", f"{first} or {second}: which is {{k}}",
                           f"is {{k}} {first}, {second} or something else", f"{{k}}, {first} or {second}?"])  # fmt: skip
        if len(values) < 4 and self.rng.random() < 0.5:
            text = f"{', '.join(values[:-1])} or {values[-1]}: which one is {{k}}"
        return Asked(self._fill(text, k=name), Cells(self._named(row), number))

    def _flag(self) -> Asked | None:
        if not self.flags:
            return None
        number, column = self._pick(self.flags)
        row, name = self._record()
        if not self._filled(number, row):
            return None
        text = self._own(column.meaning, "asks", self.phrases["flag"])
        return Asked(self._fill(text, column, k=name), Cells(self._named(row), number))

    def _is(self) -> Asked | None:
        """Ask whether a record has a certain value, its own or that of another record."""
        row, name = self._record()
        other = row if self.rng.random() < 0.5 else self.rng.randrange(len(self.made.records))
        found = self._condition(other)
        if found is None:
            return None
        where, said, column, value = found
        negated = self.rng.random() < 0.2
        ways = column.meaning.says("isq")
        if ways and not negated and self.rng.random() < OWN:
            text = self._fill(self._pick(ways), column, k=name, v=value)
            return Asked(text, Exists(Both((self._named(row), where))))
        flag = column.meaning.kind == "flag"
        if flag:
            said = self._pick([w for w in self._flag_words(column.meaning, where) if w] or [said])
        text = self._fill(
            self._pick(self.phrases["is not" if negated else "is"]), column, k=name, s=said
        )
        if negated:
            where = _opposite(where, self.table)
        return Asked(text, Exists(Both((self._named(row), where))))

    def _beside(self) -> Asked | None:
        row, name = self._record()
        below = self.rng.random() < 0.5
        if not 0 <= row + (1 if below else -1) < len(self.made.records):
            return None
        text = self._fill(self._pick(self.phrases["after" if below else "before"]), k=name)
        return Asked(text, Cells(Beside(self._named(row), 1 if below else -1), self.key))

    def _same(self) -> Asked | None:
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        row, name = self._record()
        if not self._filled(number, row):
            return None
        text = self._fill(self._pick(self.phrases["same"]), column, k=name)
        return Asked(text, Cells(Like(self._named(row), number), self.key))

    def _span(self) -> Asked | None:
        if len(self.times) < 2 or self.rng.random() < 0.5:
            return None
        (start, _), (end, _) = self.times[:2]
        row, name = self._record()
        if not self._filled(start, row) or not self._filled(end, row):
            return None
        text = self._fill(self._pick(self.phrases["span"]), k=name)
        return Asked(text, Span(self._named(row), start, end))

    # Two records.

    def _pair(self, columns: Sequence[tuple[int, MadeColumn]]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if not columns:
            return None
        number, column = self._pick(columns)
        (row, name), (other, second) = self._record(), self._record()
        if row == other or not self._filled(number, row, other):
            return None
        return number, column, row, name, other, second

    def _two_most(self) -> Asked | None:
        found = self._pair(self.ordered)
        if found is None:
            return None
        number, column, row, name, other, second = found
        highest = self.rng.random() < 0.6
        said = column.meaning.says("more" if highest else "less")
        if said and self.rng.random() < OWN:
            text = self._pick(self.phrases["two most adjective"]).replace("{a}", self._pick(said))
        else:
            word = self._pick(self.phrases["more" if highest else "less"])
            text = self._pick(self.phrases["two most"]).replace("{more}", word)
        rows = Top(Either((self._named(row), self._named(other))), number, highest)
        return Asked(self._fill(text, column, k=name, j=second), Cells(rows, self.key))

    def _compare(self) -> Asked | None:
        found = self._pair(self.ordered)
        if found is None:
            return None
        number, column, row, name, other, second = found
        more = self.rng.random() < 0.6
        said = column.meaning.says("more" if more else "less")
        own = column.meaning.says("moreq" if more else "lessq")
        if own and self.rng.random() < OWN:
            text = self._pick(own)
        elif said and self.rng.random() < OWN:
            text = self._pick(self.phrases["compare adjective"]).replace("{a}", self._pick(said))
        else:
            text = self._pick(self.phrases["compare"])
            text = text.replace("{more}", self._pick(self.phrases["more" if more else "less"]))
            text = text.replace("{higher}", self._pick(self.phrases["higher" if more else "lower"]))
        plan = Compared(self._named(row), self._named(other), number, more)
        return Asked(self._fill(text, column, k=name, j=second), plan)

    def _difference(self) -> Asked | None:
        found = self._pair(self.numbers)
        if found is None:
            return None
        number, column, row, name, other, second = found
        said = column.meaning.says("more")
        if said and self.rng.random() < 0.5:
            text = self._pick(self.phrases["difference adjective"]).replace("{a}", self._pick(said))
        else:
            text = self._pick(self.phrases["difference"])
        plan = Difference(self._named(row), self._named(other), number)
        return Asked(self._fill(text, column, k=name, j=second), plan)

    def _two_sum(self) -> Asked | None:
        found = self._pair(self.numbers)
        if found is None:
            return None
        number, column, row, name, other, second = found
        own = [w for w in column.meaning.says("asks") if w.count("{k}") == 1 and " is " not in w]
        text = self._pick(self.phrases["two sum"])
        if own and self.rng.random() < 0.5:
            word, tail = (
                ("und", "zusammen") if self.made.domain.language == "de" else ("and", "together")
            )
            text = self._pick(own).replace("{k}", f"{{k}} {word} {{j}}") + f" {tail}"
            text = text.replace(" does ", " do ").replace(" has ", " have ")
        rows = Either((self._named(row), self._named(other)))
        return Asked(self._fill(text, column, k=name, j=second), Total(rows, number, "sum"))

    # Sets of records.

    def _which(self) -> Asked | None:
        found = self._condition()
        if found is None:
            return None
        where, said, column, value = found
        own = column.meaning.says("whoq")
        if column.meaning.kind == "flag":
            yes = yes_or_no(str(where.value))
            own = column.meaning.says("yesq" if yes else "noq")
        if own and where.operator in ("is", "has") and self.rng.random() < OWN:
            text = self._fill(self._pick(own), column, v=value)
        else:
            text = self._fill(self._pick(self.phrases["which"]), s=said)
        return Asked(text, Cells(where, self.key))

    def _which_not(self) -> Asked | None:
        found = self._condition()
        if found is None or found[0].operator not in ("is", "has"):
            return None
        if found[2].meaning.kind == "flag":
            return None
        where = _opposite(found[0], self.table)
        counts = self.rng.random() < 0.4
        text = self._pick(self.phrases["count not" if counts else "which not"])
        plan: Plan = Count(where) if counts else Cells(where, self.key)
        return Asked(self._fill(text, s=found[1]), plan)

    def _empty(self) -> Asked | None:
        found = [(n, c) for n, c in self.columns if not self.table.columns[n].filled.all()]
        if not found:
            return None
        number, column = self._pick(found)
        where = Where(number, "empty")
        if self.rng.random() < 0.3:
            return Asked(self._fill(self._pick(self.phrases["count empty"]), column), Count(where))
        text = self._pick(self.phrases["which empty"])
        return Asked(self._fill(text, column), Cells(where, self.key))

    def _count(self) -> Asked | None:
        found = self._condition()
        if found is None:
            return None
        where, said, column, value = found
        own = column.meaning.says("manyq")
        if own and where.operator in ("is", "has") and self.rng.random() < OWN:
            return Asked(self._fill(self._pick(own), column, v=value), Count(where))
        return Asked(self._fill(self._pick(self.phrases["count"]), s=said), Count(where))

    def _count_all(self) -> Asked | None:
        if not self.made.key or self.rng.random() < 0.5:
            return None
        return Asked(self._fill(self._pick(self.phrases["count all"])), Count(All()))

    def _both(self) -> Asked | None:
        first = self._condition() if self.rng.random() < 0.7 else self._bound()
        second = self._condition() if self.rng.random() < 0.7 else self._bound()
        if first is None or second is None:
            return None
        one, other = first[0], second[0]
        if not isinstance(one, Where) or not isinstance(other, Where):
            return None
        if one.column == other.column:
            return None
        counts = not self.made.key or self.rng.random() < 0.4
        text = self._pick(self.phrases["count both" if counts else "both"])
        rows = Both((one, other))
        plan: Plan = Count(rows) if counts else Cells(rows, self.key)
        return Asked(self._fill(text, s=first[1], t=second[1]), plan)

    def _either(self) -> Asked | None:
        first, second = self._condition(), self._condition()
        if first is None or second is None or first[0].column != second[0].column:
            return None
        if first[0] == second[0] or {first[0].operator, second[0].operator} - {"is", "has"}:
            return None
        counts = self.rng.random() < 0.4
        text = self._pick(self.phrases["count either" if counts else "either"])
        rows = Either((first[0], second[0]))
        plan: Plan = Count(rows) if counts else Cells(rows, self.key)
        return Asked(self._fill(text, s=first[1], t=second[1]), plan)

    def _compared(self) -> Asked | None:
        found = self._bound()
        if found is None:
            return None
        rows, said = found[0], found[1]
        counts = not self.made.key or self.rng.random() < 0.5
        text = self._pick(self.phrases["having count" if counts else "having"])
        plan: Plan = Count(rows) if counts else Cells(rows, self.key)
        return Asked(self._fill(text, s=said), plan)

    def _exists(self) -> Asked | None:
        found = self._condition() if self.rng.random() < 0.6 else self._bound()
        if found is None:
            return None
        text = self._pick(self.phrases["exists"])
        return Asked(self._fill(text, s=found[1]), Exists(found[0]))

    # Highest and lowest.

    def _top(self) -> Asked | None:
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        count = 1
        said = self._adjective(column, highest)
        own = column.meaning.says("highq" if highest else "lowq")
        if own and self.rng.random() < OWN:
            text = self._pick(own)
        elif self.rng.random() < 0.15 and len(self.made.records) > 4:
            count = self.rng.randint(2, 4)
            one = self._pick([str(count), _number_word(count, self.made.domain.language)])
            text = self._pick(self.phrases["top few"]).replace("{a}", said) if said else (
                self._pick(self.phrases["top few label"]))  # fmt: skip
            text = text.replace("{c}", one).replace("{h}", self._end(highest, number))
        elif said and self.rng.random() < OWN:
            text = self._pick(self.phrases["top adjective"]).replace("{a}", said)
            text = text.replace("{b}", said + "n")
        else:
            text = self._pick(self.phrases["top"]).replace(
                "{s}", self._superlative(highest, number)
            )
        rows = Top(All(), number, highest, count)
        return Asked(self._fill(text, column), Cells(rows, self.key))

    def _top_among(self) -> Asked | None:
        found = self._condition()
        if found is None or not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        said = self._adjective(column, highest)
        if said and self.rng.random() < OWN:
            text = self._pick(self.phrases["top among adjective"]).replace("{a}", said)
        else:
            text = self._pick(self.phrases["top among"])
            text = text.replace("{s}", self._superlative(highest, number))
        target = self.key
        if target < 0:
            target, other = self._pick(self.columns)
            text = f"{self._pick(self.phrases['top other']).replace('{a}', said or '')} {{t}}"
            text = text.replace("{h}", self._end(highest, number)).replace(
                "{x}", self._label(other)
            )
            if target in (found[0].column, number):
                return None
        plan = Cells(Top(found[0], number, highest), target)
        return Asked(self._fill(text, column, t=found[1]), plan)

    def _top_value(self) -> Asked | None:
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        highest = self.rng.random() < 0.6
        word = self._end(highest, number)
        target = number
        if self.rng.random() < 0.45 and len(self.columns) > 1:
            target, other = self._pick(self.columns)
            if target == number:
                return None
            said = self._adjective(column, highest)
            ways = [w for w in self.phrases["top other"] if said or "{a}" not in w]
            text = self._pick(ways).replace("{a}", said).replace("{x}", self._label(other))
        else:
            text = self._pick(self.phrases["top value"])
        text = self._fill(text.replace("{h}", word), column)
        return Asked(text, Cells(Top(All(), number, highest), target))

    def _place(self) -> Asked | None:
        first = self.rng.random() < 0.5
        word = self._pick(self.phrases["first" if first else "last"])
        target, said = self.key, "{o}"
        if target < 0 or self.rng.random() < 0.3:
            target, column = self._pick(self.columns)
            said = self._label(column)
        rows: Rows = All()
        tail = ""
        if self.rng.random() < 0.3 and (found := self._condition()) is not None:
            rows, tail = found[0], f" {found[1]}"
        place = 0 if first else -1
        if self.rng.random() < 0.15 and isinstance(rows, All):
            place = self.rng.randint(1, 3)
            word = self.phrases["nth"][place - 1]
        text = self._pick(self.phrases["place"]).replace("{x}", said).replace("{h}", word) + tail
        return Asked(self._fill(text), Cells(At(rows, place), target))

    # Sums and groups.

    def _total(self) -> Asked | None:
        if not self.numbers:
            return None
        number, column = self._pick(self.numbers)
        rows: Rows = All()
        tail = ""
        if self.rng.random() < (0.5 if self.made.key else 0.8):
            found = self._conditions(1 if self.made.key or self.rng.random() < 0.5 else 2)
            if found is None:
                return None
            rows, tail = found
        sums = self.rng.random() < 0.6
        ways = self.phrases["sum" if sums else "average"]
        text = self._own(column.meaning, "totalq" if sums else "averageq", ways, tail)
        plan = Total(rows, number, "sum" if sums else "average")
        return Asked(self._fill(text.replace("{s}", tail), column), plan)

    def _group(self) -> Asked | None:
        by_some = [(n, c) for n, c in self.shared if c.meaning.kind in ("shared", "person", "date")]
        if not by_some or not self.numbers:
            return None
        (by, column), (number, other) = self._pick(by_some), self._pick(self.numbers)
        highest = self.rng.random() < 0.7
        average = self.rng.random() < 0.3
        name = f"group {'average ' if average else ''}{'most' if highest else 'least'}"
        text = self._pick(self.phrases[name])
        own = other.meaning.says("highq" if highest else "lowq")
        if not self.made.key and own and not average and self.rng.random() < 0.3:
            text = f"{{l}}: {self._pick(own)}"
        text = text.replace("{n}", self._noun(other))
        plan = Group(All(), by, number, "average" if average else "sum", highest)
        return Asked(self._fill(text, column), plan)

    def _often(self) -> Asked | None:
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        most = self.rng.random() < 0.7
        ways = self.phrases["often most" if most else "often least"]
        text = self._own(column.meaning, "oftenq", ways) if most else self._pick(ways)
        return Asked(self._fill(text, column), Often(All(), number, most))

    def _different(self) -> Asked | None:
        number, column = self._pick(self.columns)
        text = self._own(column.meaning, "differentq", self.phrases["different"])
        return Asked(self._fill(text, column), Distinct(All(), number))

    def _list_column(self) -> Asked | None:
        if not self.shared or self.rng.random() < 0.5:
            return None
        number, column = self._pick(self.shared)
        text = self._pick(self.phrases["list different"])
        return Asked(self._fill(text, column), Cells(All(), number))

    # Logs.

    def _log_value(self) -> Asked | None:
        """Ask for a value of a log entry that is selected by conditions."""
        number, column = self._pick(self.columns)
        row = self.rng.randrange(len(self.made.records))
        found = self._conditions(self.rng.randint(1, 3), row, without=number)
        if found is None or not self._filled(number, row):
            return None
        rows, tail = found
        if column.meaning.kind == "number":
            ways = (
                self.phrases["sum"] if self.rng.random() < 0.3 else ("{l} {s}", "how many {n} {s}")
            )
            ways = ways if self.made.domain.language == "en" else ("{l} {s}", "wie viele {n} {s}")
            text = self._own(column.meaning, "totalq", ways, tail)
            plan: Plan = Total(rows, number, "sum")
        else:
            ways = ("which {l} {s}", "{l} {s}", "what was the {l} {s}", "on which {l} {s}")
            if self.made.domain.language == "de":
                ways = ("welche {l} {s}", "{l} {s}", "wie war {l} {s}", "an welchem {l} {s}")
            text = self._own(column.meaning, "asks", ways, tail)
            plan = Cells(rows, number)
        return Asked(self._fill(text.replace("{s}", tail), column), plan)

    def _log_which(self) -> Asked | None:
        found = self._condition()
        if found is None or not self.shared:
            return None
        where, said, column, value = found
        number, other = self._pick(self.shared)
        if number == where.column:
            return None
        german = self.made.domain.language == "de"
        label = self._label(other)
        text = self._pick(
            [f"welche {label} {{s}}", f"{label} {{s}}", f"an welchem {label} war {{s}}"] if german else
            [f"which {label} {{s}}", f"on which {label} was it {{s}}", f"on what {label}s {{s}}", f"list the {label}s {{s}}",
             f"what {label} do we have {{s}}"]
        )  # fmt: skip
        own = column.meaning.says("whoq")
        if own and self.rng.random() < 0.3:
            text = f"{self._pick(own)}: {label}?"
        return Asked(self._fill(text, column, s=said, v=value), Cells(where, number))

    def _log_top(self) -> Asked | None:
        """Ask for a value of the highest or lowest entry among those that meet conditions."""
        if not self.numbers:
            return None
        number, column = self._pick(self.numbers)
        target, other = self._pick(self.columns)
        found = self._conditions(self.rng.randint(1, 2), without=target)
        if found is None or target == number:
            return None
        rows, tail = found
        highest = self.rng.random() < 0.7
        label, word = self._label(other), self._end(highest, number)
        if self.made.domain.language == "de":
            text = f"{self._pick(['welche', 'welcher', 'an welchem'])} {label} hatte {word} {{n}} {tail}"
        else:
            text = self._pick([f"which {label} had the {word} {{n}} {tail}", f"what {label} has the {word} {{l}} {tail}",
                               f"on which {label} were there the {word} {{n}} {tail}", f"{label} with the {word} {{n}} {tail}"])  # fmt: skip
        return Asked(self._fill(text, column), Cells(Top(rows, number, highest), target))

    def _log_exists(self) -> Asked | None:
        """Ask whether there is an entry that meets two conditions."""
        row = self.rng.randrange(len(self.made.records))
        first = self._condition(row)
        second = self._condition(row if self.rng.random() < 0.5 else None)
        if first is None or second is None or first[0].column == second[0].column:
            return None
        if self.made.domain.language == "de":
            ways = [
                "gab es {s} etwas {t}",
                "war {s} etwas {t}",
                "gibt es einen eintrag {s} {t}",
                "{s} {t}, gab es das",
            ]
        else:
            ways = ["was there anything {s} {t}", "is there an entry {s} {t}", "did we ever have {s} {t}", "was it {s} {t}",
                    "were there any {m} {s} {t}", "does it happen {s} {t}", "was it ever {s} {t}"]  # fmt: skip
        text = self._fill(self._pick(ways), s=first[1], t=second[1])
        return Asked(text, Exists(Both((first[0], second[0]))))

    # Questions that the table cannot answer.

    def _absent(self) -> Asked | None:
        """Ask for a column that tables of the domain can have but this one does not."""
        meanings = [one for one in self.made.absent if any(one.said.values())]
        if not meanings:
            return None
        meaning = self._pick(meanings)
        column = MadeColumn(self._pick(meaning.labels), meaning)
        _, name = self._record() if self.made.key else (0, "")
        other = self._record()[1] if self.made.key else ""
        ways = list(meaning.says("asks")) * 3 if self.made.key else []
        for one in (
            "highq",
            "lowq",
            "totalq",
            "averageq",
            "oftenq",
            "differentq",
            "yesq",
            "noq",
            "moreq",
        ):
            ways += meaning.says(one)
        for one in ("high", "low"):
            ways += [t.replace("{a}", self._pick(meaning.says(one))) for t in self.phrases["top adjective"]
                     if meaning.says(one) and "{b}" not in t][:3]  # fmt: skip
        ways += self.phrases["value"] if self.made.key else self.phrases["sum"]
        text = self._pick(ways)
        if "{s}" in text:
            found = self._condition()
            text = text.replace("{s}", found[1] if found else "")
        return Asked(self._fill(text, column, k=name, j=other), None)

    def _absent_record(self) -> Asked | None:
        """Ask about a record that is not in the table."""
        domain = self.made.domain
        here = {fold(one[self.made.key]) for one in self.made.records if self.made.key}
        others = [one for one in domain.names if fold(one) not in here]
        if domain.names and not others:
            others = [n for d in all_domains() if d.language == domain.language for n in d.names]
        name = self._pick(others) if others else domain.make_name(self.rng)
        if not name or fold(name) in here:
            return None
        number, column = self._pick(self.columns)
        text = self._own(column.meaning, "asks", self.phrases["value"])
        if number == self.key:
            return None
        return Asked(self._fill(text, column, k=self._lowered(name)), None)

    def _absent_value(self) -> Asked | None:
        """Ask about records with a value that is not in the table."""
        found = [(n, c) for n, c in self.columns if c.meaning.kind in ("shared", "person", "list")]
        if not found or not self.numbers:
            return None
        number, column = self._pick(found)
        here = {fold(text) for text in self.table.columns[number].texts}
        value = next(
            (v for v in (column.meaning.make(self.rng) for _ in range(20)) if fold(v) not in here),
            "",
        )
        if not value or any(fold(part) in " ".join(here) for part in value.split(", ")):
            return None
        ways = column.meaning.says("has") or self.phrases["with"]
        said = self._fill(self._pick(ways), column, v=value.split(", ")[0])
        summed, other = self._pick(self.numbers)
        text = self._own(other.meaning, "totalq", self.phrases["sum"], said).replace("{s}", said)
        if summed == number:
            return None
        return Asked(self._fill(text, other), None)

    # Parts of questions.

    def _conditions(
        self, count: int, row: int | None = None, without: int = -1
    ) -> tuple[Rows, str] | None:
        """Choose up to `count` conditions that one row meets, and put them into words."""
        row = self.rng.randrange(len(self.made.records)) if row is None else row
        found = [one for _ in range(3 * count) if (one := self._condition(row)) is not None]
        kept = {one[0].column: one for one in found if one[0].column != without}
        chosen = list(kept.values())[:count]
        if not chosen:
            return None
        said = " ".join(one[1] for one in chosen)
        wheres = tuple(one[0] for one in chosen)
        return (wheres[0] if len(wheres) == 1 else Both(wheres)), said

    def _condition(self, row: int | None = None) -> tuple[Where, str, MadeColumn, str] | None:
        """Choose a condition on a value that records may share.

        Returns:
            The condition, its wording, its column, and the value as the question says it.
        """
        if not self.shared:
            return None
        number, column = self._pick(self.shared)
        row = self.rng.randrange(len(self.made.records)) if row is None else row
        cell = self._cell(row, number)
        if not cell:
            return None
        meaning = column.meaning
        if meaning.kind == "flag":
            where = Where(number, "is", fold(cell))
            said = self._fill(self._pick(self._flag_words(meaning, where)), column)
            return where, said, column, cell
        if meaning.kind == "date":
            return self._day(number, column, cell)
        operator: Operator = "is"
        if meaning.kind == "list":
            cell = self._pick(cell.split(", "))
            operator = "has"
        ways = meaning.says("has")
        if not ways or self.rng.random() < 0.25:
            ways = self.phrases["with"]
        value = self._lowered(cell)
        return Where(number, operator, fold(cell)), self._fill(self._pick(ways), column, v=value), column, value  # fmt: skip

    def _flag_words(self, meaning: Meaning, where: Where) -> tuple[str, ...]:
        name = "yes" if yes_or_no(str(where.value)) else "no"
        own = meaning.says(name)
        return own if own and self.rng.random() < 0.8 else self.phrases[f"flag {name}"]

    def _day(self, number: int, column: MadeColumn, cell: str) -> tuple[Where, str, MadeColumn, str] | None:  # fmt: skip
        found = days(cell)
        if not found:
            return None
        day = found[0][0]
        months = _MONTHS[self.made.domain.language].split()
        if day.month and (not self.made.key or self.rng.random() < 0.3):
            name = months[day.month - 1]
            said, value = self._pick([
                ("day", f"{name} {day.day}"), ("day", f"{day.day} {name}"), ("day", f"{day.day}. {name}"),
                ("day", f"the {day.day}th"), ("day", cell), ("day", f"{name} {day.day} {day.year}"),
            ]) if self.rng.random() < 0.7 else ("month", name)  # fmt: skip
            if self.made.domain.language == "de":
                value = value.replace("the ", "").replace("th", ".")
            whole = Day(0, day.month, day.day) if said == "day" else Day(0, day.month)
            if value == cell or str(day.year) in value:
                whole = day
            elif value.startswith("the ") or value == f"{day.day}.":
                whole = Day(0, 0, day.day)
        else:
            said, value, whole = "year", str(day.year), Day(day.year)
        own = column.meaning.says("has")
        text = self._pick(own if own and self.rng.random() < 0.4 else self.phrases[said])
        return Where(number, "=", whole), self._fill(text, column, v=value), column, value

    def _bound(self) -> tuple[Rows, str, MadeColumn, str] | None:
        """Choose a bound, or two, for a column of numbers or dates; returns as `_condition`."""
        if not self.ordered:
            return None
        number, column = self._pick(self.ordered)
        cells = [self._cell(self.rng.randrange(len(self.made.records)), number) for _ in range(2)]
        name = self._pick(["over", "over", "under", "under", "at least", "at most", "exactly", "between"])  # fmt: skip
        operator: Operator = {"over": ">", "under": "<", "at least": ">=", "at most": "<=", "exactly": "="}.get(name, ">=")  # type: ignore[assignment]  # fmt: skip
        bounds: list[float | Day] = []
        spoken: list[str] = []
        for cell in cells:
            if column.meaning.kind == "date":
                found = days(cell)
                if not found:
                    return None
                bounds.append(Day(found[0][0].year))
                spoken.append(str(found[0][0].year))
            else:
                read = quantities(cell, self.table.columns[number].decimal)
                if not read:
                    return None
                value, text = read[0].number, cell
                if self.rng.random() < 0.5 and not read[0].unit and abs(value) >= 20:
                    value = float(f"{value:.1g}")
                    text = str(int(value))
                elif read[0].unit and self.rng.random() < 0.5 and ":" not in cell:
                    # People often leave out the unit.
                    digits = cell[read[0].start : read[0].end].strip("€$£ ")
                    text = digits.split()[0] if digits else cell
                bounds.append(value)
                spoken.append(text)
        if name == "between":
            if bounds[0] == bounds[1]:
                return None
            if self._sorts(bounds[0]) > self._sorts(bounds[1]):
                bounds.reverse()
                spoken.reverse()
        time = column.meaning.kind == "date"
        phrase = {"over": "after day", "under": "before day", "at least": "from day", "at most": "until day", "exactly": "year",
                  "between": "between days"}[name] if time else name  # fmt: skip
        own = column.meaning.says(
            {"over": "after", "under": "before"}.get(name, "") if time else name
        )
        text = self._pick(own if own and self.rng.random() < OWN else self.phrases[phrase])
        said = self._fill(text, column, v=spoken[0], u=spoken[1])
        where = Where(number, operator, bounds[0])
        if name == "between":
            return Both((where, Where(number, "<=", bounds[1]))), said, column, spoken[0]
        return where, said, column, spoken[0]

    @staticmethod
    def _sorts(value: float | Day) -> float:
        return value.ordinal if isinstance(value, Day) else value

    def _superlative(self, highest: bool, number: int) -> str:
        return self._pick(self.phrases["top has"]).replace("{h}", self._end(highest, number))

    def _end(self, highest: bool, number: int) -> str:
        dated = number in [n for n, _ in self.times]
        names = ("latest", "earliest") if dated else ("highest", "lowest")
        return self._pick(self.phrases[names[0] if highest else names[1]])

    def _adjective(self, column: MadeColumn, highest: bool) -> str:
        said = column.meaning.says("high" if highest else "low")
        return self._pick(said) if said else ""

    def _own(self, meaning: Meaning, name: str, ways: Sequence[str], tail: str = "") -> str:
        own = meaning.says(name)
        if own and self.rng.random() < OWN:
            text = self._pick(own)
            return f"{text} {tail}".strip() if tail and "{s}" not in text else text
        return self._pick(ways)

    def _named(self, row: int) -> Where:
        return Where(self.key, "is", fold(self._cell(row, self.key)))

    def _record(self) -> tuple[int, str]:
        row = self.rng.randrange(len(self.made.records))
        name = self._cell(row, self.key)
        parts = name.split()
        if len(parts) > 1 and self.rng.random() < 0.35:
            # People say a part of a name if no other record has that part.
            part = self._pick(parts)
            if len(part) > 2 and sum(
                part in self._cell(other, self.key).split() for other in range(len(self.made.records))
            ) == 1:  # fmt: skip
                name = part
        return row, self._lowered(name)

    def _of(self, *kinds: str, typed: str = "") -> list[tuple[int, MadeColumn]]:
        return [
            (n, c) for n, c in self.columns
            if c.meaning.kind in kinds and (not typed or self.table.columns[n].kind == typed)
        ]  # fmt: skip

    def _cell(self, row: int, column: int) -> str:
        return self.table.columns[column].texts[row]

    def _filled(self, column: int, *rows: int) -> bool:
        return all(self.table.columns[column].texts[row] for row in rows)

    def _pick(self, choices: Sequence[T]) -> T:
        return self.rng.choice(choices)

    def _lowered(self, text: str) -> str:
        return text.lower() if self.rng.random() < 0.5 else text

    def _label(self, column: MadeColumn) -> str:
        """Return the column's label in this table, or another one from its domain."""
        label = column.label if self.rng.random() < 0.7 else self._pick(column.meaning.labels)
        return label.lower().replace("_", " ")

    def _noun(self, column: MadeColumn) -> str:
        nouns = column.meaning.says("noun")
        return self._pick(nouns) if nouns and self.rng.random() < OWN else self._label(column)

    def _fill(self, text: str, column: MadeColumn | None = None, **said: str) -> str:
        made = self.made
        if made.domain.language == "de":
            who = "wer" if made.domain.who else self._pick(["was", f"welche {made.one}"])
        elif made.domain.who:
            who = self._pick(["who", f"which {made.one}"])
        else:
            who = self._pick([f"which {made.one}", f"what {made.one}", "which one"])
        article = made.domain.article or "die"
        values = {"o": made.one, "m": made.many, "w": who, "der": article,
                  "welch": _WHICH.get(article, "welche"), **said}  # fmt: skip
        if column is not None:
            label = self._label(column)
            plural = label
            if made.domain.language == "en" and not label.endswith("s"):
                plural = label[:-1] + "ies" if label.endswith("y") else label + "s"
            values |= {"l": label, "ls": plural}
            values.setdefault("n", self._noun(column))
        for name in ("s", "t", *values):
            if name in values:
                text = text.replace("{" + name + "}", values[name])
        text = _TWICE.sub(r"\2 ", text)
        return " ".join(text.split())

    def _said(self, text: str) -> str:
        """Vary the capital, the question mark and the framing, and sometimes swap two letters."""
        text = self._pick(self.phrases["said"]).replace("{q}", text.rstrip("?"))
        if self.rng.random() < 0.25:
            text = text[0].upper() + text[1:]
        if self.rng.random() < 0.5 and not text.endswith("?"):
            text += "?"
        if self.rng.random() < 0.06 and len(text) > 12:
            at = self.rng.randrange(4, len(text) - 2)
            if text[at].isalpha() and text[at + 1].isalpha():
                text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return text


def _opposite(where: Where, table: TypedTable) -> Where:
    """Negate a condition; one on a date is returned as it is."""
    value = str(where.value)
    if table.columns[where.column].kind == "flag":
        others = [one for one in table.columns[where.column].rows_of if one != value]
        if others:
            return Where(where.column, "is", others[0])
    if where.operator == "=":
        return where
    return Where(where.column, "not" if where.operator == "is" else "lacks", where.value)


def _number_word(number: int, language: str) -> str:
    words = "two three four" if language == "en" else "zwei drei vier"
    return words.split()[number - 2]
