"""A pipeline with a teacher: killed and resumed, edited, stopped, and asked for nothing twice."""

import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from pipeline_child import build
from stillroom.errors import LabelingStoppedError
from stillroom.files import read_json
from stillroom.labeling.teachers.openai_http import RemoteTeacher
from stillroom.pipeline.records import (
    FilterByBool,
    JudgeScore,
    KeepByScore,
    LoadDataFromDicts,
    OpenAILLM,
    Pipeline,
    SQLiteExecEval,
    StepResources,
    TextGeneration,
    WriteJudgeReport,
)
from stillroom.pipeline.records.fingerprints import step_fingerprint
from stillroom.pipeline.records.replay import compare

CHILD = Path(__file__).with_name("pipeline_child.py")
ROWS = 200


def run(folder, server, *, min_chars=1, rows=ROWS, replicas=1, **gateway):
    pipeline = build(folder / "cache", server.base_url, rows, min_chars, **gateway)
    pipeline.steps["teacher"].resources = StepResources(replicas=replicas)
    return pipeline.run(artifacts_dir=folder, run_id="run", rows_per_shard=50)


def start(folder, server, cache=None):
    command = [sys.executable, str(CHILD), str(folder), cache or str(folder / "cache"),
               server.base_url, str(ROWS), "1"]  # fmt: skip
    return subprocess.Popen(command)


def test_killed_at_random_moments_a_run_asks_nothing_twice_and_ends_the_same(tmp_path, serve):
    server, chance = serve(latency_s=0.01), random.Random(1)
    broken = tmp_path / "broken"
    for _ in range(3):
        child, before = start(broken, server), server.asked.total()
        moment = chance.randint(5, 60)
        while child.poll() is None and server.asked.total() < before + moment:
            time.sleep(0.001)
        child.kill()
        child.wait()
    assert start(broken, server).wait() == 0
    prompts = [prompt for _, prompt, _, _ in server.charged]
    assert len(prompts) == len(set(prompts)) == ROWS, "a prompt was paid for twice"
    whole = run(tmp_path / "whole", server)
    assert len(whole["default"]["train"]) == ROWS
    assert len(server.charged) == 2 * ROWS, "the undisturbed run had a cache of its own"
    assert compare(broken / "run", tmp_path / "whole/run") == []


def test_a_changed_last_threshold_asks_nothing(tmp_path, serve):
    server = serve()
    first = run(tmp_path, server)
    second = run(tmp_path, server, min_chars=len("label of ask 100"))
    assert server.asked.total() == ROWS
    assert (len(first["default"]["train"]), len(second["default"]["train"])) == (200, 100)


def judged(folder, address, *, teacher=None, judge=None, **more):
    """Run a pipeline with a teacher and a judge; give the stages that ran in this call."""
    with Pipeline(name="judged", cache_dir=folder / "cache") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": f"ask {n}"} for n in range(20)])
        first = OpenAILLM(model="tiny", base_url=address, **(teacher or {}))
        second = OpenAILLM(model="tiny", base_url=address, **(judge or {}))
        ask = TextGeneration(name="teacher", llm=first, **more)
        load >> ask >> JudgeScore(name="judge", llm=second, rubric="Is it right?")
    before = time.time_ns()
    pipeline.run(artifacts_dir=folder, run_id="run")
    written = (folder / "run").glob("*/rows-*.parquet")
    return sorted({path.parent.name for path in written if path.stat().st_mtime_ns >= before})


MOVED = {
    "api_key": "sk-other", "timeout": 7.0,
    "gateway": {"qps": 50.0, "max_concurrency": 3, "decode_profiles": {"warm": {"seed": 3}}},
}  # fmt: skip


def test_a_moved_server_runs_no_stage_again_and_is_asked_nothing(tmp_path, serve):
    old, new = serve(answer=lambda _: "<score>7</score>"), serve(answer=lambda _: "no")
    assert judged(tmp_path, old.base_url) == ["judge", "load_data_from_dicts_0", "teacher"]
    assert judged(tmp_path, new.base_url, teacher=MOVED, judge=MOVED) == []
    assert (old.asked.total(), new.asked.total()) == (40, 0)


@pytest.mark.parametrize(
    ("changed", "stages", "calls"),
    [
        ({"teacher": {"generation_kwargs": {"seed": 1}}}, ["teacher"], 20),
        ({"teacher": MOVED, "decode_profile": "warm"}, ["teacher"], 20),
        ({"judge": {"generation_kwargs": {"seed": 1}}}, ["judge"], 20),
    ],
)
def test_what_changes_answers_runs_its_stage_again(tmp_path, serve, changed, stages, calls):
    server = serve(answer=lambda _: "<score>7</score>")  # so the judge is shown what it was shown
    judged(tmp_path, server.base_url)
    assert judged(tmp_path, server.base_url, **changed) == stages
    assert server.asked.total() == 40 + calls


def test_a_model_of_the_environment_counts(monkeypatch):
    monkeypatch.setenv("OPENAI_MODEL", "one")
    step = TextGeneration(llm=OpenAILLM(base_url="http://localhost:1/v1"))
    before = step_fingerprint(step)
    monkeypatch.setenv("OPENAI_MODEL", "two")
    assert step_fingerprint(step) != before


def test_of_a_teacher_its_name_counts_and_not_its_address():
    def told(model, port):
        teacher = RemoteTeacher(model, base_url=f"http://localhost:{port}/v1")
        return step_fingerprint(TextGeneration(llm=teacher))

    assert told("a", 1) == told("a", 2) != told("b", 1)


def test_another_run_with_the_same_cache_asks_nothing(tmp_path, serve):
    server = serve()
    run(tmp_path, server, rows=30)
    other = build(tmp_path / "cache", server.base_url, 40, 1)
    other.run(artifacts_dir=tmp_path / "other", run_id="other")
    assert server.asked.total() == 40


def test_processes_that_share_the_cache_take_turns_and_ask_nothing_twice(tmp_path, serve):
    server = serve(latency_s=0.005)
    shared = str(tmp_path / "cache")
    children = [start(tmp_path / name, server, shared) for name in ("one", "two")]
    assert [child.wait() for child in children] == [0, 0]
    assert len(server.charged) == server.asked.total() == ROWS
    assert compare(tmp_path / "one/run", tmp_path / "two/run") == []


def test_a_step_in_several_processes_asks_nothing_twice(tmp_path, serve):
    server = serve(latency_s=0.005)
    done = run(tmp_path, server, replicas=2)
    assert len(done["default"]["train"]) == server.asked.total() == ROWS


def test_a_stop_leaves_the_run_resumable_and_no_row_dead(tmp_path, serve):
    server = serve()
    paid = {"prices": {"prompt": 1e6, "completion": 1e6}, "max_concurrency": 1}
    with pytest.raises(LabelingStoppedError, match="budget"):
        run(tmp_path, server, budget=3000, **paid)
    assert 0 < server.asked.total() < ROWS
    done = run(tmp_path, server, budget=1e6, **paid)
    assert len(done["default"]["train"]) == ROWS
    assert server.asked.total() == ROWS
    accounting = read_json(tmp_path / "run/run.json")["accounting"]
    assert (accounting["teacher"]["out"], accounting["teacher"]["dead"]) == (ROWS, {})


def test_a_poisonous_row_costs_one_row(tmp_path, serve):
    server = serve(stubborn=frozenset({"ask 7"}))
    done = run(tmp_path, server, rows=60, max_attempts=2)
    assert len(done["default"]["train"]) == 59
    accounting = read_json(tmp_path / "run/run.json")["accounting"]
    assert accounting["teacher"]["dead"] == {"llm_api_error": 1}


def test_no_file_of_a_run_holds_the_key(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("GATEWAY_KEY", "sk-hidden-by-name")
    for number, key in enumerate(("sk-written-out", "${GATEWAY_KEY}")):
        server = serve()
        pipeline = build(tmp_path / "cache", server.base_url, 3, 1)
        pipeline.steps["teacher"].llm = type(pipeline.steps["teacher"].llm)(
            model=f"tiny{number}", base_url=server.base_url, api_key=key
        )
        pipeline.run(artifacts_dir=tmp_path, run_id=f"run{number}")
        assert server.headers[0]["authorization"].startswith("Bearer sk-")
        assert "sk-" not in str(pipeline.dump())
    held = [path for path in tmp_path.rglob("*") if path.is_file() and b"sk-" in path.read_bytes()]
    assert held == []


def test_a_dumped_pipeline_is_the_same_and_asks_nothing_again(tmp_path, serve):
    server = serve()
    prices = {"prompt": 1.0, "completion": 2.0}
    pipeline = build(tmp_path / "cache", server.base_url, 30, 1, qps=500.0, prices=prices)
    pipeline.run(artifacts_dir=tmp_path, run_id="run")
    written = json.loads(json.dumps(pipeline.dump()))
    again = Pipeline.from_dict(written)
    again.cache_dir = tmp_path / "cache"
    assert again.dump() == written
    llm, same = (one.steps["teacher"].llm for one in (pipeline, again))
    assert (same.limits, same.profile()) == (llm.limits, llm.profile())
    again.run(artifacts_dir=tmp_path, run_id="other")
    assert server.asked.total() == 30
    assert compare(tmp_path / "run", tmp_path / "other") == []


def test_teacher_then_gates_then_judge(tmp_path, serve, capsys):
    """Only rows that the execution passed are judged; a changed last threshold asks no one."""
    database = tmp_path / "metals.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table metals (name text, symbol text)")
        connection.execute("insert into metals values ('gold', 'Au'), ('iron', 'Fe')")
    answers = {
        "Names?": "select name from metals", "Symbols?": "select symbol from metals",
        "Count?": "select count(*) from metals", "Broken?": "select x from metals",
    }  # fmt: skip
    teacher_calls = serve(answer=answers.__getitem__)
    judge_calls = serve(answer=lambda prompt: f"<score>{9 if 'name' in prompt else 4}</score>")

    def run(min_score):
        data = [
            {"task_id": str(n), "instruction": question, "gold_sql": answers["Names?"]}
            for n, question in enumerate(answers)
        ]
        teacher_llm, judge_llm = (
            OpenAILLM(model="tiny", base_url=server.base_url)
            for server in (teacher_calls, judge_calls)
        )
        with Pipeline(name="judged", cache_dir=tmp_path / "cache") as pipeline:
            load = LoadDataFromDicts(data=data)
            teacher = TextGeneration(name="teacher", llm=teacher_llm)
            execute = SQLiteExecEval(name="execute", db_path=str(database))
            judge = JudgeScore(name="judge", llm=judge_llm, rubric="Does it answer?")
            keep = KeepByScore(name="keep", score_field="judge_score", min_score=min_score)
            load >> teacher >> execute >> judge >> WriteJudgeReport() >> keep >> FilterByBool()
        done = pipeline.run(artifacts_dir=tmp_path, run_id="run")
        return sorted(record["task_id"] for record in done["default"]["train"])

    assert run(0.9) == ["0"]
    assert (teacher_calls.asked.total(), judge_calls.asked.total()) == (4, 3)
    assert "judge: agrees with 'gold_match' on" in capsys.readouterr().out
    report = read_json(tmp_path / "run/judge/judge_report.json")
    assert report["reasons"] == {"not_judged": 1}
    assert report["agreement"]["agreement"] == 1.0
    assert run(0.2) == ["0", "1", "2"]
    assert (teacher_calls.asked.total(), judge_calls.asked.total()) == (4, 3)
