"""Databases: read only, every driver by name, no password in a message."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.database import shown_name
from stillroom.data.readers import iter_records, iter_sourced_records, read_table
from stillroom.errors import (
    DataError,
    DataNotFoundError,
    MissingDependencyError,
    UnreadableFileError,
)


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "shop no. 1.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE item (id INTEGER, name TEXT, price REAL, raw BLOB);"
        "INSERT INTO item VALUES (1, 'nail', 0.5, x'00ff'), (2, NULL, NULL, NULL);"
    )
    connection.close()
    return path


WANT = [
    {"id": 1, "name": "nail", "price": 0.5, "raw": {"$bytes": "00ff"}},
    {"id": 2, "name": None, "price": None, "raw": None},
]


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "sqlite+pysqlite:///{}"])
def test_query_by_path_and_url(base, form):
    assert read_table(form.format(base), query="SELECT * FROM item ORDER BY id") == WANT
    assert read_table(form.format(base), table="item") == WANT
    assert read_table(form.format(base)) == WANT  # the only table there is


def test_loader_keeps_whole_numbers_whole(base):
    data = StructuredDataLoader().load_from_database(str(base), "SELECT id, name FROM item")
    assert data["id"].tolist() == [1, 2]
    assert data["name"].isna().tolist() == [False, True]


def test_subclass_may_replace_the_method(base):
    class Loader(StructuredDataLoader):
        def load_from_database(self, connection_string, query):
            return super().load_from_database(connection_string, f"{query} LIMIT 1")

    assert len(Loader().load_from_database(str(base), "SELECT * FROM item")) == 1


WRITES = [
    "DELETE FROM item",
    "DROP TABLE item",
    "INSERT INTO item (id) VALUES (3)",
    "ATTACH DATABASE '{folder}/new.sqlite' AS new",
    "CREATE TEMP TABLE x (a)",
    "PRAGMA journal_mode = DELETE",
    "VACUUM INTO '{folder}/new.sqlite'",
    "WITH x AS (SELECT 1) DELETE FROM item",
]


@pytest.mark.parametrize("query", WRITES)
def test_nothing_can_be_written(base, query):
    before = hashlib.sha256(base.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=r"shop no\. 1\.sqlite"):
        list(iter_records(base, query=query.format(folder=base.parent)))
    assert hashlib.sha256(base.read_bytes()).hexdigest() == before
    assert [f.name for f in base.parent.iterdir()] == [base.name]


def test_colons_and_percent_signs_stand_as_they_are(base):
    query = r"SELECT ':x' AS a, '10%' AS b, '\:' AS c"
    assert read_table(base, query=query) == [{"a": ":x", "b": "10%", "c": r"\:"}]


def test_columns_of_one_name_are_kept_apart(base, caplog):
    assert read_table(base, query="SELECT id, id FROM item WHERE id = 1") == [{"id": 1, "id.2": 1}]
    assert "'id.2'" in caplog.text


def test_rows_are_numbered(base):
    found = [(r.path, r.row) for r in iter_sourced_records(base, table="item")]
    assert found == [(str(base), 1), (str(base), 2)]


def test_bad_query_names_the_database(base):
    with pytest.raises(DataError, match="no such column: nope"):
        read_table(base, query="SELECT nope FROM item")


def test_unknown_or_unnamed_table_lists_tables(base):
    with pytest.raises(DataError, match=r"there is no table 'x'; .*'item'"):
        read_table(base, table="x")
    connection = sqlite3.connect(base)
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    with pytest.raises(DataError, match=r"no table is named; .*'item', 'other'"):
        read_table(base)


def test_missing_file_is_not_made(tmp_path):
    for source in (str(tmp_path / "x.sqlite"), f"sqlite:///{tmp_path}/x.sqlite"):
        with pytest.raises(DataNotFoundError, match=r"x\.sqlite"):
            StructuredDataLoader().load_from_database(source, "SELECT 1")
    assert not list(tmp_path.iterdir())


def test_other_files_are_no_databases(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(UnreadableFileError, match="not a SQLite file"):
        StructuredDataLoader().load_from_database(str(tmp_path / "t.csv"), "SELECT 1")
    with pytest.raises(UnreadableFileError, match="folder"):
        StructuredDataLoader().load_from_database(f"sqlite:///{tmp_path}", "SELECT 1")


def test_text_that_is_no_utf8_is_refused(base):
    connection = sqlite3.connect(base)
    connection.execute("INSERT INTO item (id, name) VALUES (3, CAST(x'ff' AS TEXT))")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match="UTF-8"):
        read_table(base, table="item")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql+stillroom_none://u:secret@h/d", None),
        ("mysql+pymysql://u:secret@h/d", "pymysql"),
        ("oracle+oracledb://u:secret@h/d", "oracledb"),
    ],
)
def test_missing_driver_is_named(url, driver):
    with pytest.raises((MissingDependencyError, DataError)) as caught:
        StructuredDataLoader().load_from_database(url, "SELECT 1")
    assert "secret" not in str(caught.value)
    if driver:
        assert isinstance(caught.value, ImportError)
        assert f"pip install {driver}" in str(caught.value)


def test_unknown_database_and_broken_url():
    with pytest.raises(DataError, match="knows no database 'foo'"):
        read_table("foo://u:secret@h/d", query="SELECT 1")
    with pytest.raises(DataError, match="dialect"):
        read_table("postgresql://u:secret@h:port/d", query="SELECT 1")
    assert shown_name("postgresql://u:secret@h/d") == "postgresql://u:***@h/d"
