"""A database is read with its declared keys, from SQLite and from a data package alike."""

import json
import sqlite3

import pytest
from project_paths import ROOT
from stillroom.data.readers.database_tables import is_database, read_database
from stillroom.errors import DataError, EmptyDataError
from stillroom.tables import ForeignKey

PACKAGE = ROOT / "benchmarks" / "questions" / "tables" / "bike_repairs"


def package(folder, resources, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    (folder / "datapackage.json").write_text(json.dumps({"resources": resources}), "utf-8")
    return folder


def test_a_package_and_sqlite_are_one(tmp_path):
    tables = read_database(PACKAGE)
    path = tmp_path / "repairs.db"
    connection = sqlite3.connect(path)
    for table in tables:
        keys = [f"PRIMARY KEY ({', '.join(table.primary)})"] + [
            f"FOREIGN KEY ({', '.join(k.columns)}) REFERENCES {k.table} ({', '.join(k.referred)})"
            for k in table.foreign
        ]
        connection.execute(f"CREATE TABLE {table.name} ({', '.join([*table.columns, *keys])})")
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(
            f"INSERT INTO {table.name} VALUES ({marks})",
            [[record[name] for name in table.columns] for record in table.records],
        )
    connection.commit()
    connection.close()
    again = {table.name: table for table in read_database(path)}
    for table in tables:
        other = again[table.name]
        assert (other.columns, other.primary) == (table.columns, table.primary)
        assert set(other.foreign) == set(table.foreign)
        assert other.records == table.records
    assert is_database(path)
    assert is_database(PACKAGE)


@pytest.mark.parametrize("name", ["brands.csv", "no-such-file"])
def test_a_table_is_no_database(name):
    assert not is_database(PACKAGE / name)


def test_a_key_without_columns_refers_to_the_primary_key(tmp_path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, name); INSERT INTO a VALUES (1, 'x');"
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a); INSERT INTO b VALUES (1, 1);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, b REFERENCES b);"
    )
    connection.close()
    tables = read_database(path)
    assert [table.name for table in tables] == ["a", "b"]
    assert tables[1].foreign == (ForeignKey(("a",), "a", ("id",)),)


A = {"name": "a", "path": "a.csv", "schema": {"primaryKey": "id"}}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"fields": "a_id", "reference": {"resource": "z", "fields": "id"}}, "table 'z'.*'a'"),
        ({"fields": "x", "reference": {"resource": "a", "fields": "id"}}, "column 'x' of b"),
        ({"fields": "a_id", "reference": {"resource": "a", "fields": "i"}}, "column 'i' of a"),
        ({"fields": ["a_id", "n"], "reference": {"resource": "a", "fields": "id"}}, "2 columns"),
        ({"fields": "a_id"}, "is no data package"),
    ],
)
def test_a_key_that_leads_nowhere_is_refused(key, words, tmp_path):
    b = {"name": "b", "path": "b.csv", "schema": {"foreignKeys": [key]}}
    package(tmp_path, [A, b], a="id,name\n1,x\n", b="n,a_id\n5,1\n")
    with pytest.raises(DataError, match=words):
        read_database(tmp_path)


def test_a_package_reads_its_own_folder_alone(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "a.csv").write_text("id\n1\n", "utf-8")
    package(inside, [{"name": "a", "path": "../a.csv"}])
    with pytest.raises(DataError, match="outside its folder"):
        read_database(inside)


def test_a_database_without_records_is_refused(tmp_path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE a (id)")
    connection.close()
    with pytest.raises(EmptyDataError):
        read_database(path)
