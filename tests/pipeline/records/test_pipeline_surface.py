"""A pipeline in files, its pictures, its pilot and gate, and the set of rows that it gives."""

import json
import logging
import os
import signal
import threading
import time

import pytest
import yaml
from small_steps import Numbers, OddOnes, Slow, Times, Total
from stillroom.errors import (
    ConfigError,
    DataNotFoundError,
    LabelingStoppedError,
    PipelineError,
)
from stillroom.labeling.gates.quality_gate import QualityGate
from stillroom.pipeline.records import (
    Distiset,
    LoadDataFromDicts,
    ObserverStep,
    Pipeline,
    RowStep,
    ScriptedLLM,
    TextGeneration,
    WriteDataset,
    WriteManifest,
)  # fmt: skip
from stillroom.pipeline.records.replay import verify


def made():
    with Pipeline("files", "for the test") as pipeline:
        numbers = Numbers(count=6)
        numbers >> Times(factor=3, name="times") >> [OddOnes(), Total()]
    return pipeline


def train(distiset, name="default"):
    return list(distiset[name]["train"])


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_a_dump_is_read_back_as_the_same_pipeline(ending, tmp_path):
    file = tmp_path / f"pipeline.{ending}"
    write = yaml.safe_dump if ending == "yaml" else json.dumps
    file.write_text(write(made().dump()))
    again = Pipeline.from_file(file)
    assert again.dump() == made().dump()
    assert (again.name, again.description) == ("files", "for the test")
    assert train(again.run(artifacts_dir=tmp_path / "a")) == train(
        made().run(artifacts_dir=tmp_path / "b")
    )


def test_the_data_of_a_source_is_in_a_dump_and_not_in_every_run(tmp_path):
    data = [{"n": n} for n in range(1000)]
    with Pipeline() as pipeline:
        LoadDataFromDicts(data=data, name="load") >> Times()
    assert pipeline.dump()["pipeline"]["steps"][0]["step"]["data"] == data
    done = pipeline.run(artifacts_dir=tmp_path)
    run = json.loads((done.folder / "run.json").read_text())
    told = run["definition"]["pipeline"]["steps"][0]["step"]["data"]
    assert told == {"$entries": 1000}


def test_a_dump_holds_no_secret():
    class Asks(RowStep):
        api_key: str = ""
        options: dict

        def apply(self, record):
            return record

    with Pipeline() as pipeline:
        Numbers() >> Asks(api_key="sk-123", options={"token": "sk-123", "top": 1})
    dumped = json.dumps(pipeline.dump())
    assert "sk-123" not in dumped
    assert '"top": 1' in dumped


def test_a_file_that_is_not_there_or_holds_no_pipeline(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        Pipeline.from_yaml(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("run: {}")
    with pytest.raises(ConfigError, match="holds no pipeline"):
        Pipeline.from_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", ["p.mmd", "p.md", "p.svg", "p.png"])
def test_the_graph_is_drawn(name, tmp_path):
    path = made().draw(tmp_path / name)
    assert path.stat().st_size > 100
    if name == "p.mmd":
        assert "times --> odd_ones_0" in path.read_text()
    with pytest.raises(ConfigError, match=r"'\.gif'"):
        made().draw(tmp_path / "p.gif")


def test_steps_with_one_name_are_refused():
    with Pipeline() as pipeline:
        Times(name="a")
        with pytest.raises(ConfigError, match="two steps have the name 'A'"):
            Times(name="A")
        with pytest.raises(ConfigError, match=r"step name '\.\./x'"):
            Times(name="../x")
    assert list(pipeline.steps) == ["a"]


def test_the_data_may_be_given_to_the_run(tmp_path):
    pandas = pytest.importorskip("pandas")
    with Pipeline() as pipeline:
        Times()
    data = [{"n": 1, "a": None}, {"n": 2, "b": "x"}]
    assert train(pipeline.run(dataset=data, artifacts_dir=tmp_path)) == [
        {"n": 1, "a": None, "times": 2}, {"n": 2, "b": "x", "times": 4}
    ]  # fmt: skip
    frame = pandas.DataFrame({"n": [1, 2], "x": [0.5, None], "t": ["a", None]})
    done = pipeline.run(dataset=frame, artifacts_dir=tmp_path)
    assert train(done) == [
        {"n": 1, "x": 0.5, "t": "a", "times": 2}, {"n": 2, "x": None, "t": None, "times": 4}
    ]  # fmt: skip
    done = pipeline.run(dataset=({"n": n} for n in range(3)), artifacts_dir=tmp_path, pilot=1)
    assert [row["times"] for row in train(done)] == [0, 2, 4]
    with pytest.raises(ConfigError, match="makes its records itself"):
        made().run(dataset=data, artifacts_dir=tmp_path)


def test_storage_parameters_name_a_folder_of_this_machine(tmp_path):
    done = made().run(storage_parameters={"path": f"file://{tmp_path}/there"})
    assert done.folder.parent == tmp_path / "there"
    with pytest.raises(ConfigError, match="storage_parameters"):
        made().run(storage_parameters={"path": "s3://bucket"})


class Report(ObserverStep):
    stage: str = "teacher_eval"

    def start(self, context):
        self._context, self._count = context, 0

    def observe(self, rows):
        self._count += len(rows)

    def finish(self):
        path = self._context.folder / self.stage / "quality_report.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"stage": self.stage, "total": self._count}))
        return [path]


def gated(log):
    with Pipeline("gated") as pipeline:
        Numbers(count=20) >> Slow(log=str(log)) >> Report() >> Times()
    return pipeline


def test_a_pilot_runs_first_and_shows_what_comes_of_it(tmp_path, caplog):
    caplog.set_level(logging.INFO, "stillroom.pipeline")
    log = tmp_path / "log"
    done = gated(log).run(
        artifacts_dir=tmp_path, pilot=4, gate=QualityGate(min_total=4), gate_stage="teacher_eval"
    )
    assert [int(line) for line in log.read_text().split()] == [*range(4), *range(20)]
    assert len(train(done)) == 20
    shown = [
        r.getMessage() for r in caplog.records if r.getMessage().startswith("pilot: times_0: ")
    ]
    assert len(shown) == 4
    assert verify(done.folder) == []


def priced():
    with Pipeline("priced") as pipeline:
        numbers = Numbers(count=400)
        gateway = {"prices": {"prompt": 1.0, "completion": 2.0}}
        llm = ScriptedLLM(replies=lambda asked: "three words here", gateway=gateway)
        numbers >> TextGeneration(llm=llm, template="{{ text }}", columns="text", name="teacher")
    return pipeline


def test_a_pilot_tells_the_price_of_all_rows_and_asks_whether_to_go_on(tmp_path):
    reports = []

    def refuse(report):
        reports.append(report)
        return False

    with pytest.raises(KeyboardInterrupt, match="not wanted after its pilot"):
        priced().run(artifacts_dir=tmp_path, pilot=20, on_pilot=refuse)
    (report,) = reports
    assert (report.rows, report.source_rows, len(report.records["teacher"])) == (20, 400, 10)
    estimate = report.estimates["teacher"]
    assert (estimate.rows, estimate.completion_tokens) == (400, pytest.approx(1200))
    assert estimate.cost == pytest.approx((400 * 2 + 1200 * 2) / 1e6)  # "row 7" and its answer
    assert any("teacher: 400 rows, from a pilot of 20" in line for line in report.lines())
    done = priced().run(artifacts_dir=tmp_path, pilot=20, on_pilot=lambda report: True)
    assert len(train(done)) == 400


def test_a_gate_that_the_pilot_does_not_pass_ends_the_run_before_the_full_spend(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(PipelineError, match=r"^Teacher eval gate failed: total 4 < min_total 5$"):
        gated(log).run(artifacts_dir=tmp_path, pilot=4, gate=QualityGate(min_total=5))
    assert len(log.read_text().split()) == 4


def test_a_gate_whose_report_is_missing_is_not_passed(tmp_path):
    with pytest.raises(PipelineError, match="missing quality report of stage 'judge'"):
        gated(tmp_path / "log").run(
            artifacts_dir=tmp_path, gate=QualityGate(min_total=1), gate_stage="judge"
        )


def test_a_teacher_that_stops_leaves_what_it_has_answered(tmp_path):
    class Teacher(RowStep):
        budget: int = 10
        is_costly = True
        unhashed = RowStep.unhashed | {"budget"}

        def apply(self, record):
            if record["n"] >= self.budget:
                raise LabelingStoppedError("the budget is used up")
            return record

    with Pipeline("teacher") as pipeline:
        Numbers(count=20) >> (teacher := Teacher(input_batch_size=4)) >> Times()
    with pytest.raises(LabelingStoppedError, match="budget"):
        pipeline.run(artifacts_dir=tmp_path)
    partial = pipeline.run(artifacts_dir=tmp_path, finish=True)
    assert [row["n"] for row in train(partial)] == list(range(8))
    assert partial.partial
    assert partial.accounting["teacher_0"]["waiting"] == 12
    assert verify(partial.folder) == []
    teacher.budget = 100
    whole = pipeline.run(artifacts_dir=tmp_path)
    assert (whole.run_id, len(train(whole))) == (partial.run_id, 20)


def test_the_rows_of_a_run_are_a_sequence(tmp_path):
    rows = made().run(artifacts_dir=tmp_path, rows_per_shard=2)["default"]["train"]
    assert (len(rows), rows[-1]["n"], [r["n"] for r in rows[:2]]) == (3, 5, [1, 3])
    assert rows.column_names == ["n", "twin", "text", "times"]
    with pytest.raises(IndexError):
        rows[3]


def test_a_distiset_is_saved_loaded_and_split(tmp_path):
    done = made().run(artifacts_dir=tmp_path)
    done.save_to_disk(tmp_path / "saved")
    again = Distiset.load_from_disk(tmp_path / "saved")
    assert train(again) == train(done)
    assert again.accounting == done.accounting
    with pytest.raises(ConfigError, match="not empty"):
        done.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataNotFoundError):
        Distiset.load_from_disk(tmp_path)
    split = Distiset({"default": {"train": [{"n": n} for n in range(10)]}}).train_test_split(0.8)
    parts = {name: [r["n"] for r in part] for name, part in split["default"].items()}
    assert {name: len(part) for name, part in parts.items()} == {"train": 8, "test": 2}
    assert sorted(parts["train"] + parts["test"]) == list(range(10))
    with pytest.raises(ConfigError, match="train_size"):
        split.train_test_split(1)


def test_ctrl_c_and_finish_leave_a_valid_export_that_is_marked_as_partial(tmp_path):
    asked = []

    def slowly(question):
        asked.append(question)
        time.sleep(0.01)
        return f"answer to {question}"

    def built():
        with Pipeline("export", cache_dir=tmp_path / "cache") as pipeline:
            llm = ScriptedLLM(replies=slowly, gateway={"max_concurrency": 1})
            teacher = TextGeneration(
                llm=llm, template="{{ text }}", columns="text", input_batch_size=5, name="teacher"
            )
            export = WriteDataset(
                form="alpaca", prompt_template="{{ text }}", sample_id_field="text", name="export"
            )
            Numbers(count=60) >> teacher >> [export, WriteManifest(stage="distilled")]
        return pipeline

    def interrupt():
        while len(asked) < 18:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        built().run(artifacts_dir=tmp_path)
    before = len(asked)
    done = built().run(artifacts_dir=tmp_path, finish=True)
    assert len(asked) == before
    answered = len(train(done))
    assert 15 <= answered < 60
    exported = [
        line for path in (done.folder / "exports/alpaca").glob("*.json")
        if isinstance(lines := json.loads(path.read_text()), list) for line in lines
    ]  # fmt: skip
    assert sorted(line["output"] for line in exported) == sorted(
        f"answer to row {n}" for n in range(answered)
    )
    manifest = json.loads((done.folder / "distilled/manifest.json").read_text())
    assert (manifest["count"], manifest["partial"]) == (answered, True)
    assert verify(done.folder) == []
    whole = built().run(artifacts_dir=tmp_path)
    assert (len(train(whole)), len(asked)) == (60, 60)
