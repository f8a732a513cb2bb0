"""Make tables like those that people have: shops, teams, elections, trips, staff, releases.

Nothing in them is real. Each column knows how people ask for it, so that questions can be put in
ordinary words.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Meaning:
    """What a column holds, and how people speak of it.

    Attributes:
        labels: Names that a column of this kind has in files.
        make: Makes a cell.
        asks: Questions for its value, with {k} for the record.
        high: Words for the record with most of it, such as "most expensive".
        low: Words for the record with least.
        more: Words that compare, such as "more expensive", before "than".
        less: The opposite.
        noun: Words for the thing that is counted, summed or averaged; empty where none is natural.
        kind: number, money, date, year, text, place, person, flag or list.
        has: Words that lead from a record to a value that it shares with others, with {v}.
    """

    labels: tuple[str, ...]
    make: Callable[[random.Random], str]
    asks: tuple[str, ...] = ()
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    noun: tuple[str, ...] = ()
    kind: str = "number"
    has: tuple[str, ...] = ()


def _split(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split("|") if one.strip())


def _whole(low: int, high: int, comma: bool = False) -> Callable[[random.Random], str]:
    def make(rng: random.Random) -> str:
        number = int(low * (high / max(low, 1)) ** rng.random()) if low > 0 and rng.random() < 0.5 else (
            rng.randint(low, high)
        )  # fmt: skip
        return f"{number:,}" if comma and rng.random() < 0.8 else str(number)

    return make


def _unit(low: float, high: float, unit: str, digits: int = 1) -> Callable[[random.Random], str]:
    return lambda rng: f"{rng.uniform(low, high):.{digits}f} {unit}"


def _money(rng: random.Random) -> str:
    value = rng.choice([9, 40, 300, 5000]) * rng.uniform(0.2, 2)
    return rng.choice(["€ {:.2f}", "${:,.2f}", "£{:.2f}", "{:.2f}", "{:.2f} EUR"]).format(value)


def _clock(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.randint(0, 3)}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
    return f"{rng.randint(2, 59)}:{rng.randint(0, 59):02d}"


MONTHS: Final = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]  # fmt: skip


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(1950, 2026), rng.randint(1, 12), rng.randint(1, 28)
    form = rng.randint(0, 3)
    name = MONTHS[month - 1]
    return (
        f"{name} {day}, {year}", f"{day} {name} {year}", f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}.{month:02d}.{year}",
    )[form]  # fmt: skip


def _of(*values: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


def _listed(*values: str) -> Callable[[random.Random], str]:
    return lambda rng: ", ".join(rng.sample(values, rng.randint(1, 3)))


_SYLLABLES: Final = ["ka", "lo", "mi", "ra", "ven", "tor", "bel", "sa", "din", "or", "ga", "lum", "fi", "ne", "pra", "so", "tal", "ur", "vi", "wen", "do", "er", "ha", "is", "jo", "qua", "ri", "ste", "ul", "ber", "cas"]  # fmt: skip
_FIRST: Final = ["Anna", "Ben", "Clara", "David", "Emil", "Fatima", "George", "Hana", "Ivan", "Julia", "Karim", "Lena", "Marco", "Nina", "Oscar", "Paula", "Quentin", "Rosa", "Stefan", "Tara", "Umar", "Vera", "Willem", "Xenia", "Yann", "Zoe", "Liam", "Mei", "Pedro", "Aisha"]  # fmt: skip
_LAST: Final = ["Abbott", "Berger", "Costa", "Dietrich", "Evans", "Fischer", "Garcia", "Haas", "Ivanov", "Jensen", "Klein", "Lopez", "Moreau", "Novak", "Olsen", "Petrov", "Quinn", "Rossi", "Schmidt", "Tanaka", "Ueda", "Vargas", "Weber", "Young", "Zimmer", "Okafor", "Lindgren", "Murphy"]  # fmt: skip
COUNTRIES: Final = ["France", "Spain", "Italy", "Norway", "Kenya", "Japan", "Brazil", "Canada", "Mexico", "India", "Egypt", "Poland", "Austria", "Chile", "Ghana", "Greece", "Ireland", "Turkey", "Vietnam", "Sweden"]  # fmt: skip
CITIES: Final = ["Lisbon", "Oslo", "Madrid", "Cairo", "Toronto", "Lima", "Prague", "Dublin", "Nairobi", "Osaka", "Leeds", "Vienna", "Porto", "Turin", "Krakow", "Bergen", "Quito", "Malmo", "Ghent", "Graz"]  # fmt: skip
_NOUNS: Final = ["River", "Hill", "Stone", "Lake", "Garden", "Harbour", "Bridge", "Forest", "Tower", "Valley", "Island", "Meadow", "Castle", "Mill", "Road", "Star", "Moon", "Fire", "Ocean", "Winter", "Summer", "Silver", "Golden", "Red", "Blue", "Green", "Wild", "Silent", "Lost", "Broken"]  # fmt: skip


def person(rng: random.Random) -> str:
    """Make the name of a person."""
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def invented(rng: random.Random) -> str:
    """Make a word that is none."""
    return "".join(rng.sample(_SYLLABLES, rng.randint(2, 3))).capitalize()


def title(rng: random.Random) -> str:
    """Make the title of a thing."""
    first, second = rng.sample(_NOUNS, 2)
    return rng.choice([f"{first} {second}", f"The {first}", f"{first} of {second}", invented(rng),
                       f"{invented(rng)} {second}"])  # fmt: skip


NUMBERS: Final = (
    Meaning(_split("price|price eur|unit price|cost|price per night|fee|ticket price"), _money,
            _split("how much is {k}|what does {k} cost|how much does {k} cost|what is the price of {k}|price of {k}|how much do i pay for {k}|what would {k} set me back"),
            _split("most expensive|priciest|dearest"), _split("cheapest|least expensive"),
            _split("more expensive|dearer"), _split("cheaper|less expensive"), (), "money"),
    Meaning(_split("weight|weight kg|mass"), _unit(0.1, 90, "kg"),
            _split("how heavy is {k}|what does {k} weigh|how much does {k} weigh|weight of {k}"),
            _split("heaviest"), _split("lightest"), _split("heavier"), _split("lighter")),
    Meaning(_split("height|height m|elevation|grows to"), _unit(1, 900, "m", 0),
            _split("how tall is {k}|how high is {k}|what is the height of {k}|how tall does {k} get"),
            _split("tallest|highest"), _split("shortest|lowest"), _split("taller|higher"), _split("shorter|lower")),
    Meaning(_split("length|length km|distance|distance to centre"), _unit(0.5, 300, "km"),
            _split("how long is {k}|how far is {k}|what is the length of {k}|what distance is {k}"),
            _split("longest|farthest"), _split("shortest|closest|nearest"), _split("longer|farther"), _split("shorter|closer")),
    Meaning(_split("area|area km2|size|land area"), _whole(20, 9000, True),
            _split("how big is {k}|what is the area of {k}|how large is {k}|size of {k}"),
            _split("largest|biggest"), _split("smallest"), _split("larger|bigger"), _split("smaller")),
    Meaning(_split("population|inhabitants|residents"), _whole(500, 9_000_000, True),
            _split("how many people live in {k}|what is the population of {k}|how many inhabitants does {k} have"),
            _split("most populous|most populated|largest"), _split("least populated|least populous"), _split("more people in|more populated"), (), _split("people|inhabitants|residents")),
    Meaning(_split("points|score|pts|total points"), _whole(1, 120),
            _split("how many points did {k} get|how many points does {k} have|what did {k} score|what was {k}'s score"),
            _split("highest scoring|best"), _split("lowest scoring|worst"), (), (), _split("points")),
    Meaning(_split("goals|goals scored"), _whole(0, 40), _split("how many goals did {k} score|number of goals for {k}"),
            (), (), (), (), _split("goals")),
    Meaning(_split("wins|won|victories"), _whole(0, 30), _split("how many times did {k} win|how many wins does {k} have|how many games did {k} win"),
            _split("most successful"), (), (), (), _split("wins|victories")),
    Meaning(_split("losses|lost|defeats"), _whole(0, 30), _split("how many games did {k} lose|how many losses did {k} have"),
            (), (), (), (), _split("losses|defeats")),
    Meaning(_split("gold|gold medals"), _whole(0, 30), _split("how many gold medals did {k} win|how many golds does {k} have"),
            (), (), (), (), _split("gold medals|golds")),
    Meaning(_split("silver|silver medals"), _whole(0, 30), _split("how many silver medals did {k} win"),
            (), (), (), (), _split("silver medals")),
    Meaning(_split("total|total medals|medals"), _whole(1, 60), _split("how many medals did {k} win in total|total number of medals of {k}"),
            (), (), (), (), _split("medals")),
    Meaning(_split("extension|phone|code|number|id|room|article no"), _whole(100, 9999), _split("what extension does {k} have|what is {k}'s number|which room is {k} in|what number does {k} have|how do i reach {k}")),
    Meaning(_split("rank|place|position|pos"), _whole(1, 30), _split("where did {k} finish|which place did {k} come in|what is the rank of {k}|what position was {k}"),
            _split("lowest ranked"), _split("top ranked|highest ranked|best placed")),
    Meaning(_split("age|age years"), _whole(16, 90), _split("how old is {k}|what age is {k}"),
            _split("oldest"), _split("youngest"), _split("older"), _split("younger")),
    Meaning(_split("attendance|crowd|visitors|viewers|audience"), _whole(900, 90000, True),
            _split("how many people attended {k}|what was the attendance of {k}|how many people saw {k}|how big was the crowd at {k}"),
            _split("best attended|most watched"), _split("worst attended|least watched"), (), (), _split("people|visitors|viewers")),
    Meaning(_split("votes|votes cast|number of votes"), _whole(300, 80000, True), _split("how many votes did {k} receive|how many votes did {k} get"),
            (), (), _split("more votes than"), (), _split("votes")),
    Meaning(_split("time|finish time|duration|running time"), _clock, _split("what time did {k} run|how long did {k} take|what was the time of {k}|how long is {k}"),
            _split("slowest|longest"), _split("fastest|quickest|shortest"), _split("slower|longer"), _split("faster|quicker")),
    Meaning(_split("rating|stars|review score"), lambda rng: f"{rng.uniform(1, 5):.1f}", _split("how good is {k}|what rating does {k} have|how is {k} rated"),
            _split("best rated|best|highest rated"), _split("worst rated|worst|lowest rated"), _split("better rated"), _split("worse rated")),
    Meaning(_split("stock|quantity|units in stock|on hand"), _whole(0, 900), _split("how many {k} are left|how many {k} do we have|what is the stock of {k}|how many {k} are in stock"),
            (), (), (), (), _split("units|pieces")),
    Meaning(_split("capacity|seats|rooms|pitches|beds"), _whole(10, 2000), _split("how many seats does {k} have|what is the capacity of {k}|how many fit in {k}"),
            _split("biggest|largest"), _split("smallest"), _split("bigger|larger"), _split("smaller"), _split("seats|places")),
    Meaning(_split("sales|sold|units sold|revenue|takings"), _whole(10, 9000, True), _split("how many did {k} sell|what were the sales of {k}|how much did {k} bring in|how much money did {k} make"),
            _split("best selling|top grossing"), _split("worst selling"), (), (), _split("sales|units")),
    Meaning(_split("calories|kcal|energy"), _whole(20, 1200), _split("how many calories does {k} have|how many calories are in {k}"),
            _split("most fattening"), _split("lightest"), (), (), _split("calories")),
    Meaning(_split("speed|top speed|speed km/h"), _whole(20, 400), _split("how fast is {k}|what is the top speed of {k}"),
            _split("fastest"), _split("slowest"), _split("faster"), _split("slower")),
    Meaning(_split("temperature|max temp"), _whole(-20, 45), _split("how warm is {k}|what temperature does {k} have"),
            _split("hottest|warmest"), _split("coldest|coolest"), _split("warmer"), _split("colder")),
    Meaning(_split("salary|wage|income|prize money"), _whole(1000, 90000, True), _split("how much does {k} earn|what does {k} make|what is {k} paid"),
            _split("best paid"), _split("worst paid"), (), (), (), "money"),
    Meaning(_split("employees|members|students|players"), _whole(2, 5000), _split("how many members does {k} have|how many people work at {k}|how many students are at {k}"),
            _split("largest|biggest"), _split("smallest"), _split("bigger"), _split("smaller"), _split("members|people|students")),
    Meaning(_split("episodes|tracks|pages|chapters|games|matches|laps"), _whole(1, 200), _split("how many episodes does {k} have|how many pages are in {k}|how many games did {k} play"),
            _split("longest"), _split("shortest"), (), (), _split("episodes|pages|games|laps")),
)  # fmt: skip
TIMES: Final = (
    Meaning(_split("year|founded|built|established|opened"), lambda rng: str(rng.randint(1850, 2026)),
            _split("when was {k} founded|when was {k} built|what year was {k}|in which year did {k} open|how old is {k}|when did {k} happen"),
            _split("newest|latest|most recent|youngest"), _split("oldest|earliest|first"), _split("newer|later|after"), _split("older|earlier|before"), (), "year",
            _split("in {v}|from {v}|built in {v}|founded in {v}")),
    Meaning(_split("date|start date|opens|released|release date|last service|joined|born|date of birth"), _date,
            _split("when was {k}|on what date was {k}|when did {k} take place|when does {k} open|when did {k} start|when was {k} released|when did {k} join|when was {k} born"),
            _split("latest|most recent|last|newest"), _split("earliest|first|oldest"), _split("later|after"), _split("earlier|before"), (), "date",
            _split("on {v}")),
)  # fmt: skip
SHARED: Final = (
    Meaning(_split("country|nation|nationality"), _of(*COUNTRIES), _split("which country is {k} from|where is {k} from|what country does {k} come from|where does {k} come from"),
            kind="place", has=_split("from {v}|in {v}|representing {v}|of {v}")),
    Meaning(_split("city|location|venue|town|office|branch"), _of(*CITIES), _split("where is {k}|where does {k} sit|where do i find {k}|in which city is {k}|where was {k} held|where did {k} take place|where can i find {k}|what is the location of {k}"),
            kind="place", has=_split("in {v}|at {v}|held in {v}|based in {v}")),
    Meaning(_split("region|area|district|state|county"), _of("North", "South", "East Valley", "West Coast", "Highlands"), _split("in which region is {k}|what part of the country is {k} in|what region does {k} belong to"),
            kind="place", has=_split("in the {v}|in {v}")),
    Meaning(_split("category|type|kind|class|genre|group"), _of("standard", "premium", "classic", "modern", "basic", "special"), _split("what kind of thing is {k}|what type is {k}|which category does {k} belong to|what sort is {k}"),
            kind="text", has=_split("of type {v}|that are {v}|{v}")),
    Meaning(_split("team|club|company|department|party|label|manufacturer|brand"), lambda rng: rng.choice(["Rovers", "United Works", "Blue Party", "Green Party", "Engineering", "Sales", "Northern Records", "Acme", "Harbour FC", "Support"]),
            _split("where does {k} work|which team did {k} play for|what company makes {k}|which department is {k} in|what party does {k} belong to|who makes {k}|which club is {k} with"),
            kind="text", has=_split("from {v}|of {v}|by {v}|in {v}|for {v}")),
    Meaning(_split("status|result|outcome|condition|state"), _of("won", "lost", "draw", "retired", "open", "closed", "nominated"), _split("what was the result of {k}|how did {k} end|what state is {k} in|what is the status of {k}"),
            kind="text", has=_split("that are {v}|that {v}|marked {v}")),
    Meaning(_split("colour|color"), _of("red", "blue", "green", "black", "white"), _split("what colour is {k}|which color does {k} have"),
            kind="text", has=_split("{v}|in {v}")),
    Meaning(_split("manager|owner|director|author|coach|responsible|opponent|winner|driver"), person, _split("who is {k}'s boss|who looks after {k}|who is responsible for {k}|who does {k} report to|who is the manager of {k}|who runs {k}|who wrote {k}|who directed {k}|who is in charge of {k}|who coaches {k}|who won {k}"),
            kind="person", has=_split("by {v}|of {v}|run by {v}|with {v}")),
    Meaning(_split("languages|allergens|materials|instruments|features"), _listed("English", "German", "Spanish", "wood", "steel", "milk", "nuts", "gluten", "guitar", "piano"), _split("what is in {k}|which languages does {k} speak|what does {k} contain|what does {k} have"),
            kind="list", has=_split("with {v}|containing {v}|that contain {v}|who speak {v}")),
    Meaning(_split("vegetarian|in stock|available|open|remote|dogs allowed|toxic|certified|wheelchair access|free"), _of("yes", "no"), _split("is {k} {l}|is {k} {l} or not|does {k} have {l}"),
            kind="flag", has=_split("{l}|that are {l}")),
    Meaning(_split("notes|description|comment|remarks"), lambda rng: " ".join(rng.choice(_NOUNS).lower() for _ in range(4)), _split("what is noted about {k}|what does it say about {k}"),
            kind="text"),
)  # fmt: skip


@dataclass(frozen=True)
class MadeColumn:
    """A column of a made table."""

    label: str
    meaning: Meaning


@dataclass(frozen=True)
class MadeTable:
    """A made table: the first column names the records.

    Attributes:
        one: Word for a record.
        many: Its plural.
        who: Whether records are people.
        columns: The other columns.
        records: Rows.
    """

    one: str
    many: str
    who: bool
    key: str
    columns: tuple[MadeColumn, ...]
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


def make_table(rng: random.Random) -> MadeTable:
    """Make a table of 5 to 30 records and 3 to 9 columns."""
    one, many, who = rng.choice(_THINGS)
    key = rng.choice([one, "name", one, f"{one} name", "title" if not who else "name"])
    meanings = [
        *rng.sample(NUMBERS, rng.randint(1, 4)),
        *rng.sample(TIMES, rng.randint(0, 2)),
        *rng.sample(SHARED, rng.randint(1, 4)),
    ]
    rng.shuffle(meanings)
    labels: list[str] = []
    columns = []
    for meaning in meanings:
        label = rng.choice([one for one in meaning.labels if one != key] or ["value"])
        if label not in labels:
            labels.append(label)
            columns.append(MadeColumn(label, meaning))
    name = person if who else (lambda r: r.choice(COUNTRIES)) if one == "country" else title
    names: list[str] = []
    wanted = rng.randint(5, 20 if one == "country" else 30)
    while len(names) < wanted:
        made = name(rng)
        if made not in names:
            names.append(made)
    few = rng.random() < 0.7
    records = []
    for made in names:
        record = {key: made}
        for column in columns:
            empty = rng.random() < 0.03
            record[column.label] = "" if empty else column.meaning.make(rng)
        records.append(record)
    if few:
        _repeat(rng, columns, records)
    styles: list[Callable[[str], str]] = [str.title, str.lower, str.upper, str, str.title]
    styled = rng.choice(styles)
    columns = [MadeColumn(styled(c.label), c.meaning) for c in columns]
    records = [{styled(name): value for name, value in record.items()} for record in records]
    return MadeTable(one, many, who, styled(key), tuple(columns), tuple(records))


def _repeat(rng: random.Random, columns: list[MadeColumn], records: list[dict[str, str]]) -> None:
    """Let columns of people and dates have few different values in some tables."""
    for column in columns:
        if column.meaning.kind in ("person", "date", "year") and rng.random() < 0.5:
            pool = [column.meaning.make(rng) for _ in range(4)]
            for record in records:
                record[column.label] = rng.choice(pool)
