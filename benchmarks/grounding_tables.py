"""The tables of the grounding benchmark, and a simulated student for tables without one.

| name      | records | from                                                                     |
|-----------|--------:|--------------------------------------------------------------------------|
| elements  |     118 | `examples/data/elements.csv`, the bundled table                           |
| countries |     250 | `../shared/data/countries/countries.csv`                                  |
| albums    |     347 | `../shared/data/chinook`: an album, its artist, genre, tracks, minutes    |
| tracks    |   3,503 | `../shared/data/chinook`: a track, its album, artist, genre, composer     |
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.data.data_preparation import read_table
from stillroom.data.questions.profile import column_label, profile_table
from stillroom.data.questions.questions import build_question_set
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import FactTable

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
NAMES = ("elements", "countries", "albums", "tracks")
RIGHT = 0.8
"""Share of a simulated student's answers that are right."""
COLUMNS = {
    "countries": ("cca2", "capital", "region", "subregion", "area", "currencies",
                  "demonyms.eng.m"),
    "albums": ("artist", "genre", "tracks", "minutes", "composer"),
    "tracks": ("album", "artist", "genre", "composer", "milliseconds", "unit_price"),
}  # fmt: skip
KEYS = {"elements": "name", "countries": "name.common", "albums": "album", "tracks": "track"}
ALBUMS = """select al.Title as album, ar.Name as artist, min(g.Name) as genre, count(*) as tracks,
    round(sum(t.Milliseconds) / 60000.0, 1) as minutes,
    case when count(distinct t.Composer) = 1 and count(t.Composer) = count(*)
         then max(t.Composer) end as composer
    from Album al join Artist ar using (ArtistId) join Track t using (AlbumId)
    join Genre g using (GenreId) group by al.AlbumId order by al.AlbumId"""
TRACKS = """select t.Name as track, al.Title as album, ar.Name as artist, g.Name as genre,
    t.Composer as composer, t.Milliseconds as milliseconds, t.UnitPrice as unit_price,
    t.Bytes as bytes, m.Name as media_type, t.TrackId as track_id, al.AlbumId as album_id
    from Track t join Album al using (AlbumId) join Artist ar using (ArtistId)
    join Genre g using (GenreId) join MediaType m using (MediaTypeId) order by t.TrackId"""


def read_records(name: str) -> list[dict[str, Any]]:
    """Read a table with all its columns, also those that no question is made of."""
    if name == "elements":
        return list(read_table(str(ROOT / "examples" / "data" / "elements.csv")))
    if name == "countries":
        return list(read_table(str(SHARED / "countries" / "countries.csv"), flatten=True))
    with closing(sqlite3.connect(SHARED / "chinook" / "Chinook_Sqlite.sqlite")) as shop:
        shop.row_factory = sqlite3.Row
        return [dict(row) for row in shop.execute(ALBUMS if name == "albums" else TRACKS)]


def make_table(name: str) -> FactTable:
    """Make the table as it would travel with a student."""
    records = read_records(name)
    columns = COLUMNS.get(name)
    profile = profile_table(
        records, source=name, key=KEYS[name], columns=None if columns is None else list(columns)
    )
    return build_question_set(records, profile).table


def other_labels(name: str, table: FactTable) -> list[str]:
    """Name the columns of a table's file that no question is made of."""
    names = {column for record in read_records(name)[:50] for column in record}
    if name == "albums":  # a track's columns, which an album has none of
        names |= set(read_records("tracks")[0])
    left = sorted(names - {table.key} - {column.name for column in table.columns})
    return [column_label(column) for column in left]


def facts_elsewhere(name: str, most: int = 500) -> list[tuple[str, str]]:
    """Name records and labels of the other tables, as far as they are there.

    Args:
        name: The table that does not hold them.
        most: Facts of each other table.
    """
    found: list[tuple[str, str]] = []
    for other in NAMES:
        if other == name or {name, other} == {"albums", "tracks"}:  # these know each other
            continue
        if other != "elements" and not SHARED.is_dir():
            continue
        records, key = read_records(other), KEYS[other]
        columns = COLUMNS.get(other) or tuple(n for n in records[0] if n != key)
        theirs = [(str(record[key]), column_label(c)) for record in records for c in columns]
        found += random.Random(0).sample(theirs, min(most, len(theirs)))
    return found


def simulated(table: FactTable, seed: int) -> ScriptedModel:
    """Make a student that is right four times in five, and never at a loss.

    Where the table has an answer, one answer in five is another cell's; where it has none, all are.
    """
    rng, reader = random.Random(seed), TableReader(table)
    values = [value for row in table.rows for value in row.values.values()]

    def reply(prompt: str) -> str:
        question = prompt.removeprefix("Question: ").removesuffix("\n\nAnswer:")
        if question == prompt:
            return _summary(prompt.removeprefix("Summarize the following: "), reader, rng)
        match = reader.read(question).match
        answers = match.values() if match is not None else []
        return answers[0] if answers and rng.random() < RIGHT else rng.choice(values)

    return ScriptedModel(reply)


def _summary(text: str, reader: TableReader, rng: random.Random) -> str:
    match, _, _ = reader.named_records(text)
    row = rng.choice(reader.table.rows) if match is None else match.row
    labels = {column.name: column.label for column in reader.table.columns}
    facts = [f"{labels[name]} {value}" for name, value in row.values.items()]
    if facts and rng.random() > RIGHT:
        facts[-1] = f"{facts[-1]}{rng.randrange(10)}"
    return f"{row.key}: {', '.join(facts)}."
