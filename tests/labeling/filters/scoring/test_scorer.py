"""Scorers and the cascade: shapes of results, order of articles, faults of one article alone."""

import math
from typing import ClassVar

import pytest
from made_filter import CONFIG, changed, write_filter
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.scoring.cascade import HybridScorer, cascade_curve
from stillroom.labeling.filters.scoring.score_order import judge_scores
from stillroom.labeling.filters.scoring.scorer import FilterBaseScorer

RULES = "version: '1'\nmin_content_length: 1\nexclusions: {rumour: [may]}\n"


def numbers(text):
    return [float(word) for word in text.split("\n\n")[1].split()]


class Scorer(FilterBaseScorer):
    seen = 0

    def predict(self, texts):
        self.seen += len(texts)
        return [numbers(text) for text in texts]


@pytest.fixture(params=[CONFIG], ids=["made"])
def package(request, tmp_path):
    return load_filter(write_filter(tmp_path, config=request.param, prefilter__yaml=RULES))


def article(content, title="T"):
    return {"id": content, "title": title, "content": content}


def test_results_keep_the_order_and_a_fault_is_that_of_its_article_alone(package):
    articles = [
        article("9 9 9"), {"title": "T"}, article("1 9 9"), article("may"), article("nan 5 5"),
        article("5 5 5"), ["no article"],
    ]  # fmt: skip
    results = Scorer(package).score_batch(articles, batch_size=2)
    assert [one["passed_prefilter"] for one in results] == [
        True, False, True, False, True, True, False,
    ]  # fmt: skip
    assert [one["prefilter_reason"] for one in results] == [
        None, "Invalid article: missing_content", None, "excluded_rumour", "not_finite", None,
        "Invalid article: invalid_type_list",
    ]  # fmt: skip
    assert [one["tier"] for one in results] == ["high", None, "low", None, None, "medium", None]
    assert results[2]["gatekeeper_applied"] is True
    assert (results[2]["weighted_average"], results[2]["raw_weighted_average"]) == (3.5, 5.0)
    assert results[4]["scores"] is results[3]["weighted_average"] is None
    assert results[0]["passed"] is True
    assert results[2]["passed"] is False
    one = Scorer(package, use_prefilter=False)
    assert one.score_article(article("3 3 3", "may"))["tier"] == "low"
    assert one.scoring_metadata()["prompt_hash"] == package.prompt.prompt_hash


def test_a_single_invalid_article_raises(package):
    for wrong, kind in (({"title": "T"}, ValueError), ([], TypeError), (None, TypeError)):
        with pytest.raises(kind, match="Invalid article"):
            Scorer(package).score_article(wrong)


def test_constants_that_differ_from_the_config_are_refused(package):
    class Same(Scorer):
        DIMENSION_WEIGHTS: ClassVar = {"a": 0.5, "b": 0.3, "c": 0.2}
        TIER_THRESHOLDS: ClassVar = [("low", 0, "rest"), ("high", 7, ""), ("medium", 4, "")]

    class Other(Same):
        FILTER_VERSION = "2.0"
        DIMENSION_NAMES = ("a", "c", "b")

    Same(package)
    with pytest.raises(ConfigError) as raised:
        Other(package)
    assert [one.split(" ")[0] for one in raised.value.faults] == [
        "Other.FILTER_VERSION", "Other.DIMENSION_NAMES",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="chooses a class"):
        Scorer(load_filter("support_request_kind/v1"))


def test_a_scorer_that_loses_rows_is_refused(package):
    class Short(Scorer):
        def predict(self, texts):
            return []

    with pytest.raises(DataError, match="0 rows for 1 texts"):
        Short(package).score_batch([article("1 1 1")])


class Probe(Scorer):
    """Sees the first number alone."""

    def predict(self, texts):
        return [[numbers(text)[0]] * 3 for text in texts]


def test_the_cascade_gives_the_model_what_may_pass(package):
    model = Scorer(package)
    hybrid = HybridScorer(package, Probe(package), model, threshold=3.6)
    articles = [article("2 9 9"), article("5 9 9"), article("may"), article("nan 9 9")]
    results = hybrid.score_batch(articles)
    assert [one["stage_used"] for one in results] == ["stage1_low", "stage2", None, "stage2"]
    assert [one["stage1_estimate"] for one in results] == [2.0, 5.0, None, None]
    assert model.seen == 2
    assert results[1]["weighted_average"] == pytest.approx(7.0)
    assert hybrid.times.to_dict()["skip_share"] == pytest.approx(1 / 3)


def test_stage_1_has_gatekeepers_too(package):
    """At a threshold above the cap, an average without the gatekeeper would go to stage 2."""

    class High(Probe):
        def predict(self, texts):
            return [[2, 10, 10] for _ in texts]

    hybrid = HybridScorer(package, High(package), Scorer(package), threshold=4.5)
    assert hybrid.score_batch([article("2 10 10")])[0]["stage_used"] == "stage1_low"


def test_the_threshold_of_the_config_is_taken_and_null_turns_stage_1_off(tmp_path):
    for threshold, stage in ((None, "stage2"), (9, "stage1_low")):
        config = changed("hybrid_inference", {"stage1": {"threshold": threshold}})
        own = load_filter(write_filter(tmp_path, config=config, prefilter__yaml=RULES))
        hybrid = HybridScorer(own, Probe(own), Scorer(own))
        assert hybrid.score_batch([article("5 5 5")])[0]["stage_used"] == stage


def test_the_curve_counts_what_the_probe_drops():
    curve = cascade_curve(
        [1, 3, 5, 7], [5, 1, 5, 7], [1, 5, 5, 5],
        thresholds=[0, 4, 11], operating_point=4, stage1_ms=1, stage2_ms=19,
    )  # fmt: skip
    assert [one["skip_share"] for one in curve] == [0, 0.5, 1]
    assert [one["fn_rate_stage2"] for one in curve] == pytest.approx([0, 1 / 3, 1])
    assert [one["fn_rate_labels"] for one in curve] == pytest.approx([0, 1 / 3, 1])
    assert [one["speedup"] for one in curve] == pytest.approx([0.95, 19 / 10.5, 19])
    with pytest.raises(DataError):
        cascade_curve([1], [1, 2], thresholds=[1], operating_point=4, stage1_ms=1, stage2_ms=1)


def test_all_who_judge_get_the_same_verdict(package):
    """Oracle labels, student and probe go through one function."""
    found = Scorer(package).score_article(article("2.5 8 9"))
    verdict = judge_scores({"a": 2.5, "b": 8, "c": 9}, package.config)
    assert (found["weighted_average"], found["tier"]) == (verdict.weighted_average, verdict.tier)
    assert math.isclose(found["raw_weighted_average"], 5.45)
