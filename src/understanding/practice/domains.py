"""Domains of tables and the wordings of questions about them, read from the texts in `words/`.

A domain has a word for its records, names for them, and columns; each column says what its cells
look like and in which words people ask for it. `words/README.md` describes the format. All content
is invented.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal

Make = Callable[[random.Random], str]
Kind = Literal["number", "date", "shared", "person", "list", "flag", "code", "text"]
WORDS: Final = Path(__file__).resolve().parent / "words"
LANGUAGES: Final = ("en", "de")
"""Codes of the languages in which questions are generated."""
FIELDS: Final = frozenset(
    [
        "asks",
        "high",
        "low",
        "highq",
        "lowq",
        "more",
        "less",
        "moreq",
        "lessq",
        "noun",
        "totalq",
        "averageq",
        "over",
        "under",
        "has",
        "whoq",
        "isq",
        "oftenq",
        "manyq",
        "differentq",
        "yes",
        "no",
        "yesq",
        "noq",
        "before",
        "after",
    ]
)
"""Fields of a column, each with wordings of one kind of question; see `words/README.md`."""


@dataclass(frozen=True)
class Meaning:
    """What a column holds, and how people ask about it.

    Attributes:
        labels: Names that such a column has in files.
        kind: Kind of its cells.
        make: Generates the text of a cell.
        said: Field -> its wordings, see `FIELDS`.
    """

    labels: tuple[str, ...]
    kind: Kind
    make: Make
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def says(self, name: str) -> tuple[str, ...]:
        """Return the wordings of a field; empty if it has none."""
        return self.said.get(name, ())


@dataclass(frozen=True)
class Domain:
    """One kind of table.

    Attributes:
        one: Word for a record.
        many: Its plural.
        who: Whether records are people.
        language: Code of the language.
        article: Article of `one`, if the language has genders.
        keys: Labels of the column that names the records; empty for a log.
        names: Names of records; empty if `make_name` generates them.
        make_name: Generates a name.
        called: Other words for a record, with their plurals.
        columns: Columns that such a table may have.
    """

    one: str
    many: str
    who: bool
    language: str
    article: str
    keys: tuple[str, ...]
    names: tuple[str, ...]
    make_name: Make
    called: tuple[tuple[str, str], ...]
    columns: tuple[Meaning, ...]


def ways(text: str) -> tuple[str, ...]:
    """Split alternatives at `|`.

    >>> ways("how much is {k} | price of {k}")
    ('how much is {k}', 'price of {k}')
    """
    return tuple(one.strip() for one in text.split("|") if one.strip())


@cache
def read_phrases(language: str) -> dict[str, tuple[str, ...]]:
    """Read the wordings of a language that fit any table."""
    lines = (WORDS / f"phrases_{language}.txt").read_text(encoding="utf-8").splitlines()
    parts = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): ways(text) for name, _, text in parts}


@cache
def all_domains() -> tuple[Domain, ...]:
    """Read the domains of all languages."""
    found: list[Domain] = []
    for path in sorted(WORDS.glob("domains_*.txt")):
        language = path.stem.split("_")[1]
        found += read_domains(path.read_text(encoding="utf-8"), language, path.name)
    return tuple(found)


def read_domains(text: str, language: str, name: str = "text") -> list[Domain]:
    """Read domains from a text.

    Raises:
        ValueError: A line cannot be parsed, or a domain or column is incomplete; the message says
            which.
    """
    found: list[Domain] = []
    head: dict[str, str] = {}
    columns: list[tuple[tuple[str, ...], dict[str, str]]] = []

    def close() -> None:
        if head:
            found.append(_domain(head, columns, language, name))

    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        if line.startswith("# "):
            close()
            head, columns = {"words": line[2:]}, []
            continue
        if line.startswith("- "):
            columns.append((ways(line[2:]), {}))
            continue
        key, mark, value = line.partition(":")
        there = columns[-1][1] if columns else head
        if not mark or not head:
            raise ValueError(f"{name}, line {number}: not understood: {line[:60]!r}")
        if key in there:
            there[key] += " | " + value
        else:
            there[key] = value.strip()
    close()
    return found


def _domain(
    head: dict[str, str],
    columns: list[tuple[tuple[str, ...], dict[str, str]]],
    language: str,
    name: str,
) -> Domain:
    words = ways(head["words"])
    if len(words) != 3 or words[2] not in ("thing", "person", "place"):
        raise ValueError(f"{name}: a domain begins with singular, plural and thing, person or "
                         f"place, not {head['words']!r}")  # fmt: skip
    log = head.get("log", "") == "yes"
    names = head.get("names", "")
    make: Make = person
    listed: tuple[str, ...] = ()
    if names.startswith("code "):
        make = _code(names[5:].strip())
    elif names != "person":
        listed = ways(names)
    called = tuple(
        (one.partition("/")[0].strip(), one.partition("/")[2].strip() or words[1])
        for one in ways(head.get("called", ""))
    )
    meanings = tuple(_meaning(labels, fields, f"{name}, {words[0]}") for labels, fields in columns)
    return Domain(
        words[0], words[1], words[2] == "person", language, head.get("article", ""),
        () if log else ways(head.get("key", words[0])), listed, make, called, meanings,
    )  # fmt: skip


def _meaning(labels: tuple[str, ...], fields: dict[str, str], where: str) -> Meaning:
    unknown = set(fields) - FIELDS - {"values"}
    if unknown or not labels or "values" not in fields:
        raise ValueError(f"{where}: column {labels} has no `values` or unknown fields {unknown}")
    kind, make = read_values(fields["values"])
    said = {name: ways(text) for name, text in fields.items() if name != "values"}
    return Meaning(labels, kind, make, said)


def read_values(text: str) -> tuple[Kind, Make]:
    """Parse the `values` field of a column.

    Returns:
        The kind of the column, and a function that generates a cell.

    Raises:
        ValueError: The field cannot be parsed.
    """
    name, _, rest = text.strip().partition(" ")
    if text.startswith("one of:"):
        return "shared", _of(_split(text[7:]))
    if text.startswith("list of:"):
        return "list", _listed(_split(text[8:]))
    if text.startswith("text:"):
        return "text", _of([one.strip() for one in text[5:].split(";") if one.strip()])
    match name:
        case "yes/no":
            return "flag", _of(["yes", "no"])
        case "ja/nein":
            return "flag", _of(["ja", "nein"])
        case "person":
            return "person", person
        case "city":
            return "shared", _of(CITIES)
        case "country":
            return "shared", _of(COUNTRIES)
        case "code":
            return "code", _code(rest)
        case "clock":
            return "number", _clock
        case "time":
            return "number", lambda rng: f"{rng.randint(5, 22):02d}:{rng.randint(0, 11) * 5:02d}"
        case "number" | "money" | "year" | "date":
            parts = rest.split(" ", 2)
            low, high = parts[0], parts[1]
            unit = parts[2].strip() if len(parts) > 2 else ""
            if name == "year":
                return "date", lambda rng: str(rng.randint(int(low), int(high)))
            if name == "date":
                return "date", lambda rng: _date(rng, int(low), int(high))
            if name == "money":
                return "number", lambda rng: _money(rng, float(low), float(high), unit)
            return "number", _number(low, high, unit)
        case _:
            raise ValueError(f"values are not understood: {text!r}")


def _split(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _of(values: list[str]) -> Make:
    return lambda rng: rng.choice(values)


def _listed(values: list[str]) -> Make:
    return lambda rng: ", ".join(rng.sample(values, min(len(values), rng.randint(1, 3))))


def _number(low: str, high: str, unit: str) -> Make:
    digits = len(low.partition(".")[2])
    start, end = float(low), float(high)

    def make(rng: random.Random) -> str:
        value = rng.uniform(start, end)
        if start > 0 and end > 50 * start and rng.random() < 0.5:
            value = start * (end / start) ** rng.random()
        text = f"{value:,.{digits}f}" if end >= 10_000 else f"{value:.{digits}f}"
        return f"{text} {unit}" if unit else text

    return make


def _money(rng: random.Random, low: float, high: float, sign: str) -> str:
    value = rng.uniform(low, high)
    whole = high >= 500
    text = f"{value:,.0f}" if whole else f"{value:.2f}"
    return f"{sign}{text}" if sign in ("$", "£") else f"{text} {sign}".strip()


def _clock(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.randint(0, 3)}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
    return f"{rng.randint(2, 59)}:{rng.randint(0, 59):02d}"


def _date(rng: random.Random, low: int, high: int) -> str:
    return f"{rng.randint(low, high)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _code(pattern: str) -> Make:
    def make(rng: random.Random) -> str:
        return "".join(
            str(rng.randint(0, 9)) if one == "#"
            else rng.choice("ABCDEFGHKLMNPRSTUVWXZ") if one == "@" else one
            for one in pattern
        )  # fmt: skip

    return make


_FIRST: Final = ["Anna", "Ben", "Clara", "David", "Emil", "Fatima", "George", "Hana", "Ivan", "Julia", "Karim", "Lena", "Marco", "Nina", "Oscar", "Paula", "Quentin", "Rosa", "Stefan", "Tara", "Umar", "Vera", "Willem", "Xenia", "Yann", "Zoe", "Liam", "Mei", "Pedro", "Aisha", "Henrik", "Ingrid", "Jamal", "Katya", "Leo", "Maria", "Noah", "Olga", "Priya", "Rafael", "Sven", "Tomas", "Uta", "Victor", "Wanda", "Yusuf"]  # fmt: skip
_LAST: Final = ["Abbott", "Berger", "Costa", "Dietrich", "Evans", "Fischer", "Garcia", "Haas", "Ivanov", "Jensen", "Klein", "Lopez", "Moreau", "Novak", "Olsen", "Petrov", "Quinn", "Rossi", "Schmidt", "Tanaka", "Ueda", "Vargas", "Weber", "Young", "Zimmer", "Okafor", "Lindgren", "Murphy", "Adler", "Baker", "Chen", "Duval", "Eriksen", "Franke", "Gupta", "Horvat", "Ito", "Jung", "Kaya", "Larsen", "Meyer", "Nowak"]  # fmt: skip
COUNTRIES: Final = ["France", "Spain", "Italy", "Norway", "Kenya", "Japan", "Brazil", "Canada", "Mexico", "India", "Egypt", "Poland", "Austria", "Chile", "Ghana", "Greece", "Ireland", "Turkey", "Vietnam", "Sweden"]  # fmt: skip
CITIES: Final = ["Lisbon", "Oslo", "Madrid", "Cairo", "Toronto", "Lima", "Prague", "Dublin", "Nairobi", "Osaka", "Leeds", "Vienna", "Porto", "Turin", "Krakow", "Bergen", "Quito", "Malmo", "Ghent", "Graz"]  # fmt: skip


def person(rng: random.Random) -> str:
    """Generate the name of a person."""
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
