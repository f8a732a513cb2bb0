"""The execution gate: contracts.md, section 5.2 and rows 1, 6, 7, 16 to 18 of its edge cases."""

import hashlib
import math
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stillroom.errors import ConfigError, DataError, DataNotFoundError
from stillroom.labeling.gates.result_rows import result_key, result_signature
from stillroom.labeling.gates.sql_execution import (
    ExecutionGate,
    SqlExecution,
    execution_score,
)
from stillroom.labeling.gates.sql_sandbox import SqlLimits, SqlSandbox
from stillroom.labeling.gates.sql_statements import split_statements

RECURSION = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("Größe 1%?#") / "users ü.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users(id, name)")
    connection.executemany(
        "INSERT INTO users VALUES (?, ?)", [(2, "Bob"), (1, "Alice"), (3, "Chloe")]
    )
    connection.execute('CREATE TABLE "Straße"("Länge (m)" REAL, blob BLOB)')
    connection.execute('INSERT INTO "Straße" VALUES (1.0, ?), (NULL, NULL)', [b"\x00\xff"])
    connection.execute("INSERT INTO \"Straße\" VALUES (9e999, CAST(x'ff61' AS TEXT))")
    connection.commit()
    connection.close()
    return path


@pytest.fixture(scope="module")
def execution(database):
    with SqlSandbox(database, SqlLimits(timeout_s=0.5, rows=100)) as sandbox:
        yield SqlExecution(sandbox)


@pytest.mark.parametrize(
    ("rows", "signature", "ordered"),
    [
        ([["Alice"], ["Bob"], ["Chloe"]], "bd8c3de537f4877d6272e97ce22bf9e5", False),
        ([["Chloe"], ["Bob"], ["Alice"]], "3bb8680e9a16cc9fbf34d579644a593e", True),
        ([], "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", False),
        ([[1]], "043f347c2cdc0d8c", False),
        ([[1.0]], "5552cc5aa701b59d", False),
        ([["1"]], "e28610836ab702cd", False),
        ([[None]], "0b99263f4bec935e", False),
        ([[2], [10]], "b9ca516f9a103cd1", False),
        ([[{"$bytes": "00ff"}]], "6be2249804a1849b700e7f4f0ce1f68763585a787be86df5180a6e26", False),
    ],
)
def test_signatures_are_those_of_the_contract(rows, signature, ordered):
    assert result_signature(rows, normalize_order=not ordered).startswith(signature)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("", "empty_sql"), ("  ", "empty_sql"), (";", "empty_sql"), ("-- hi", "empty_sql"),
        ("/* x */", "empty_sql"), (" ; ; ", "empty_sql"), ("/* open ; SELECT 1", "empty_sql"),
        ("SELECT 1;", None), ("SELECT 1; -- tail", None), ("SELECT 1;;", None),
        ("/* a; */ SELECT ';' -- ;", None), ("SELECT 1 WHERE 0", None), ("VALUES (1)", None),
        ("wItH a AS (SELECT 1) SELECT * FROM a", None), ("SELECT 9e999, x'00'", None),
        ("SELECT value FROM json_each('[1, 2]')", None), ('SELECT "Länge (m)" FROM Straße', None),
        ("SELECT 1; SELECT 2", "multiple_statements"),
        ("SELECT nope FROM users", "sql_error: no such column: nope"),
        ("CREATE TABLE t(x)", "not_read_only"), ("DROP TABLE users", "not_read_only"),
        ("ATTACH 'x' AS y", "not_read_only"), ("PRAGMA user_version", "not_read_only"),
        ("EXPLAIN SELECT 1", "not_read_only"), ("SELECT load_extension('x')", "not_read_only"),
        ("WITH a AS (SELECT 1) DELETE FROM users", "not_read_only"),
        (RECURSION.format("count(*)"), "timeout"), (RECURSION.format("x"), "too_many_rows"),
        ("SELECT zeroblob(5000000)", "too_large"), ("SELECT zeroblob(9000000)", "too_large"),
        ("SELECT '" + "x" * 100_000 + "'", "too_large"),
    ],
)  # fmt: skip
def test_statements_of_the_contract(execution, database, sql, error):
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    outcome = execution.evaluate(sql)
    assert outcome.exec_error == error
    assert outcome.exec_pass is (error is None)
    assert (outcome.result_signature is None) is (error is not None)
    assert outcome.gold_match is None
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert [path.name for path in database.parent.iterdir()] == [database.name]


@pytest.mark.parametrize(
    ("sql", "gold", "match"),
    [
        ("SELECT name FROM users", "SELECT name FROM users ORDER BY rowid DESC LIMIT -1", False),
        ("SELECT name FROM users ORDER BY 1", "SELECT name FROM users", True),
        ("SELECT name FROM users ORDER BY id DESC", "SELECT name FROM users ORDER BY id", False),
        ("SELECT 1", "SELECT 1.0", True), ("SELECT 1", "SELECT '1'", False),
        ("SELECT NULL", "SELECT NULL AS x", True), ("SELECT NULL", "SELECT 0", False),
        ("SELECT NULL", "SELECT ''", False), ("SELECT 0", "SELECT -0.0", True),
        ("SELECT 1, 2", "SELECT 2, 1", False), ("SELECT 1", "SELECT 1, 1", False),
        ("SELECT 1 UNION ALL SELECT 1", "SELECT 1", False), ("SELECT x'31'", "SELECT '1'", False),
        ("SELECT 9007199254740993", "SELECT 9007199254740992.0", False),
        ("SELECT id FROM users", "WITH a AS (SELECT id FROM users ORDER BY id) SELECT id FROM a "
         "WHERE id IN (SELECT id FROM users ORDER BY 1)", True),
        ("SELECT nope", "SELECT 1", False), ("", "SELECT 1", False),
        ("SELECT 1", "SELECT nope", None), ("SELECT nope", "SELECT nope", None),
        ("SELECT 1", "", None), ("SELECT 1 WHERE 0", "SELECT 1", False),
    ],
)  # fmt: skip
def test_results_are_compared_as_rows(execution, sql, gold, match):
    outcome = execution.evaluate(sql, gold)
    assert outcome.gold_match is match
    assert (outcome.gold_error is not None) is (match is None)


def test_the_same_order_is_asked_for_without_normalisation(database):
    with SqlSandbox(database) as sandbox:
        strict = SqlExecution(sandbox, normalize_order=False)
        gold = "SELECT name FROM users"
        assert strict.evaluate("SELECT name FROM users ORDER BY id", gold).gold_match is False


def test_an_empty_match_is_flagged_and_no_proof(execution):
    outcome = execution.evaluate("SELECT 1 WHERE 0", "SELECT name FROM users WHERE id > 9")
    assert (outcome.exec_pass, outcome.gold_match, outcome.empty_match) == (True, True, True)
    gate = ExecutionGate(execution)
    verdict = gate.judge({"generation": "SELECT 1 WHERE 0", "gold_sql": "SELECT 1 WHERE 1 = 0"})
    assert (verdict.passed, verdict.reason) == (True, "empty_match")
    assert execution_score(True, True, empty_match=True) == 0.5 == execution_score(True, None)
    assert execution_score(True, True) == 1.0
    assert execution_score(False, False) == 0.0
    assert execution_score(None, None) is None


@pytest.mark.parametrize(
    ("record", "required", "passed", "reason"),
    [
        ({}, False, False, "missing generation"),
        ({"generation": None}, False, False, "missing generation"),
        ({"generation": math.nan}, False, False, "not_finite"),
        ({"generation": 0}, False, False, "sql_error"),
        ({"generation": "SELECT 1"}, False, True, "ok"),
        ({"generation": "SELECT 1"}, True, False, "missing gold_sql"),
        ({"generation": "SELECT 1", "gold_sql": None}, True, False, "missing gold_sql"),
        ({"generation": "SELECT 1", "gold_sql": math.nan}, False, True, "gold_error: not_finite"),
        ({"generation": "SELECT 1", "gold_sql": math.nan}, True, False, "gold_error: not_finite"),
        ({"generation": "", "gold_sql": math.nan}, False, False, "empty_sql"),
        ({"generation": "SELECT 1", "gold_sql": ""}, False, True, "gold_error: empty_sql"),
        ({"generation": "SELECT 1", "gold_sql": ""}, True, False, "gold_error: empty_sql"),
        ({"generation": "SELECT 1", "gold_sql": "SELECT 2"}, False, False, "gold_mismatch"),
        ({"generation": "SELECT 2", "gold_sql": "SELECT 2"}, True, True, "ok"),
    ],
)
def test_verdicts(execution, record, required, passed, reason):
    verdict = ExecutionGate(execution, require_gold=required).judge(record)
    assert (verdict.passed, verdict.reason.removesuffix(': near "0": syntax error')) == (
        passed, reason,
    )  # fmt: skip


def test_a_gold_query_is_run_once(database):
    class Counted(SqlSandbox):
        ran = 0

        def run(self, sql):
            self.ran += 1
            return super().run(sql)

    with Counted(database) as sandbox:
        execution = SqlExecution(sandbox, max_cached_gold=1)
        for _ in range(3):
            assert execution.evaluate("SELECT 1", "SELECT 1 AS x").gold_match
        assert sandbox.ran == 4
        execution.evaluate("SELECT 1", "SELECT 2")
        execution.evaluate("SELECT 1", "SELECT 1 AS x")
        assert sandbox.ran == 8


def test_the_sandbox_survives_a_process_that_was_killed(database):
    slow = (
        "SELECT instr(replace(hex(zeroblob(1000000)), '00', 'a'),"
        " replace(hex(zeroblob(500000)), '00', 'a') || 'b')"
    )
    with SqlSandbox(database, SqlLimits(timeout_s=0.2)) as sandbox:
        assert sandbox.run("SELECT 1").rows == [[1]]
        first = sandbox.pid
        assert sandbox.run(slow).error == "timeout"  # one instruction that SQLite cannot interrupt
        assert sandbox.run("SELECT 2").rows == [[2]]
        assert sandbox.pid != first
    assert sandbox.pid is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_sandbox_whose_parent_was_killed_ends(database):
    """Also in the middle of an instruction that nothing interrupts."""
    program = (
        "import sys\n"
        "from stillroom.labeling.gates.sql_sandbox import SqlSandbox\n"
        "sandbox = SqlSandbox(sys.argv[1])\n"
        "sandbox.run('SELECT 1')\n"
        "print(sandbox.pid, flush=True)\n"
        "sandbox.run(\"SELECT instr(replace(hex(zeroblob(2000000)), '00', 'a'),\"\n"
        "            \" replace(hex(zeroblob(1000000)), '00', 'a') || 'b')\")\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(database)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        time.sleep(0.5)
        parent.kill()
    begin = time.monotonic()
    while child.exists() and "Z" not in (child / "stat").read_text().rsplit(")")[1]:
        assert time.monotonic() - begin < 120, "it runs on"
        time.sleep(0.1)


def test_rows_come_in_parts_up_to_the_limit(database):
    many = "SELECT {} FROM users a, users b, users c, users d, users e, users f, users g, users h"
    with SqlSandbox(database, SqlLimits(rows=6561)) as sandbox:
        assert len(sandbox.run(many.format("hex(zeroblob(80))")).rows) == 6561
        more = sandbox.run(many.format("1") + " UNION ALL SELECT 2")
        assert (more.rows, more.error) == (None, "too_many_rows")


def test_a_log_beside_the_database_is_not_touched(tmp_path):
    path = tmp_path / "log.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t(x)")
    connection.execute("INSERT INTO t VALUES (7)")
    connection.commit()
    with SqlSandbox(path) as sandbox:  # an open log is read together with the database
        assert sandbox.run("SELECT x FROM t").rows == [[7]]
    connection.close()
    with SqlSandbox(path) as sandbox:
        assert sandbox.run("SELECT x FROM t").rows == [[7]]
    assert [one.name for one in tmp_path.iterdir()] == ["log.sqlite"]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT * FROM d WHERE d MATCH 'hello'", None), ("SELECT * FROM r WHERE a < 1", None),
        ("SELECT * FROM v", None), ("SELECT * FROM sqlite_master", None),
        ("SELECT snippet(d, 0, '[', ']', '', 3) FROM d WHERE d MATCH 'world'", None),
        ("WITH x AS (SELECT 1) DELETE FROM r_node", "not_read_only"),
        ("WITH x AS (SELECT 1) DELETE FROM d", "not_read_only"),
        ("WITH x AS (SELECT 1) INSERT INTO d_data VALUES (9, 9)", "not_read_only"),
        ("SELECT * FROM pragma_data_version", "not_read_only"),
    ],
)  # fmt: skip
def test_virtual_tables_are_read_and_not_written(tmp_path, sql, error):
    path = tmp_path / "virtual.sqlite"
    connection = sqlite3.connect(path)
    try:
        connection.executescript(
            "CREATE VIRTUAL TABLE d USING fts5(t); INSERT INTO d VALUES ('hello world');"
            "CREATE VIRTUAL TABLE r USING rtree(id, a, b); INSERT INTO r VALUES (1, 0, 1);"
            "CREATE VIEW v AS SELECT t FROM d"
        )
    except sqlite3.OperationalError as fault:
        pytest.skip(f"this SQLite has none of them: {fault}")
    finally:
        connection.close()
    before = path.read_bytes()
    with SqlSandbox(path) as sandbox:
        assert SqlExecution(sandbox).evaluate(sql).exec_error == error
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(tmp_path):
    with pytest.raises(DataNotFoundError):
        SqlSandbox(tmp_path / "none.sqlite")
    with pytest.raises(DataError):
        SqlSandbox(tmp_path)
    text = tmp_path / "text.sqlite"
    text.write_text("not a database at all")
    with pytest.raises(DataError):
        SqlSandbox(text)
    text.write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    with SqlSandbox(text) as sandbox, pytest.raises(DataError, match="cannot open"):
        sandbox.run("SELECT 1")
    with pytest.raises(ConfigError, match="timeout_s"):
        SqlLimits(timeout_s=0)


GOLD = [
    "SELECT * FROM users", "SELECT count(*) FROM users", "SELECT * FROM Straße",
    "SELECT DISTINCT name FROM users ORDER BY name DESC", "SELECT max(id) - min(id) FROM users",
    "SELECT u.name, count(*) c FROM users u JOIN users v ON u.id >= v.id GROUP BY 1 HAVING c > 1",
    "SELECT name FROM users WHERE id = (SELECT max(id) FROM users)", "SELECT random()",
    "SELECT name FROM users INTERSECT SELECT 'Bob' EXCEPT SELECT 'Alice'", "SELECT 1 WHERE 0",
    "SELECT row_number() OVER (ORDER BY id), name FROM users", "SELECT date('now'), round(2.5)",
    "SELECT CASE WHEN id > 1 THEN 'a' ELSE NULL END FROM users", "SELECT typeof(blob) FROM Straße",
    "SELECT group_concat(name, ', ') FROM users", "SELECT avg(\"Länge (m)\") FROM Straße",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT * FROM n",
    "SELECT name FROM users WHERE name LIKE '%o%' AND name NOT IN ('x') LIMIT 2 OFFSET 0",
    "SELECT strftime('%Y', '2020-02-03'), iif(1, 2, 3), printf('%05.1f', 2.25)",
]  # fmt: skip


@pytest.mark.parametrize("gold", GOLD)
def test_a_gold_query_that_sqlite_runs_passes_against_itself(execution, database, gold):
    connection = sqlite3.connect(database)
    connection.text_factory = bytes
    connection.execute(gold).fetchall()  # the oracle: SQLite runs it
    connection.close()
    record = {"generation": f" {gold} ;", "gold_sql": gold}
    if "random" in gold:
        record["generation"] = gold
    verdict = ExecutionGate(execution, require_gold=True).judge(record)
    assert verdict.passed, verdict
    assert verdict.facts["gold_match"] is True


def test_gold_queries_on_a_public_database(shared_data):
    """Each table and column of Chinook, with what text-to-SQL sets ask."""
    path = shared_data("chinook") / "Chinook_Sqlite.sqlite"
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = [name for (name,) in listed if not name.startswith("sqlite_")]
    with SqlSandbox(path) as sandbox:
        execution = SqlExecution(sandbox)
        count = 0
        for table in tables:
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                for gold in (
                    f"SELECT {column} FROM {table}",
                    f"SELECT {column}, count(*) FROM {table} GROUP BY {column}",
                    f"SELECT max({column}), min({column}), avg({column}) FROM {table}",
                    f"SELECT * FROM {table} ORDER BY {column} DESC LIMIT 3",
                ):
                    rows = [list(row) for row in connection.execute(gold)]
                    outcome = execution.evaluate(f"{gold};", gold)
                    assert (outcome.gold_match, outcome.exec_error) == (True, None), gold
                    assert outcome.result_signature == result_signature(rows), gold
                    count += 1
        assert count > 200
    connection.close()


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True), ("SELECT a FROM t order/**/by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False), ('SELECT "order" by FROM t', False),
        ("SELECT row_number() OVER (ORDER BY a) FROM t", False), ("SELECT 'ORDER BY'", False),
        ("SELECT 1 -- ORDER BY\n", False), ("SELECT 1 UNION SELECT 2 ORDER BY 1", True),
    ],
)  # fmt: skip
def test_the_order_of_the_outermost_query(sql, ordered):
    assert split_statements(sql)[0].ordered is ordered


def test_splitting_takes_linear_time():
    for part in ("'", "/*", "--", "[", '"', "(", ";", "a ", "'' ", "*/", "1e"):
        assert isinstance(split_statements(part * 300_000), list)


def test_equal_keys_mean_equal_rows():
    assert result_key([[1, 2], [3, 4]]) != result_key([[1, 2, 3, 4]])
    assert result_key([["a\n"], ["b"]]) != result_key([["a"], ["\nb"]])
    assert result_key([]) != result_key([[]])
