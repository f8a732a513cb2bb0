"""From a pilot to the price of all rows: the interval holds as often as it says."""

import random

import pytest
from stillroom.errors import ConfigError, EmptyDataError
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.reports.pilot_price import PilotRow, estimate_from_pilot, pilot_rows


def estimate(pilot, rows, **fields):
    return estimate_from_pilot(pilot, rows, **fields)


@pytest.mark.parametrize("spread", ["normal", "skewed"])
def test_the_interval_holds_the_real_cost_as_often_as_it_says(spread):
    chance = random.Random(0)
    held = {0.8: 0, 0.95: 0}
    trials, rows = 400, 600
    for _ in range(trials):
        made = [
            max(1, round(chance.gauss(200, 40)))
            if spread == "normal"
            else round(chance.lognormvariate(5, 0.5))
            for _ in range(rows)
        ]
        real = sum(made) * 2 / 1e6
        for confidence in held:
            told = estimate(
                [PilotRow(0, n) for n in made[:40]], rows, prices=Prices(0, 2.0),
                confidence=confidence,
            )  # fmt: skip
            low, high = told.cost_interval
            held[confidence] += low <= real <= high
    for confidence, times in held.items():
        assert abs(times / trials - confidence) < 0.05, (confidence, times / trials)


def test_a_pilot_of_all_rows_is_exact():
    told = estimate([PilotRow(10, 1), PilotRow(30, 5)], 2, prices=Prices(1e6, 1e6))
    assert (told.cost, told.cost_interval) == (46, (46, 46))
    assert (told.prompt_tokens, told.completion_tokens) == (40, 6)


def test_a_batch_endpoint_halves_the_price_and_one_row_has_no_interval():
    told = estimate([PilotRow(10, 5)], 100, prices=Prices(1e6, 1e6), price_factor=0.5)
    assert (told.cost, told.cost_interval, told.seconds) == (750, None, None)
    assert str(told) == "100 rows, from a pilot of 1: 1,500 tokens, cost 750"


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"concurrency": 1}, 2000),
        ({"concurrency": 10}, 200),
        ({"concurrency": 10**6}, 2),  # all at once: the time of one call
        ({"concurrency": 10, "requests_per_minute": 60}, 1000),
        ({"concurrency": 10, "tokens_per_minute": 600}, 3000),
    ],
)
def test_the_time_is_that_of_the_slots_or_of_the_tightest_limit(settings, seconds):
    pilot = [PilotRow(20, 10)] * 20
    told = estimate(pilot, 1000, settings=LabelSettings(**settings), call_seconds=[2.0] * 20)
    low, high = told.seconds_interval
    assert told.seconds == pytest.approx(seconds)
    assert low <= told.seconds <= high


def test_tokens_are_read_from_the_records_of_the_step():
    statistics = {"input_tokens": [10, 10], "output_tokens": [3, 4]}
    records = [
        {"metadata": {"statistics_teacher": statistics, "statistics_judge": statistics}},
        {"id": 3},
    ]
    assert pilot_rows(records, "teacher") == [PilotRow(20, 7)]


def test_a_pilot_that_tells_nothing_is_refused():
    with pytest.raises(EmptyDataError, match="no answered rows"):
        estimate([], 10)
    with pytest.raises(ConfigError, match="rows is 1"):
        estimate([PilotRow(1, 1)] * 2, 1)
