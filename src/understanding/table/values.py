"""Parse texts: numbers with units, dates, durations, lists, yes and no.

Cells and questions are parsed by the same functions, so that "under 15 euro" can be compared with
"14,90 €".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Decimal = Literal[".", ","]

_LETTERS_TO_PLAIN: Final = str.maketrans(
    {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "’": "'", "‘": "'", "–": "-",
     "—": "-", "−": "-", "‐": "-", "‑": "-", "“": '"', "”": '"', "´": "'", "`": "'", "×": "x"}
)  # fmt: skip
_VOICED: Final = "\u3099\u309a"
"""Combining marks that make a different Japanese letter; unlike accents, they are kept."""
_NUMBER: Final = re.compile(
    r"(?<![\w.,])[-+−]?(?:\d{1,3}(?:[.,\u00a0\u202f' ]\d{3})+(?!\d)|\d+)(?:[.,]\d+)?(?![\d])"
)
_CURRENCIES: Final = {
    "€": "eur", "euro": "eur", "euros": "eur", "eur": "eur", "$": "usd", "us$": "usd",
    "dollar": "usd", "dollars": "usd", "usd": "usd", "£": "gbp", "pound": "gbp", "pounds": "gbp",
    "quid": "gbp", "gbp": "gbp", "¥": "jpy", "yen": "jpy", "jpy": "jpy", "chf": "chf", "fr.": "chf",
}  # fmt: skip
_UNITS: Final[dict[str, tuple[str, float]]] = {
    **{name: (code, 1.0) for name, code in _CURRENCIES.items()},
    **dict.fromkeys(("%", "percent", "prozent", "pct"), ("%", 1.0)),
    "mm": ("m", 1e-3), "cm": ("m", 1e-2),
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters", "mtr"), ("m", 1.0)),
    **dict.fromkeys(
        ("km", "kms", "kilometre", "kilometer", "kilometres", "kilometers", "kilometern"),
        ("m", 1e3),
    ),
    **dict.fromkeys(("mi", "mile", "miles"), ("m", 1609.344)),
    **dict.fromkeys(("ft", "feet", "foot"), ("m", 0.3048)),
    **dict.fromkeys(("in", "inch", "inches", "zoll"), ("m", 0.0254)),
    "mg": ("g", 1e-3), **dict.fromkeys(("g", "gram", "grams", "gramm"), ("g", 1.0)),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilograms", "kilogramm"), ("g", 1e3)),
    **dict.fromkeys(("t", "tonne", "tonnes", "tonnen"), ("g", 1e6)),
    **dict.fromkeys(("lb", "lbs"), ("g", 453.592)), "oz": ("g", 28.3495),
    "ml": ("l", 1e-3), "cl": ("l", 1e-2),
    **dict.fromkeys(("l", "litre", "litres", "liter", "liters", "litern"), ("l", 1.0)),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek", "sekunden"), ("s", 1.0)),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "minuten"), ("s", 60.0)),
    **dict.fromkeys(
        ("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden"), ("s", 3600.0)
    ),
    "w": ("w", 1.0), "kw": ("w", 1e3), "v": ("v", 1.0), "kcal": ("kcal", 1.0),
    "mb": ("b", 1e6), "gb": ("b", 1e9), "tb": ("b", 1e12),
    **dict.fromkeys(("day", "days", "tag", "tage", "tagen"), ("day", 1.0)),
    **dict.fromkeys(("week", "weeks", "wks", "woche", "wochen"), ("day", 7.0)),
    **dict.fromkeys(("month", "months", "monat", "monate", "monaten"), ("month", 1.0)),
    **dict.fromkeys(("year", "years", "yr", "yrs", "jahr", "jahre", "jahren"), ("year", 1.0)),
}  # fmt: skip
"""Unit as written -> (base unit, factor)."""
_NO_NAMES: Final = frozenset(
    ["in", "second", "day", "week", "month", "year", "pound", "pounds", "tag", "woche", "monat",
     "jahr", "v", "w", "l", "s", "t"]
)  # fmt: skip
"""Unit names that usually mean something else at the end of a column's name."""
_ARTICLES: Final = frozenset(["a", "an", "ein", "eine", "einem", "einen", "einer"])
_MEASURED: Final = frozenset(
    ["hour", "hours", "minute", "minutes", "kilo", "kilos", "litre", "litres", "liter", "mile",
     "miles", "week", "weeks", "stunde", "stunden", "minuten", "woche", "wochen", "euro", "euros",
     "quid", "dollars", "pounds", "km", "kg", "metres", "meters", "meter", "days", "years",
     "months", "tage", "tagen", "jahre", "jahren", "monate", "monaten"]
)  # fmt: skip
"""Units that are read after a number in words."""
_SCALES: Final = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mio": 1e6, "m": 1e6,
    "billion": 1e9, "bn": 1e9, "mrd": 1e9, "grand": 1e3, "tausend": 1e3, "millionen": 1e6,
    "milliarden": 1e9,
}  # fmt: skip
_WORD_NUMBERS: Final = {
    word: number
    for number, words in enumerate(
        ("zero null", "one", "two zwei", "three drei", "four vier", "five funf", "six sechs",
         "seven sieben", "eight acht", "nine neun", "ten zehn", "eleven elf",
         "twelve zwolf", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
         "eighteen", "nineteen", "twenty zwanzig")
    )
    for word in words.split()
} | {"once": 1, "twice": 2, "thrice": 3, "einmal": 1, "zweimal": 2, "dreimal": 3, "thirty": 30,
     "dreissig": 30, "forty": 40, "vierzig": 40, "fifty": 50, "funfzig": 50, "sixty": 60,
     "hundred": 100, "hundert": 100, "thousand": 1000, "tausend": 1000, "fiver": 5, "tenner": 10,
     "dozen": 12, "dutzend": 12}  # fmt: skip
_ORDINALS: Final = {
    word: number
    for number, words in enumerate(
        ("first erste ersten", "second zweite zweiten", "third dritte dritten",
         "fourth vierte vierten", "fifth", "sixth", "seventh", "eighth", "ninth",
         "tenth"), 1)
    for word in words.split()
}  # fmt: skip
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("january jan januar janvier enero", "february feb februar fevrier febrero",
         "march mar marz maerz mars marzo", "april apr avril abril", "may mai mayo",
         "june jun juni juin junio", "july jul juli juillet julio",
         "august aug aout agosto", "september sep sept septembre septiembre",
         "october oct oktober okt octobre octubre", "november nov novembre noviembre",
         "december dec dezember dez decembre diciembre"), 1)
    for name in names.split()
}  # fmt: skip
_MONTH: Final = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)",
        rf"(?<!\d)(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?\s*(?:of\s+)?(?P<mn>{_MONTH})\b\.?,?\s*(?P<y>\d{{4}})?(?!\d)",
        rf"\b(?P<mn>{_MONTH})\b\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])(?:,?\s+(?P<y>\d{{4}}))?(?!\d)",
        rf"\b(?P<mn>{_MONTH})\b\.?,?\s+(?P<y>\d{{4}})(?!\d)",
        r"(?<!\d)(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4}|\d{2})(?!\d)",
        r"(?<!\d)(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}|\d{2})(?!\d)",
        rf"^(?P<mn>{_MONTH})$",
        r"(?<![\d.,$€£-])(?P<y>1[0-9]\d\d|20\d\d)(?![\d,.]\d|\d|%)",
    )
)
_CLOCK: Final = re.compile(r"(?<![\d:])(?:(\d{1,3}):)?(\d{1,2}):(\d{2})(?:\.(\d+))?(?![\d:])")
_YES: Final = frozenset(["yes", "y", "true", "ja", "oui", "si", "sí", "✓", "✔", "wahr"])
_NO: Final = frozenset(["no", "n", "false", "nein", "non", "✗", "✘", "x", "falsch"])
_SPLIT: Final = re.compile(r"\s*(?:,(?!\d{3}\b)|;|\n|\||•|/(?=\s)|(?<=\s)/|\band\b|\bund\b|&)\s*")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Attributes:
        number: The number in the base unit.
        unit: Base unit, e.g. `m` or `eur`; empty for a number without a unit.
        start: Offset of its first character in the text, a currency sign included.
        end: Offset after its last character, unit included.
    """

    number: float
    unit: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True, order=True)
class Day:
    """A date; year, month or day is 0 if it is not given."""

    year: int
    month: int = 0
    day: int = 0

    def covers(self, other: Day) -> bool:
        """Tell whether the other date lies within this one, as a day lies within its year."""
        return all(mine in (0, its) for mine, its in zip(self.parts, other.parts, strict=True))

    @property
    def parts(self) -> tuple[int, int, int]:
        """Year, month and day."""
        return self.year, self.month, self.day

    @property
    def ordinal(self) -> float:
        """The date as a number of years that grows with time: a month is 1/12, a day 1/372."""
        return self.year + max(0, self.month - 1) / 12 + max(0, self.day - 1) / 372


@lru_cache(maxsize=200_000)
def fold(text: str) -> str:
    """Normalise a text for comparison: remove case, accents and repeated spaces.

    >>> fold("  Ibrahim Baré\\u00a0 Maïnassara ")
    'ibrahim bare mainassara'
    """
    text = unicodedata.normalize("NFKD", text.translate(_LETTERS_TO_PLAIN))
    text = "".join(one for one in text if not unicodedata.combining(one) or one in _VOICED)
    text = unicodedata.normalize("NFC", text) if any(one in text for one in _VOICED) else text
    return " ".join(text.translate(_LETTERS_TO_PLAIN).casefold().split())


_WORD: Final = re.compile(r"[^\W_]+(?:['.][^\W_]+)*|[€$£¥%]")


def words(text: str) -> list[str]:
    """Split a text into folded words; currency signs and % count as words.

    >>> words("Müller's 2nd car (€ 15.50)")
    ["muller's", '2nd', 'car', '€', '15.50']
    """
    return _WORD.findall(fold(text))


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Strip the ending of a word, so that `costs`, `cost` and `costed` have the same stem."""
    if word.endswith("'s"):
        word = word[:-2]
    for ending in ("ings", "ing", "ies", "ied", "ed", "es", "s", "e", "n"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            return word + "i" if ending in ("ies", "ied") else word
    return word


def to_number(text: str, decimal: Decimal = ".") -> float | None:
    """Parse a number with thousands separators and decimals; None if it cannot be parsed.

    >>> to_number("1,234.5"), to_number("1.234,5", ","), to_number("12 467"), to_number("3,5")
    (1234.5, 1234.5, 12467.0, 3.5)
    """
    sign = -1.0 if text[:1] in "-−" else 1.0
    text = text.lstrip("+-−")
    text = re.sub(r"[\u00a0\u202f' ](?=\d{3})", "", text)
    other: Decimal = "," if decimal == "." else "."
    if re.fullmatch(rf"\d{{1,3}}(?:\{other}\d{{3}})+(?:\{decimal}\d+)?", text):
        text = text.replace(other, "").replace(decimal, ".")
    elif re.fullmatch(rf"\d+\{decimal}\d+", text):
        text = text.replace(decimal, ".")
    elif re.fullmatch(rf"\d{{1,3}}(?:\{decimal}\d{{3}})+\{other}\d+", text):
        text = text.replace(decimal, "").replace(other, ".")
    elif re.fullmatch(rf"\d+\{other}\d+", text):
        text = text.replace(other, ".")
    elif re.fullmatch(rf"\d{{1,3}}(?:\{decimal}\d{{3}}){{2,}}", text):
        text = text.replace(decimal, "")
    try:
        return sign * float(text)
    except ValueError:
        return None


@lru_cache(maxsize=200_000)
def quantities(text: str, decimal: Decimal = ".") -> tuple[Quantity, ...]:
    """Find the numbers of a text with their units, in order; clock times are given in seconds.

    >>> [(q.number, q.unit) for q in quantities("under 15 euro or 2 kg")]
    [(15.0, 'eur'), (2000.0, 'g')]
    """
    found = []
    taken: list[tuple[int, int]] = []
    low = text.casefold()
    for match in _CLOCK.finditer(low):
        hours, minutes, seconds, part = match.groups()
        total = int(minutes) * 60 + int(seconds) + float(f"0.{part or 0}")
        found.append(Quantity(total + 3600 * int(hours or 0), "s", *match.span()))
        taken.append(match.span())
    for match in _NUMBER.finditer(low):
        start, end = match.span()
        if any(a <= start < b for a, b in taken):
            continue
        value = match.group()
        if start and value[0] in "-−+" and low[start - 1].isalnum():
            value = value[1:]
        number = to_number(value, decimal)
        if number is None:
            continue
        after = re.match(r"\s*([^\W\d_]+\$?|[€$£¥%])", low[end:])
        unit = ""
        # "5 in" may be inches, but "5 in Oslo" is not, so the unit must touch the number.
        if (
            after
            and (word := after.group(1)) in _UNITS
            and not (word == "in" and low[end : end + 1] == " ")
        ):
            unit, factor = _UNITS[word]
            number, end = number * factor, end + after.end()
        elif after and (word := after.group(1)) in _SCALES:
            number, end = number * _SCALES[word], end + after.end()
            more = re.match(r"\s*([^\W\d_]+|[€$£¥%])", low[end:])
            if more and more.group(1) in _CURRENCIES:
                unit, end = _CURRENCIES[more.group(1)], end + more.end()
        if not unit:
            before = re.search(r"(us\$|[€$£¥]|\b(?:eur|usd|gbp|chf))\s*$", low[:start])
            if before:
                unit, start = _CURRENCIES[before.group(1)], before.start()
        found.append(Quantity(number, unit, start, end))
    return tuple(sorted(found, key=lambda one: one.start))


def unit_factor(text: str, decimal: Decimal = ".") -> float:
    """Return the number of base units in the unit of a text's first number; 1 without a unit.

    >>> unit_factor("3.5 kg"), unit_factor("12 €"), unit_factor("2:40:00")
    (1000.0, 1.0, 1.0)
    """
    found = quantities(text, decimal)
    if not found or not found[0].unit or ":" in text[found[0].start : found[0].end]:
        return 1.0
    written = _NUMBER.search(text.casefold()[found[0].start :])
    number = to_number(written.group(), decimal) if written else None
    return round(found[0].number / number, 12) if number else 1.0


def word_numbers(text: str) -> Iterator[Quantity]:
    """Find numbers that are written as words or ordinals, with their units.

    >>> [(q.number, q.unit) for q in word_numbers("twice, over an hour, ten thousand, a tenner")]
    [(2.0, ''), (3600.0, 's'), (10000.0, ''), (10.0, '')]
    """
    low, read = fold(text), 0
    for match in re.finditer(r"[a-z]+|\d+(?:st|nd|rd|th)\b", low):
        if match.start() < read:
            continue
        word, end = match.group(), match.end()
        value = _WORD_NUMBERS.get(word, _ORDINALS.get(word))
        if value is None and word[0].isdigit():
            value = int(word[:-2])
        after = re.match(r"\s+([a-z]+)", low[end:])
        said = after.group(1) if after else ""
        if word in _ARTICLES and (said in _MEASURED or said in _SCALES):
            value = 1
        if value is None:
            continue
        number, unit = float(value), ""
        if after and len(said) > 1 and said in _SCALES:
            number, end = number * _SCALES[said], end + after.end()
        elif said in _MEASURED:
            (unit, factor), end = _UNITS[said], end + after.end() if after else end
            number *= factor
        read = end
        yield Quantity(number, unit, match.start(), end)


def unit_of_name(name: str) -> tuple[str, float] | None:
    """Return the base unit and factor of the unit at the end of a column's name; None without one.

    >>> unit_of_name("Weight (kg)"), unit_of_name("dur_min"), unit_of_name("km"), unit_of_name("W")
    (('g', 1000.0), ('s', 60.0), ('m', 1000.0), None)
    """
    low = name.casefold().strip()
    inside = re.search(r"[(\[]([^()\[\]]+)[)\]]$", low)
    if inside:
        return _UNITS.get(inside.group(1).strip())
    parts = [part for part in re.split(r"[\W_]+", low) if part]
    if not parts or parts[-1] in _NO_NAMES or (len(parts) == 1 and len(parts[0]) == 1):
        return None
    return _UNITS.get(parts[-1])


@lru_cache(maxsize=200_000)
def days(text: str) -> tuple[tuple[Day, int, int], ...]:
    """Find the dates of a text, each with its start and end offset in the folded text.

    >>> [day.parts for day, _, _ in days("from May 5, 1943 until 2.6.1944 or 1950")]
    [(1943, 5, 5), (1944, 6, 2), (1950, 0, 0)]
    """
    low = fold(text)
    found: list[tuple[Day, int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(low):
            start, end = match.span()
            if any(start < b and a < end for _, a, b in found):
                continue
            part = match.groupdict()
            month = _MONTHS[part["mn"]] if part.get("mn") else int(part.get("m") or 0)
            year, day = int(part.get("y") or 0), int(part.get("d") or 0)
            if part.get("y") and len(part["y"]) == 2:
                year += 2000 if year < 50 else 1900
            if month > 12 and day <= 12:
                month, day = day, month
            if month <= 12 and day <= 31:
                found.append((Day(year, month, day), start, end))
    return tuple(sorted(found, key=lambda one: one[1]))


_SPOKEN_MONTH: Final = re.compile(
    rf"\b(?:in|im|during|since|until|before|after|by|of|from|seit|bis|vor|nach|ab)\s+({_MONTH})\b"
)
_LONG_MONTH: Final = re.compile(
    r"\b(" + "|".join(name for name in _MONTHS if len(name) > 5 and name != "august") + r")\b"
)
_SPOKEN_DAY: Final = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b|\bam\s+(\d{1,2})\.")


def spoken_days(text: str) -> list[Day]:
    """Find the dates of a question, where a month or a day of the month may stand alone.

    >>> [day.parts for day in spoken_days("was it open in december or on the 7th?")]
    [(0, 12, 0), (0, 0, 7)]
    """
    low = fold(text)
    found = days(text)
    parts = [day for day, _, _ in found]
    taken = [(start, end) for _, start, end in found]
    for pattern in (_SPOKEN_MONTH, _LONG_MONTH, _SPOKEN_DAY):
        for match in pattern.finditer(low):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            if pattern is not _SPOKEN_DAY:
                parts.append(Day(0, _MONTHS[match.group(1)]))
            elif 1 <= (day := int(match.group(1) or match.group(2))) <= 31:
                parts.append(Day(0, 0, day))
    return parts


def yes_or_no(text: str) -> bool | None:
    """Parse yes or no, in several languages; None for any other text."""
    low = fold(text)
    return True if low in _YES else False if low in _NO else None


@lru_cache(maxsize=200_000)
def items(text: str) -> tuple[str, ...]:
    """Split a cell that lists several items; any other cell is its own single item.

    >>> items("egg, gluten and milk"), items("1,200")
    (('egg', 'gluten', 'milk'), ('1,200',))
    """
    parts = tuple(part for part in _SPLIT.split(text.strip()) if part and part.strip())
    return parts or (text,)


def decimal_mark(texts: Iterable[str]) -> Decimal:
    """Detect the decimal mark of the numbers of a table; "." if there is no majority for ",".

    >>> decimal_mark(["62,00 €", "18.450"]), decimal_mark(["1,234", "5.5"])
    (',', '.')
    """
    comma = point = 0
    for text in texts:
        for number in re.findall(r"(?<![\d.,])\d[\d.,]*\d(?![\d.,])", text):
            if re.fullmatch(r"\d{1,3}(?:\.\d{3})*,(?:\d{1,2}|\d{4,})|\d{4,},\d+", number):
                comma += 1
            elif re.fullmatch(r"\d{1,3}(?:,\d{3})*\.(?:\d{1,2}|\d{4,})|\d{4,}\.\d+", number):
                point += 1
    return "," if comma > point else "."
