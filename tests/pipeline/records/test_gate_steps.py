"""The steps that check and select records, alone and row by row."""

import gc
import hashlib
import os
import sqlite3
import warnings

import pytest
from stillroom.pipeline.records import (
    CleanSqlOutput,
    FilterByBool,
    FormatFilter,
    KeepByScore,
    LanguageFilter,
    PatternFilter,
    RuleFilter,
    SchemaFilter,
    ScoreFromExecEval,
    SelectByBool,
    SQLiteExecEval,
    ValueFilter,
)

NAN = float("nan")
POISON = {"generation": "SELECT 1", "keep": "perhaps"}


def column(step, records, name):
    (batch,) = step.process(records)
    return [record[name] for record in batch]


def closes(output, count):
    """Check that each row is used, rejected or dead, and no row twice."""
    told = [*(p for places in output.parents for p in places)]
    told += [loss.place for loss in (*output.rejected, *output.dead)]
    assert sorted(told) == list(range(count))
    assert not output.missing(count)


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("text", "ok"), ("", "empty_output"), (None, "empty_output"), (" \n\t", "empty_output"),
        (0, "ok"), (0.0, "ok"), ("a", "ok"), ("x" * 9, "too_long"), (NAN, "not_finite"),
        ([1], "not_text"),
    ],
)  # fmt: skip
def test_rule_filter_gives_the_reason(value, reason):
    record = {"id": 1, "generation": value}
    ((found,),) = RuleFilter(max_chars=8).process([record])
    assert (found["keep"], found["reject_reason"]) == (reason == "ok", reason)
    assert "keep" not in record, "the record that came is not changed"


def test_rule_filter_fails_a_record_without_a_text():
    assert column(RuleFilter(), [{"id": 1}], "reject_reason") == ["empty_output"]


def test_rule_filter_defaults():
    step = RuleFilter()
    told = (step.text_field, step.min_chars, step.max_chars, step.keep_field)
    assert told == ("generation", 1, None, "keep")
    assert step.reject_reason_field == "reject_reason"
    assert column(RuleFilter(min_chars=3), [{"generation": "ab"}], "reject_reason") == ["too_short"]


@pytest.mark.parametrize(
    ("step", "fine", "bad", "reason"),
    [
        (PatternFilter(pattern="^SELECT"), "SELECT 1", "WITH", "pattern_not_found"),
        (PatternFilter(pattern="(a+)+$", wanted=False), "b", "aa", "pattern_found"),
        (FormatFilter(form="json_object"), '{"a": 1}', "[1]", "not_json_object"),
        (SchemaFilter(schema={"type": "object", "required": ["a"], "properties":
                              {"a": {"type": "integer"}}, "additionalProperties": False}),
         '{"a": 1}', "[1", "not_json"),
        (LanguageFilter(languages=["en"]), "This is a plain English sentence about the house.",
         "Das ist ein ganz gewöhnlicher deutscher Satz über das Haus.", "wrong_language: de"),
    ],
    ids=["pattern", "no_pattern", "format", "schema", "language"],
)  # fmt: skip
def test_the_other_rules(step, fine, bad, reason):
    records = [{"generation": fine}, {"generation": bad}, {}]
    (found,) = step.process(records)
    assert [r["keep"] for r in found] == [True, False, False]
    assert [r["reject_reason"] for r in found][:2] == ["ok", reason]
    assert found[2]["reject_reason"] == "missing generation"


def test_values_are_compared_and_never_run():
    records = [{"generation": "#### 0.50", "answer": "1/2"}, {"generation": "1", "answer": None}]
    assert column(ValueFilter(), records, "reject_reason") == ["ok", "missing answer"]


def test_the_first_reason_stays_and_later_gates_are_not_run():
    (found,) = RuleFilter().process([{"generation": ""}])
    (found,) = PatternFilter(pattern="x").process(found)
    assert found[0]["reject_reason"] == "empty_output"
    assert column(RuleFilter(), [{"generation": "a", "keep": "False"}], "keep") == [False]


def test_a_pipeline_of_rules_accounts_for_each_row():
    rows = [{"generation": "a"}, {"generation": ""}, POISON, {"generation": "b"}]
    marked = RuleFilter().run_rows(rows)
    closes(marked, 4)
    assert [(loss.place, loss.record) for loss in marked.dead] == [(2, POISON)]
    assert "column 'keep': is 'perhaps'" in marked.dead[0].reason
    kept = FilterByBool().run_rows(marked.records)
    closes(kept, 3)
    assert [r["generation"] for r in kept.records] == ["a", "b"]
    assert [loss.reason for loss in kept.rejected] == ["empty_output"]


# --- selection -----------------------------------------------------------------------------------

MARKS = [True, False, "True", "False", "false", 1, 0, "1", None, ""]


@pytest.mark.parametrize("kind", [FilterByBool, SelectByBool])
def test_marks_from_tables_are_read(kind):
    rows = [{"n": n, "keep": mark} for n, mark in enumerate(MARKS)] + [{"n": 10}]
    assert [r["n"] for r in next(kind().process(rows))] == [0, 2, 5, 7]
    assert [r["n"] for r in next(kind(value=False).process(rows))] == [1, 3, 4, 6]
    output = kind().run_rows(rows)
    closes(output, len(rows))
    reasons = {loss.place: loss.reason for loss in output.rejected}
    assert reasons == {**dict.fromkeys([1, 3, 4, 6], "keep is false"),
                       **dict.fromkeys([8, 9, 10], "missing keep")}  # fmt: skip


@pytest.mark.parametrize("kind", [FilterByBool, SelectByBool])
def test_a_mark_that_is_none_is_an_error_of_its_row_alone(kind):
    rows = [{"keep": True}, {"keep": "perhaps"}, {"keep": NAN}, {"keep": True}]
    with pytest.raises(ValueError, match="'keep': is 'perhaps'"):
        next(kind().process(rows))
    output = kind().run_rows(rows)
    closes(output, 4)
    assert [loss.place for loss in output.dead] == [1, 2]


def test_select_by_bool_takes_the_whole_data_set():
    from stillroom.pipeline.records import GlobalStep

    assert isinstance(SelectByBool(), GlobalStep)
    assert SelectByBool.is_costly
    assert not isinstance(FilterByBool(), GlobalStep)


# --- scores --------------------------------------------------------------------------------------


def test_scores_of_what_was_run():
    found = [
        {"exec_pass": True, "gold_match": True},
        {"exec_pass": True, "gold_match": True, "empty_match": True},
        {"exec_pass": "True", "gold_match": "False"},
        {"exec_pass": False, "gold_match": False},
        {"exec_pass": None, "gold_match": None},
    ]
    assert column(ScoreFromExecEval(), found, "teacher_score") == [1.0, 0.5, 0.5, 0.0, None]
    step = ScoreFromExecEval(score_field="s", gold_score=3, exec_score=2, fail_score=1)
    assert column(step, found, "s") == [3, 2, 2, 1, None]


@pytest.mark.parametrize("field", ["exec_pass", "gold_match"])
def test_scoring_needs_its_fields(field):
    record = {"exec_pass": True, "gold_match": True}
    del record[field]
    with pytest.raises(ValueError, match=rf"^ScoreFromExecEval requires field '{field}'\.$"):
        next(ScoreFromExecEval().process([record]))


def test_keep_by_score():
    scores = [0.5, 0.49, 1, NAN, float("inf"), None, True, "0.9"]
    (found,) = KeepByScore().process([{"teacher_score": score} for score in scores])
    assert [r["keep"] for r in found] == [True, False, True, *[False] * 5]
    assert [r.get("reject_reason") for r in found] == [
        None, "score_too_low", None, "not_finite", "not_finite", "missing teacher_score",
        "not_a_number", "not_a_number",
    ]  # fmt: skip


def test_keep_by_score_respects_an_earlier_mark():
    rows = [{"teacher_score": 1, "keep": mark} for mark in (True, "False", False, None)]
    assert column(KeepByScore(), rows, "keep") == [True, False, False, False]
    assert column(KeepByScore(respect_existing_keep=False), rows, "keep") == [True] * 4


def test_keep_by_score_needs_a_score_and_a_finite_least_one():
    with pytest.raises(ValueError, match=r"^KeepByScore requires field 'teacher_score'\.$"):
        next(KeepByScore().process([{"score": 1}]))
    with pytest.raises(ValueError, match="min_score is nan"):
        KeepByScore(min_score=NAN)


# --- SQL -----------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "users.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users(id INTEGER, name TEXT)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", [(1, "Bob"), (2, "Alice")])
    connection.close()
    return path


def run(database, sql, gold=None, **settings):
    step = SQLiteExecEval(db_path=database, **settings)
    ((found,),) = step.process([{"generation": sql, "gold_sql": gold}])
    return found


@pytest.mark.parametrize("sql", ["", "  ", ";", "-- hi", "/* x */", " ; ; ", None])
def test_an_empty_statement_fails_and_scores_nothing(database, sql):
    found = run(database, sql)
    assert (found["exec_pass"], found["exec_error"]) == (False, "empty_sql")
    assert column(ScoreFromExecEval(), [found], "teacher_score") == [0.0]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT 1;", None), ("SELECT 1; -- tail", None), ("SELECT 1;;", None),
        ("SELECT 1 WHERE 0", None), ("SELECT 1; SELECT 2", "multiple_statements"),
        ("SELECT nope FROM users", "sql_error: no such column: nope"),
        ("CREATE TABLE t(x)", "not_read_only"), ("DROP TABLE users", "not_read_only"),
        ("ATTACH 'x.db' AS x", "not_read_only"), ("PRAGMA user_version = 3", "not_read_only"),
        ("EXPLAIN SELECT 1", "not_read_only"), (["SELECT 1"], "not_text"), (NAN, "not_finite"),
    ],
)  # fmt: skip
def test_what_running_a_statement_gives(database, sql, error):
    found = run(database, sql)
    assert (found["exec_pass"], found["exec_error"]) == (error is None, error)
    assert (found["result_signature"] is None) == (error is not None)


def test_hostile_statements_leave_the_database_as_it_was(database):
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(i) FROM n"
    )
    rows = [{"generation": sql} for sql in (endless, "DELETE FROM users", "SELECT 1")]
    step = SQLiteExecEval(db_path=database, timeout_s=0.3)
    step.load()
    try:
        output = step.run_rows(rows)
    finally:
        step.unload()
    errors = [record["exec_error"] for record in output.records]
    assert errors == ["timeout", "not_read_only", None]
    closes(output, 3)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in database.parent.iterdir()) == ["users.db"]


def test_a_broken_gold_query_is_no_fault_of_the_answer(database):
    found = run(database, "SELECT 1", "SELECT nope")
    assert (found["exec_pass"], found["gold_match"]) == (True, None)
    assert found["gold_error"] == "sql_error: no such column: nope"


def test_order_counts_where_the_gold_query_asks_for_it(database):
    forward, backward = (f"SELECT name FROM users ORDER BY id {way}" for way in ("ASC", "DESC"))
    assert run(database, backward, forward)["gold_match"] is False
    assert run(database, forward, forward)["gold_match"] is True
    assert run(database, backward, "SELECT name FROM users")["gold_match"] is True
    free = run(database, backward, "SELECT name FROM users", normalize_order=False)
    assert free["gold_match"] is False


def test_two_empty_results_match_but_prove_nothing(database):
    found = run(database, "SELECT 1 WHERE 0", "SELECT name FROM users WHERE id = 9")
    assert (found["gold_match"], found["empty_match"]) == (True, True)
    assert column(ScoreFromExecEval(), [found], "teacher_score") == [0.5]
    real = run(database, "SELECT name FROM users", "SELECT name FROM users")
    assert (real["gold_match"], real["empty_match"]) == (True, False)
    assert column(ScoreFromExecEval(), [real], "teacher_score") == [1.0]


def test_without_gold_nothing_is_compared(database):
    step = SQLiteExecEval(db_path=database)
    ((found,),) = step.process([{"generation": "SELECT 1"}])
    assert (found["gold_match"], found["gold_error"]) == (None, None)
    failed = run(database, "SELECT nope", "SELECT 1")
    assert failed["gold_match"] is False


def test_more_rows_than_allowed_fail_and_are_not_cut(database):
    assert run(database, "SELECT * FROM users", max_rows=1)["exec_error"] == "too_many_rows"
    assert run(database, "SELECT * FROM users", max_rows=2)["exec_pass"] is True


def test_sql_evaluation_needs_an_answer_and_a_database(database, tmp_path):
    step = SQLiteExecEval(db_path=database)
    with pytest.raises(ValueError, match=r"^SQLiteExecEval requires field 'generation'\.$"):
        next(step.process([{}]))
    with pytest.raises(FileNotFoundError, match=r"none\.db: no such database file"):
        SQLiteExecEval(db_path=tmp_path / "none.db").load()


def test_a_step_that_nobody_unloads_leaves_no_process(database):
    step = SQLiteExecEval(db_path=database)
    step.load()
    next(step.process([{"generation": "SELECT 1"}]))
    pid = step._sandbox.pid
    assert pid is not None
    os.kill(pid, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del step
        gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_other_columns_by_mappings(database):
    step = SQLiteExecEval(
        db_path=database,
        input_mappings={"generation": "sql"},
        output_mappings={"exec_pass": "ran"},
    )
    output = step.run_rows([{"sql": "SELECT 1"}])
    (record,) = output.records
    assert record["ran"] is True
    assert not {"generation", "exec_pass"} & set(record)


# --- cleaning ------------------------------------------------------------------------------------


def test_answers_are_cleaned():
    texts = ["```sql\nSELECT 1;\n```", "<think>no</think>", None, 0]
    rows = [{"generation": text} for text in texts]
    assert column(CleanSqlOutput(), rows, "generation") == ["SELECT 1;", "", "", ""]
    assert column(CleanSqlOutput(require_sql_keyword=False), rows[3:], "generation") == ["0"]
    other = CleanSqlOutput(input_field="raw", output_field="sql", stop_markers=["END"])
    assert next(other.process([{"raw": "SELECT 1 end"}])) == [
        {"raw": "SELECT 1 end", "sql": "SELECT 1"}
    ]


def test_only_the_row_without_an_answer_is_dead():
    rows = [{"generation": "SELECT 1"}, {"text": "SELECT 1"}, {"generation": ["SELECT 1"]}]
    output = CleanSqlOutput().run_rows(rows)
    closes(output, 3)
    assert [loss.place for loss in output.dead] == [1, 2]
    assert output.dead[0].reason == "CleanSqlOutput requires field 'generation'."


@pytest.mark.parametrize(
    "step", [RuleFilter(), FilterByBool(), SelectByBool(), KeepByScore(), CleanSqlOutput()]
)
def test_no_records_give_no_records(step):
    assert list(step.process([])) == [[]]
    assert step.run_rows([]).records == []
