"""The report steps in runs of a whole pipeline, with a scripted model."""

from __future__ import annotations

import json

import pytest
from stillroom.errors import PipelineError
from stillroom.labeling.gates.quality_gate import QualityGate
from stillroom.pipeline.records import (
    AddSampleId,
    FilterByBool,
    LoadDataFromDicts,
    MarkTime,
    Pipeline,
    RuleFilter,
    ScriptedLLM,
    TextGeneration,
    WriteCostReport,
    WriteDataset,
    WriteManifest,
    WriteQualityReport,
    WriteTimingReport,
)
from stillroom.pipeline.records.replay import compare, verify

LABELS = ["raw", "teacher", "selected"]


def answer(question):
    number = int(question.split()[-1])
    return "no" if number % 10 == 0 else f"It is {number}."


@pytest.fixture(autouse=True)
def _no_run_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTDISTILL_RUN_ID", raising=False)
    monkeypatch.chdir(tmp_path)


def make_pipeline(cache, records=30):
    data = [{"task_id": f"t{i}", "instruction": f"Say number {i}"} for i in range(records)]
    with Pipeline("numbers", cache_dir=cache) as pipeline:
        load = LoadDataFromDicts(data=data)
        raw = MarkTime(label="raw")
        teacher = TextGeneration(llm=ScriptedLLM(replies=answer), name="teacher")
        last = MarkTime(label="selected")
        (
            load
            >> raw
            >> AddSampleId(fields=["instruction"])
            >> WriteManifest(stage="canonical")
            >> teacher
            >> MarkTime(label="teacher")
            >> RuleFilter(min_chars=5)
            >> WriteQualityReport(stage="filtered", prices={"prompt": 1.0, "completion": 2.0})
            >> FilterByBool()
            >> last
            >> [
                WriteManifest(stage="distilled"),
                WriteTimingReport(ordered_labels=LABELS),
                WriteCostReport(prices={"prompt": 1e3, "completion": 1e4}, currency="EUR"),
                WriteDataset(form="messages"),
                WriteDataset(form="alpaca"),
            ]
        )
    return pipeline


def run(tmp_path, name, **settings):
    pipeline = make_pipeline(tmp_path / "cache")
    pipeline.run(run_id=name, artifacts_dir=tmp_path, rows_per_shard=7, **settings)
    return tmp_path / name


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_all_reports_of_a_run_agree(tmp_path):
    folder = run(tmp_path, "r1")
    manifest = read(folder / "distilled" / "manifest.json")
    assert (manifest["count"], manifest["sample_id_version"]) == (27, "v1")
    assert [shard["count"] for shard in manifest["shards"]] == [6, 6, 6, 7, 2]
    assert all((folder / "distilled" / s["file"]).is_file() for s in manifest["shards"])
    (before,) = manifest["inputs"]
    assert before["manifest"] == "../canonical/manifest.json"
    quality = read(folder / "filtered" / "quality_report.json")
    assert (quality["kept"], quality["total"]) == (27, 30)
    assert quality["reject_reason_counts"] == {"ok": 27, "too_short": 3}
    timing = read(folder / "timing_report.json")
    assert timing["total"]["count"] == 27
    assert timing["teacher_tokens_per_sec"] > 0
    cost = read(folder / "cost_report.json")
    assert (cost["records"], cost["kept"]) == (30, 27), "rejected records were paid for as well"
    assert (cost["tokens_in"], cost["tokens_out"]) == (90, 84)
    assert cost["tokens_in"] == quality["tokens_in"]
    assert cost["per_kept_record"]["cost"] == pytest.approx((0.09 + 0.84) / 27)
    split = read(folder / "exports" / "messages" / "split.json")
    assert sum(split["counts"].values()) == 27
    assert verify(folder) == []


def test_two_runs_differ_in_times_alone(tmp_path):
    first = run(tmp_path, "r1")
    second = run(tmp_path, "r2")
    assert compare(first, second) == []


def test_a_gate_reads_the_report(tmp_path):
    gate = QualityGate(min_total=50)
    with pytest.raises(PipelineError, match="Teacher eval gate failed: total 30 < min_total 50"):
        run(tmp_path, "r1", gate=gate, gate_stage="filtered")


def test_no_records_give_whole_reports(tmp_path):
    # contracts.md 10, row 20.
    pipeline = make_pipeline(tmp_path / "cache", records=0)
    pipeline.run(run_id="r0", artifacts_dir=tmp_path)
    folder = tmp_path / "r0"
    assert read(folder / "distilled" / "manifest.json")["count"] == 0
    assert read(folder / "filtered" / "quality_report.json")["p_keep"] is None
    assert read(folder / "timing_report.json")["total"] is None
    assert read(folder / "cost_report.json")["cost"] is None
    assert read(folder / "exports" / "alpaca" / "train.json") == []
