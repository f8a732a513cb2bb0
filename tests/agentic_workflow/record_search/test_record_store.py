"""The table in DuckDB: what goes in comes out, words find records, nothing else can be reached."""

import dataclasses
import math
from collections import Counter

import duckdb
import pytest
from stillroom.agentic_workflow.record_search.duckdb_connection import open_database
from stillroom.agentic_workflow.record_search.duckdb_store import RecordStore, record_text
from stillroom.agentic_workflow.text_matching import stems
from stillroom.errors import DataNotFoundError, UnreadableFileError
from stillroom.tables import Column, FactTable, TableRow


@pytest.fixture(scope="module")
def store(table):
    with RecordStore.of(table) as opened:
        yield opened


def odd_table():
    """Names that SQL cannot tell apart, empty cells, quotes, codes with zeros, other scripts."""
    columns = tuple(Column(name, name) for name in ("Code", "code", "row", 'a"b', "größe", "none"))
    rows = (
        TableRow(2, "Ö'; drop table cells; --", {"Code": "007", "code": "7", "row": "x"}),
        TableRow(5, "東京都庁", {'a"b': "1,000", "größe": "1.50", "Code": "010"}),
        TableRow(9, "Lima", {"größe": "-2", "code": "1e3"}),
        TableRow(10, "Lima"),
    )
    return FactTable("odd.csv", "facts", "key", columns, rows)


def test_every_record_comes_out_as_it_went_in(store, table):
    assert store.all_rows() == list(table.rows)
    assert len(store) == len(table.rows)
    assert [row.key for row in store.rows([79, 3, 1])] == ["Gold", "Hydrogen"]
    assert (store.cell(79, "symbol"), store.cell(79, "element")) == ("Au", "Gold")
    assert store.cell(3, "symbol") is None
    assert store.cell(79, "nothing") is None


def test_odd_tables_come_out_as_they_went_in():
    with RecordStore.of(odd_table()) as store:
        assert store.all_rows() == list(odd_table().rows)
        assert [row for row, _ in store.search("京都", 3)] == [5]
        assert store.cell(2, "Code") == "007"
        assert len({name.casefold() for name in store.columns.values()}) == len(store.columns)
        assert "row" not in store.columns.values()


def test_columns_of_numbers_are_numbers_and_codes_are_not():
    with RecordStore.of(odd_table()) as store:
        found = store.connection.execute(
            "select column_name, data_type from duckdb_columns() where table_name = 'records'"
        ).fetchall()
        kinds = dict(found)
    names = store.columns
    assert kinds[names["Code"]] == "VARCHAR"  # 007 is no seven
    assert kinds[names["code"]] == "DOUBLE"
    assert kinds[names["größe"]] == "DOUBLE"
    assert kinds[names['a"b']] == "BIGINT"


def test_words_find_records_by_okapi_bm25(store, table):
    """Held against the formula, written down once more from its source."""
    query = "noble transition metal of gold, gold"
    texts = {r.row: stems(" ".join([r.key, *r.values.values()])) for r in table.rows}
    mean = sum(map(len, texts.values())) / len(texts)
    expected = {}
    for row, terms in texts.items():
        count, score = Counter(terms), 0.0
        for term in set(stems(query)):
            holding = sum(term in other for other in texts.values())
            weight = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            part = count[term] * 2.2 / (count[term] + 1.2 * (0.25 + 0.75 * len(terms) / mean))
            score += weight * part
        if score:
            expected[row] = score
    found = dict(store.search(query, 100))
    assert found == pytest.approx(expected)
    assert next(iter(found)) == 79
    assert store.search("of the", 5) == []
    assert store.search("", 5) == []


def test_a_file_is_written_whole_and_read_only(table, tmp_path):
    path = tmp_path / "records.duckdb"
    with RecordStore.write(path, table) as store:
        assert store.all_rows() == list(table.rows)
        with pytest.raises(duckdb.Error, match="read-only"):
            store.connection.execute("delete from cells")
    assert [p.name for p in tmp_path.iterdir()] == ["records.duckdb"]
    smaller = dataclasses.replace(table, rows=table.rows[:1])
    with RecordStore.write(path, smaller) as store:
        assert len(store) == 1


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(DataNotFoundError, match="write the table"):
        RecordStore.open(tmp_path / "nothing.duckdb")
    (tmp_path / "text.duckdb").write_text("name,symbol\n" * 100)
    with pytest.raises(UnreadableFileError, match=r"text\.duckdb"):
        RecordStore.open(tmp_path / "text.duckdb")
    other = open_database(tmp_path / "other.duckdb")
    other.execute("create table about (schema_version integer, about text)")
    other.close()
    with pytest.raises(UnreadableFileError, match="holds no table"):
        RecordStore.open(tmp_path / "other.duckdb")


@pytest.mark.parametrize(
    "sql",
    [
        "set memory_limit = '64GB'",
        "attach 'x.duckdb'",
        "copy (select 1) to 'x.csv'",
        "select * from read_text('/etc/hostname')",
        "select * from 'x.csv'",
        "install fts",
        "select * from secret",
    ],
)
def test_nothing_outside_the_database_can_be_reached(sql):
    secret = {"a": [1]}  # a variable of the caller, which DuckDB reads as a table by default
    assert secret
    connection = open_database()
    with pytest.raises(duckdb.Error):
        connection.execute(sql)
    connection.close()


def test_a_record_as_text_names_its_columns(table):
    labels = {column.name: column.label for column in table.columns}
    text = record_text(table.rows[-1], table.key, labels)
    assert text == (
        "element: Gold; symbol: Au; atomic number: 79; atomic mass: 196.97; "
        "category: transition metal"
    )
