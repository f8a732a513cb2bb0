from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest
from stillroom.errors import DataError
from stillroom.labeling.batch.label_run import Prices
from stillroom.labeling.gates.quality_gate import QualityGate, evaluate_quality_gate
from stillroom.labeling.reports.quality import (
    MOST_MESSAGES,
    MOST_REASONS,
    OTHERS,
    QualityFields,
    QualityReport,
)
from stillroom.rate_interval import rate_with_interval


def quality(records, **settings):
    found = QualityReport(**settings)
    found.add(records)
    return found.report()


def test_a_report_on_nothing_has_no_rate():
    found = quality([])
    assert found["total"] == 0
    nothing = {"kept", "rejected", "p_keep", "exec_pass_rate", "gold_match_rate", "judge_score",
               "reject_reason_counts", "exec_error_counts", "p_keep_ci95"}  # fmt: skip
    assert {found[name] for name in nothing} == {None}


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        ([{"keep": True, "selected": False}, {"keep": False}, {}], 1),
        ([{}, {"keep": True}, {"keep": None}], 1),  # the column is in any record
        ([{"keep": "False"}, {"keep": "true"}, {"keep": 0}], 1),  # row 8: as tables write it
        ([{"selected": True, "reject_reason": "too_short"}, {"selected": False}], 1),
        ([{"reject_reason": reason} for reason in ("ok", "", None, "too_long")], 3),
        ([{"a": 1}], None),
    ],
)
def test_what_is_kept_follows_from_keep_else_selected_else_the_reasons(records, kept):
    found = quality(records)
    assert found["kept"] == kept
    assert found["rejected"] == (None if kept is None else len(records) - kept)
    assert found["p_keep"] == (None if kept is None else kept / len(records))


def test_a_flag_that_is_neither_is_an_error_that_names_record_and_column():
    with pytest.raises(DataError, match=r"row 2, column 'keep': is 'maybe'.*record 'r2'"):
        quality([{"keep": True}, {"keep": "maybe", "sample_id": "r2"}])


def test_rates_are_over_the_records_that_have_a_value():
    # contracts.md 10, rows 6 and 7: the first record lacks the column, others have null.
    records = [{}, {"exec_pass": None}, {"exec_pass": True}, {"exec_pass": False},
               {"exec_pass": True, "gold_match": False}]  # fmt: skip
    found = quality(records)
    assert (found["exec_pass_rate"], found["exec_evaluated"]) == (pytest.approx(2 / 3), 3)
    assert (found["gold_match_rate"], found["gold_evaluated"]) == (0.0, 1)


def test_matches_of_results_without_rows_can_be_told_apart():
    flags = [(True, True), (True, False), (True, None), (False, False), (None, False)]
    records = [{"gold_match": match, "empty_match": empty} for match, empty in flags]
    found = quality(records)
    assert (found["gold_match_rate"], found["gold_evaluated"]) == (0.75, 4)
    assert (found["proven_match_rate"], found["empty_matches"]) == (pytest.approx(2 / 3), 1)
    outside = binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert found["proven_match_ci95"] == pytest.approx([outside.low, outside.high])
    only_empty = quality(records[:1])
    assert (only_empty["gold_match_rate"], only_empty["proven_match_rate"]) == (1.0, None)
    assert quality([{"gold_match": True}])["proven_match_rate"] == 1.0


def test_rates_have_wilson_intervals():
    found = quality([{"keep": i < 8, "exec_pass": False} for i in range(10)])
    assert found["p_keep_ci95"] == pytest.approx([0.490162, 0.943318], abs=1e-6)
    assert found["exec_pass_ci95"] == pytest.approx([0, 0.277533], abs=1e-6)
    assert found["gold_match_ci95"] is None


@pytest.mark.parametrize(("kept", "total"), [(0, 1), (1, 1), (0, 10), (8, 10), (1000, 1000),
                                             (1, 10**6)])  # fmt: skip
def test_intervals_are_those_of_scipy(kept, total):
    outside = binomtest(kept, total).proportion_ci(0.95, method="wilson")
    found = rate_with_interval("p", kept, total)["p_ci95"]
    assert found == pytest.approx([outside.low, outside.high], abs=1e-12)
    assert 0 <= found[0] <= kept / total <= found[1] <= 1


def test_only_finite_numbers_are_scores_of_a_judge():
    # contracts.md 10, row 10: the peer counts true as 1, and NaN poisons its mean.
    values = [0.5, True, math.nan, math.inf, None, "0.9", 0, 0.25]
    found = quality([{"judge_score": value} for value in values])
    assert found["judge_score"] == {"min": 0.0, "max": 0.5, "mean": 0.25}
    assert (found["judge_evaluated"], found["not_finite"]) == (3, 2)


def test_nan_in_a_rate_or_mean_does_not_pass_a_gate():
    # contracts.md 10, rows 2 and 3.
    gate = QualityGate(min_exec_pass_rate=0.5, min_judge_score_mean=0.1)
    report = {"total": 1, "exec_pass_rate": math.nan, "judge_score": {"mean": math.nan}}
    assert evaluate_quality_gate(report, gate) == [
        "exec_pass_rate nan is not a finite number",
        "judge_score.mean nan is not a finite number",
    ]
    unjudged = quality([{"judge_score": math.nan, "exec_pass": True}])
    assert evaluate_quality_gate(unjudged, gate) == ["missing judge_score.mean"]
    failing = quality([{"exec_pass": False}])
    assert evaluate_quality_gate(failing, QualityGate(min_exec_pass_rate=0.0)) == []
    assert evaluate_quality_gate({}, QualityGate(min_exec_pass_rate=0.0)) != []


def test_reasons_and_errors_are_counted():
    records = [
        {"reject_reason": "ok", "exec_error": None},
        {"reject_reason": None, "exec_error": ""},
        {"reject_reason": "too_short", "exec_error": "sql_error: no such column: a"},
        {"reject_reason": "too_short", "exec_error": "sql_error: no such column: b"},
        {"exec_error": "timeout"},
    ]
    found = quality(records)
    assert found["reject_reason_counts"] == {"None": 2, "too_short": 2, "ok": 1}
    assert next(iter(found["reject_reason_counts"])) == "None", "equal counts by name"
    assert found["exec_error_counts"] == {"sql_error": 2, "timeout": 1}
    assert found["exec_error_messages"][1] == "sql_error: no such column: b"


def test_a_reason_for_every_record_does_not_grow_the_report():
    many = [{"reject_reason": f"r{i}", "exec_error": f"e{i}: {i}"} for i in range(3000)]
    found = quality(many)
    assert found["reject_reason_counts"][OTHERS] == 3000 - MOST_REASONS
    assert len(found["exec_error_messages"]) == MOST_MESSAGES
    assert sum(found["exec_error_counts"].values()) == 3000


def test_tokens_are_read_under_all_names_and_priced():
    def used(read, written):
        return {"statistics_ask": {"input_tokens": read, "output_tokens": written}}

    records = [{"metadata": used([10], [1])}, {"fastdistill_metadata": used([10, 10], [2, 3])},
               {"distilabel_metadata": used([5], [None])}, {"metadata": None}]  # fmt: skip
    found = quality(records, prices=Prices(prompt=1e6, completion=2e6), currency="EUR")
    assert (found["tokens_in"], found["tokens_out"]) == (35, 6)
    assert (found["cost"], found["currency"]) == (47.0, "EUR")
    assert quality([{}], prices=Prices(1.0, 1.0))["tokens_in"] is None


def test_columns_can_have_other_names():
    fields = QualityFields(keep="fine", judge_score="points")
    found = quality([{"fine": True, "keep": False, "points": 3}], fields=fields)
    assert (found["kept"], found["judge_score"]["mean"]) == (1, 3.0)


def test_batches_do_not_matter():
    records = [{"keep": i % 3 == 0, "judge_score": 0.1 * i} for i in range(100)]
    parts = QualityReport()
    for start in range(0, 100, 7):
        parts.add(records[start : start + 7])
    assert parts.report() == quality(records)
