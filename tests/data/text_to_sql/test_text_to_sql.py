import doctest
import re
import sqlite3
from collections import Counter
from random import Random

import pytest
from stillroom.data.text_to_sql import questions as asking
from stillroom.data.text_to_sql.build_database import build_database, fill_connection, rows_of
from stillroom.data.text_to_sql.database import Database, Table, key, reference
from stillroom.data.text_to_sql.databases.all_databases import (
    DATABASES,
    HELD_OUT,
    TRAINING,
    database_of,
)
from stillroom.data.text_to_sql.questions import SHAPES, Asker, make_questions
from stillroom.data.text_to_sql.shapes import places
from stillroom.errors import ConfigError

RECORD = {"task_id", "schema", "instruction", "gold_sql", "decode_profile", "table_id", "shape"}


@pytest.fixture(scope="module")
def questions():
    return make_questions(DATABASES.values(), 1500, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    return {d.name: build_database(d, folder / f"{d.name}.sqlite") for d in DATABASES.values()}


def test_there_are_databases_to_train_on_and_others_to_measure_with():
    assert len(TRAINING) >= 8
    assert len(HELD_OUT) >= 1
    assert not set(TRAINING) & set(HELD_OUT)
    tables = {name: {t.name for t in d.tables} for name, d in DATABASES.items()}
    trained = set().union(*(tables[name] for name in TRAINING))
    assert not trained & set().union(*(tables[name] for name in HELD_OUT))
    with pytest.raises(ConfigError, match="nonsense"):
        database_of("nonsense")


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_holds_what_its_schema_says(name, files):
    database = DATABASES[name]
    connection = sqlite3.connect(files[name])
    assert 3 <= len(database.tables) <= 5
    assert database.links()
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    for table in database.tables:
        there = connection.execute(f'PRAGMA table_info("{table.name}")').fetchall()
        assert [row[1] for row in there] == [column.name for column in table.columns]
        rows = connection.execute(f'SELECT * FROM "{table.name}"').fetchall()
        assert len(rows) == table.rows >= 12
        for place, column in enumerate(table.columns):
            cells = [row[place] for row in rows]
            assert (None in cells) == bool(column.missing), column.name
            if column.kind in ("key", "name"):
                assert len(set(cells)) == len(cells), column.name
    for link in database.links():
        keys = {row[0] for row in connection.execute(f'SELECT "{link.column}" FROM "{link.table}"')}
        assert len(keys) < database.table(link.to).rows, "some records have no such rows"
    connection.close()


def test_rows_are_the_same_every_time():
    assert rows_of(TRAINING["music"]) == rows_of(TRAINING["music"])
    assert rows_of(TRAINING["music"])["artist"][0] == {
        "artist_id": 1,
        **{k: rows_of(TRAINING["music"])["artist"][0][k] for k in ("name", "country", "founded")},
    }


def test_a_reference_to_nowhere_is_refused():
    with pytest.raises(ConfigError, match="no table 'b'"):
        Database("d", (Table("a", "a", "as", 3, (key(), reference("b_id", "b", "", ""))),))


def test_there_are_many_shapes_with_several_wordings():
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 60
    for shape in SHAPES:
        assert len(set(shape.wordings)) == len(shape.wordings) >= 3, shape.name


def test_every_shape_is_asked(questions):
    counts = Counter(record["shape"] for record in questions)
    assert set(counts) == {shape.name for shape in SHAPES}
    assert max(counts.values()) <= 4 * min(counts.values())
    assert set(Counter(record["table_id"] for record in questions)) == set(DATABASES)


def test_records_have_the_form_of_the_contract(questions):
    for record in questions:
        assert set(record) == RECORD
        assert record["schema"] == DATABASES[record["table_id"]].schema_text()
    assert len({record["task_id"] for record in questions}) == len(questions)
    asked = {(record["table_id"], record["instruction"]) for record in questions}
    assert len(asked) == len(questions), "no question comes twice"


def test_every_gold_query_runs_and_gives_something(questions, files):
    empty = []
    for record in questions:
        connection = sqlite3.connect(files[record["table_id"]])
        if not connection.execute(record["gold_sql"]).fetchall():
            empty.append(record)
        connection.close()
    assert empty == []


def test_what_a_query_compares_with_stands_in_its_question(questions):
    for record in questions:
        sql, text = record["gold_sql"], record["instruction"]
        sql = (
            sql.replace("'%Y'", "")
            .replace("'%m'", "")
            .replace("LIMIT 1", "")
            .replace("OFFSET 1", "")
        )
        if record["shape"] == "in_month":
            continue
        values = [
            value.replace("''", "'").strip("%") for value in re.findall(r"'((?:[^']|'')*)'", sql)
        ]
        bare = re.sub(r"'(?:[^']|'')*'", "", sql)
        values += re.findall(r"(?<![\w.])\d+(?:\.\d+)?", bare)
        missing = [value for value in values if value not in text]
        assert not missing or missing == ["0"], (missing, sql, text)


def test_questions_do_not_read_the_sql_aloud(questions):
    for record in questions:
        assert "_" not in record["instruction"]
        assert not re.search(r"\b(SELECT|FROM|WHERE|JOIN|GROUP BY|[{}])\b", record["instruction"])
        assert record["instruction"][0] == record["instruction"][0].upper()
        assert record["instruction"][-1] in ".?"


def test_the_last_wording_of_each_shape_is_kept_for_measuring():
    of_shape = [shape for shape in SHAPES if shape.name in ("count", "sum", "of_parent")]
    given = make_questions(TRAINING.values(), 60, shapes=of_shape)
    kept = make_questions(TRAINING.values(), 30, shapes=of_shape, new_wordings=True)
    assert not {r["instruction"] for r in given} & {r["instruction"] for r in kept}


def test_the_same_seed_asks_the_same_and_another_seed_something_else():
    first, again, other = (make_questions(TRAINING.values(), 50, seed=n) for n in (1, 1, 2))
    assert first == again != other


def test_a_shuffled_schema_has_the_same_names():
    database, plain = TRAINING["film"], TRAINING["film"].schema_text()
    shuffled = {database.schema_text(Random(seed)) for seed in range(20)}
    assert len(shuffled) > 10
    for text in shuffled:
        assert sorted(re.findall(r"\w+", text)) == sorted(re.findall(r"\w+", plain))


def test_queries_whose_result_depends_on_the_order_of_rows_are_not_asked():
    asker = Asker(TRAINING["football"])
    assert asker._is_sound("SELECT position FROM player ORDER BY player_id LIMIT 1")
    assert not asker._is_sound("SELECT player_name FROM player ORDER BY position LIMIT 1")
    assert not asker._is_sound("SELECT player_name FROM player WHERE goals > 1000")
    assert not asker._is_sound("SELECT COUNT(*) FROM player WHERE goals > 1000")
    asker.close()


def test_too_many_questions_are_refused():
    few = [shape for shape in SHAPES if shape.name == "count"]
    with pytest.raises(ConfigError, match="count is 1000"):
        make_questions([TRAINING["music"]], 1000, shapes=few)


def test_rows_backwards_are_the_same_rows():
    forwards, backwards = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    fill_connection(TRAINING["farm"], forwards)
    fill_connection(TRAINING["farm"], backwards, backwards=True)
    first, second = (c.execute("SELECT * FROM farm").fetchall() for c in (forwards, backwards))
    assert first == second[::-1] != second
    forwards.close()
    backwards.close()


@pytest.mark.parametrize("module", [places, asking])
def test_the_examples_in_docstrings_are_right(module):
    assert doctest.testmod(module).failed == 0
