"""The first stage of a cascade: trained for scores or for recall, with a threshold that holds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_probe import (
    ProbeSettings,
    choose_threshold,
    train_probe,
)
from stillroom.errors import CheckpointError, ConfigError
from stillroom.inference.score_students import probe_student
from stillroom.inference.score_students.base_model import BaseName, TextCut
from stillroom.inference.score_students.open_student import open_score_student
from stillroom.inference.score_students.probe_student import MLPProbe
from stillroom.inference.score_students.protocol import StudentFacts

FACTS = StudentFacts(("a", "b"), "v" * 64)
WEIGHTS = {"a": 0.5, "b": 0.5}


class Vectors:
    """Texts are numbers; vectors are functions of them."""

    base, cut, width = BaseName("made", ""), TextCut(), 3

    def vectors(self, texts):
        x = np.array([float(one) for one in texts], dtype=np.float32)
        return np.stack([x, x**2, np.sin(9 * x)], axis=1) if texts else np.zeros((0, 3), "f4")


@pytest.fixture(autouse=True)
def made_vectors(monkeypatch):
    monkeypatch.setattr(probe_student, "TextReader", lambda *_, **__: Vectors())
    home = "stillroom.distillation.score_students.train_probe"
    monkeypatch.setattr(f"{home}.TextReader", lambda *_, **__: Vectors())
    monkeypatch.setattr(f"{home}.name_base", lambda name: BaseName(name, ""))


def examples(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    noisy = np.clip(10 * np.stack([x, x**2], axis=1) + rng.normal(0, 0.7, (n, 2)), 0, 10)
    return ScoreExamples([f"{one:.6f}" for one in x], noisy, np.ones(n))


@pytest.mark.parametrize("objective", ["regression", "recall"])
def test_a_probe_is_trained_and_its_threshold_keeps_the_target(objective, tmp_path):
    settings = ProbeSettings(objective, target_fn=0.05, epochs=20)
    made = train_probe(
        examples(400, 0), examples(300, 1), FACTS, weights=WEIGHTS, operating_point=6.0,
        settings=settings,
    )  # fmt: skip
    assert made.told["val_missed"] <= 0.05 * made.told["val_positives"]
    assert made.told["val_skip_share"] > 0.4
    test = examples(2000, 2)
    passes = test.targets.mean(axis=1) >= 6.0
    dropped = made.predict(test.texts).mean(axis=1) < made.threshold
    assert dropped[passes].mean() < 0.12
    assert dropped[~passes].mean() > 0.6
    if objective == "regression":
        assert np.abs(made.predict(test.texts) - test.targets).mean() < 1.0
    made.save(tmp_path / "probe")
    again = open_score_student(tmp_path / "probe")
    assert (again.kind, again.threshold, again.facts) == ("probe", made.threshold, FACTS)
    np.testing.assert_array_equal(again.predict(test.texts[:9]), made.predict(test.texts[:9]))


def test_the_same_seed_gives_the_same_probe_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (
        train_probe(examples(80, 0), examples(40, 1), FACTS, weights=WEIGHTS, operating_point=5.0,
                    settings=ProbeSettings(epochs=3))
        for _ in range(2)
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(one.predict(["0.3"]), other.predict(["0.3"]))


@given(
    st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=60),
    st.floats(0, 0.9),
)
def test_no_threshold_drops_more_than_its_target_and_none_above_it_would_do(pairs, target):
    estimates = np.array([one for one, _ in pairs])
    passes = np.array([one for _, one in pairs])
    threshold = choose_threshold(estimates, passes, target)
    most = target * passes.sum() + 1e-6
    assert (passes & (estimates < threshold)).sum() <= most
    higher = estimates[passes & (estimates > threshold)]
    if len(higher):
        assert (passes & (estimates < higher.min())).sum() > most - 1


def test_wrong_settings_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        ProbeSettings("accuracy", target_fn=1.0, wa_scale=0)
    assert len(caught.value.faults) == 3
    with pytest.raises(ConfigError, match="weights lacks b"):
        train_probe(examples(9, 0), examples(9, 1), FACTS, weights={"a": 1.0}, operating_point=5.0)


def test_a_probe_of_another_encoder_is_refused(tmp_path, monkeypatch):
    made = train_probe(examples(80, 0), examples(40, 1), FACTS, weights=WEIGHTS,
                       operating_point=5.0, settings=ProbeSettings(epochs=1))  # fmt: skip
    made.save(tmp_path / "probe")
    monkeypatch.setattr(Vectors, "width", 4)
    with pytest.raises(CheckpointError, match="the probe reads 3 numbers, and made gives 4"):
        open_score_student(tmp_path / "probe")
    (tmp_path / "probe" / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="holds no probe that can be read"):
        open_score_student(tmp_path / "probe")


def test_the_network_has_the_public_shape():
    probe = MLPProbe(384, 6)
    assert [tuple(one.weight.shape) for one in probe.layers if hasattr(one, "weight")] == [
        (256, 384), (128, 256), (6, 128),
    ]  # fmt: skip
    assert probe(torch.zeros(2, 384)).shape == (2, 6)
