"""Questions that a table can answer, and questions that it cannot, each with the right answer.

| kind         | asks for                                                                        |
|--------------|---------------------------------------------------------------------------------|
| answerable   | a cell of the table, in a wording that no student was trained on                |
| other entity | a column of something that is not in the table                                  |
| misspelt key | a column of a record whose name has one wrong letter                            |
| other column | a record's value in a column that the table lacks; half of them are columns of  |
|              | the file it was made from                                                       |
| empty cell   | a record and a column of the table whose cell is empty                          |
| other table  | a fact of another table: record and column exist, but not in this table         |
| mixed        | something in the table with something that is not: gold chloride, two records,  |
|              | two columns                                                                     |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillroom.agentic_workflow.text_matching import fold, stems, words
from stillroom.tables import FactTable, TableRow

KINDS = ("other entity", "misspelt key", "other column", "empty cell", "other table", "mixed")
"""The kinds that have no answer."""
WORDINGS = (
    "What's the {label} of {key}?",
    "{key}'s {label}, please",
    "Could you look up the {label} of {key}?",
    "I need the {label} for {key}.",
    "do you know the {label} of {key}?",
    "Which {label} is recorded for {key}?",
    "{label} of {key}",
    "Quick question: what {label} does {key} have?",
    "{key}, what is its {label}?",
    "I would like to find out the {label} that {key} has.",
    "Hi there! Can you tell me {key}'s {label}? Thanks!",
    "According to your data, what is the {label} of {key}?",
)
ENTITIES = (
    "Wakanda", "Kryptonite", "Atlantis", "Unobtainium", "Gondor", "Vibranium", "Ruritania",
    "Sherlock Holmes", "The Eiffel Tower", "Mount Everest", "California", "Bavaria", "Catalonia",
    "Adamantium", "Bronze", "Brass", "Stainless Steel", "Table Salt", "Water", "Queen Victoria",
    "the Moon", "Jupiter", "Proxima Centauri", "Paracetamol", "Penicillin", "Tyrannosaurus",
    "Napoleon Bonaparte", "Ada Lovelace", "Marie Curie", "the Amazon River", "Lake Superior",
    "Yugoslavia", "Czechoslovakia", "Prussia", "Mesopotamia", "Gotham City", "Narnia", "Hogwarts",
    "Dmitri Mendeleev", "Porsche 911", "Boeing 747", "Windows 95", "Smooth Jazz Hits Vol. 9",
    "the Ode to Joy", "Für Elise", "My Heart Will Go On", "Yesterday Once More", "Graphene",
)  # fmt: skip
LABELS = (
    "boiling point", "melting point", "phone number", "birthday", "nickname", "inventor",
    "price in euros", "favourite food", "height above sea level", "national anthem", "life span",
    "first edition", "head of state", "chemical formula", "blood type", "shoe size", "postcode",
    "chart position", "record producer", "crystal structure", "half-life", "number of employees",
    "stock price", "average temperature", "founding year", "maiden name", "top speed", "wingspan",
    "subregion", "second author", "play count", "atomic radius", "discovery year", "exchange rate",
)  # fmt: skip
_MODIFIED = (
    "New {key}", "{key} chloride", "{key} City", "South {key}", "{key} Junior", "{key} 2000",
    "the daughter of {key}", "Greater {key}", "{key} ore", "the neighbour of {key}",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A question and what is right."""

    question: str
    kind: str
    """`answerable`, `summary`, or one of `KINDS`."""
    answers: tuple[str, ...] = ()
    """Right answers; empty where the table holds none."""
    rows: tuple[int, ...] = ()
    """Records that hold them, or that a misspelt name means."""


def make_cases(
    table: FactTable,
    count: int,
    seed: int,
    *,
    other_labels: Sequence[str] = (),
    foreign: Sequence[tuple[str, str]] = (),
) -> list[Case]:
    """Make answerable questions, as many without an answer, and a quarter as many summaries.

    Args:
        table: The student's table.
        count: Answerable questions. Those without an answer take turns through `KINDS`; a kind
            that the table has no example of is left out.
        seed: The same seed makes the same questions.
        other_labels: Labels of columns of the same file that are not in the table.
        foreign: Record and label of facts of other tables.
    """
    rng = random.Random(seed)
    maker = _Maker(table, rng, tuple(other_labels), tuple(foreign))
    kinds = [k for k in KINDS if not (k == "empty cell" and not maker.empty)
             and not (k == "other table" and not maker.foreign)]  # fmt: skip
    cases = [maker.answerable() for _ in range(count)]
    cases += [maker.by_kind[kinds[i % len(kinds)]]() for i in range(count)]
    return cases + [maker.summary() for _ in range(count // 4)]


class _Maker:
    def __init__(
        self,
        table: FactTable,
        rng: random.Random,
        other_labels: tuple[str, ...],
        foreign: tuple[tuple[str, str], ...],
    ) -> None:
        self.table, self.rng = table, rng
        texts = [t for row in table.rows for t in (row.key, *row.values.values())]
        self.known = {fold(text) for text in texts} | {words(text) for text in texts}
        self.keys = [row.key for row in table.rows]
        self.words = [set(stems(f"{c.label} {' '.join(c.templates)}")) for c in table.columns]
        given = [label for label in other_labels if self._is_other(label)]
        self.labels = [[label for label in LABELS if self._is_other(label)], given]
        self.entities = [e for e in ENTITIES if not self._is_known(e)]
        # "Georgia" may be a country and a song: then its label must be unknown.
        self.foreign = [(k, n) for k, n in foreign if not self._is_known(k) or self._is_other(n)]
        self.filled = [(r, c) for r in table.rows for c in table.columns if c.name in r.values]
        self.by_key: dict[str, list[TableRow]] = {}
        for row in table.rows:
            self.by_key.setdefault(fold(row.key), []).append(row)
        self.empty = [
            (row, column)
            for row in table.rows
            for column in table.columns
            if not any(column.name in twin.values for twin in self.by_key[fold(row.key)])
        ]
        self.by_kind: dict[str, Callable[[], Case]] = {
            "other entity": self.other_entity,
            "misspelt key": self.misspelt,
            "other column": self.other_column,
            "empty cell": self.empty_cell,
            "other table": self.other_table,
            "mixed": self.mixed,
        }

    def answerable(self) -> Case:
        row, column = self.rng.choice(self.filled)
        rows = [r for r in self.by_key[fold(row.key)] if column.name in r.values]
        question = self._ask(row.key, column.label)
        return Case(
            question,
            "answerable",
            tuple(r.values[column.name] for r in rows),
            tuple(r.row for r in rows),
        )

    def summary(self) -> Case:
        row = self.rng.choice([row for row in self.table.rows if row.values])
        rows = tuple(r.row for r in self.by_key[fold(row.key)])
        return Case(f"Summarize {row.key}", "summary", (), rows)

    def other_entity(self) -> Case:
        column = self.rng.choice(self.table.columns)
        return Case(self._ask(self.rng.choice(self.entities), column.label), "other entity")

    def other_column(self) -> Case:
        labels = self.rng.choice([pool for pool in self.labels if pool])
        return Case(self._ask(self.rng.choice(self.keys), self.rng.choice(labels)), "other column")

    def misspelt(self) -> Case:
        column = self.rng.choice(self.table.columns)
        while True:
            row = self.rng.choice(self.table.rows)
            wrong = misspell(row.key, self.rng)
            if len(row.key) >= 4 and not self._is_known(wrong):
                question = self._ask(wrong, column.label)
                return Case(question, "misspelt key", (), (row.row,))

    def empty_cell(self) -> Case:
        row, column = self.rng.choice(self.empty)
        return Case(self._ask(row.key, column.label), "empty cell")

    def other_table(self) -> Case:
        return Case(self._ask(*self.rng.choice(self.foreign)), "other table")

    def mixed(self) -> Case:
        column, key = self.rng.choice(self.table.columns), self.rng.choice(self.keys)
        way = self.rng.choice(["modified", "two records", "two columns"])
        if way == "two records":
            both = f"{key} and {self.rng.choice(self.entities)}"
            return Case(self._ask(both, column.label), "mixed")
        if way == "two columns":
            both = f"{column.label} and {self.rng.choice(self.labels[0])}"
            return Case(self._ask(key, both), "mixed")
        name = self.rng.choice(_MODIFIED).format(key=key)
        return (
            self.mixed() if self._is_known(name) else Case(self._ask(name, column.label), "mixed")
        )

    def _ask(self, key: str, label: str) -> str:
        key = key.lower() if self.rng.random() < 0.1 else key
        return self.rng.choice(WORDINGS).format(key=key, label=label)

    def _is_known(self, text: str) -> bool:
        return fold(text) in self.known or words(text) in self.known

    def _is_other(self, label: str) -> bool:
        """Tell labels that no column's own wording explains."""
        asked = set(stems(label))
        return bool(asked) and not any(asked <= known for known in self.words)


def misspell(key: str, rng: random.Random) -> str:
    """Change one letter of a key: drop, double, swap or replace it."""
    places = [i for i, letter in enumerate(key) if letter.isalpha() and i > 0] or [0]
    at = rng.choice(places)
    way = rng.randrange(4)
    if way == 0:
        return key[:at] + key[at + 1 :]
    if way == 1:
        return key[:at] + key[at] + key[at:]
    if way == 2 and at + 1 < len(key):
        return key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    return key[:at] + rng.choice("aeiourstln".replace(key[at].lower(), "")) + key[at + 1 :]
