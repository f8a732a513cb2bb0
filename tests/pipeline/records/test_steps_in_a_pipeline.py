"""The data and gate steps in one pipeline: each row is accounted for, whatever is in it."""

import datetime
import sqlite3

import pytest
from stillroom.pipeline.records import (
    AddSampleId,
    CleanSqlOutput,
    CombineRows,
    ComputeHash,
    DeduplicateByField,
    FilterByBool,
    KeepByScore,
    KeepColumns,
    LoadDataFromDicts,
    PatternFilter,
    Pipeline,
    ResolveConflicts,
    RowStep,
    RuleFilter,
    ScoreFromExecEval,
    SelectByBool,
    SplitByHash,
    SQLiteExecEval,
    Step,
)
from stillroom.pipeline.records.replay import compare, verify

GOLD = "SELECT name FROM users ORDER BY id"
QUESTION = {"schema": "users(id, name)", "instruction": "List all users.", "gold_sql": GOLD}
ANSWERS = {
    "right": "```sql\nSELECT name FROM users ORDER BY id;\n```",
    "wrong": "SELECT name FROM users ORDER BY id DESC",
    "broken": "SELECT nope FROM users",
    "refusal": "I cannot do that.",
    "rude": "DROP TABLE users",
    "blank": " \n",
}
DATA = [
    *({**QUESTION, "task_id": name, "generation": text} for name, text in ANSWERS.items()),
    {**QUESTION, "task_id": "right", "generation": ANSWERS["right"]},
    {"task_id": "poison", "generation": "SELECT 1"},
    {**QUESTION, "task_id": "mark", "generation": "SELECT 1", "keep": "perhaps"},
    {**QUESTION, "task_id": "later", "generation": "SELECT name FROM users ORDER BY id"},
]


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "users.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users(id INTEGER, name TEXT)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", [(1, "Bob"), (2, "Alice")])
    connection.close()
    return path


def build(database, data=None, select=FilterByBool, **settings):
    with Pipeline("gates") as pipeline:
        (
            LoadDataFromDicts(data=DATA if data is None else data)
            >> AddSampleId(fields=["schema", "instruction"])
            >> DeduplicateByField(**settings)
            >> RuleFilter()
            >> PatternFilter(pattern="(?i)^drop", wanted=False)
            >> FilterByBool(name="cheap")
            >> CleanSqlOutput()
            >> SQLiteExecEval(db_path=str(database))
            >> ScoreFromExecEval()
            >> KeepByScore(min_score=1.0)
            >> select(name="chosen")
            >> SplitByHash()
            >> KeepColumns(columns=["task_id", "generation", "split"])
        )
    return pipeline


@pytest.mark.parametrize("select", [FilterByBool, SelectByBool])
def test_each_row_is_used_rejected_or_dead(database, tmp_path, select):
    done = build(database, select=select).run(artifacts_dir=tmp_path / "out", rows_per_shard=4)
    kept = list(done["default"]["train"])
    assert [(r["task_id"], r["generation"]) for r in kept] == [
        ("right", f"{GOLD};"), ("later", GOLD),
    ]  # fmt: skip
    told = {name: step for s in done.accounting.values() for name, step in s["steps"].items()}
    assert told["add_sample_id_0"]["dead"] == {
        "Missing required field 'schema' in CanonicalizeFields.": 1
    }
    assert told["deduplicate_by_field_0"]["rejected"] == {"exact_duplicate": 1}
    assert told["rule_filter_0"]["dead"] == {
        "column 'keep': is 'perhaps'; allowed are true, false, 1, 0 and null": 1
    }
    assert told["cheap"]["rejected"] == {"empty_output": 1, "pattern_found": 1}
    assert told["chosen"]["rejected"] == {"score_too_low": 3}
    for name, step in told.items():
        lost = sum(step["rejected"].values()) + sum(step["dead"].values())
        assert step["in"] == step["used"] + lost, name
    assert verify(done.folder) == []


def test_two_runs_are_the_same(database, tmp_path):
    folders = [
        build(database).run(artifacts_dir=tmp_path / name, run_id="r", rows_per_shard=4).folder
        for name in ("one", "two")
    ]
    assert compare(*folders) == []


def test_duplicates_are_dropped_in_a_run_that_goes_on_and_in_the_next_run(database, tmp_path):
    shared = {"state_path": tmp_path / "seen.sqlite"}
    first = build(database, DATA[:3], **shared)
    first.run(artifacts_dir=tmp_path / "out", run_id="r", rows_per_shard=4)
    more = build(database, DATA, **shared)
    done = more.run(artifacts_dir=tmp_path / "out", run_id="r", rows_per_shard=4)
    assert [r["task_id"] for r in done["default"]["train"]] == ["right", "later"]
    again = build(database, DATA, **shared)
    done = again.run(artifacts_dir=tmp_path / "out", run_id="s", rows_per_shard=4)
    assert list(done["default"]["train"]) == []
    assert done.accounting["deduplicate_by_field_0"]["rejected"] == {"exact_duplicate": 9}


def test_one_poisonous_row_costs_one_row(database, tmp_path):
    data = [{**QUESTION, "task_id": str(n), "generation": GOLD} for n in range(200)]
    data[77] = {**data[77], "generation": {"sql": GOLD}, "keep": True}
    done = build(database, data).run(artifacts_dir=tmp_path, rows_per_shard=50)
    assert len(list(done["default"]["train"])) == 199


def test_an_id_with_two_contents_ends_the_run(database, tmp_path):
    data = [DATA[0], {**DATA[0], "generation": "SELECT 2"}]
    with pytest.raises(RuntimeError, match="has another content in row 1 of run r"):
        build(database, data, on_conflict="error").run(artifacts_dir=tmp_path, run_id="r")
    with Pipeline() as pipeline:
        LoadDataFromDicts(data=data) >> ResolveConflicts(field="task_id")
    with pytest.raises(RuntimeError, match="1 ids have two contents: task_id 'right' in rows 1, 2"):
        pipeline.run(artifacts_dir=tmp_path, run_id="s")


def test_dates_and_bytes_are_converted_before_they_are_hashed(tmp_path):
    data = [{"when": datetime.date(2026, 1, 2), "raw": b"\x00\xff"}]
    plain = [{"when": "2026-01-02", "raw": {"$bytes": "00ff"}}]
    hashes = []
    for name, records in (("a", data), ("b", plain)):
        with Pipeline() as pipeline:
            LoadDataFromDicts(data=records) >> ComputeHash(fields=["when", "raw"])
        done = pipeline.run(artifacts_dir=tmp_path / name)
        hashes += [record["hash"] for record in done["default"]["train"]]
    assert len(hashes) == 2
    assert hashes[0] == hashes[1]


def test_rows_of_several_shards_become_one_record(tmp_path):
    data = [{"q": n % 3, "a": n} for n in range(10)]
    with Pipeline() as pipeline:
        LoadDataFromDicts(data=data) >> CombineRows(by="q", columns=["a"], min_rows=4)
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=4)
    assert list(done["default"]["train"]) == [{"q": 0, "a": [0, 3, 6, 9]}]
    assert done.accounting["combine_rows_0"]["rejected"] == {"too_few_rows": 6}
    assert verify(done.folder) == []


# --- names of columns ----------------------------------------------------------------------------


class Shout(Step):
    def process(self, *inputs):
        yield [{**record, "shout": record["text"].upper()} for record in inputs[0]]

    @property
    def outputs(self):
        return ["shout"]


class ShoutRow(RowStep):
    outputs = Shout.outputs

    def apply(self, record):
        return {**record, "shout": record["text"].upper()}


@pytest.mark.parametrize("kind", [Shout, ShoutRow])
def test_columns_that_a_step_knows_by_other_names_stay_as_they_are(kind):
    names = {"input_mappings": {"text": "answer"}, "output_mappings": {"shout": "loud"}}
    rows = [{"text": "own", "answer": "a", "shout": "theirs"}, {"text": "only"}]
    output = kind(**names).run_rows(rows)
    assert output.records == [{"text": "own", "answer": "a", "shout": "theirs", "loud": "A"}]
    assert [loss.reason for loss in output.dead] == ["KeyError: 'text'"]


def test_names_can_be_swapped():
    step = ShoutRow(output_mappings={"shout": "text", "text": "shout"})
    assert step.run_rows([{"text": "a"}]).records == [{"text": "A", "shout": "a"}]


def test_a_row_step_alone_reads_and_writes_the_columns_of_its_mappings():
    step = RuleFilter(input_mappings={"generation": "answer"}, output_mappings={"keep": "fine"})
    records = [{"answer": "a"}, {"answer": ""}]
    assert next(step.process(records)) == [
        {"answer": "a", "reject_reason": "ok", "fine": True},
        {"answer": "", "reject_reason": "empty_output", "fine": False},
    ]
    assert records == [{"answer": "a"}, {"answer": ""}]
