from __future__ import annotations

from html.parser import HTMLParser

import pytest
from stillroom.labeling.reports.quality import QualityReport
from stillroom.labeling.reports.run_page import (
    MOST_SAMPLES,
    GateSamples,
    RunFacts,
    StepFlow,
    conclusion,
    run_page,
)
from stillroom.labeling.reports.score_agreement import score_agreement
from stillroom.labeling.reports.timing import TimingReport

HOSTILE = '<script>alert(1)</script> & "q" \ud800'
LOADS = {"src", "srcset", "background", "poster", "action", "data"}


class Page(HTMLParser):
    """Collects tags, links and texts; checks that elements are closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.texts, self.loads, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.links += [found["href"]] if "href" in found else []
        self.loads += [tag for name in found if name in LOADS]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def quality():
    found = QualityReport()
    found.add([{"keep": i < 8, "exec_pass": True, "judge_score": 0.5, "exec_error": "timeout",
                "reject_reason": "ok" if i < 8 else "too_short"} for i in range(10)])  # fmt: skip
    return {"stage": "filtered", **found.report()}


def facts(**given):
    timing = TimingReport(["raw", "teacher"])
    timing.add([{"timing": {"raw": 0.0, "teacher": 90.0}}])
    rates = {"teacher_tokens_per_sec": 12.5, "pipeline_kept_samples_per_hour": 712_700.4}
    shares = {"tokens_in": 3.0, "tokens_out": 1, "cost": 0.034}
    whole = {"tokens_in": 12000, "tokens_out": 300, "cost": 6.2, "currency": "EUR",
             **{f"per_{name}": shares for name in
                ("record", "kept_record", "thousand_records", "thousand_kept_records")},
             "steps": {"teacher": {**shares, "generations": 3}}}  # fmt: skip
    pairs = score_agreement([1, 0.5, 0.2], [1, 0.4, 0.3])
    usual = {
        "run_id": "r1", "pipeline": "sql", "status": "complete",
        "steps": [
            StepFlow("load", 0, 0, 10),
            StepFlow("filter", 10, 8, 8, {"too_short": 1}, {"not a <text>": 1}),
        ],
        "source_rows": 10, "kept_rows": 8, "quality": [quality()],
        "timing": {**timing.report(), **rates}, "cost": whole,
        "agreement": [{"stage": "score_agreement", **pairs}],
        "samples": [GateSamples("filter", [{"instruction": "Why?", "generation": "So."}],
                                [("low", {"instruction": "When?", "exec_error": "timeout"})])],
        "files": ["filtered/quality_report.json"],
    }  # fmt: skip
    return RunFacts(**{**usual, **given})


def test_the_conclusion_is_two_sentences():
    assert conclusion(facts()) == (
        "8 of 10 records came through (80.0 %, 95 % interval 49.0 % to 94.3 %); 1 rejected, 1 "
        "failed. The answers cost 6.20 EUR, 0.034 EUR per kept record; the records took 90 s from "
        "first mark to last; most were lost at filter, 1 of them for: not a <text>."
    )
    assert conclusion(facts(kept_rows=20)).startswith("20 records were made of 10; ")
    bare = RunFacts(run_id="r1", pipeline="p", status="partial")
    assert conclusion(bare) == (
        "This run was ended early and is only part of the data: 0 of 0 records came through; 0 "
        "rejected, 0 failed."
    )


def test_the_page_tells_all_parts_and_loads_nothing():
    page = Page(run_page(facts()))
    text = " ".join(" ".join(page.texts).split())
    for part in ("10 in · 8 out · 1 rejected · 1 failed", "1 × too_short", "failed: not a <text>",
                 "49.0 to 94.3 %, of 10", "Judge: mean 0.500", "raw to teacher", "90 s", "12.5",
                 "712,700", "per kept record", "6.20 EUR", "Why? → So.", "low, timeout When?",
                 "spearman", "replay . --verify"):  # fmt: skip
        assert part in text, part
    assert page.loads == []
    assert "script" not in page.tags
    assert [link for link in page.links if "://" in link or link.startswith("//")] == []
    assert "filtered/quality_report.json" in page.links
    assert "prefers-color-scheme: dark" in run_page(facts())


def test_texts_of_records_cannot_become_elements():
    record = {"instruction": HOSTILE, "generation": HOSTILE, HOSTILE: HOSTILE}
    page = run_page(
        facts(
            pipeline=HOSTILE, run_id=HOSTILE, files=[HOSTILE, '"onclick="x'],
            steps=[StepFlow(HOSTILE, 1, 0, 0, {HOSTILE: 1})],
            samples=[GateSamples(HOSTILE, [record], [(HOSTILE, record)])],
        )
    )  # fmt: skip
    assert "script" not in Page(page).tags
    page.encode("utf-8")


def test_a_run_without_anything_has_a_page_too():
    page = Page(run_page(RunFacts(run_id="r0", pipeline="p", status="failed")))
    assert any("failed before its last step" in text for text in page.texts)


def test_long_values_many_reasons_and_samples_are_cut():
    reasons = {f"reason {i}": 1 for i in range(50)}
    many = [("r", {"text": "x" * 10_000, "i": i}) for i in range(99)]
    text = run_page(
        facts(steps=[StepFlow("s", 50, 0, 0, reasons)], samples=[GateSamples("s", [], many)])
    )
    assert "42 × 42 other reasons" in text
    assert "(10,000 characters)" in text
    assert text.count("<details>") == MOST_SAMPLES
    assert len(text) < 50_000


@pytest.mark.parametrize(
    "missing", [{"quality": []}, {"timing": None}, {"cost": None}, {"agreement": []}]
)
def test_what_was_not_measured_has_no_section(missing):
    sections = Page(run_page(facts())).tags.count("h2")
    assert Page(run_page(facts(**missing))).tags.count("h2") == sections - 1


@pytest.mark.parametrize(
    ("cost", "shown"),
    [(0.0, "0.00 EUR"), (1234.5, "1,234.50 EUR"), (0.5, "0.50 EUR"), (0.0184, "0.018 EUR"),
     (0.0000184, "0.000018 EUR"), (0.1, "0.10 EUR")],
)  # fmt: skip
def test_small_amounts_are_written_out(cost, shown):
    whole = {**facts().cost, "cost": cost}
    assert f"The answers cost {shown}" in conclusion(facts(cost=whole))
