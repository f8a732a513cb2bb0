import sqlite3
from contextlib import closing

import pytest
from scipy.stats import binomtest
from stillroom.evaluation.sql_scores import (
    SqlScores,
    format_sql_scores,
    format_sql_shapes,
    score_sql,
)
from stillroom.labeling.gates.sql_execution import SqlExecution, SqlOutcome
from stillroom.labeling.gates.sql_sandbox import SqlSandbox

PAIRS = [  # candidate, gold, shape
    ("SELECT name FROM users", "SELECT name FROM users ORDER BY 1", "names"),
    ("SELECT name FROM users", "SELECT id FROM users", "names"),
    ("SELECT nope FROM users", "SELECT id FROM users", "names"),
    ("", "SELECT id FROM users", "ids"),
    ("SELECT id FROM users WHERE 0", "SELECT id FROM users WHERE id > 9", "ids"),
    ("SELECT COUNT(*) FROM users", "SELECT 2", "ids"),
    ("SELECT 1", "SELECT broken", "ids"),
]


@pytest.fixture
def outcomes(tmp_path):
    path = tmp_path / "users.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE users (id INTEGER, name TEXT)")
        database.executemany("INSERT INTO users VALUES (?, ?)", [(1, "a"), (2, "b")])
    with SqlSandbox(path) as sandbox:
        execution = SqlExecution(sandbox)
        return [execution.evaluate(sql, gold) for sql, gold, _ in PAIRS]


def test_statements_are_counted_with_empty_matches_apart(outcomes):
    scores = score_sql(outcomes)
    assert (scores.total, scores.exec_passed) == (7, 5)
    assert (scores.gold_evaluated, scores.gold_matched, scores.empty_matches) == (5, 2, 1)
    assert scores.exec_errors == {"sql_error": 1, "empty_sql": 1}
    assert scores.exec_pass_rate == 5 / 7
    assert scores.gold_match_rate == 2 / 5


def test_counts_by_shape_add_up(outcomes):
    scores = score_sql(outcomes, [shape for *_, shape in PAIRS])
    assert set(scores.shapes) == {"names", "ids"}
    for name in ("total", "exec_passed", "gold_evaluated", "gold_matched", "empty_matches"):
        assert sum(getattr(one, name) for one in scores.shapes.values()) == getattr(scores, name)
    with pytest.raises(ValueError, match="zip"):
        score_sql(outcomes, ["names"])


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (8, 10), (10, 10), (117, 230)])
def test_intervals_are_those_of_scipy(hits, trials):
    verdicts = [SqlOutcome(True, gold_match=place < hits) for place in range(trials)]
    told = score_sql(verdicts).to_dict()
    wanted = list(binomtest(hits, trials).proportion_ci(0.95, method="wilson"))
    assert told["gold_match_ci95"] == pytest.approx(wanted, abs=1e-6)
    assert told["exec_pass_ci95"][1] == pytest.approx(1.0)


def test_nothing_evaluated_is_no_rate():
    none = score_sql([SqlOutcome(True)])
    assert none.gold_match_rate is None
    assert none.to_dict()["gold_match_ci95"] is None
    assert score_sql([]).to_dict()["exec_pass_rate"] is None


def test_tables_name_models_rates_and_shapes(outcomes):
    scores = score_sql(outcomes, [shape for *_, shape in PAIRS])
    rows = {"teacher": scores, "student": SqlScores(0, 0, 0, 0, 0)}
    head, teacher, student = format_sql_scores(rows).splitlines()
    assert "exec_pass_rate" in head
    assert "gold_match_rate" in head
    assert teacher.split()[:5] == ["teacher", "7", "71.4", "%", "(35.9"]
    assert student.split() == ["student", "0", "-", "-", "0"]
    _, ids, names = format_sql_shapes(rows).splitlines()
    assert ids.split() == ["ids", "4", "1"]
    assert names.split() == ["names", "3", "1"]
