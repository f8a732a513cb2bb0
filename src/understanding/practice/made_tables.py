"""Generate tables like those that people have: shops, teams, elections, trips, staff, releases.

All content is invented. Each column has wordings for questions about it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from .domains import COUNTRIES, WORDS, Domain, Meaning, all_domains, person, read_domains

LOGS: Final = 0.15
"""Probability of a log, a table without a column that names the records."""
CODES: Final = 0.15
"""Probability that a table with names also has a column of codes."""
POOL: Final = 0.25
"""Probability that the columns are drawn from a common pool, see `general_domain`."""


@dataclass(frozen=True)
class MadeColumn:
    """A column of a generated table."""

    label: str
    meaning: Meaning


@dataclass(frozen=True)
class MadeTable:
    """A generated table.

    Attributes:
        domain: The domain that it was generated from.
        one: Word for a record.
        many: Its plural.
        key: Column that names the records; None for a log.
        columns: The other columns, without codes.
        absent: Columns of the domain that this table does not have.
        records: The rows as mappings of column to text.
    """

    domain: Domain
    one: str
    many: str
    key: str | None
    columns: tuple[MadeColumn, ...]
    absent: tuple[Meaning, ...]
    records: tuple[dict[str, str], ...]


_THINGS: Final = (
    ("player", "players", True), ("runner", "runners", True), ("driver", "drivers", True),
    ("candidate", "candidates", True), ("employee", "employees", True), ("actor", "actors", True),
    ("president", "presidents", True), ("swimmer", "swimmers", True), ("rider", "riders", True),
    ("team", "teams", False), ("country", "countries", False), ("city", "cities", False),
    ("song", "songs", False), ("album", "albums", False), ("film", "films", False),
    ("game", "games", False), ("episode", "episodes", False), ("school", "schools", False),
    ("product", "products", False), ("dish", "dishes", False), ("machine", "machines", False),
    ("hotel", "hotels", False), ("museum", "museums", False), ("bridge", "bridges", False),
    ("ship", "ships", False), ("mountain", "mountains", False), ("river", "rivers", False),
    ("plant", "plants", False), ("book", "books", False), ("station", "stations", False),
    ("event", "events", False), ("tournament", "tournaments", False), ("building", "buildings", False),
    ("article", "articles", False), ("course", "courses", False), ("car", "cars", False),
)  # fmt: skip
_NOUNS: Final = ["River", "Hill", "Stone", "Lake", "Garden", "Harbour", "Bridge", "Forest", "Tower", "Valley", "Island", "Meadow", "Castle", "Mill", "Road", "Star", "Moon", "Fire", "Ocean", "Winter", "Summer", "Silver", "Golden", "Red", "Blue", "Green", "Wild", "Silent", "Lost", "Broken"]  # fmt: skip
_SYLLABLES: Final = ["ka", "lo", "mi", "ra", "ven", "tor", "bel", "sa", "din", "or", "ga", "lum", "fi", "ne", "pra", "so", "tal", "ur", "vi", "wen", "do", "er", "ha", "is", "jo", "qua", "ri", "ste", "ul", "ber", "cas"]  # fmt: skip
_STYLES: Final[tuple[Callable[[str], str], ...]] = (
    str, str, str.title, str.lower, str.capitalize, lambda text: text.lower().replace(" ", "_"),
)  # fmt: skip


def title(rng: random.Random) -> str:
    """Generate a title, such as that of a book or a film."""
    first, second = rng.sample(_NOUNS, 2)
    made = "".join(rng.sample(_SYLLABLES, rng.randint(2, 3))).capitalize()
    return rng.choice(
        [f"{first} {second}", f"The {first}", f"{first} of {second}", made, f"{made} {second}"]
    )


def common_columns() -> tuple[Meaning, ...]:
    """List columns that tables of any kind may have, and how people ask about them."""
    return _pool().columns


@cache
def _pool() -> Domain:
    return read_domains((WORDS / "columns_en.txt").read_text(encoding="utf-8"), "en")[0]


def general_domain(rng: random.Random) -> Domain:
    """Make a domain with a common word for its records and the columns of a common pool."""
    one, many, who = rng.choice(_THINGS)
    keys = (one, "name", one, f"{one} name", "name" if who else "title")
    names = tuple(COUNTRIES) if one == "country" else ()
    make = person if who else title
    return replace(
        _pool(), one=one, many=many, who=who, keys=keys, names=names, make_name=make
    )  # fmt: skip


def make_table(
    rng: random.Random, domains: Sequence[Domain] | None = None, pool: float = POOL
) -> MadeTable:
    """Generate a table of 5 to 30 records, or a log of 15 to 60, with up to 12 columns.

    Args:
        rng: Source of all random choices.
        domains: Domains to choose from; all by default.
        pool: Probability that the table is generated from `general_domain` instead.
    """
    known = list(domains or all_domains())
    logs = [one for one in known if not one.keys]
    kind = rng.random()
    if kind < pool:
        chosen = general_domain(rng)
    else:
        chosen = rng.choice(logs if logs and kind > 1 - LOGS else known)
    one, many = rng.choice([(chosen.one, chosen.many)] * 3 + list(chosen.called))
    meanings = list(chosen.columns)
    rng.shuffle(meanings)
    used: dict[str, Meaning] = {}
    styled = rng.choice(_STYLES)
    key = styled(rng.choice(chosen.keys)) if chosen.keys else None
    wanted = rng.randint(3, 10)
    absent: list[Meaning] = []
    for meaning in meanings:
        label = styled(rng.choice(meaning.labels))
        if len(used) >= wanted or label in used or label == key:
            absent.append(meaning)
        else:
            used[label] = meaning
    records = _records(rng, chosen, key, used)
    columns = tuple(MadeColumn(label, meaning) for label, meaning in used.items())
    return MadeTable(chosen, one, many, key, columns, tuple(absent), tuple(records))


def _records(
    rng: random.Random, domain: Domain, key: str | None, used: dict[str, Meaning]
) -> list[dict[str, str]]:
    count = rng.randint(5, 30) if key else rng.randint(15, 60)
    names: list[str] = []
    pool = list(domain.names)
    rng.shuffle(pool)
    while key and len(names) < count:
        if domain.names:
            if not pool:
                break
            made = pool.pop()
        else:
            made = domain.make_name(rng)
        if made.casefold() not in {name.casefold() for name in names}:
            names.append(made)
    order = list(used)
    if key:
        order.insert(0 if rng.random() < 0.8 else rng.randrange(len(order) + 1), key)
    few = {label: _few(rng, meaning, key is None) for label, meaning in used.items()}
    german = domain.language == "de"
    missing = {label: rng.choice([0.0, 0.0, 0.0, 0.03, 0.2]) for label in used}
    code = _code_label(rng, domain, key, used)
    pattern = rng.choice(["M-1##", "@##", "@@-##", "1###", "4##-@"])
    made_rows = []
    for number in range(len(names) if key else count):
        row = {code: _numbered(pattern, number, rng)} if code else {}
        for label in order:
            if label == key:
                row[label] = names[number]
                continue
            text = few[label](rng)
            if rng.random() < missing[label] and used[label].kind != "flag":
                text = ""
            if german:
                text = _german(text, used[label].kind)
            row[label] = text
        made_rows.append(row)
    if key is None:
        dated = next((n for n, meaning in used.items() if meaning.kind == "date"), None)
        if dated:
            made_rows.sort(key=lambda row: row[dated])
    return made_rows


def _code_label(
    rng: random.Random, domain: Domain, key: str | None, used: dict[str, Meaning]
) -> str | None:
    """Choose a label for a column of codes; None for no such column.

    The label may be the word for a record, so that the ranker learns to prefer the name.
    """
    if not key or rng.random() >= CODES:
        return None
    words = {"de": ["Nr", "Kennung", "ID", "Code"]}.get(
        domain.language, ["id", "no", "code", "ref"]
    )
    label = rng.choice([*words, domain.one, domain.one])
    return None if label in used or label.casefold() == key.casefold() else label


def _numbered(pattern: str, number: int, rng: random.Random) -> str:
    """Write a code that differs for each row."""
    digits = f"{number + 1:0{pattern.count('#')}d}"
    letters = iter(digits)
    return "".join(
        next(letters, "0") if one == "#" else rng.choice("ABCDEFGH") if one == "@" else one
        for one in pattern
    )


def _few(rng: random.Random, meaning: Meaning, log: bool) -> Callable[[random.Random], str]:
    """Return a generator of cells; some columns, in logs most, draw from a few values."""
    repeat = meaning.kind in ("person", "date", "code", "text") and rng.random() < (
        0.9 if log else 0.3
    )
    if not repeat:
        return meaning.make
    pool = [meaning.make(rng) for _ in range(rng.randint(3, 6))]
    if meaning.kind == "date" and log and "-" in pool[0]:
        month = pool[0][:8]
        pool = [f"{month}{day:02d}" for day in rng.sample(range(1, 29), rng.randint(4, 8))]
    return lambda rng: rng.choice(pool)


def _german(text: str, kind: str) -> str:
    if kind == "number" and ":" not in text:
        return text.translate(str.maketrans(",.", ".,"))
    if kind == "date" and text.count("-") == 2:
        year, month, day = text.split("-")
        return f"{day}.{month}.{year}"
    return {"yes": "ja", "no": "nein"}.get(text, text)
