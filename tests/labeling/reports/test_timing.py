from __future__ import annotations

import random

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.reports import timing as module
from stillroom.labeling.reports.derived_metrics import (
    pipeline_kept_samples_per_hour,
    teacher_tokens_per_sec,
    train_tokens_per_sec,
)
from stillroom.labeling.reports.timing import Spans, TimingReport


def spans(pairs):
    found = Spans()
    for start, end in pairs:
        found.add(start, end)
    return found


def lengths(values):
    return spans([(0.0, float(value)) for value in values]).statistics()


@pytest.mark.parametrize(
    ("values", "p50", "p90", "p95"),
    [(range(10), 4, 8, 9), ([1, 2], 1, 2, 2), ([1, 2, 3, 4], 3, 4, 4), ([7], 7, 7, 7)],
)
def test_quantiles_are_those_of_the_contract(values, p50, p90, p95):
    found = lengths(values)
    assert (found["p50"], found["p90"], found["p95"]) == (p50, p90, p95)


def test_linear_quantiles_are_those_of_numpy():
    draw = random.Random(5)
    for size in (1, 2, 3, 10, 99):
        values = [draw.choice([draw.random(), 0.5]) for _ in range(size)]
        found = lengths(values)
        for name, q in (("p50", 50), ("p90", 90), ("p95", 95)):
            assert found[f"{name}_linear"] == pytest.approx(np.percentile(values, q), abs=1e-15)
        assert found["mean"] == pytest.approx(np.mean(values))
        assert (found["min"], found["max"]) == (min(values), max(values))


def test_spans_that_do_not_fit_into_memory_give_the_same_numbers(monkeypatch):
    draw = random.Random(5)
    pairs = [(start, start + draw.choice([0.5, draw.random()]))
             for start in (draw.uniform(0, 100) for _ in range(200))]  # fmt: skip
    wanted = spans(pairs)
    monkeypatch.setattr(module, "_MOST_SPANS", 3)
    found = spans(pairs[::-1])
    assert found.statistics() == wanted.statistics()
    assert found.covered() == wanted.covered()


@pytest.mark.parametrize(
    ("pairs", "covered"),
    [([], 0), ([(0, 2), (1, 3)], 3), ([(0, 9), (1, 2), (4, 5)], 9), ([(5, 6), (0, 1), (0, 1)], 2),
     ([(0, 1), (1, 2)], 2), ([(3, 3)], 0)],
)  # fmt: skip
def test_busy_time_is_the_union_of_the_spans(pairs, covered):
    assert spans(pairs).covered() == covered


def test_a_report_has_neighbouring_labels_and_the_whole():
    records = [{"timing": {"raw": 10.0, "teacher": 12.0, "done": 12.5}},
               {"timing": {"raw": 11.0, "teacher": 13.0, "done": 15.0, "other": 1.0}},
               {"timing": {"raw": 11.0}}, {"timing": None}, {}]  # fmt: skip
    report = TimingReport(["raw", "teacher", "done"])
    report.add(records)
    found = report.report()
    assert found["labels"] == ["raw", "teacher", "done"]
    assert list(found["durations"]) == ["raw__to__teacher", "teacher__to__done"]
    assert (found["total"]["count"], found["total"]["max"]) == (2, 4.0)
    assert found["busy_s"] == {"teacher": 3.0, "done": 2.5}
    assert found["wall_s"] == 5.0


@pytest.mark.parametrize("labels", [[], ["raw"]])
def test_fewer_than_two_labels_have_no_durations(labels):
    report = TimingReport(labels)
    report.add([{"timing": {"raw": 1.0}}])
    found = report.report()
    assert (found["durations"], found["total"], found["busy_s"]) == ({}, None, {})


def test_no_records_make_a_report_too():
    found = TimingReport(["a", "b"]).report()
    assert found["total"] is None
    assert found["durations"]["a__to__b"] == {
        "count": 0,
        **dict.fromkeys(
            ["min", "max", "mean", "p50", "p90", "p95", "p50_linear", "p90_linear", "p95_linear"]
        ),
    }


def test_times_may_be_iso_texts():
    report = TimingReport(["a", "b"])
    for marks in (("2026-01-23T17:37:24.5+00:00", "2026-01-23T18:37:25Z"),
                  ("2026-01-23T19:00:00+02:00", "2026-01-23T17:00:01")):  # fmt: skip
        report.add([{"timing": dict(zip("ab", marks, strict=True))}])
    assert report.report()["durations"]["a__to__b"]["max"] == 3600.5
    assert report.report()["durations"]["a__to__b"]["min"] == 1.0


def test_unknown_labels_and_negative_times_are_errors():
    report = TimingReport(["raw", "techer"])
    report.add([{"timing": {"raw": 1.0, "teacher": 2.0}}])
    with pytest.raises(ConfigError, match=r"'techer'.*nearest known label is 'teacher'"):
        report.report()
    with pytest.raises(DataError, match=r"'b' is 1\.000000 s before 'a' \(record 'r1'\)"):
        TimingReport(["a", "b"]).add([{"sample_id": "r1", "timing": {"a": 2.0, "b": 1.0}}])
    with pytest.raises(ConfigError, match="twice"):
        TimingReport(["a", "a"])


@pytest.mark.parametrize("wrong", [3, {"a": "soon"}, {"a": True}, {"a": float("nan")}, {"a": None}])
def test_what_is_no_time_is_an_error(wrong):
    with pytest.raises(DataError, match="row 1, column 'timing'"):
        TimingReport(["a", "b"]).add([{"timing": wrong}])


def test_rates_follow_from_tokens_and_seconds():
    assert teacher_tokens_per_sec(600, 30.0) == 20
    assert pipeline_kept_samples_per_hour(900, 3600.0) == 900
    found = train_tokens_per_sec(300, 1200, 60.0)
    assert (found["train_tokens_per_sec"], found["train_supervised_tokens_per_sec"]) == (20, 5)
    for nothing in (0.0, None):
        assert teacher_tokens_per_sec(600, nothing) is None
        assert pipeline_kept_samples_per_hour(900, nothing) is None
        assert train_tokens_per_sec(1, 2, nothing)["train_tokens_per_sec"] is None
