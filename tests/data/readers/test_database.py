"""Databases: read only, every driver by name, no password in a message."""
# ruff: noqa: E501 - tables read best with one case per line

from __future__ import annotations

import hashlib
import sqlite3

import pytest
from stillroom.data.data_preparation import StructuredDataLoader
from stillroom.data.readers.database import shown_name
from stillroom.data.readers.read_table import iter_records, iter_sourced_records, read_table
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


VIRTUAL = """
CREATE TABLE base (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO base VALUES (1, 'nail');
CREATE VIRTUAL TABLE notes USING fts5(name, note);
INSERT INTO notes VALUES ('nail', 'made of iron'), ('peg', 'made of wood');
CREATE VIRTUAL TABLE "old notes" USING fts4(name);
INSERT INTO "old notes" VALUES ('nail');
CREATE VIRTUAL TABLE outside USING fts5(name, content='base', content_rowid='id');
CREATE VIRTUAL TABLE words USING fts5vocab(notes, 'row');
CREATE VIRTUAL TABLE places USING rtree(id, low, high);
INSERT INTO places VALUES (1, 0, 1), (2, 3, 4);
CREATE VIRTUAL TABLE whole USING rtree_i32(id, low, high);
CREATE TABLE made (a INTEGER, b AS (a * 2), c GENERATED ALWAYS AS (a || 'x') STORED);
INSERT INTO made (a) VALUES (1);
CREATE VIEW of_notes AS SELECT name FROM notes WHERE notes MATCH 'iron';
CREATE VIEW of_json AS SELECT value FROM json_each('[1, 2]');
CREATE VIEW of_made AS SELECT b, c FROM made;
CREATE TRIGGER watch AFTER INSERT ON base BEGIN DELETE FROM made; END;
"""


@pytest.fixture
def virtual(tmp_path):
    path = tmp_path / "virtual.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VIRTUAL)
    connection.close()
    return path


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [
        ("SELECT * FROM notes", {"name": "nail", "note": "made of iron"}, 2),
        ("SELECT name FROM notes WHERE notes MATCH 'wood'", {"name": "peg"}, 1),
        ("SELECT highlight(notes, 1, '<', '>') AS h FROM notes('iron')", {"h": "made of <iron>"}, 1),
        ('SELECT * FROM "old notes"', {"name": "nail"}, 1),
        ("SELECT * FROM outside", {"name": "nail"}, 1),
        ("SELECT term FROM words WHERE doc = 2 ORDER BY term", {"term": "made"}, 2),
        ("SELECT * FROM places WHERE low >= 3", {"id": 2, "low": 3.0, "high": 4.0}, 1),
        ("SELECT count(*) AS n FROM whole", {"n": 0}, 1),
        ("SELECT key, value FROM json_each('{\"a\": 1}')", {"key": "a", "value": 1}, 1),
        ("SELECT base.name, value FROM base, json_each('[5, 6]')", {"name": "nail", "value": 5}, 2),
        ("SELECT fullkey FROM json_tree('[[1]]')", {"fullkey": "$"}, 3),
        ("SELECT name FROM pragma_table_info('base')", {"name": "id"}, 2),
        ("SELECT name FROM pragma_table_xinfo('made') WHERE hidden > 1", {"name": "b"}, 2),
        ("SELECT name FROM pragma_index_list('base')", None, 0),
        ("SELECT * FROM pragma_integrity_check(1)", {"integrity_check": "ok"}, 1),
        ("PRAGMA table_info(base)", {"cid": 0, "name": "id", "type": "INTEGER", "notnull": 0, "dflt_value": None, "pk": 1}, 2),
        ("SELECT * FROM made", {"a": 1, "b": 2, "c": "1x"}, 1),
        ("SELECT * FROM of_made", {"b": 2, "c": "1x"}, 1),
        ("SELECT * FROM of_notes", {"name": "nail"}, 1),
        ("SELECT * FROM of_json", {"value": 1}, 2),
    ],
)  # fmt: skip
def test_virtual_tables_and_functions_that_only_read_are_read(virtual, query, first, count):
    before = hashlib.sha256(virtual.read_bytes()).hexdigest()
    found = list(iter_records(virtual, query=query))
    assert (found[0] if found else None, len(found)) == (first, count)
    assert hashlib.sha256(virtual.read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO notes VALUES ('x', 'y')",
        "INSERT INTO notes(notes) VALUES ('optimize')",
        "INSERT INTO base (name) VALUES ('x')",
        "DELETE FROM places",
        "INSERT INTO places_node VALUES (9, x'00')",
        "DELETE FROM places_rowid",
        "UPDATE places_parent SET parentnode = 2",
        "DELETE FROM notes_data",
        "UPDATE sqlite_master SET sql = ''",
        "DELETE FROM sqlite_master",
        "PRAGMA writable_schema = ON",
        "CREATE VIRTUAL TABLE more USING fts5(a)",
        "CREATE VIRTUAL TABLE temp.more USING rtree(id, a, b)",
        "DROP TABLE notes",
        "SELECT load_extension('x')",
        "REINDEX",
        "ANALYZE",
    ],
)
def test_nothing_can_be_written_through_virtual_tables(virtual, query):
    before = hashlib.sha256(virtual.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=r"virtual\.sqlite"):
        list(iter_records(virtual, query=query))
    assert hashlib.sha256(virtual.read_bytes()).hexdigest() == before
    assert [f.name for f in virtual.parent.iterdir()] == [virtual.name]


@pytest.mark.parametrize(
    ("script", "first"),
    [
        ("CREATE VIRTUAL TABLE notes USING fts5(name); INSERT INTO notes VALUES ('nail');", {"name": "nail"}),
        ("CREATE VIRTUAL TABLE a USING rtree(id, x, y); INSERT INTO a VALUES (1, 2, 3);", {"id": 1, "x": 2.0, "y": 3.0}),
        ("CREATE VIRTUAL TABLE n USING fts5(a); INSERT INTO n VALUES ('x'); CREATE VIRTUAL TABLE v USING fts5vocab(n, row);", {"a": "x"}),
        ("CREATE VIEW v AS SELECT value FROM json_each('[7]');", {"value": 7}),
    ],
)  # fmt: skip
def test_the_only_table_is_read_whatever_sqlite_keeps_beside_it(tmp_path, script, first):
    connection = sqlite3.connect(tmp_path / "t.sqlite")
    connection.executescript(script)
    connection.close()
    assert read_table(tmp_path / "t.sqlite") == [first]


def test_inner_tables_are_not_offered_but_read_where_they_are_named(virtual):
    with pytest.raises(DataError, match="no table is named") as caught:
        read_table(virtual)
    assert "'notes'" in str(caught.value)
    assert "notes_data" not in str(caught.value)
    assert read_table(virtual, table="notes_content")[0] == {
        "id": 1,
        "c0": "nail",
        "c1": "made of iron",
    }
