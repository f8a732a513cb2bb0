"""A pipeline runs, accounts for its rows, and goes on where it was broken off."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_steps import (
    Backwards,
    Both,
    First,
    Numbers,
    OddOnes,
    Poison,
    Slow,
    Times,
    Total,
    Twice,
)  # fmt: skip
from stillroom.errors import AccountingError, ConfigError, PipelineError
from stillroom.pipeline.records import Pipeline, RowStep, Step
from stillroom.pipeline.records.replay import compare, verify
from stillroom.pipeline.records.row_codec import Row
from stillroom.pipeline.records.run_folder import choose_run_id
from stillroom.pipeline.records.stage_store import StageStore


def rows(distiset, name="default"):
    return list(distiset[name]["train"])


def worked_on(log):
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_a_chain(tmp_path):
    with Pipeline("chain") as pipeline:
        Numbers(count=10) >> Times() >> OddOnes()
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=3)
    assert rows(done) == [
        {"n": n, "twin": n % 7, "text": f"row {n}", "times": 2 * n} for n in (1, 3, 5, 7, 9)
    ]
    assert done.accounting["odd_ones_0"]["rejected"] == {"even": 5}
    assert not done.partial
    assert verify(done.folder) == []


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_any_number_of_rows_and_a_batch_larger_than_the_data(count, tmp_path):
    with Pipeline() as pipeline:
        numbers = Numbers(count=count)
        numbers >> Times(input_batch_size=1000) >> [First(), Backwards(), Total(name="total")]
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=3)
    assert [row["n"] for row in rows(done, "first_0")] == list(range(count))
    assert [row["n"] for row in rows(done, "backwards_0")] == list(range(count))[::-1]
    assert json.loads((done.folder / "total/manifest.json").read_text())["count"] == count
    assert verify(done.folder) == []


def test_a_step_that_drops_all_leaves_an_empty_result(tmp_path):
    class DropAll(Step):
        def process(self, *inputs):
            yield []

    with Pipeline() as pipeline:
        Numbers() >> DropAll() >> Times() >> Total(name="total")
    done = pipeline.run(artifacts_dir=tmp_path)
    assert rows(done) == []
    assert done.accounting["times_0"]["rejected"] == {"dropped by DropAll": 10}
    assert json.loads((done.folder / "total/manifest.json").read_text())["count"] == 0


def test_a_step_that_fails_on_every_row_ends_the_run_with_the_commonest_reason(tmp_path):
    with Pipeline("poison") as pipeline:
        numbers = Numbers(count=6)
        bad = Poison(bad=list(range(6)))
        numbers >> bad
    with pytest.raises(PipelineError, match=r"'poison_0' failed on all 6 rows.*6 times.*poison"):
        pipeline.run(artifacts_dir=tmp_path)
    bad.bad = [0]
    assert len(rows(pipeline.run(artifacts_dir=tmp_path))) == 5  # the same run, tried again
    assert len(list(tmp_path.glob("*/run.json"))) == 1


def test_one_poisonous_row_costs_one_row(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=500) >> Poison(bad=[123], input_batch_size=50) >> Times()
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=200)
    assert [row["n"] for row in rows(done)] == [n for n in range(500) if n != 123]
    (loss,) = StageStore(done.folder / "times_0").losses(0)
    assert (loss.step, loss.kind, loss.reason) == ("poison_0", "dead", "ValueError: poison")
    assert loss.record["n"] == 123


def test_a_row_that_is_no_json_is_dead_with_its_field(tmp_path):
    class Divide(RowStep):
        def apply(self, record):
            return {**record, "half": float("nan") if record["n"] == 3 else record["n"] / 2}

    with Pipeline() as pipeline:
        Numbers(count=5) >> Divide()
    done = pipeline.run(artifacts_dir=tmp_path)
    assert [row["n"] for row in rows(done)] == [0, 1, 2, 4]
    assert done.accounting["divide_0"]["dead"] == {"not_finite: $.half is nan": 1}
    assert verify(done.folder) == []


def test_a_step_that_miscounts_ends_the_run_with_its_name(tmp_path):
    class Forgets(Times):
        def run_rows(self, *inputs):
            output = super().run_rows(*inputs)
            output.records.pop()
            output.parents.pop()
            return output

    with Pipeline() as pipeline:
        Numbers() >> Forgets()
    with pytest.raises(AccountingError, match=r"'forgets_0': 10 rows in, but 9 used"):
        pipeline.run(artifacts_dir=tmp_path)


def test_branches_are_joined_by_row_and_a_lost_partner_is_a_reason(tmp_path):
    with Pipeline() as pipeline:
        numbers = Numbers(count=8)
        numbers >> [Times(name="a"), OddOnes(name="b")] >> Both()
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=3)
    assert [(row["n"], row["times"]) for row in rows(done)] == [(1, 2), (3, 6), (5, 10), (7, 14)]
    assert done.accounting["both_0"]["rejected"] == {"no row from b": 4}
    assert verify(done.folder) == []


def test_two_sources_and_a_reordered_branch_are_joined_by_row_as_well(tmp_path):
    with Pipeline() as pipeline:
        left = Numbers(count=5, name="left")
        right = Numbers(count=5, name="right")
        left >> Backwards() >> (both := Both(name="both"))
        right >> Times(factor=3) >> both
    done = pipeline.run(artifacts_dir=tmp_path, rows_per_shard=2)
    assert [(row["n"], row["times"]) for row in rows(done)] == [(n, 3 * n) for n in (4, 3, 2, 1, 0)]


def test_a_row_that_becomes_several_has_its_number_in_their_ids(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=2) >> Twice() >> Twice()
    done = pipeline.run(artifacts_dir=tmp_path)
    ids = [row.row_id for row in StageStore(done.folder / "twice_1").rows(0)]
    assert ids == ["0.0.0", "0.0.1", "0.1.0", "0.1.1", "1.0.0", "1.0.1", "1.1.0", "1.1.1"]
    assert isinstance(StageStore(done.folder / "twice_1").rows(0)[0], Row)


def test_observers_stand_aside_and_know_the_manifests_before_them(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=9) >> Total(name="t1") >> OddOnes() >> Total(name="t2") >> Times()
    done = pipeline.run(artifacts_dir=tmp_path)
    assert [row["times"] for row in rows(done)] == [2, 6, 10, 14]
    first, second = (
        json.loads((done.folder / t / "manifest.json").read_text()) for t in ("t1", "t2")
    )
    assert (first["count"], first["sum"], first["inputs"]) == (9, 36, [])
    assert (second["count"], second["sum"], second["inputs"]) == (4, 16, ["manifest.json"])
    assert verify(done.folder) == []


def slow_pipeline(log, *, factor=2, threshold=1, sleep_s=0.0):
    class Keep(RowStep):
        least: int = 0

        def apply(self, record):
            return record if record["slow"] >= self.least else None

    with Pipeline("slow") as pipeline:
        numbers = Numbers(count=20)
        slow = Slow(log=str(log), sleep_s=sleep_s, input_batch_size=2)
        numbers >> Times(factor=factor) >> slow >> OddOnes() >> Total(name="total")
    return pipeline


def test_a_run_that_is_complete_does_nothing_again(tmp_path):
    log = tmp_path / "log"
    first = slow_pipeline(log).run(artifacts_dir=tmp_path, run_id="r", rows_per_shard=6)
    times = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.parquet")}
    slow_pipeline(log).run(artifacts_dir=tmp_path, run_id="r", rows_per_shard=6)
    assert worked_on(log) == list(range(20))
    assert {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.parquet")} == times
    slow_pipeline(log).run(artifacts_dir=tmp_path, run_id="r", rows_per_shard=6, use_cache=False)
    assert worked_on(log) == [*range(20), *range(20)]


def test_an_edited_later_step_runs_alone_and_an_edited_earlier_one_with_what_follows(tmp_path):
    log = tmp_path / "log"
    run = {"artifacts_dir": tmp_path, "run_id": "r", "rows_per_shard": 6}
    slow_pipeline(log).run(**run)
    pipeline = slow_pipeline(log)
    with pipeline:
        pipeline.steps["odd_ones_0"] >> Times(name="last", factor=9)
    done = pipeline.run(**run)
    assert rows(done)[0]["times"] == 9
    assert worked_on(log) == list(range(20))
    slow_pipeline(log, factor=5).run(**run)
    assert worked_on(log) == [*range(20), *range(20)]


def test_only_the_shards_that_changed_at_the_source_are_run_again(tmp_path):
    log = tmp_path / "log"
    with Pipeline("data") as pipeline:
        Slow(log=str(log))
    data = [{"n": n} for n in range(10)]
    run = {"artifacts_dir": tmp_path, "run_id": "r", "rows_per_shard": 3}
    pipeline.run(dataset=data, **run)
    data[4] = {"n": 40}
    done = pipeline.run(dataset=data, **run)
    assert worked_on(log) == [*range(10), 3, 40, 5]
    assert [row["n"] for row in rows(done)] == [0, 1, 2, 3, 40, 5, 6, 7, 8, 9]
    done = pipeline.run(dataset=data[:5], **run)
    assert [row["n"] for row in rows(done)] == [0, 1, 2, 3, 40]
    assert verify(done.folder) == []


def test_an_ordered_step_starts_again_where_rows_before_have_changed(tmp_path):
    with Pipeline("dedup") as pipeline:
        First()
    data = [{"n": n, "twin": n % 4} for n in range(12)]
    run = {"artifacts_dir": tmp_path, "run_id": "r", "rows_per_shard": 3}
    assert [row["n"] for row in rows(pipeline.run(dataset=data, **run))] == [0, 1, 2, 3]
    data[1]["twin"] = 3
    assert [row["n"] for row in rows(pipeline.run(dataset=data, **run))] == [0, 1, 2, 5]
    more = [*data, {"n": 12, "twin": 99}]
    assert [row["n"] for row in rows(pipeline.run(dataset=more, **run))] == [0, 1, 2, 5, 12]


def test_parameters_replace_fields_for_one_run_and_all_faults_come_at_once(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=3) >> Times()
    done = pipeline.run({"times_0": {"factor": 7}}, artifacts_dir=tmp_path)
    assert [row["times"] for row in rows(done)] == [0, 7, 14]
    assert pipeline.steps["times_0"].factor == 2
    with pytest.raises(ConfigError, match=r"'time_0'.*'times_0'.*'facto'.*'factor'"):
        pipeline.run({"time_0": {}, "times_0": {"facto": 1}}, artifacts_dir=tmp_path)


def test_the_id_of_a_run(tmp_path, monkeypatch):
    with Pipeline("My run") as pipeline:
        Numbers(count=1) >> Times()
    assert pipeline.run(artifacts_dir=tmp_path, run_id="given").run_id == "given"
    first = pipeline.run(artifacts_dir=tmp_path)
    assert first.run_id.endswith("Z-my-run")
    assert pipeline.run(artifacts_dir=tmp_path).run_id != first.run_id
    monkeypatch.setenv("FASTDISTILL_RUN_ID", "from-environment")
    monkeypatch.setenv("FASTDISTILL_ARTIFACTS_DIR", str(tmp_path / "there"))
    assert pipeline.run().folder == tmp_path / "there/from-environment"
    with pytest.raises(ConfigError, match="run_id"):
        choose_run_id("../x", tmp_path, "p", [], may_resume=True)
    with Pipeline("other") as other:
        Numbers(count=1)
    with pytest.raises(ConfigError, match="holds a run of pipeline 'My run'"):
        other.run(artifacts_dir=tmp_path, run_id="given")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: None, "no steps"),
        (lambda: Times(), "no step before it"),
        (lambda: Times() >> Numbers(), "nothing can come before it"),
        (lambda: [Numbers(), Numbers()] >> First(), "of one step, not of 2"),
    ],
)
def test_a_graph_that_cannot_run_is_refused(build, message, tmp_path):
    with Pipeline() as pipeline:
        build()
    with pytest.raises(ConfigError, match=message):
        pipeline.run(artifacts_dir=tmp_path)


def test_a_circle_is_refused(tmp_path):
    with Pipeline() as pipeline:
        a, b = Times(), OddOnes()
        Numbers() >> a >> b >> a
    with pytest.raises(ConfigError, match=r"\['odd_ones_0', 'times_0'\] are in a circle"):
        pipeline.run(artifacts_dir=tmp_path)


def test_steps_outside_of_a_pipeline_cannot_be_connected():
    with pytest.raises(ConfigError, match="in no pipeline"):
        Numbers() >> Times()


def test_load_groups_cut_stages(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=4) >> Times() >> OddOnes()
    names = lambda groups: [stage.name for stage in pipeline.plan(groups).stages]  # noqa: E731
    assert names(None) == ["numbers_0", "odd_ones_0"]
    assert names([["numbers_0", "times_0"], ["odd_ones_0"]]) == [
        "numbers_0",
        "times_0",
        "odd_ones_0",
    ]
    assert names("sequential_step_execution") == ["numbers_0", "times_0", "odd_ones_0"]
    with pytest.raises(ConfigError, match="'odd'"):
        pipeline.plan([["odd"]])


def test_a_dry_run_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    done = slow_pipeline(log).dry_run(batch_size=4)
    assert [row["n"] for row in rows(done)] == [1, 3]
    assert worked_on(log) == [0, 1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_ctrl_c_ends_gracefully_and_finish_marks_what_is_there_as_partial(tmp_path):
    log = tmp_path / "log"
    pipeline = slow_pipeline(log, sleep_s=0.05)
    run = {"artifacts_dir": tmp_path, "rows_per_shard": 6}

    def interrupt():
        while len(worked_on(log)) < 9:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(**run)
    asked = worked_on(log)
    assert asked == list(range(10))  # the batch of two was ended
    partial = pipeline.run(finish=True, **run)
    assert worked_on(log) == asked
    assert partial.partial
    assert [row["n"] for row in rows(partial)] == [1, 3, 5, 7, 9]
    assert json.loads((partial.folder / "total/manifest.json").read_text())["partial"]
    assert json.loads((partial.folder / "run.json").read_text())["status"] == "partial"
    assert verify(partial.folder) == []
    whole = pipeline.run(**run)
    assert (whole.run_id, whole.partial) == (partial.run_id, False)
    assert [row["n"] for row in rows(whole)] == list(range(1, 20, 2))
    assert worked_on(log)[len(asked) :] == list(range(6, 20))  # the shard at hand, and the rest
    other = slow_pipeline(log).run(artifacts_dir=tmp_path / "other", rows_per_shard=6)
    assert compare(whole.folder, other.folder) == []


def test_a_costly_step_that_is_killed_has_kept_what_it_has_done(tmp_path, monkeypatch):
    monkeypatch.setattr("stillroom.pipeline.records.run_shard.KEEP_S", 0.0)
    log = tmp_path / "log"
    pipeline = slow_pipeline(log)

    plain = Slow.apply

    def dies(self, record):
        if record["n"] == 9:
            raise SystemExit
        return plain(self, record)

    monkeypatch.setattr(Slow, "apply", dies)
    with pytest.raises(SystemExit):
        pipeline.run(artifacts_dir=tmp_path)
    monkeypatch.setattr(Slow, "apply", plain)
    partial = pipeline.run(artifacts_dir=tmp_path, finish=True)
    assert [row["n"] for row in rows(partial)] == [1, 3, 5, 7]
    assert verify(partial.folder) == []


def test_a_script_that_is_interrupted_exits_as_the_shell_expects(tmp_path):
    code = KILLED.format(
        here=str(Path(__file__).parent), log=str(tmp_path / "log"), folder=str(tmp_path)
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not worked_on(tmp_path / "log"):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == -signal.SIGINT  # a shell shows 130
    assert "stopped at step 'slow_0'; the same command goes on" in said


@pytest.mark.slow
def test_one_poisonous_row_of_a_hundred_thousand_costs_one_row(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=100_000, batch_size=5000) >> Poison(bad=[54_321]) >> Times()
    done = pipeline.run(artifacts_dir=tmp_path)
    assert len(done["default"]["train"]) == 99_999
    assert done.accounting["times_0"]["dead"] == {"ValueError: poison": 1}


def test_a_changed_input_or_count_is_found_though_every_file_is_whole(tmp_path):
    with Pipeline() as pipeline:
        Numbers(count=6) >> Times() >> First() >> OddOnes()
    one = pipeline.run(artifacts_dir=tmp_path, run_id="one").folder
    two = pipeline.run({"times_0": {"factor": 3}}, artifacts_dir=tmp_path, run_id="two").folder
    for name in ("rows-00000.parquet", "shard-00000.json"):
        (one / "first_0" / name).write_bytes((two / "first_0" / name).read_bytes())
    (found,) = verify(one)
    assert found.startswith("odd_ones_0/shard-00000.json: it was made from other rows")


def test_there_may_be_nothing_to_finish(tmp_path):
    with pytest.raises(PipelineError, match="nothing to finish"):
        slow_pipeline(tmp_path / "log").run(artifacts_dir=tmp_path, finish=True)


def test_two_processes_do_not_work_in_one_run(tmp_path):
    class Nested(RowStep):
        def apply(self, record):
            pipeline.run(artifacts_dir=tmp_path, run_id="r")
            return record

    with Pipeline() as pipeline:
        Numbers(count=1) >> Nested()
    with pytest.raises(PipelineError, match="another process works on the run"):
        pipeline.run(artifacts_dir=tmp_path, run_id="r")


def test_what_a_run_logs_reaches_the_given_handlers(tmp_path):
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logging.getLogger("stillroom.pipeline.records").setLevel(logging.INFO)
    with Pipeline() as pipeline:
        Numbers(count=3) >> OddOnes()
    pipeline.run(artifacts_dir=tmp_path, logging_handlers=[Kept()])
    assert lines[-1] == "odd_ones_0: 3 in, 1 out, 2 rejected (2 even), 0 dead"


def test_a_flipped_byte_in_any_artefact_is_found_and_named(tmp_path):
    log = tmp_path / "log"
    done = slow_pipeline(log).run(artifacts_dir=tmp_path, run_id="r", rows_per_shard=6)
    artefacts = sorted(p for p in done.folder.rglob("*") if p.is_file() and p.name != ".lock")
    assert len(artefacts) > 20
    for path in artefacts:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            found = verify(done.folder)
            assert any(str(path.relative_to(done.folder)) in line for line in found), (path, place)
        path.write_bytes(whole)
    assert verify(done.folder) == []
    (done.folder / "odd_ones_0/rows-00002.parquet").unlink()
    assert any("odd_ones_0/rows-00002.parquet" in line for line in verify(done.folder))


KILLED = """
import sys
sys.path.insert(0, {here!r})
from small_steps import *
from stillroom.pipeline.records import Pipeline

with Pipeline("killed") as pipeline:
    numbers = Numbers(count=240, period=40)
    numbers >> Times() >> First() >> Twice() >> Total(name="first")
    slow = Slow(log={log!r}, sleep_s=0.001, input_batch_size=5)
    numbers >> slow >> OddOnes() >> Total(name="total")
pipeline.run(artifacts_dir={folder!r}, run_id="r", rows_per_shard=40)
"""


def test_killed_at_any_moment_a_run_goes_on_to_the_same_bytes(tmp_path):
    here = str(Path(__file__).parent)
    undisturbed = KILLED.format(here=here, log=str(tmp_path / "a"), folder=str(tmp_path / "one"))
    subprocess.run([sys.executable, "-c", undisturbed], check=True)
    code = KILLED.format(here=here, log=str(tmp_path / "b"), folder=str(tmp_path / "two"))
    kills = 0
    while kills < 6:
        child = subprocess.Popen([sys.executable, "-c", code])
        seen = len(worked_on(tmp_path / "b"))
        while child.poll() is None and len(worked_on(tmp_path / "b")) < seen + 37:
            time.sleep(0.002)
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        kills += 1
    assert kills >= 5
    subprocess.run([sys.executable, "-c", code], check=True)
    assert compare(tmp_path / "one/r", tmp_path / "two/r") == []
    assert verify(tmp_path / "two/r") == []
    assert not list((tmp_path / "two").rglob("*.tmp-*"))
