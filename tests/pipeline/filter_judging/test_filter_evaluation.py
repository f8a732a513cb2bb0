"""The evaluation of a filter: its numbers against scikit-learn, and pages for people."""

import json
import re
import shutil

import numpy as np
import pytest
from stillroom.errors import DataError, EmptyDataError
from stillroom.labeling.filters.filter_config import Dimension, FilterConfig, Tier
from stillroom.pipeline.filter_judging.evaluation import evaluate_filter
from stillroom.pipeline.filter_judging.evaluation_page import evaluation_markdown, evaluation_page
from stillroom.pipeline.filter_judging.score_files import articles_of, read_ratings, read_scores

CONFIG = FilterConfig(
    "made", "1.0", dimensions=(Dimension("joy", 0.5), Dimension("reach", 0.5)),
    tiers=(Tier("high", 7), Tier("medium", 4), Tier("low", 0)),
)  # fmt: skip


def made(count=400, noise=1.0, seed=1):
    """Labels, and a student that knows `joy` and guesses `reach`."""
    random = np.random.default_rng(seed)
    true = random.uniform(0, 10, (count, 2))
    own = np.stack([true[:, 0] + random.normal(0, noise, count), random.uniform(4, 6, count)], 1)
    ids = [f"a{n}" for n in range(count)]
    return articles_of(ids, true, CONFIG), articles_of(ids, own, CONFIG)


def column(articles, name):
    return np.array([one.verdict.scores[name] for one in articles.values()])


def test_errors_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, own = made()
    found = evaluate_filter(CONFIG, labels, own)
    for name in ("joy", "reach"):
        one, (t, p) = found["dimensions"][name], (column(labels, name), column(own, name))
        assert one["mae"] == pytest.approx(metrics.mean_absolute_error(t, p))
        assert one["rmse"] == pytest.approx(metrics.root_mean_squared_error(t, p))
        assert one["mae_ci95"][0] < one["mae"] < one["mae_ci95"][1]
        assert one["rmse_ci95"][0] < one["rmse"] < one["rmse_ci95"][1]
        assert one["baseline_mae"] == pytest.approx(np.abs(t - t.mean()).mean())
    tiers = [[one.verdict.tier for one in side.values()] for side in (labels, own)]
    assert found["tiers"]["confusion"] == metrics.confusion_matrix(
        *tiers, labels=found["tiers"]["names"]
    ).tolist()  # fmt: skip
    assert found["tiers"]["accuracy"] == pytest.approx(metrics.accuracy_score(*tiers))


def test_a_dimension_that_is_guessed_is_not_called_better():
    labels, own = made()
    found = evaluate_filter(CONFIG, labels, own)["dimensions"]
    assert found["joy"]["verdict"] == "better"
    assert found["reach"]["verdict"] in ("undecided", "worse")


def test_the_baseline_is_that_of_training():
    labels, own = made()
    train = articles_of(["t1", "t2"], [[1, 9], [2, 9]], CONFIG)
    found = evaluate_filter(CONFIG, labels, own, train=train)
    joy = found["dimensions"]["joy"]
    assert joy["baseline"] == 1.5
    assert joy["baseline_mae"] == pytest.approx(np.abs(column(labels, "joy") - 1.5).mean())
    assert found["tiers"]["majority"] == "medium"
    assert found["n_train"] == 2


def test_the_noise_floor_is_that_of_a_second_oracle():
    labels, own = made()
    shifted = np.stack([column(labels, name) + 0.3 for name in ("joy", "reach")], 1)
    second = articles_of(list(labels), np.minimum(shifted, 10), CONFIG)
    found = evaluate_filter(CONFIG, labels, own, second=second)
    want = np.abs(column(labels, "joy") - column(second, "joy")).mean()
    assert found["dimensions"]["joy"]["noise_mae"] == pytest.approx(want)
    assert "400 pairs" in found["noise_from"]


def test_the_noise_floor_is_that_of_one_rater_against_the_others():
    labels, own = made(20)
    ratings = {"a0": [{"joy": 1.0, "reach": 1.0}, {"joy": 3.0, "reach": 1.0},
                      {"joy": 5.0, "reach": 1.0}], "a1": [{"joy": 9.0, "reach": 9.0}]}  # fmt: skip
    found = evaluate_filter(CONFIG, labels, own, ratings=ratings)["dimensions"]
    assert found["joy"]["noise_mae"] == pytest.approx((3 + 0 + 3) / 3)  # 1 against 4, 3 against 3
    assert found["reach"]["noise_mae"] == 0
    assert found["weighted_average"]["noise_mae"] == pytest.approx(1.0)


def test_reliability_and_ranking_of_a_perfect_student():
    labels, _ = made()
    found = evaluate_filter(CONFIG, labels, labels)
    assert all(one["predicted"] == pytest.approx(one["true"]) for one in found["reliability"])
    assert sum(one["n"] for one in found["reliability"]) == 400
    assert found["ranking"]["recall_at_20"] == found["ranking"]["ndcg_at_10"] == 1.0
    assert found["passing"]["accuracy"] == found["tiers"]["accuracy"] == 1.0
    assert found["dimensions"]["joy"]["mae_ci95"] == [0.0, 0.0]


def write(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return str(path)


def test_labels_are_read_in_all_forms(tmp_path):
    path = write(tmp_path / "a.jsonl", [
        {"id": 1, "language": "de", "made_analysis": {"dimensions": {"joy": 3, "reach": 5}}},
        {"id": 2, "scores": {"joy": 4, "reach": 5}},
        {"id": 3, "made_analysis": {"joy": 30, "reach": 5}},
        {"scores": {"joy": 1, "reach": 1}},
    ])  # fmt: skip
    found = read_scores(path, CONFIG, of_student=False)
    assert found.articles["1"].category == "de"
    assert found.articles["2"].verdict.weighted_average == 4.5
    reasons = [one.split(": ", 1)[1] for one in found.rejected]
    assert reasons == ["out_of_range joy: 30 (0 to 10)", "missing_id"]


def test_scores_of_a_student_are_never_those_of_the_oracle_beside_them(tmp_path):
    label = {"made_analysis": {"dimensions": {"joy": 3, "reach": 5}}}
    path = write(tmp_path / "a.jsonl", [
        {"id": 1, **label, "made_scores": {"scores": {"joy": 8, "reach": 8}}},
        {"id": 2, **label, "scores": {"joy": 11.5, "reach": -1}},
        {"id": 3, **label},
        {"id": 4, "made_scores": {"scores": None, "prefilter_reason": "content_too_short_9chars"}},
        {"id": 5, "scores": {"joy": 5}},
        {"id": 6, "scores": {"joy": float("nan"), "reach": 5}},
    ])  # fmt: skip
    found = read_scores(path, CONFIG, of_student=True)
    assert found.articles["1"].verdict.weighted_average == 8
    assert found.articles["2"].verdict.scores == {"joy": 10, "reach": 0}
    assert found.articles["2"].raw["joy"] == 11.5
    reasons = [one.split(": ", 1)[1] for one in found.rejected]
    assert reasons == ["no_scores", "content_too_short_9chars", "missing_dimension reach",
                       "not_finite joy"]  # fmt: skip
    twice = write(tmp_path / "b.jsonl", [{"id": 1, "scores": {"joy": 1, "reach": 1}}] * 2)
    with pytest.raises(DataError, match="'1' occurs twice"):
        read_scores(twice, CONFIG, of_student=True)
    with pytest.raises(EmptyDataError, match="holds scores of made; the first line"):
        read_scores(write(tmp_path / "c.jsonl", [{"id": 1}]), CONFIG, of_student=True)


def test_a_rater_rates_once(tmp_path):
    one = {"id": 1, "rater": "x", "scores": {"joy": 1, "reach": 1}}
    assert read_ratings(write(tmp_path / "a.jsonl", [one, {**one, "rater": "y"}]), CONFIG) == {
        "1": [{"joy": 1.0, "reach": 1.0}] * 2
    }
    with pytest.raises(DataError, match="'x' has rated the article before"):
        read_ratings(write(tmp_path / "b.jsonl", [one, one]), CONFIG)


def test_both_pages_hold_the_numbers_and_escape_titles():
    labels, own = made()
    found = evaluate_filter(CONFIG, labels, own)
    found["worst"][0]["title"] = "<script>alert(1)</script> | pipe"
    page, plain = evaluation_page(found), evaluation_markdown(found)
    for text in (page, plain):
        assert f"{found['dimensions']['joy']['mae']:.2f}" in text
        assert f"{100 * found['passing']['accuracy']:.1f} %" in text
        assert found["conclusion"][0][:40] in text
    assert "<script>" not in page
    assert "\\| pipe" in plain
    assert not re.search(r"(src|href)=", page)


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_fits_a_phone_and_asks_for_nothing(tmp_path, width):
    api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    labels, own = made()
    target = tmp_path / "page.html"
    target.write_text(evaluation_page(evaluate_filter(CONFIG, labels, own)))
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(target.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [target.as_uri()]
        browser.close()
