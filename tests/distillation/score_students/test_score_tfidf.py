"""TF-IDF + ridge beside scikit-learn, saved and opened; the data that all score students share."""

import json

import numpy as np
import pytest
from score_models import FACTS, mood_examples
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion
from stillroom.distillation.score_students.ridge import fit_ridge
from stillroom.distillation.score_students.score_examples import (
    ScoreExamples,
    agreement_weights,
    examples_of_ratings,
)
from stillroom.distillation.score_students.train_tfidf import fit_terms, train_tfidf
from stillroom.errors import CheckpointError, ConfigError, DataError, EmptyDataError
from stillroom.inference.score_students.open_student import open_score_student
from stillroom.inference.score_students.protocol import StudentFacts


def test_terms_are_weighed_as_scikit_learn_does():
    texts = mood_examples(40, 1).texts
    same = {"sublinear_tf": True, "min_df": 2}
    theirs = FeatureUnion([
        ("words", TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), **same)),
        ("pieces", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **same)),
    ])  # fmt: skip
    new = ["a HAPPY, unknown day!", "", "日本語 x"]
    wanted = theirs.fit(texts).transform([*texts, *new]).toarray()
    np.testing.assert_allclose(
        fit_terms(texts).matrix([*texts, *new]).toarray(), wanted, atol=1e-12
    )


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_ridge_is_that_of_scikit_learn(form):
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)) * (rng.random((60, 8)) < 0.5) + 0.3
    y, weights = x @ rng.normal(size=(8, 2)) + rng.normal(size=(60, 2)) + 5, rng.random(60)
    given = x if form == "dense" else csr_array(x)
    made = fit_ridge(given, y, weights, given, y, strengths=[3.0])
    theirs = Ridge(alpha=3.0).fit(x, y, sample_weight=weights / weights.mean())
    np.testing.assert_allclose(made.weight, theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(made.bias, theirs.intercept_, atol=1e-4)


def test_each_target_takes_the_strength_with_the_least_error_on_validation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 30))
    y = np.stack([x[:, 0], rng.normal(size=40)], axis=1)  # the second is noise
    val = rng.normal(size=(400, 30))
    truth = np.stack([val[:, 0], np.zeros(400)], axis=1)
    made = fit_ridge(x, y, np.ones(40), val, truth, strengths=[0.01, 1e6])
    assert made.strengths == (0.01, 1e6)


def test_a_student_learns_what_the_words_tell_and_is_the_same_after_opening(tmp_path):
    student = train_tfidf(mood_examples(200, 1), mood_examples(50, 2), FACTS)
    held_out = mood_examples(50, 3)
    found = student.predict(held_out.texts)
    assert np.abs(found - held_out.targets).mean() < 0.3
    opened = open_score_student(student.save(tmp_path / "made"))
    assert (opened.kind, opened.dimensions, opened.facts) == ("tfidf", ("joy", "reach"), FACTS)
    np.testing.assert_array_equal(opened.predict(held_out.texts), found)
    names = {one.suffix for one in (tmp_path / "made").iterdir()}
    assert names == {".json", ".safetensors"}


def test_unknown_and_no_texts_are_scored():
    student = train_tfidf(mood_examples(60, 1), mood_examples(20, 2), FACTS)
    assert student.predict([]).shape == (0, 2)
    np.testing.assert_allclose(student.predict(["", "Ω"]), np.tile(student.bias, (2, 1)))


def test_scores_stay_in_the_range_of_the_filter():
    facts = StudentFacts(("joy", "reach"), "", lowest=4.0, highest=5.0)
    student = train_tfidf(mood_examples(60, 1), mood_examples(20, 2), facts)
    assert set(np.unique(student.predict(["sunny LOUD!", "gloomy quiet"]))) == {4.0, 5.0}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "forest"}, ConfigError, "kind is 'forest'; the nearest"),
        ({"schema_version": 9}, ConfigError, "schema_version is 9"),
        ({"dimensions": []}, ConfigError, "a list of names"),
        ({"dimensions": ["joy"]}, CheckpointError, "weight is"),
        ({"lowest": 10.0}, ConfigError, "the range is"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path, change, error, words):
    folder = train_tfidf(mood_examples(60, 1), mood_examples(20, 2), FACTS).save(tmp_path / "made")
    told = json.loads((folder / "student.json").read_text()) | change
    (folder / "student.json").write_text(json.dumps(told))
    with pytest.raises(error, match=words):
        open_score_student(folder)


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    folder = train_tfidf(mood_examples(60, 1), mood_examples(20, 2), FACTS).save(tmp_path / "made")
    (folder / "weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_score_student(folder)
    with pytest.raises(CheckpointError, match="no score student"):
        open_score_student(tmp_path)


def test_texts_on_which_raters_agree_count_more():
    ratings = [np.array([[3.0], [3.0], [3.0]]), np.array([[1.0], [3.0], [5.0]]), np.array([[2.0]])]
    weights = agreement_weights(ratings)
    assert weights[0] > weights[1] > weights[2]  # one rating says least
    assert weights.mean() == pytest.approx(1.0)
    made = examples_of_ratings(["a", "b", "c"], ratings)
    assert made.targets[:, 0].tolist() == [3.0, 3.0, 2.0]
    assert made.chosen([1]).ratings[0].shape == (3, 1)


@pytest.mark.parametrize(
    ("texts", "targets", "weights", "error"),
    [
        ([], np.zeros((0, 2)), np.zeros(0), EmptyDataError),
        (["a"], np.array([[np.nan]]), np.ones(1), DataError),
        (["a"], np.array([1.0]), np.ones(1), DataError),
        (["a"], np.array([[1.0]]), np.array([-1.0]), DataError),
        (["a"], np.array([[1.0]]), np.zeros(1), DataError),
    ],
)
def test_examples_that_cannot_be_learned_are_refused(texts, targets, weights, error):
    with pytest.raises(error):
        ScoreExamples(texts, targets, weights)
