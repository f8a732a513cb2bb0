"""A small table and the models that stand for its student; no weights anywhere."""

from itertools import count

import pytest
from postgres_server import new_database, running_postgres
from stillroom.agentic_workflow.threads.open_store import open_checkpointer
from stillroom.tables import Column, FactTable, TableRow

ELEMENTS = [
    (1, "Hydrogen", "H", "1", "1.008", "diatomic nonmetal"),
    (2, "Helium", "He", "2", "4.0026", "noble gas"),
    (47, "Silver", "Ag", "47", "107.87", "transition metal"),
    (49, "Indium", "In", "49", "114.82", "post-transition metal"),
    (79, "Gold", "Au", "79", "196.97", "transition metal"),
]
WORDINGS = (
    "What is the {} of {{key}}?",
    "Which {} does {{key}} have?",
    "Give the {} for {{key}}.",
)


@pytest.fixture(scope="session")
def table():
    labels = {
        "symbol": "symbol",
        "number": "atomic number",
        "mass": "atomic mass",
        "category": "category",
    }
    columns = tuple(
        Column(name, label, tuple(w.format(label) for w in WORDINGS))
        for name, label in labels.items()
    )
    rows = tuple(
        TableRow(row, key, dict(zip(labels, values, strict=True))) for row, key, *values in ELEMENTS
    )
    return FactTable(
        source="elements.csv",
        kind="facts",
        key="element",
        columns=columns,
        rows=rows,
        examples=("What is the symbol of Gold?", "Summarize the following: Helium"),
        summary_templates=("{key}", "the record of {key}", "all facts on {key}"),
    )


@pytest.fixture(autouse=True)
def _words_alone(monkeypatch):
    """Understand questions without the sentence encoder, whose weights are not everywhere."""
    from stillroom.agentic_workflow.reading import table_reader

    monkeypatch.setattr(table_reader, "shared_encoder", lambda: None)


_number = count()


@pytest.fixture(scope="session")
def postgres_server():
    """Give the URL of a PostgreSQL server, or skip the test."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def threads_url(request, tmp_path):
    """Give the URL of an empty place for threads, of each kind."""
    if request.param == "memory":
        return "memory"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/threads.db"
    return new_database(request.getfixturevalue("postgres_server"), f"threads{next(_number)}")


@pytest.fixture
def open_threads():
    """Open checkpointers that are closed when the test ends."""
    opened = []

    def open_one(url, **options):
        opened.append(open_checkpointer(url, **options))
        return opened[-1]

    yield open_one
    for saver in opened:
        saver.close()
