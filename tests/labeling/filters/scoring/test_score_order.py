"""The order of operations, calibration and normalisation: the vectors of the contract."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.labeling.filters.filter_config import (
    ContentCap,
    Dimension,
    FilterConfig,
    Gatekeeper,
    Tier,
)
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.scoring.calibration import (
    Calibration,
    Curve,
    apply_calibration,
    fit_calibration,
    fit_curve,
    load_calibration,
    save_calibration,
)
from stillroom.labeling.filters.scoring.normalization import (
    apply_normalization,
    apply_normalization_batch,
    fit_normalization,
    load_normalization,
    save_normalization,
)
from stillroom.labeling.filters.scoring.score_order import NotFiniteError, judge_scores

CONFIG = FilterConfig(
    name="made",
    version="1.0",
    dimensions=(Dimension("a", 0.5), Dimension("b", 0.3), Dimension("c", 0.2)),
    tiers=(Tier("high", 7.0, "good"), Tier("medium", 4.0), Tier("low", 0.0)),
    gatekeepers=(Gatekeeper("a", 3.0, 3.5),),
)
CALIBRATION = Calibration(
    {"a": Curve((-1, 0, 10, 11), (0, 2, 8, 10)), "b": Curve((0, 5, 10), (0, 6, 9))}
)


@pytest.mark.parametrize(
    ("raw", "calibrated", "scores", "before", "after", "applied", "tier"),
    [
        ((11, 4, 12), True, (10, 4.8, 10), 8.44, 8.44, False, "high"),
        ((0.4, 9, 10), True, (2.24, 8.4, 10), 5.64, 3.5, True, "low"),
        ((0.4, 0, 0), True, (2.24, 0, 0), 1.12, 1.12, False, "low"),
        ((5 / 3, 10, 10), True, (3.0, 9, 10), 6.2, 6.2, False, "medium"),
        ((5 / 3, 10, 10), False, (5 / 3, 10, 10), 5.8333333, 3.5, True, "low"),
    ],
)
def test_the_order_of_operations(raw, calibrated, scores, before, after, applied, tier):
    found = judge_scores(
        dict(zip("abc", raw, strict=True)), CONFIG, calibration=CALIBRATION if calibrated else None
    )
    assert tuple(found.scores.values()) == pytest.approx(scores)
    assert found.raw_weighted_average == pytest.approx(before)
    assert found.weighted_average == pytest.approx(after)
    assert (found.gatekeeper_applied, found.tier) == (applied, tier)
    assert found.passed == (after >= 4.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "7", True, [7]])
@pytest.mark.parametrize("calibration", [None, CALIBRATION])
def test_what_is_no_finite_number_is_no_score(value, calibration):
    with pytest.raises(NotFiniteError, match="not_finite"):
        judge_scores({"a": value, "b": 5, "c": 5}, CONFIG, calibration=calibration)


def test_a_missing_dimension_is_no_zero():
    with pytest.raises(DataError, match="no score of 'b'"):
        judge_scores({"a": 5, "c": 5}, CONFIG)


SEED = "sustainability_tech_deployment/v1"


@pytest.mark.parametrize(
    ("scores", "before", "after", "tier"),
    [
        ((10, 9, 10, 10, 8, 10, 10, 9), 9.5, 9.5, "mass_deployment"),
        ((1, 3, 2, 1, 1, 2, 1, 1), 1.55, 1.55, "vaporware"),
        ((4, 9, 9, 9, 9, 9, 9, 3), 7.7, 3.9, "pilot_stage"),
        ((8, 8, 8, 8, 8, 8, 8, 8), 8.0, 8.0, "mass_deployment"),
        ((5, 5, 5, 5, 5, 5, 5, 5), 5.0, 5.0, "early_commercial"),
    ],
)
def test_the_seed_filter_gives_the_golden_numbers(scores, before, after, tier):
    config = load_filter(SEED).config
    found = judge_scores(dict(zip(config.dimension_names, scores, strict=True)), config)
    assert found.raw_weighted_average == pytest.approx(before)
    assert (found.weighted_average, found.tier) == (pytest.approx(after), tier)


def test_two_gatekeepers_give_the_lowest_cap_in_any_order():
    two = (Gatekeeper("a", 3.0, 3.5), Gatekeeper("b", 5.0, 2.0))
    for keepers in itertools.permutations(two):
        found = judge_scores({"a": 1, "b": 1, "c": 10}, replace(CONFIG, gatekeepers=keepers))
        assert found.weighted_average == 2.0


def test_caps_of_content_types_need_the_type_and_come_behind_gatekeepers():
    config = replace(CONFIG, caps=(ContentCap("op_ed", 5.0), ContentCap("rumour", 3.0)))
    high = {"a": 9, "b": 9, "c": 9}
    assert judge_scores(high, config).cap_applied is None
    found = judge_scores(high, config, content_type="op_ed")
    assert (found.weighted_average, found.cap_applied, found.tier) == (5.0, "op_ed", "medium")
    found = judge_scores({"a": 2, "b": 9, "c": 9}, config, content_type="op_ed")
    assert (found.weighted_average, found.cap_applied) == (3.5, None)


def test_an_average_below_all_tiers_has_none():
    config = replace(CONFIG, tiers=(Tier("high", 7.0),))
    found = judge_scores({"a": 5, "b": 5, "c": 5}, config)
    assert (found.tier, found.tier_description) == ("low", "No tier matched")


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_averages_stay_in_range_and_zero_stays_zero(raw):
    found = judge_scores(dict(zip("abc", raw, strict=True)), CONFIG, calibration=CALIBRATION)
    assert 0 <= found.weighted_average <= found.raw_weighted_average <= 10 + 1e-12
    zero = judge_scores({"a": 0, "b": 0, "c": 0}, CONFIG)
    assert (zero.weighted_average, zero.tier) == (0.0, "low")


def test_the_golden_fit():
    curve = fit_curve([1, 2, 3, 4, 5], [1, 3, 2, 4, 6])
    assert curve == Curve((1, 2, 3, 4, 5), (1, 2.5, 2.5, 4, 6))
    assert [curve(x) for x in (0, 2.5, 3.5, 9)] == [1, 2.5, 3.25, 6]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=60))
def test_the_fit_equals_that_of_scikit_learn(pairs):
    isotonic = pytest.importorskip("sklearn.isotonic")
    student = [a / 2 for a, _ in pairs]
    oracle = [b / 2 for _, b in pairs]
    theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(student, oracle)
    ours = fit_curve(student, oracle)
    grid = np.linspace(-1, 11, 97)
    assert [ours(x) for x in grid] == pytest.approx(list(theirs.predict(grid)), abs=1e-9)


def made_scores(n=400):
    random = np.random.default_rng(7)
    oracle = {name: random.uniform(0, 10, n) for name in "abc"}
    student = {name: 5 + 0.4 * (own - 5) + random.normal(0, 0.7, n) for name, own in oracle.items()}
    return student, oracle


def test_calibration_helps_records_that_it_was_not_fitted_on(tmp_path):
    student, oracle = made_scores()
    made = fit_calibration(student, oracle, CONFIG, fitted_on="val")
    assert made.stats["mae_after"] < 0.8 * made.stats["mae_before"]
    assert made.stats["mae_after_in_sample"] <= made.stats["mae_after"]
    assert made.stats["per_dimension"]["a"]["n_breakpoints"] == len(made.curves["a"].x)
    path = save_calibration(made, tmp_path / "calibration.json")
    assert load_calibration(path, CONFIG) == made
    assert apply_calibration({"a": 5.0, "z": 5.0}, made)["z"] == 5.0
    assert load_calibration(tmp_path / "none.json") is None


def test_noise_is_not_reported_as_a_gain():
    random = np.random.default_rng(1)
    student = {name: random.uniform(4, 6, 60) for name in "abc"}
    oracle = {name: random.uniform(4, 6, 60) for name in "abc"}
    stats = fit_calibration(student, oracle, CONFIG).stats
    assert stats["mae_after_in_sample"] < stats["mae_after"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "method is None"),
        ('{"method": "isotonic", "dimensions": {"a": {"x": [], "y": []}}}', "a.x is no list"),
        ('{"method": "isotonic", "dimensions": {"a": {"x": [1, 1], "y": [1, 2]}}}', "ascend"),
        ('{"method": "isotonic", "dimensions": {"a": {"x": [1, NaN], "y": [1, 2]}}}', "finite"),
        ('{"method": "isotonic", "dimensions": {"z": {"x": [1], "y": [1]}}}', "no dimension"),
        ("[]", "an object"),
        ("{", "calibration.json"),
    ],
)
def test_a_malformed_calibration_is_an_error(text, words, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_calibration(path, CONFIG)


def test_calibration_refuses_what_it_cannot_fit():
    student, oracle = made_scores(4)
    with pytest.raises(EmptyDataError, match="there are 4"):
        fit_calibration(student, oracle, CONFIG)
    student, oracle = made_scores()
    student["a"][3] = np.nan
    with pytest.raises(DataError, match="not_finite"):
        fit_calibration(student, oracle, CONFIG)


SCORES = [3.0, 3.5, 4.0, 4.0, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0]


def test_the_golden_normalisation(tmp_path):
    made = fit_normalization(SCORES, CONFIG, n_bins=5, allow_thin_fit=True)
    assert made.curve == Curve((3, 4.5, 6, 7.5, 9), (1, 4, 7, 8, 10))
    points = [4.0, 5.25, 9.5, 2.0]
    assert apply_normalization_batch(points, made) == pytest.approx([3.0, 5.5, 10, 1.0])
    anchored = fit_normalization(SCORES, CONFIG, n_bins=5, anchor=2.25, allow_thin_fit=True)
    points = [2.25, 2.6, 3.0, 4.0]
    assert apply_normalization_batch(points, anchored) == pytest.approx(
        [0, 0.466667, 1, 3], abs=1e-6
    )
    path = save_normalization(anchored, tmp_path / "normalization.json")
    assert load_normalization(path, CONFIG) == anchored
    assert json.loads(path.read_text())["stats"]["sample_min"] == 3.0
    with pytest.raises(DataError, match="not_finite"):
        apply_normalization(math.nan, made)


def test_the_percentile_is_a_second_number_unless_the_config_says_otherwise():
    made = fit_normalization(SCORES, CONFIG, n_bins=5, allow_thin_fit=True)
    scores = {"a": 6, "b": 6, "c": 6}
    found = judge_scores(scores, CONFIG, normalization=made)
    assert (found.normalized, found.tier) == (pytest.approx(7.0), "medium")
    found = judge_scores(scores, replace(CONFIG, tier_from_normalized=True), normalization=made)
    assert (found.weighted_average, found.tier) == (pytest.approx(6.0), "high")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (SCORES, "allow_thin_fit"),
        (SCORES[:9], "9 finite scores"),
        ([math.nan] * 500, "0 finite"),
        ([5.0] * 500, "all scores are 5"),
        (list(np.linspace(4.6, 9, 300)), "above 4.5"),
    ],
)
def test_thin_and_cut_corpora_are_refused(scores, words):
    with pytest.raises(DataError, match=words):
        fit_normalization(scores, CONFIG)
