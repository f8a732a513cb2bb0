from __future__ import annotations

import math
from statistics import correlation, fmean

import pytest
import torch
from stillroom.errors import ConfigError, GenerationError
from stillroom.inference.open_engine import open_engine
from stillroom.inference.scoring.choices import encode_completion, encode_prompt
from stillroom.inference.scoring.label_scoring import label_probabilities
from tiny_model import PAIRS, score_choices

ANSWERS = list(PAIRS.values())
QUESTION = next(iter(PAIRS))


def log_likelihood(checkpoint, ids, label, prompt):
    """One pass over everything, nothing shared."""
    after = [*encode_completion(checkpoint, prompt, label), checkpoint.tokenizer.eos_token_id]
    with torch.inference_mode():
        logits = checkpoint.model(input_ids=torch.tensor([[*ids, *after]])).logits
    rows = logits.log_softmax(-1)[0, len(ids) - 1 : -1]
    return sum(row[token].item() for row, token in zip(rows, after, strict=True)), len(after)


def softmax(scores):
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("correction", ["prior", "length", "none"])
def test_probabilities_equal_brute_force(restless, correction):
    prompt, labels = "Context: gold\n\nTask:", ["qa", "summarize", "validate", "sum"]
    found = label_probabilities(restless, prompt, labels, correction=correction)
    wanted = []
    for label in labels:
        score, length = log_likelihood(restless, encode_prompt(restless, prompt), label, prompt)
        if correction == "length":
            score /= length
        elif correction == "prior":
            ids = encode_prompt(restless, "Task:")
            score -= log_likelihood(restless, ids, label, prompt)[0]
        wanted.append(score)
    assert found == pytest.approx(softmax(wanted), abs=1e-4)
    assert sum(found) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("correction", ["prior", "length", "none"])
def test_order_and_company_change_nothing(restless, correction):
    labels = ["qa", "summarize the text", "validate", "no answer"]
    found = label_probabilities(restless, "a\nTask:", labels, correction=correction)
    backwards = label_probabilities(restless, "a\nTask:", labels[::-1], correction=correction)
    assert found == pytest.approx(backwards[::-1], abs=1e-4)
    fewer = label_probabilities(restless, "a\nTask:", labels[:2], correction=correction)
    assert fewer[0] / fewer[1] == pytest.approx(found[0] / found[1], rel=1e-3)


def test_a_student_prefers_what_it_learned(tiny):
    for prompt, answer in PAIRS.items():
        found = label_probabilities(tiny, prompt, ANSWERS, correction="none")
        assert ANSWERS[found.index(max(found))] == answer


def test_corrections_take_the_weight_off_length(restless):
    """Random weights know nothing, so that one label is as good as the other."""
    labels = ["a", "gold", "gold and silver", "in antiquity it was known as a metal of gold"]
    lengths = [len(encode_completion(restless, "x", label)) for label in labels]

    def weight_of_length(correction):
        found = [
            label_probabilities(restless, f"{word}\nTask:", labels, correction=correction)
            for word in ("gold", "Who greets?", "period 6", "yes", "Count.", "silver is a metal")
        ]
        means = [fmean(math.log(row[place]) for row in found) for place in range(len(labels))]
        return correlation(lengths, means), means[-1] - means[0]

    assert weight_of_length("none")[0] < -0.95
    assert weight_of_length("none")[1] < -30
    assert abs(weight_of_length("prior")[1]) < 3
    assert abs(weight_of_length("length")[1]) < 3


def test_a_label_that_others_begin_with_counts_alone(tiny):
    """Without the end token `no` would be as likely as all that begins with it."""
    prompt = list(PAIRS)[8]  # its answer is "no, it is Au"
    short, long = label_probabilities(tiny, prompt, ["no", "no, it is Au"], correction="none")
    assert long > 0.9
    assert short < 0.1
    without_end = score_choices(tiny, prompt, ["no", "no, it is Au"])
    assert without_end[0] >= without_end[1]


def test_the_neutral_prompt_may_be_given(restless):
    labels = ["qa", "summarize"]
    last_line = label_probabilities(restless, "gold\nTask:", labels)
    assert label_probabilities(restless, "gold\nTask:", labels, neutral="Task:") == last_line
    other = label_probabilities(restless, "gold\nTask:", labels, neutral="silver\nTask:")
    assert other != last_line
    alike = label_probabilities(restless, "gold\nTask:", labels, neutral="gold\nTask:")
    assert alike == pytest.approx([0.5, 0.5])
    assert sum(label_probabilities(restless, "one line", labels)) == pytest.approx(1)


def test_an_engine_may_compute_the_scores(restless):
    engine = open_engine(restless)
    labels = ["qa", "summarize", "validate"]
    found = label_probabilities(
        restless, "a\nTask:", labels, score=lambda *ids: engine.score_choices(*ids).result()
    )
    assert found == pytest.approx(label_probabilities(restless, "a\nTask:", labels), abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "options", "error", "words"),
    [
        (["yes", " yes"], {}, ConfigError, r"\['yes'\] are given twice"),
        (["a"], {"correction": "mean"}, ConfigError, "allowed"),
        ([], {}, GenerationError, "no choices"),
        (["a", ""], {}, GenerationError, "empty"),
    ],
)
def test_what_cannot_be_compared_is_refused(restless, labels, options, error, words):
    with pytest.raises(error, match=words):
        label_probabilities(restless, QUESTION, labels, **options)
