"""The SQL in what models write: the vectors of the contract, and what else they write."""

import sqlite3
import time

import pytest
from stillroom.data.text_to_sql.databases.all_databases import TRAINING
from stillroom.data.text_to_sql.questions import SHAPES, make_questions
from stillroom.labeling.gates.sql_cleaner import SqlOutputCleaner, clean_sql_output

FENCE = "```"
VECTORS = [
    ("  SELECT 1;  ", "SELECT 1;"),
    (f"{FENCE}sql\nSELECT name FROM users;\n{FENCE}", "SELECT name FROM users;"),
    *[
        (f"<{tag}>maybe SELECT 2</{tag}>SELECT 1;", "SELECT 1;")
        for tag in ("think", "analysis", "reasoning", "thought", "THINK", "Analysis")
    ],
    ("<think>only thoughts SELECT 3", ""),
    ("SQL: SELECT 1", "SELECT 1"),
    ("SQL\uff1aSELECT 1", "SELECT 1"),
    ("Sure! SELECT name FROM users; This lists names.", "SELECT name FROM users;"),
    ("SELECT 1\nExplanation: because", "SELECT 1"),
    ("SELECT 1; SELECT 2", "SELECT 1;"),
    ("I cannot do that.", ""),
    ("", ""),
    (" \n\t ", ""),
    (None, ""),
    ("With pleasure! SELECT 1", "SELECT 1"),
    ("Here is the select statement: SELECT 1", "SELECT 1"),
    ("SELECT ';' AS c FROM t; done", "SELECT ';' AS c FROM t;"),
    ("SELECT 'sql: x' AS c", "SELECT 'sql: x' AS c"),
    ('SELECT a AS "final: b" FROM t', 'SELECT a AS "final: b" FROM t'),
    (f'{FENCE}json\n{{"sql": "SELECT 2"}}\n{FENCE}\nSELECT 1', "SELECT 1"),
    (f"{FENCE}\nSELECT 1\n{FENCE}\nor\n{FENCE}sql\nSELECT 2\n{FENCE}", "SELECT 1"),
]
"""contracts.md 5.1."""

FURTHER = [
    ("thoughts about SELECT 2</think>\nSELECT 1;", "SELECT 1;"),
    ("SELECT 1</think>", "SELECT 1"),
    ("<think>a <think>b SELECT 3</think> SELECT 1", "SELECT 1"),
    (f"{FENCE}sql\nSELECT 1", "SELECT 1"),
    (f"{FENCE}SELECT 1{FENCE}", "SELECT 1"),
    (f"{FENCE}sqlite\nSELECT 1\n{FENCE}", "SELECT 1"),
    ("Use `SELECT 1`, not `SELECT 2`.", "SELECT 1"),
    ("Use `SELECT `a b` FROM t` here.", "SELECT `a b` FROM t"),
    ("I can select the names with SELECT name FROM users", "SELECT name FROM users"),
    ("To select names:\nSELECT name FROM users", "SELECT name FROM users"),
    ("(that is, SELECT 1)", "SELECT 1"),
    ("-- select all\nSELECT 1 -- answer: one\nFROM t", "SELECT 1 -- answer: one\nFROM t"),
    ("/* SELECT 2 */ SELECT 1", "SELECT 1"),
    ("SELECT answer::text FROM t", "SELECT answer::text FROM t"),
    ("SELECT 1\nIt isn't hard.\nExplanation: none", "SELECT 1\nIt isn't hard."),
    ("SELECT 1 Answer\uff1a one", "SELECT 1"),
    ("SELECT 1 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 2"),
    ("WITH a AS (SELECT 1) SELECT * FROM a", "WITH a AS (SELECT 1) SELECT * FROM a"),
    ("Run WITH a AS (\nSELECT 1\n) SELECT * FROM a", "WITH a AS (\nSELECT 1\n) SELECT * FROM a"),
    ("with x(a, b) as not materialized (values (1, 2)) select a from x",
     "with x(a, b) as not materialized (values (1, 2)) select a from x"),
    ("VALUES (1), (2)", "VALUES (1), (2)"),
    ("We share values (of life).", ""),
    ("Please update me. DELETE FROM t;", "DELETE FROM t;"),
    ("INSERT INTO t SELECT * FROM u", "INSERT INTO t SELECT * FROM u"),
    (";", ""),
    ("SELECT", "SELECT"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [*VECTORS, *FURTHER])
def test_the_statement_is_found(text, wanted):
    assert clean_sql_output(text) == wanted
    assert clean_sql_output(wanted) == wanted, "cleaning twice changes nothing"


def test_without_a_keyword_the_text_itself_may_be_wanted():
    cleaner = SqlOutputCleaner(require_sql_keyword=False)
    assert cleaner.clean("I cannot do that.") == "I cannot do that."
    assert cleaner.clean("<think>hm</think> SQL: none") == "none"
    assert [cleaner.clean(text) for text in ("", "  ", None)] == ["", "", ""]


def test_tags_and_markers_can_be_chosen():
    text = "<plan>SELECT 2</plan>SELECT 1 stop here"
    assert clean_sql_output(text, think_tags=("plan",), stop_markers=("STOP",)) == "SELECT 1"
    assert clean_sql_output("SELECT 1 answer: x", stop_markers=()) == "SELECT 1 answer: x"
    assert clean_sql_output("<think>SELECT 2</think>", think_tags=()) == "SELECT 2</think>"


QUERIES = [
    "SELECT 'a;b' || 'it''s' AS c",
    'SELECT "answer: " FROM (SELECT 1 AS "answer: ")',
    "SELECT [notes:] FROM (SELECT 1 AS [notes:])",
    "SELECT 1 /* ; final: x */ + 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
    "SELECT 1 AS größe UNION SELECT 2 EXCEPT SELECT 3",
    'SELECT (SELECT max(i) FROM (SELECT 1 AS i)) AS "select"',
    "VALUES (1, 'with x as (select 1) select 2')",
]
WRAPPINGS = [
    "{sql}",
    "{sql};",
    "Sure, here is the select statement you want:\n{sql};\nIt isn't slow.",
    "<think>I'd select with care; SELECT 0</think>\n{sql}\nExplanation: it's right; SELECT 0",
    "```sql\n{sql};\n```\nAnswer: 1",
    "With care:\n\n```\n{sql}\n```",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_that_sqlite_runs_comes_out_as_it_went_in(sql, wrapping):
    rows = sqlite3.connect(":memory:").execute(sql).fetchall()
    found = clean_sql_output(wrapping.format(sql=sql))
    assert found.removesuffix(";") == sql
    assert sqlite3.connect(":memory:").execute(found).fetchall() == rows


def test_every_query_shape_of_the_templates_comes_out_as_it_went_in():
    records = make_questions(TRAINING.values(), 230, seed=1)
    assert len({record["shape"] for record in records}) == len(SHAPES)
    wrappings = [*WRAPPINGS, "The answer is `{sql}`.", "SQL: {sql}"]
    lost = [
        (sql, wrapping)
        for sql in (record["gold_sql"].rstrip("; ") for record in records)
        for wrapping in wrappings
        if clean_sql_output(wrapping.replace("{sql}", sql)).removesuffix(";") != sql
    ]
    assert lost == []


@pytest.mark.parametrize(
    "text",
    [
        "select(" * 5_000 + ")" * 10_000,
        "with x " + " " * 200_000,
        "<think" * 20_000,
        "```" * 50_001,
        "/*" * 100_000,
        "select '" * 5_000,
        "`" * 100_000 + "select 1",
        "`select " * 5_000,
        "select [" * 5_000,
        "select /*" * 5_000,
    ],
    ids=range(10),
)
def test_no_text_takes_long(text):
    start = time.process_time()
    clean_sql_output(text)
    assert time.process_time() - start < 5
