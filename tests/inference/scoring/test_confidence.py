"""Signals by hand, and the map as a file."""

import pytest
from langchain_core.messages import AIMessage
from stillroom.errors import ConfigError, UnreadableFileError
from stillroom.inference.scoring.confidence import (
    CONFIDENCE_FILE,
    UNSURE,
    ConfidenceMap,
    RiskLimit,
    signal_of,
    token_margins,
)

MAP = ConfidenceMap(
    "least_margin", ((0.0, 0.2), (2.0, 0.8)), limits=(RiskLimit(0.05, 0.7, 0.9, 0.04),)
)


def message(**metadata):
    return AIMessage("Au", response_metadata={"finish_reason": "stop", **metadata})


def test_margins_are_to_the_best_other_token():
    assert token_margins([-0.1], [{"a": -0.1, "b": -2.6}]) == pytest.approx([2.5])
    sampled = token_margins([-3.0], [{"a": -0.1, "b": -2.6}])  # neither of the two
    assert sampled == pytest.approx([-2.9])


def test_signals_of_an_answer():
    told = message(logprobs=[-0.1, -0.5], top_logprobs=[{"a": -0.1, "b": -3}, {"c": -0.5, "d": -1}])
    assert signal_of(told, "least_margin") == pytest.approx(0.5)
    assert signal_of(told, "log_probability") == pytest.approx(-0.6)
    assert signal_of(told, "mean_log_probability") == pytest.approx(-0.3)
    assert signal_of(message(), "least_margin") == UNSURE


def test_a_message_without_numbers_says_how_to_ask():
    with pytest.raises(ConfigError, match="top_logprobs=2"):
        signal_of(AIMessage("Au"), "least_margin")
    with pytest.raises(ConfigError, match="top_logprobs=2"):
        signal_of(message(logprobs=[-0.1]), "least_margin")


@pytest.mark.parametrize(
    ("signal", "probability"), [(-5.0, 0.2), (0.0, 0.2), (0.5, 0.35), (2.0, 0.8), (9.0, 0.8)]
)
def test_between_knots_the_curve_is_straight(signal, probability):
    assert MAP.probability(signal) == pytest.approx(probability)


def test_a_map_is_read_as_it_was_written(tmp_path):
    assert ConfidenceMap.read(tmp_path) is None
    MAP.write(tmp_path)
    assert ConfidenceMap.read(tmp_path) == MAP
    assert MAP.limit(0.05).threshold == 0.7
    with pytest.raises(ConfigError, match="chosen for"):
        MAP.limit(0.01)


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"schema_version": 9}'])
def test_a_damaged_map_is_refused(tmp_path, text):
    (tmp_path / CONFIDENCE_FILE).write_text(text)
    with pytest.raises(UnreadableFileError, match="calibrate the student again"):
        ConfidenceMap.read(tmp_path)


@pytest.mark.parametrize("knots", [(), ((1.0, 0.5), (0.0, 0.6)), ((0.0, 0.6), (1.0, 0.5))])
def test_a_curve_that_does_not_rise_is_refused(knots):
    with pytest.raises(ConfigError):
        ConfidenceMap("least_margin", knots)


def test_a_limit_that_is_no_share_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        RiskLimit(0.05, 7.0, 0.9, 0.04)
    path = MAP.write(tmp_path)
    path.write_text(path.read_text().replace("0.7", '"high"'))
    with pytest.raises(UnreadableFileError, match="calibrate the student again"):
        ConfidenceMap.read(tmp_path)
