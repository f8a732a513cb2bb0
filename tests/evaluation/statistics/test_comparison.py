"""How often equal models are told apart, and models that differ are not."""

import json
import math

import numpy as np
import pytest
from stillroom.errors import ConfigError
from stillroom.evaluation.statistics.alignment import Outcome, Paired, align
from stillroom.evaluation.statistics.comparison import compare_by_category, compare_paired
from stillroom.evaluation.statistics.detectable_effect import (
    detectable_rate_difference,
    mcnemar_power,
    records_to_decide,
)
from stillroom.evaluation.statistics.paired_tests import mcnemar_exact

ROUNDS = 1000


def paired_of(candidate, baseline, sources=None, categories=None):
    count = len(candidate)
    return Paired(
        tuple(f"{n:06}" for n in range(count)),
        np.asarray(candidate, dtype=float),
        np.asarray(baseline, dtype=float),
        np.arange(count) if sources is None else np.asarray(sources),
        tuple(categories or [""] * count),
    )


def answers(rng, count, gain, loss, right=0.7):
    """Draw right and wrong answers of two models; `gain` and `loss` are the shares that differ."""
    u = rng.random(count)
    candidate = u < right
    baseline = (u < right - gain) | ((u >= right) & (u < right + loss))
    return candidate, baseline


@pytest.mark.parametrize(("count", "flips"), [(60, 0.3), (400, 0.1)])
def test_equal_models_are_called_better_at_most_one_time_in_twenty(count, flips):
    rng = np.random.default_rng(count)
    verdicts = [
        compare_paired(paired_of(*answers(rng, count, flips / 2, flips / 2))).verdict
        for _ in range(ROUNDS)
    ]
    assert verdicts.count("better") <= 0.05 * ROUNDS
    assert verdicts.count("worse") <= 0.05 * ROUNDS


def test_equal_models_with_shared_sources_are_called_better_at_most_one_time_in_twenty():
    """Five questions about each row stand and fall together; counted singly they would mislead."""
    rng = np.random.default_rng(8)
    sources = np.repeat(np.arange(40), 5)
    clustered = single = 0
    for number in range(ROUNDS):
        candidate, baseline = (np.repeat(one, 5) for one in answers(rng, 40, 0.2, 0.2))
        paired = paired_of(candidate, baseline, sources)
        clustered += compare_paired(paired, resamples=500, seed=number).verdict == "better"
        single += (
            mcnemar_exact(int((candidate & ~baseline).sum()), int((baseline & ~candidate).sum()))
            < 0.05
        )
    assert clustered <= 0.05 * ROUNDS
    assert single > 0.2 * ROUNDS


def test_equal_scores_are_called_better_at_most_one_time_in_twenty():
    rng = np.random.default_rng(2)
    found = [
        compare_paired(paired_of(*rng.exponential(1, (2, 50))), resamples=500, seed=number).verdict
        for number in range(ROUNDS)
    ]
    assert found.count("better") <= 0.05 * ROUNDS


def test_three_points_are_found_where_they_are_printed_as_detectable():
    flips, gap = 0.08, 0.03
    count = next(n for n in range(200, 5000, 5) if detectable_rate_difference(flips, n) <= gap)
    rng = np.random.default_rng(11)
    better, printed = 0, []
    for _ in range(ROUNDS):
        pair = answers(rng, count, (flips + gap) / 2, (flips - gap) / 2)
        found = compare_paired(paired_of(*pair))
        better += found.verdict == "better"
        printed.append(found.minimum_detectable)
    assert np.median(printed) == pytest.approx(gap, abs=0.001)
    assert better >= 0.8 * ROUNDS


def test_a_shift_of_means_is_found_where_it_is_printed_as_detectable():
    rng = np.random.default_rng(12)
    printed = np.median([
        compare_paired(paired_of(*rng.normal(0, 1, (2, 150))), resamples=1000).minimum_detectable
        for _ in range(50)
    ])  # fmt: skip
    better = sum(
        compare_paired(paired_of(one + printed, other), resamples=1000, seed=n).verdict == "better"
        for n, (one, other) in enumerate(rng.normal(0, 1, (ROUNDS, 2, 150)))
    )
    assert better >= 0.8 * ROUNDS


def test_the_power_of_mcnemar_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    rounds, hits = 4000, 0
    for table in rng.multinomial(300, [0.6, 0.09, 0.05, 0.26], rounds):
        hits += table[1] > table[2] and mcnemar_exact(int(table[1]), int(table[2])) < 0.05
    power = mcnemar_power(0.04, 0.14, 300)
    assert power == pytest.approx(hits / rounds, abs=4 * math.sqrt(power * (1 - power) / rounds))


def test_too_few_records_detect_nothing():
    assert detectable_rate_difference(0.5, 5) is None
    assert detectable_rate_difference(0.0, 6) is not None  # six of six flips are significant
    assert detectable_rate_difference(0.1, 2000) < detectable_rate_difference(0.3, 2000)


def of_table(both, gained, lost, neither):
    rows = [(1, 1)] * both + [(1, 0)] * gained + [(0, 1)] * lost + [(0, 0)] * neither
    return paired_of(*zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("table", "margin", "verdict", "words"),
    [
        ((700, 60, 20, 220), None, "better", "student is better than teacher: difference +4.0 po"),
        ((700, 20, 60, 220), None, "worse", "student is worse than teacher: difference -4.0 po"),
        ((900, 12, 15, 73), 0.02, "not_worse", "not worse than teacher by 2.0 points"),
        ((900, 12, 15, 73), None, "undecided", "it is undecided whether student or teacher"),
        # Significantly worse, by less than was said to matter.
        ((9800, 20, 60, 120), 0.02, "not_worse", "difference -0.4 points"),
        ((40, 3, 2, 5), 0.02, "undecided", "records would decide"),
        ((50, 0, 0, 0), 0.02, "undecided", "+0.0 points"),  # equal answers to few questions
        ((5000, 0, 0, 0), 0.02, "not_worse", "p = 1"),
    ],
)
def test_the_verdict_stands_in_words(table, margin, verdict, words):
    found = compare_paired(of_table(*table), margin=margin)
    assert found.verdict == verdict
    assert words in found.in_words("student", "teacher")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["verdict"] == verdict


def test_the_records_that_would_decide_do():
    found = compare_paired(of_table(300, 30, 20, 50))
    assert found.verdict == "undecided"
    factor = math.ceil(found.records_needed / found.records)
    assert compare_paired(of_table(*(factor * n for n in (300, 30, 20, 50)))).verdict == "better"
    assert records_to_decide(0.0, 0.01, 100) is None
    assert records_to_decide(0.0, 0.01, 100, margin=0.03) == pytest.approx(
        100 * (2.8 / 3) ** 2, abs=1
    )


def test_errors_are_better_where_they_are_lower():
    rng = np.random.default_rng(0)
    errors = rng.exponential(1, 200)
    found = compare_paired(paired_of(errors * 0.8, errors), lower_is_better=True)
    assert found.verdict == "better"
    assert found.difference == pytest.approx(0.2 * errors.mean())
    wrong = compare_paired(of_table(20, 60, 20, 700), lower_is_better=True)  # 1 is a mistake
    assert (wrong.verdict, wrong.difference) == ("worse", pytest.approx(-0.05))
    assert wrong.low < -0.05 < wrong.high < 0


def test_few_sources_decide_nothing():
    found = compare_paired(paired_of([1.5] * 30, [0.5] * 30, np.repeat(np.arange(3), 10)))
    assert (found.verdict, found.sources) == ("undecided", 3)
    assert found.to_dict()["low"] is None
    assert "more records of the same kind are needed" in found.in_words()


def test_twenty_equal_categories_are_all_undecided_most_of_the_time():
    """Each by itself, one of twenty would be called different in every second round."""
    rng = np.random.default_rng(6)
    categories = [f"c{n % 20}" for n in range(2000)]
    alarms = single = 0
    for _ in range(200):
        paired = paired_of(*answers(rng, 2000, 0.15, 0.15), categories=categories)
        found = compare_by_category(paired)
        alarms += any(one.verdict != "undecided" for one in found.values())
        single += any(compare_paired(paired.part(one)).verdict != "undecided" for one in found)
    assert alarms <= 0.08 * 200
    assert single > 0.25 * 200


def test_a_category_that_is_worse_is_found():
    good = [Outcome(f"a{n}", 1.0, "", "easy") for n in range(200)]
    bad = [Outcome(f"b{n}", float(n % 2), "", "hard") for n in range(100)]
    fine = [Outcome(one.sample_id, 1.0, "", one.category) for one in [*good, *bad]]
    found = compare_by_category(align([*good, *bad], fine), margin=0.05)
    assert {name: one.verdict for name, one in found.items()} == {
        "easy": "not_worse", "hard": "worse",
    }  # fmt: skip


def test_settings_out_of_range_are_all_named():
    with pytest.raises(ConfigError, match=r"margin is -1(?s:.)*significance is 2"):
        compare_paired(of_table(5, 1, 1, 1), margin=-1, significance=2)
