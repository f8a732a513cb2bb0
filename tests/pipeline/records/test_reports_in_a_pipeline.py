"""The report steps in runs of a whole pipeline, with a scripted model."""

from __future__ import annotations

import json
import shutil

import pytest
from stillroom.errors import PipelineError
from stillroom.files import file_sha256
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


def test_fields_of_the_users_own_records_are_compared_whatever_their_names(tmp_path):
    def compared(**changed):
        folders = []
        for name, more in (("one", {}), ("other", changed)):
            row = {"created_at": "1901", "duration_s": 3, "durations": [1], "cached": True} | more
            with Pipeline("films") as pipeline:
                load = LoadDataFromDicts(data=[row, {**row, "short": False}])
                (
                    load
                    >> MarkTime(label="raw", output_mappings={"timing": "marks"})
                    >> RuleFilter(text_field="created_at", min_chars=4)
                    >> FilterByBool()
                )
            folders.append(tmp_path / str(changed) / name)
            pipeline.run(artifacts_dir=folders[-1], run_id="r")
        return compare(*(folder / "r" for folder in folders))

    assert compared() == []
    for name, value in {"created_at": "1902", "duration_s": 4, "durations": [2], "cached": 0,
                        "timing": {"raw": 1}}.items():  # fmt: skip
        assert any(f".{name}" in line for line in compared(**{name: value})), name
    assert compared(created_at="19"), "a lost record is compared as well"


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


def test_a_run_has_a_page_that_shows_where_records_were_lost(tmp_path):
    folder = run(tmp_path, "r1")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "27 of 30 records came through" in text
    assert "30 in · 27 out · 3 rejected" in text
    assert "<b>too_short</b> Say number 0 → no" in text
    assert "Say number 1 → It is 1." in text
    assert 'href="filtered/quality_report.json"' in text
    page = read(folder / "run.json")["page"]
    assert page == {"file": "report.html", "sha256": file_sha256(folder / "report.html")}
    make_pipeline(tmp_path / "cache").run(run_id="r1", artifacts_dir=tmp_path, rows_per_shard=7)
    assert read(folder / "run.json")["page"] == page, "the same artefacts give the same page"


def test_a_run_that_failed_has_a_page_too(tmp_path):
    with pytest.raises(PipelineError):
        run(tmp_path, "r1", gate=QualityGate(min_total=50))
    text = (tmp_path / "r1" / "report.html").read_text(encoding="utf-8")
    assert "This run failed before its last step" in text


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_the_page_is_readable_at_any_width(width, scheme, tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    page_file = run(tmp_path, "r1") / "report.html"
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        wrong, asked = [], []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.locator("details").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("details dl").first.is_visible()
        dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert dark == (scheme == "dark")
        browser.close()
    assert (wrong, asked) == ([], [page_file.as_uri()])
