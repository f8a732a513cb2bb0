from __future__ import annotations

import json

import pytest
from stillroom.data.identity.sample_ids import identified
from stillroom.errors import ConfigError
from stillroom.pipeline import records
from stillroom.pipeline.records import WriteMlxDataset
from stillroom.pipeline.records.report_steps.agreement_reports import WriteScoreAgreementReport
from stillroom.pipeline.records.report_steps.manifests import WriteManifest
from stillroom.pipeline.records.report_steps.quality_reports import WriteQualityReport
from stillroom.pipeline.records.report_steps.timing_reports import MarkTime, WriteTimingReport
from stillroom.pipeline.records.step import RunContext

RECORDS = [{"sample_id": "a", "keep": True}, {"sample_id": "b", "keep": False}]


@pytest.fixture(autouse=True)
def _no_run_of_the_environment(monkeypatch):
    monkeypatch.delenv("FASTDISTILL_RUN_ID", raising=False)


def test_a_step_alone_writes_its_report_and_passes_its_records(tmp_path):
    step = WriteManifest(output_dir=str(tmp_path), stage="raw", run_id="r1")
    step.load()
    assert list(step.process(RECORDS)) == [RECORDS]
    step.unload()
    found = json.loads((tmp_path / "raw" / "manifest.json").read_text())
    assert list(found)[:4] == ["run_id", "stage", "count", "field_hash"]
    assert (found["run_id"], found["stage"], found["count"]) == ("r1", "raw", 2)
    assert (found["schema_version"], found["shards"], found["inputs"]) == (1, [], [])
    assert found["created_at"].endswith("+00:00")


@pytest.mark.parametrize("kind", [WriteManifest, WriteQualityReport])
def test_a_report_of_another_run_is_not_replaced(kind, tmp_path):
    # contracts.md 10, row 12: in the peer the second run overwrites the first.
    first = kind(output_dir=str(tmp_path), run_id="r1")
    list(first.process(RECORDS))
    (written,) = tmp_path.rglob("*.json")
    before = written.read_bytes()
    with pytest.raises(ConfigError, match="belongs to run 'r1', this is run 'r2'"):
        list(kind(output_dir=str(tmp_path), run_id="r2").process(RECORDS))
    assert written.read_bytes() == before
    list(first.process(RECORDS[:1]))  # the same run may
    assert written.read_bytes() != before


def test_in_a_pipeline_the_report_lies_in_the_folder_of_the_run(tmp_path):
    context = RunContext(run_id="r1", folder=tmp_path / "r1", stage="keep_by_score_0", partial=True)
    step = WriteQualityReport(stage="filtered")
    step.start(context)
    step.observe(RECORDS)
    (path,) = step.finish()
    assert path == tmp_path / "r1" / "filtered" / "quality_report.json"
    found = json.loads(path.read_text())
    assert (found["run_id"], found["kept"], found["partial"]) == ("r1", 1, True)


def test_the_run_is_named_by_the_step_else_the_pipeline_else_the_environment(monkeypatch):
    monkeypatch.setenv("FASTDISTILL_RUN_ID", "of-environment")
    monkeypatch.setenv("OWN", "own-variable")
    inside = RunContext(run_id="of-pipeline")

    def named(context=None, **settings):
        step = WriteManifest(**settings)
        step._context = context or RunContext()
        return step.named_run

    assert named() == "of-environment"
    assert named(inside) == "of-pipeline"
    assert named(inside, run_id_env="OWN") == "own-variable"
    assert named(inside, run_id="given") == "given"


def test_without_a_folder_a_step_is_refused():
    with pytest.raises(ConfigError, match=r"WriteManifest requires output_dir to be set\."):
        WriteManifest(output_dir="")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_definition_of_the_ids_is_found_and_stored(version, tmp_path):
    # contracts.md 10, row 13.
    source = {"task_id": "t-1", "instruction": "Count.", "schema": None, "decode_profile": {"n": 1}}
    record = identified(source, ["instruction"], version)
    list(WriteManifest(output_dir=str(tmp_path)).process([record]))
    (path,) = tmp_path.rglob("manifest.json")
    assert json.loads(path.read_text())["sample_id_version"] == version


def test_mapped_columns_are_read_and_the_report_is_about_the_records_as_they_are(tmp_path):
    step = WriteManifest(output_dir=str(tmp_path), input_mappings={"sample_id": "id"})
    list(step.process([{"id": "x"}]))
    (path,) = tmp_path.rglob("manifest.json")
    found = json.loads(path.read_text())
    assert (found["columns"], found["min_sample_id"]) == (["id"], "x")


def test_zero_records_give_whole_reports(tmp_path):
    # contracts.md 10, row 20.
    for step in (WriteManifest(output_dir=str(tmp_path)),
                 WriteQualityReport(output_dir=str(tmp_path))):  # fmt: skip
        assert list(step.process([])) == [[]]
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_prices_from_a_file_are_checked(tmp_path):
    used = {"statistics_ask": {"input_tokens": [1000], "output_tokens": [100]}}
    step = WriteQualityReport(output_dir=str(tmp_path), prices={"prompt": 1.0, "completion": 10.0})
    list(step.process([{"metadata": used}]))
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_text())["cost"] == pytest.approx(0.002)
    for wrong, told in (({"promt": 1}, "'prompt'"), ({"prompt": -1}, "allowed is 0 or more")):
        with pytest.raises(ConfigError, match=told):
            WriteQualityReport(prices=wrong)


def test_marks_are_the_same_for_a_batch_and_add_up_to_a_timing_report(tmp_path, monkeypatch):
    clock = iter([100.0, 103.0, 110.0])
    monkeypatch.setattr("time.time", lambda: next(clock))
    used = {"statistics_ask": {"input_tokens": [5], "output_tokens": [30]}}
    records = [{"q": "a", "metadata": used}, {"q": "b", "metadata": used}]
    labels = ["raw", "teacher", "selected"]
    for label in labels:
        (records,) = MarkTime(label=label).process(records)
    assert records[1]["timing"] == {"raw": 100.0, "teacher": 103.0, "selected": 110.0}
    step = WriteTimingReport(output_dir=str(tmp_path), ordered_labels=labels)
    list(step.process(records))
    found = json.loads((tmp_path / "timing_report.json").read_text())
    assert found["durations"]["raw__to__teacher"]["p95"] == 3.0
    assert (found["total"]["mean"], found["busy_s"]) == (10.0, {"teacher": 3.0, "selected": 7.0})
    assert found["teacher_tokens_per_sec"] == 20.0
    assert found["pipeline_kept_samples_per_hour"] == 720.0


def test_a_mark_needs_a_label_and_a_column_of_its_own():
    with pytest.raises(ConfigError, match="MarkTime requires label"):
        MarkTime(label="")
    output = MarkTime(label="raw").run_rows([{"timing": 3}, {"timing": None}])
    assert [loss.place for loss in output.dead] == [0]
    assert list(output.records[0]["timing"]) == ["raw"]


def test_scores_are_compared_over_the_whole_stage(tmp_path):
    step = WriteScoreAgreementReport(output_dir=str(tmp_path), run_id="r1", pass_threshold=0.5)
    teacher, student = [1, 0.5, 0, 0.5, None], [0.9, 0.5, 0.2, 0, 1]
    pairs = zip(teacher, student, strict=True)
    list(step.process([{"teacher_score": a, "student_score": b} for a, b in pairs]))
    found = json.loads((tmp_path / "score_agreement" / "score_agreement.json").read_text())
    assert (found["run_id"], found["stage"]) == ("r1", "score_agreement")
    assert (found["total"], found["matched"], found["agreement_at_0.2"]) == (5, 4, 0.75)
    assert found["pass_agreement"] == 0.75


MANIFEST = {"output_dir": "artifacts/manifests", "stage": "stage", "run_id": None,
            "run_id_env": "FASTDISTILL_RUN_ID"}  # fmt: skip
REPORT = {**MANIFEST, "output_dir": "artifacts/reports"}
QUALITY = ("reject_reason", "exec_pass", "exec_error", "gold_match", "judge_score", "keep",
           "selected")  # fmt: skip
NO_STAGE = {name: value for name, value in REPORT.items() if name != "stage"}


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        (WriteManifest(), {**MANIFEST, "sample_id_field": "sample_id"}),
        (WriteQualityReport(), {**REPORT, **{f"{name}_field": name for name in QUALITY}}),
        (MarkTime(label="raw"), {"label": "raw", "timing_field": "timing"}),
        (WriteTimingReport(ordered_labels=["a"]),
         {**NO_STAGE, "report_name": "timing_report.json", "ordered_labels": ["a"],
          "timing_field": "timing"}),
        (WriteScoreAgreementReport(),
         {**REPORT, "stage": "score_agreement", "teacher_score_field": "teacher_score",
          "student_score_field": "student_score", "agreement_epsilons": [0.0, 0.05, 0.1, 0.2],
          "pass_threshold": None}),
        (WriteMlxDataset(),
         {"output_dir": "artifacts/exports/mlx", "train_filename": "train.jsonl",
          "valid_filename": "valid.jsonl", "train_ratio": 0.9, "sample_id_field": "sample_id",
          "prompt_template": "Schema: {{ schema }}\nQuestion: {{ instruction }}\nSQL:",
          "assistant_field": "generation", "system_prompt": "Return SQL only.",
          "system_prompt_field": None, "metadata_fields": ["sample_id"]}),
    ],
)  # fmt: skip
def test_fields_and_defaults_are_those_that_users_type(step, fields):
    # interfaces.md 6.2
    assert {name: step.settings()[name] for name in fields} == fields
    assert type(step).__name__ in records.HOMES
    assert step.input_batch_size == 50


@pytest.mark.parametrize("kind", [MarkTime, WriteTimingReport])
def test_required_fields_are_required(kind):
    with pytest.raises(TypeError, match="missing 1 required"):
        kind()
