from __future__ import annotations

import pytest
from stillroom.labeling.batch.label_run import Prices
from stillroom.labeling.reports.cost import cost_report
from stillroom.labeling.reports.token_statistics import TokenSums, token_statistics


def sums(*records):
    found = TokenSums()
    for record in records:
        found.add({"metadata": {f"statistics_{step}": {"input_tokens": [i], "output_tokens": [o]}
                                for step, (i, o) in record.items()}})  # fmt: skip
    return found


def test_tokens_and_money_are_given_per_record_and_per_kept_record():
    tokens = sums({"ask": (100, 10)}, {"ask": (300, 30)}, {"ask": (0, 0), "judge": (600, 60)}, {})
    prices = {"ask": Prices(1.0, 10.0), "judge": Prices(2.0, 0.0)}
    found = cost_report(tokens, tokens.records, 2, prices, "EUR")
    assert (found["records"], found["kept"], found["currency"]) == (3, 2, "EUR")
    assert (found["tokens_in"], found["tokens_out"]) == (1000, 100)
    assert found["steps"]["ask"]["cost"] == pytest.approx((400 + 400) / 1e6)
    assert found["cost"] == pytest.approx(2000 / 1e6)
    assert found["per_kept_record"]["cost"] == pytest.approx(1000 / 1e6)
    assert found["per_thousand_kept_records"] == {
        "tokens_in": 500_000, "tokens_out": 50_000, "cost": pytest.approx(1.0)
    }  # fmt: skip
    assert found["per_record"]["tokens_in"] == pytest.approx(1000 / 3)
    assert found["per_thousand_records"]["cost"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("prices", [None, {"ask": Prices(1.0, 1.0)}])
def test_a_step_without_prices_makes_the_money_null_and_not_too_small(prices):
    found = cost_report(sums({"ask": (1, 1)}, {"judge": (1, 1)}), 2, 1, prices)
    assert found["cost"] is None
    assert found["per_record"] == {"tokens_in": 1.0, "tokens_out": 1.0, "cost": None}


@pytest.mark.parametrize("kept", [0, None])
def test_nothing_kept_has_no_price_per_kept_record(kept):
    found = cost_report(sums({"ask": (1, 1)}), 1, kept, Prices(1.0, 1.0))
    assert set(found["per_kept_record"].values()) == {None}
    empty = cost_report(TokenSums(), 0, kept, Prices(1.0, 1.0))
    assert (empty["cost"], empty["tokens_in"], empty["per_record"]["cost"]) == (None, None, None)


@pytest.mark.parametrize("column", ["metadata", "fastdistill_metadata", "distilabel_metadata"])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"statistics_a": {"input_tokens": [1, 2], "output_tokens": [3, 4]}}, [("a", 3, 7, 2)]),
        ([{"statistics_a": {"input_tokens": [1], "output_tokens": [3]}}] * 2, [("a", 2, 6, 2)]),
        ({"statistics_a": {"input_tokens": 5, "output_tokens": None}}, [("a", 5, 0, 1)]),
        ({"raw_output_a": "x", "statistics_b": "y", "statistics_c": {}}, []),
        ("text", []),
    ],
)
def test_statistics_are_read_under_all_names_and_shapes(column, told, expected):
    assert list(token_statistics({column: told})) == expected


def test_the_same_step_under_two_names_counts_once():
    used = {"statistics_a": {"input_tokens": [1], "output_tokens": [1]}}
    other = {"statistics_b": {"input_tokens": [2], "output_tokens": [2]}}
    record = {"distilabel_metadata": {**used, **other}, "metadata": used}
    assert [(step, read) for step, read, *_ in token_statistics(record)] == [("a", 1), ("b", 2)]
