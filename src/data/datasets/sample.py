"""A small sample table: true facts with the passage that states them."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("question", "answer", "context", "topic")
_CAPITALS = (
    "Argentina:Buenos Aires Austria:Vienna Brazil:Brasília Canada:Ottawa Chile:Santiago "
    "Colombia:Bogotá Cuba:Havana Denmark:Copenhagen Egypt:Cairo Estonia:Tallinn "
    "Finland:Helsinki France:Paris Germany:Berlin Ghana:Accra Greece:Athens Hungary:Budapest "
    "Iceland:Reykjavík Iran:Tehran Iraq:Baghdad Ireland:Dublin Italy:Rome Japan:Tokyo "
    "Kenya:Nairobi Latvia:Riga Lebanon:Beirut Mongolia:Ulaanbaatar Nepal:Kathmandu "
    "Norway:Oslo Peru:Lima Poland:Warsaw Portugal:Lisbon Romania:Bucharest Rwanda:Kigali "
    "Senegal:Dakar Spain:Madrid Sweden:Stockholm Thailand:Bangkok Tunisia:Tunis Turkey:Ankara "
    "Uganda:Kampala Ukraine:Kyiv Uruguay:Montevideo Vietnam:Hanoi Zambia:Lusaka"
)
_ELEMENTS = (
    "hydrogen:H:1 helium:He:2 lithium:Li:3 beryllium:Be:4 boron:B:5 carbon:C:6 nitrogen:N:7 "
    "oxygen:O:8 fluorine:F:9 neon:Ne:10 sodium:Na:11 magnesium:Mg:12 aluminium:Al:13 "
    "silicon:Si:14 phosphorus:P:15 sulfur:S:16 chlorine:Cl:17 argon:Ar:18 potassium:K:19 "
    "calcium:Ca:20 iron:Fe:26 copper:Cu:29 zinc:Zn:30 silver:Ag:47 tin:Sn:50 gold:Au:79 "
    "mercury:Hg:80 lead:Pb:82"
)
_SHAPES = {
    "triangle": 3,
    "quadrilateral": 4,
    "pentagon": 5,
    "hexagon": 6,
    "heptagon": 7,
    "octagon": 8,
    "nonagon": 9,
    "decagon": 10,
    "dodecagon": 12,
}
Record = tuple[str, str, str, str]


def create_sample_dataset(
    output_path: str | Path, num_samples: int = 100, *, seed: int = 0
) -> pd.DataFrame:
    """Write a CSV file of question, answer, context and topic.

    Every answer is right and occurs in its context. No question occurs twice: arithmetic, which has
    no end, fills up where the other topics are used up.

    Args:
        output_path: File to write; its folder is created.
        num_samples: Number of records.
        seed: Chooses and orders the records.

    Returns:
        The table as written.

    Raises:
        ValueError: `num_samples` is negative.
    """
    import pandas as pd

    if num_samples < 0:
        raise ValueError(f"num_samples={num_samples!r}: give 0 or more")
    records = _choose(num_samples, random.Random(seed))
    with (
        atomic_path(output_path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(records)
    return pd.DataFrame(records, columns=list(COLUMNS), dtype="string")


def _choose(number: int, rng: random.Random) -> list[Record]:
    """Take records from the topics in turn, so that small samples have all of them."""
    topics = [list(make()) for make in _TOPICS]
    for records in topics:
        rng.shuffle(records)
    endless = _arithmetic(rng)
    chosen: list[Record] = []
    while len(chosen) < number:
        for records in topics:
            if records:
                chosen.append(records.pop())
        chosen.append(next(endless))
    chosen = chosen[:number]
    rng.shuffle(chosen)
    return chosen


def _geography() -> Iterator[Record]:
    # A capital may have several words; it ends before the next "Country:".
    for country, capital in re.findall(r"(\w+):(.+?)(?= \w+:|$)", _CAPITALS):
        context = f"{capital} is the capital of {country}."
        yield f"What is the capital of {country}?", capital, context, "geography"
        yield f"Which country has {capital} as its capital?", country, context, "geography"


def _chemistry() -> Iterator[Record]:
    for entry in _ELEMENTS.split():
        name, symbol, number = entry.split(":")
        context = f"The element {name} has the symbol {symbol} and the atomic number {number}."
        yield f"What is the symbol of {name}?", symbol, context, "chemistry"
        yield f"What is the atomic number of {name}?", number, context, "chemistry"
        yield f"Which element has the symbol {symbol}?", name, context, "chemistry"


def _geometry() -> Iterator[Record]:
    for name, sides in _SHAPES.items():
        article = "an" if name[0] in "aeiou" else "a"
        angles = (sides - 2) * 180
        sums = f"its angles add up to {angles} degrees."
        context = f"{article.capitalize()} {name} has {sides} sides; {sums}"
        yield f"How many sides does {article} {name} have?", str(sides), context, "geometry"
        yield (
            f"To how many degrees do the angles of {article} {name} add up?",
            str(angles),
            context,
            "geometry",
        )


def _arithmetic(rng: random.Random) -> Iterator[Record]:
    """Yield growing sums and products, so that none occurs twice."""
    for step in count(2):
        other = rng.randint(2, 99)
        if rng.random() < 0.5:
            answer = str(step + other)
            context = f"Adding {other} to {step} gives {answer}."
            yield f"What is {step} + {other}?", answer, context, "arithmetic"
        else:
            answer = str(step * other)
            context = f"Multiplying {step} by {other} gives {answer}."
            yield f"What is {step} * {other}?", answer, context, "arithmetic"


_TOPICS: tuple[Callable[[], Iterator[Record]], ...] = (_geography, _chemistry, _geometry)
