"""WikiTableQuestions: its tables, its questions, and its rules for comparing answers."""

import csv
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from stillroom.understanding.table.values import days, fold

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "wikitablequestions"
_ESCAPES = (("\\n", "\n"), ("\\p", "|"))


def read_questions(split):
    """Give the questions of a split: text, table, answers."""
    found = []
    for line in (DATA / f"{split}.tsv").read_text(encoding="utf-8").split("\n")[1:]:
        if line.strip():
            _, text, table, answers = line.split("\t")
            found.append((_plain(text), table, [_plain(one) for one in answers.split("|")]))
    return found


def read_records(table):
    """Give the records of a table; columns without a name, or with one that repeats, get one."""
    with (DATA / table).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, escapechar="\\", doublequote=False))
    names = []
    for number, head in enumerate(rows[0], 1):
        name = head.replace("\n", " ").strip() or f"column {number}"
        copies = sum(one == name or one.startswith(f"{name} ") for one in names)
        names.append(f"{name} {copies + 1}" if name in names else name)
    return [dict(zip(names, row, strict=False)) for row in rows[1:]]


def is_right(given, wanted):
    """Compare answers as the set does: each wanted one is given, and nothing else."""
    given, wanted = list(dict.fromkeys(given)), list(wanted)
    if len(given) not in (len(wanted), len(set(wanted))):
        return False
    return all(any(_same(one, other) for one in given) for other in dict.fromkeys(wanted))


def _plain(text):
    for escaped, character in _ESCAPES:
        text = text.replace(escaped, character)
    return text


@lru_cache(maxsize=300_000)
def _normal(text):
    """Take off what does not count: accents, quotes, footnote marks, a bracket at the end."""
    text = "".join(
        one for one in unicodedata.normalize("NFKD", text) if unicodedata.category(one) != "Mn"
    )
    text = re.sub("[\u2018\u2019\u00b4`]", "'", text)
    text = re.sub("[\u201c\u201d]", '"', text)
    text = re.sub("[\u2010-\u2015\u2212]", "-", text)
    before = None
    while text != before:
        before = text
        text = re.sub(r"((?<!^)\[[^\]]*\]|\[\d+\]|[•♦†‡*#+])*$", "", text.strip())
        text = re.sub(r"(?<!^)( \([^)]*\))*$", "", text.strip())
        text = re.sub(r'^"([^"]*)"$', r"\1", text.strip())
    return re.sub(r"\s+", " ", text.removesuffix(".")).lower().strip()


def _number(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


@lru_cache(maxsize=300_000)
def _date(text):
    found = days(text)
    whole = found and found[0][2] - found[0][1] >= len(fold(text)) - 2
    return found[0][0].parts if whole else None


def _same(one, other):
    one, other = _normal(one), _normal(other)
    if one == other:
        return True
    numbers = _number(one), _number(other)
    if None not in numbers:
        return abs(numbers[0] - numbers[1]) < 1e-6
    return _date(one) is not None and _date(one) == _date(other)
