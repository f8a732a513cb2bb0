from __future__ import annotations

import doctest
import re
import sqlite3
from contextlib import closing

import pytest
from forms import byte_level, draw
from stillroom.data.text_to_sql.build_database import build_database
from stillroom.data.text_to_sql.databases.all_databases import DATABASES
from stillroom.data.text_to_sql.questions import SHAPES, make_questions
from stillroom.distillation.pruning.vocabulary_trim import choose_tokens, trim_tokenizer
from stillroom.distillation.starter_student import train_tokenizer
from stillroom.errors import ConfigError, DataNotFoundError, UnreadableFileError
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.constrained import sql_grammar as module
from stillroom.inference.constrained.grammar import constrain
from stillroom.inference.constrained.sql_grammar import (
    Reference,
    SqlSchema,
    read_sql_schema,
    sql_grammar,
)
from stillroom.inference.generate import generate_texts
from stillroom.labeling.gates.sql_execution import SqlExecution
from stillroom.labeling.gates.sql_sandbox import SqlLimits, SqlSandbox
from tiny_model import make_model

AWKWARD = r'''
    CREATE TABLE "order" ("group" INTEGER PRIMARY KEY, "Größe (cm)" REAL, "a ""b""" TEXT);
    CREATE TABLE "Straße/Weg" ("key" INTEGER PRIMARY KEY, "order" INTEGER REFERENCES "order",
                               name TEXT, name_2 TEXT);
    CREATE TABLE tree (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES TREE (ID));
    CREATE VIEW tall AS SELECT "Größe (cm)" AS height FROM "order";
'''


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Give all databases as files, and one with names that have to be quoted."""
    folder = tmp_path_factory.mktemp("databases")
    made = {d.name: build_database(d, folder / f"{d.name}.sqlite") for d in DATABASES.values()}
    made["awkward"] = folder / "awkward.sqlite"
    with closing(sqlite3.connect(made["awkward"])) as database:
        database.executescript(AWKWARD)
    return made


@pytest.fixture(scope="module")
def grammars(files):
    return {name: sql_grammar(read_sql_schema(path)) for name, path in files.items()}


def accepts(grammar, text, tokenizer=None):
    """Tell whether a grammar allows a text as a whole answer."""
    tokenizer = tokenizer or byte_level()
    end = tokenizer.eos_token_id
    constraint = constrain(grammar, tokenizer, [end])
    for token in [*tokenizer(text)["input_ids"], end]:
        if not constraint.mask([])[token]:
            return False
        constraint.accept(token)
    return True


def test_every_gold_query_can_be_written(grammars):
    questions = make_questions(DATABASES.values(), 460, seed=8)
    assert {record["shape"] for record in questions} == {shape.name for shape in SHAPES}
    for record in questions:
        assert accepts(grammars[record["table_id"]], record["gold_sql"]), record["gold_sql"]


def test_a_student_with_a_trimmed_vocabulary_can_write_them_too(grammars):
    questions = make_questions(DATABASES.values(), 115, seed=9)
    whole = train_tokenizer([record["gold_sql"] for record in questions], 1500)
    used = whole(questions[0]["gold_sql"])["input_ids"]
    trimmed = trim_tokenizer(whole, choose_tokens(whole, used, 600))
    assert len(trimmed) < len(whole)
    for record in questions:
        assert accepts(grammars[record["table_id"]], record["gold_sql"], trimmed)


@pytest.mark.parametrize("name", ["museum", "airline", "office", "awkward"])
def test_whatever_is_written_names_only_what_exists(name, files, grammars):
    """SQLite prepares every statement that is drawn at random, so all its names exist."""
    tokenizer, written = byte_level(), []
    for seed in range(300):
        text = draw(grammars[name], tokenizer, seed, most=400)
        if text is not None:
            written.append(text)
    assert len(set(written)) > 200
    with closing(sqlite3.connect(files[name])) as database:
        for text in written:
            database.execute(f"EXPLAIN {text}")
    parts = (" JOIN ", "GROUP BY", " ORDER BY ", " WHERE ", " LIMIT ", "UNION|INTERSECT|EXCEPT")
    assert [part for part in parts if not any(re.search(part, text) for text in written)] == []


def test_a_model_with_random_weights_writes_sql_that_runs(files, grammars):
    """Its names exist, and the sandbox finds nothing in it but one statement that reads."""
    tokenizer = byte_level()
    model = make_model(tokenizer, max_position_embeddings=1024)
    model = Checkpoint(model, tokenizer, None, "random", {"status": "complete"})
    prompts = [f"Question: {number}\n\nAnswer:" for number in range(40)]
    free = generate_texts(model, prompts, max_new_tokens=300, temperature=1.0)
    formed = generate_texts(
        model,
        prompts,
        max_new_tokens=300,
        temperature=1.0,
        grammars=[grammars["museum"]] * len(prompts),
    )
    whole = [answer.text for answer in formed if answer.finish_reason == "stop"]
    assert len(whole) > 30
    with SqlSandbox(files["museum"], SqlLimits(rows=None)) as sandbox:
        execution = SqlExecution(sandbox)
        assert not any(execution.evaluate(answer.text).exec_pass for answer in free)
        assert {execution.evaluate(text).exec_error for text in whole} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT nothing FROM painting",
        "SELECT caption FROM pictures",
        "SELECT museum_name FROM painting",
        "SELECT caption FROM painting WHERE town = 'x'",
        "SELECT painting.caption FROM painting JOIN restoration ON painting.painting_id = "
        "restoration.restoration_id",
        "SELECT caption FROM painting JOIN museum ON painting.museum_id = museum.museum_id",
        "SELECT museum.town FROM museum JOIN painter ON museum.museum_id = painter.painter_id",
        "SELECT caption FROM painting WHERE museum_id IN (SELECT town FROM painter)",
        "DELETE FROM painting",
        "SELECT 1",
        "SELECT caption FROM painting; SELECT caption FROM painting",
    ],
)
def test_other_names_cannot_be_written(text, grammars):
    assert not accepts(grammars["museum"], text)


def test_names_are_quoted_where_sql_needs_it(grammars):
    for text in (
        'SELECT "Größe (cm)" FROM "order" WHERE "a ""b""" LIKE \'%é\'\'%\'',
        'SELECT "Straße/Weg".name_2 FROM "Straße/Weg" JOIN "order" ON '
        '"Straße/Weg"."order" = "order"."group" WHERE "order"."group" > -1.5',
        "SELECT height FROM tall;",
        "SELECT id FROM tree WHERE parent IS NULL",
    ):
        assert accepts(grammars["awkward"], text), text
    assert not accepts(grammars["awkward"], "SELECT group FROM order")


def test_the_schema_of_a_file_is_read_with_its_references(files):
    schema = read_sql_schema(files["awkward"])
    assert schema == SqlSchema(
        {
            "order": ["group", "Größe (cm)", 'a "b"'],
            "Straße/Weg": ["key", "order", "name", "name_2"],
            "tree": ["id", "parent"],
            "tall": ["height"],
        },
        [
            Reference("Straße/Weg", "order", "order", "group"),
            Reference("tree", "parent", "tree", "id"),
        ],
    )


@pytest.mark.parametrize(("dimensions", "joins_three"), [(15, True), (70, False)])
def test_large_schemas_are_enforced(dimensions, joins_three):
    """A table in the middle that refers to all others; joins of three are the first to go."""
    numbers = range(dimensions)
    tables = {"sale": ["id", "amount", *(f"d{n}_id" for n in numbers)]}
    tables |= {f"dim{n}": ["id", "name", f"size{n}", "city"] for n in numbers}
    links = [Reference("sale", f"d{n}_id", f"dim{n}", "id") for n in numbers]
    grammar = sql_grammar(SqlSchema(tables, links))
    two = "SELECT dim1.name, SUM(sale.amount) FROM sale JOIN dim1 ON sale.d1_id = dim1.id"
    assert accepts(grammar, f"{two} WHERE dim1.city = 'x' GROUP BY dim1.name")
    assert accepts(grammar, f"{two} JOIN dim2 ON sale.d2_id = dim2.id") == joins_three
    with closing(sqlite3.connect(":memory:")) as database:
        for name, columns in tables.items():
            database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        drawn = [draw(grammar, byte_level(), seed, most=400) for seed in range(60)]
        for text in filter(None, drawn):
            database.execute(f"EXPLAIN {text}")
    assert sum(text is not None for text in drawn) > 40


def test_what_is_no_schema_is_refused(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such database"):
        read_sql_schema(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("This is no database. " * 100)
    with pytest.raises(UnreadableFileError, match="cannot read the schema"):
        read_sql_schema(tmp_path / "text.sqlite")
    wrong = [Reference("a", "x", "b", "id")]
    with pytest.raises(ConfigError) as fault:
        sql_grammar(SqlSchema({"a": ["id"], "b": []}, wrong))
    assert all(part in str(fault.value) for part in ("'b' has no columns", "a.x", "b.id"))
    with pytest.raises(ConfigError, match="no tables"):
        sql_grammar(SqlSchema({}))
    with pytest.raises(ConfigError, match="400 tables and pairs"):
        sql_grammar(SqlSchema({f"t{number}": ["id"] for number in range(400)}))


def test_the_examples_in_docstrings_are_right():
    assert doctest.testmod(module).failed == 0
