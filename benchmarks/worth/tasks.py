"""The three tables of the benchmark: questions, answers, splits and held-out phrasings.

| task | answers | why it is used |
|---|---|---|
| banking77 | 77 intents | many balanced classes, written by people |
| chinook | 24 genres of tracks | few classes, unbalanced, and not decided by the question |
| countries | texts: capital, subregion, currency, code, domain | facts: few can be guessed |

The data is outside of the project (`--data`); splits and phrasings are the same for every seed.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stillroom.prompts import render

COPIES: Final = 2
"""Texts that are trained on per question of the table."""
DROPPED: Final = 0.2
"""Chance of a word to be left out of a copy."""


@dataclass(frozen=True)
class Row:
    """One question with its answer."""

    id: str
    text: str
    label: str
    column: str = ""
    """What is asked, where a task asks several things."""

    @property
    def prompt(self) -> str:
        """The rendered prompt."""
        return render("s2-qa", self.text)


@dataclass(frozen=True)
class Task:
    """A table, ready to be trained and tested on."""

    name: str
    train: list[Row]
    validation: list[Row]
    """For choosing settings; no result is computed on it."""
    test: list[Row]
    unseen: list[Row]
    """The questions of `test` in words that training has not seen."""
    classes: tuple[str, ...] = ()
    """All answers there are; empty where the answers are texts of any kind."""
    wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> answers that a wrong label is drawn from."""

    def varied(self, rows: Sequence[Row], seed: int) -> list[Row]:
        """Repeat rows until there are `COPIES` texts per question of the table.

        So every system trains on as many texts, whether its questions are few or many. The first
        copy of each row is as it was written; the others lack some words, but for facts, which
        cannot be told without the name they are about.

        Args:
            rows: One or more.
            seed: Of the words that go.

        Returns:
            Rows with ids `<id>-<copy>`.
        """
        source, found = random.Random(f"varied {seed}"), []
        for row in rows:
            for copy in range(max(1, round(COPIES * len(self.train) / len(rows)))):
                words = row.text.split()
                if copy and self.classes:
                    words = [word for word in words if source.random() > DROPPED] or words
                found.append(Row(f"{row.id}-{copy}", " ".join(words), row.label, row.column))
        return found


# ------------------------------------------------------------------------------------ banking77

GREETINGS: Final = ("hey there, ", "quick question: ", "sorry to bother you, ", "hello support, ")


def rough_words(text: str, source: random.Random) -> str:
    """Write a question as someone in a hurry would: a greeting, no capitals or marks, typos."""
    words = [word.strip("?!.,;:'\"").replace("'", "") for word in text.lower().split()]
    for place, word in enumerate(words):
        if len(word) > 3 and source.random() < 0.2:
            at = source.randrange(len(word) - 1)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return source.choice(GREETINGS) + " ".join(words)


def banking77(data: Path) -> Task:
    """Read the bank's questions; the label is the intent with blanks between its words."""
    with open(data / "banking77" / "train.csv", encoding="utf-8", newline="") as lines:
        rows = [
            Row(str(number), " ".join(line["text"].split()), line["category"].replace("_", " "))
            for number, line in enumerate(csv.DictReader(lines))
        ]
    source = random.Random("banking77")
    source.shuffle(rows)
    test, validation, train = rows[:1500], rows[1500:2500], rows[2500:]
    unseen = [Row(r.id, rough_words(r.text, source), r.label) for r in test]
    return _closed("banking77", train, validation, test, unseen)


# -------------------------------------------------------------------------------------- chinook

TRACK_WORDS: Final = (
    "Which genre is the track {track}, {minutes} minutes long?",
    "Genre of {track} ({minutes} minutes)?",
    "What kind of music is {track}, lasting {minutes} minutes?",
)
TRACK_UNSEEN: Final = "Somebody played {track} to me, it took {minutes} minutes. Of what genre?"
LEAST_TRACKS: Final = 5
"""Genres with fewer tracks are left out."""


def chinook(data: Path) -> Task:
    """Read a shop's tracks: title, composer where it is known, minutes. Album and artist, which
    would decide the genre, are left out."""
    with gzip.open(data / "chinook" / "ChinookData.json.gz", "rt", encoding="utf-8") as stream:
        tables = json.load(stream)
    genres = {g["GenreId"]: g["Name"] for g in tables["Genre"]}
    counts = Counter(genres[track["GenreId"]] for track in tables["Track"])
    facts: dict[tuple[str, int], tuple[str, str]] = {}
    for track in tables["Track"]:
        genre, by = genres[track["GenreId"]], track["Composer"]
        name = f"{track['Name']} by {by}" if by else track["Name"]
        if counts[genre] >= LEAST_TRACKS:
            asked = (name, track["Milliseconds"] // 60_000)
            facts.setdefault(asked, (str(track["TrackId"]), genre))
    source = random.Random("chinook")
    order = sorted(facts)
    source.shuffle(order)

    def rows(words: Callable[[], str], keys: Sequence[tuple[str, int]]) -> list[Row]:
        return [
            Row(facts[key][0], words().format(track=key[0], minutes=key[1]), facts[key][1])
            for key in keys
        ]

    def seen() -> str:
        return source.choice(TRACK_WORDS)

    test, validation, train = order[:700], order[700:1150], order[1150:]
    return _closed(
        "chinook",
        rows(seen, train),
        rows(seen, validation),
        rows(seen, test),
        rows(lambda: TRACK_UNSEEN, test),
    )


def _closed(
    name: str, train: list[Row], validation: list[Row], test: list[Row], unseen: list[Row]
) -> Task:
    classes = tuple(sorted({row.label for row in train}))
    return Task(name, train, validation, test, unseen, classes, {"": classes})


# ------------------------------------------------------------------------------------ countries

COLUMNS: Final = {
    "capital": "capital",
    "subregion": "subregion",
    "currencies": "currency",
    "cca3": "three-letter code",
    "tld": "internet domain",
}
FACT_WORDS: Final = (
    "What is the {column} of {country}?",
    "{country}: {column}?",
    "Tell me the {column} of {country}.",
    "Which {column} does {country} have?",
    "I need {country}'s {column}.",
    "The {column} of {country} is what?",
)
FACT_UNSEEN: Final = "Looking at {country}, which one is its {column}?"


def countries(data: Path) -> Task:
    """Read facts on countries. Of each fact's six phrasings one is for the test and one for the
    validation; the others are for training, so every fact is met there."""
    with open(data / "countries" / "countries.csv", encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    source = random.Random("countries")
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": [], "unseen": []}
    wrong: dict[str, set[str]] = {label: set() for label in COLUMNS.values()}
    for line in table:
        for column, label in COLUMNS.items():
            answer = line[column].split(",")[0].strip()
            if not answer:
                continue
            wrong[label].add(answer)
            names: dict[str, Any] = {"country": line["name.common"], "column": label}
            phrasings = source.sample(FACT_WORDS, len(FACT_WORDS))
            for place, words in enumerate((*phrasings, FACT_UNSEEN)):
                part = {0: "test", 1: "validation", len(FACT_WORDS): "unseen"}.get(place, "train")
                key = f"{line['cca3']} {label}"
                row = Row(f"{key} {place}", words.format(**names), answer, label)
                parts[part].append(row)
    answers = {label: tuple(sorted(values)) for label, values in wrong.items()}
    return Task("countries", **parts, wrong=answers)


TASKS: Final[dict[str, Callable[[Path], Task]]] = {
    "banking77": banking77,
    "chinook": chinook,
    "countries": countries,
}

# ----------------------------------------------------------------------------------------- gold


@dataclass(frozen=True)
class Gold:
    """Who sees what in a setting."""

    teacher: dict[str, str]
    """Row id -> label that the teacher is trained on."""
    student: dict[str, str]
    """Row id -> label that a student may be trained on."""
    questions: list[Row]
    """What the student is asked in training, with or without a label."""


def draw_gold(task: Task, setting: str, seed: int) -> Gold:
    """Choose what is known in a setting.

    Args:
        task: Whose training rows are labelled.
        setting: `complete`. `5%`, `20%`, ...: that share of the labels is known, to teacher and
            student alike; the student sees all questions. `noisy 40%`: all labels, that share of
            them wrong, drawn evenly from the other answers. `5% questions`, ...: the teacher has
            learnt from half of the table, and the student sees that share of the table's questions,
            out of the other half.
        seed: Of the draw.
    """
    source, rows = random.Random(f"{task.name} {setting} {seed}"), task.train
    labels = {row.id: row.label for row in rows}
    if setting == "complete":
        return Gold(labels, labels, rows)
    count = round(float(re.sub("[^0-9.]", "", setting)) / 100 * len(rows))
    if setting.endswith("questions"):
        order = source.sample(rows, len(rows))
        half, asked = order[: len(rows) // 2], order[len(rows) // 2 :][:count]
        known = ({row.id: row.label for row in part} for part in (half, asked))
        return Gold(*known, asked)
    chosen = source.sample(rows, count)
    if setting.startswith("noisy"):
        for row in chosen:
            labels[row.id] = source.choice([a for a in task.wrong[row.column] if a != row.label])
    else:
        labels = {row.id: row.label for row in chosen}
    return Gold(labels, labels, rows)
