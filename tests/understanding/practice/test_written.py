"""The questions written for practice: their SELECTs run, and mark the plans that are right."""

import importlib.util
import sys

import duckdb
import pytest
from project_paths import ROOT
from stillroom.understanding.ranker.ranking import AskedTable

QUESTIONS = ROOT / "benchmarks" / "questions"


@pytest.fixture(scope="module")
def written():
    spec = importlib.util.spec_from_file_location("written", QUESTIONS / "written.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["written"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["written"]


@pytest.fixture(scope="module")
def everything(written):
    return {name: written.read_written(name)[1] for name in written.all_names()}


def test_every_select_runs_and_finds_something(everything):
    questions = [one for asked in everything.values() for one in asked]
    empty = sum(one.answer is None for one in questions)
    assert len(everything) > 380
    assert len(questions) > 24_000
    assert 0.1 < empty / len(questions) < 0.25
    for name, asked in everything.items():
        assert len({one.text for one in asked}) == len(asked), name


def test_none_is_a_question_that_is_measured_with(everything):
    measured = {
        line.split(",")[1].strip('"').casefold()
        for file in (QUESTIONS / "asked").glob("*.csv")
        for line in file.read_text(encoding="utf-8").splitlines()[1:]
        if line.count(",") > 1
    }
    practised = {one.text.casefold() for asked in everything.values() for one in asked}
    assert not {one for one in measured & practised if len(one.split()) > 4}


def read_line(written, table, line):
    with duckdb.connect(":memory:") as connection:
        connection.register("t", written.in_arrow(table))
        return written.read_line(line, table, connection)


@pytest.mark.parametrize(
    ("question", "sql", "columns"),
    [
        (
            "is it a server, is srv03 in Leeds?",
            "SELECT count(*) > 0 FROM t WHERE srv_id = 'SRV03' AND site = 'Leeds DC'",
            {"srv_id", "site"},
        ),
        (
            "who looks after SRV03",
            "SELECT owner FROM t WHERE srv_id = 'SRV03'",
            {"srv_id", "owner"},
        ),
    ],
)
def test_plans_with_the_answer_and_the_columns_are_right(written, question, sql, columns):
    table, _ = written.read_written("servers")
    one = read_line(written, table, f"{question}\t{sql}")
    assert {table.columns[number].name for number in one.columns} == columns
    _, plans = AskedTable(table, None, frozenset(["who", "is", "in", "it", "a"])).read(question)
    right = [plan for plan in plans if written.answers(plan, one, table)]
    assert 1 <= len(right) < len(plans) / 20


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no tab", "a tab"),
        ("two columns\tSELECT host, site FROM t", "one column"),
        ("nothing\tSELECT host FROM t WHERE host = 'x'", "finds nothing"),
    ],
)
def test_a_faulty_line_is_named(written, line, fault):
    table, _ = written.read_written("servers")
    with pytest.raises(ValueError, match=fault):
        read_line(written, table, line)


def test_answers_are_compared_as_their_cells_mean(written):
    records = [{"bus": "A", "leaves": "11:15", "km": "2.5 km"}, {"bus": "B", "leaves": "09:05"}]
    leaves, distance = written.typed_table(records).columns[1:]
    assert written.same("11:15", 675.0, leaves)
    assert not written.same("11:15", 675.0, distance)
    assert written.same("2.5 km", 2.5, distance)
    assert not written.same("9:05", 675.0, leaves)


def test_the_same_cells_are_right_by_whatever_name_of_the_record(written):
    table, _ = written.read_written("servers")
    one = read_line(written, table, "who has the files\tSELECT owner FROM t WHERE srv_id = 'SRV03'")
    assert one.cells == (table.numbered["owner"], frozenset({2}))
    ordered = "first\tSELECT owner FROM t WHERE site = 'Leeds DC' ORDER BY host LIMIT 1"
    assert read_line(written, table, ordered).cells is None
