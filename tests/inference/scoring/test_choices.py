from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from stillroom.errors import GenerationError
from stillroom.inference.scoring import choices as module
from stillroom.inference.scoring.choices import score_completions
from stillroom.prompts import join_of
from tiny_model import PAIRS, score_choices

PROMPTS = list(PAIRS)
CHOICES = ["Au", "Ag", "gold, at 1064 degrees", "no", "no, it is Au", "你好"]


def brute_force(checkpoint, prompt, choice, *, with_end):
    """One pass per choice over prompt and choice, nothing shared, nothing padded."""
    tokenizer = checkpoint.tokenizer
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(join_of(prompt) + choice, add_special_tokens=False)["input_ids"]
    after += [tokenizer.eos_token_id] if with_end else []
    with torch.inference_mode():
        logits = checkpoint.model(input_ids=torch.tensor([before + after])).logits
    rows = logits.log_softmax(-1)[0, len(before) - 1 : -1]
    return sum(row[token].item() for row, token in zip(rows, after, strict=True)), len(after)


@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_scores_equal_brute_force(tiny, prompt, with_end):
    scores = score_choices(tiny, prompt, CHOICES, with_end=with_end)
    for choice, score in zip(CHOICES, scores, strict=True):
        wanted, _ = brute_force(tiny, prompt, choice, with_end=with_end)
        assert score == pytest.approx(wanted, abs=1e-4)


def test_the_learned_answer_scores_best(tiny):
    for prompt, answer in PAIRS.items():
        scores = score_choices(tiny, prompt, list(PAIRS.values()), with_end=True)
        assert list(PAIRS.values())[scores.index(max(scores))] == answer


def test_order_and_company_change_nothing(tiny):
    together = score_choices(tiny, PROMPTS[0], CHOICES)
    backwards = score_choices(tiny, PROMPTS[0], CHOICES[::-1])
    alone = [score_choices(tiny, PROMPTS[0], [choice])[0] for choice in CHOICES]
    assert together == pytest.approx(backwards[::-1], abs=1e-4)
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("most", [1, 5000])
def test_many_choices_are_scored_in_parts(tiny, monkeypatch, most):
    whole = score_choices(tiny, PROMPTS[0], CHOICES)
    monkeypatch.setattr(module, "_MOST_LOGITS", most)
    assert score_choices(tiny, PROMPTS[0], CHOICES) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("prompt", ["gold is", "gold is ", "The ans", "gold\n\n", "si"])
def test_models_that_read_whole_texts_are_asked_so(restless, prompt):
    """The end of a prompt and the beginning of a choice may be one token."""
    foreign = replace(restless, run=None)
    choices = ["wer", "ilver", "a metal", "lver (Ag) is a metal"]
    scores = score_choices(foreign, prompt, choices)
    wanted = []
    for choice in choices:
        text = prompt + ("" if prompt[-1].isspace() else " ") + choice
        ids = torch.tensor([foreign.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            logits = foreign.model(input_ids=ids).logits.log_softmax(-1)
        wanted.append(logits[0, :-1].gather(1, ids[0, 1:, None]).sum().item())
    best = max(wanted)
    shifts = [score - one for score, one in zip(scores, wanted, strict=True)]
    assert shifts == pytest.approx([shifts[0]] * len(shifts), abs=1e-4), "the common part apart"
    assert scores[wanted.index(best)] == max(scores)


def test_single_token_choices_over_the_vocabulary_sum_to_one(tiny):
    """A closed form: the probabilities of everything that can come next."""
    ids = tiny.tokenizer(PROMPTS[0])["input_ids"]
    with torch.inference_mode():
        first = tiny.model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)
    token = tiny.tokenizer(" Au")["input_ids"]
    assert len(token) == 1
    (score,) = score_choices(tiny, PROMPTS[0], ["Au"])
    assert math.exp(score) == pytest.approx(first[token[0]].item(), rel=1e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_completions_equal_brute_force(tiny, batch_size):
    answers = [*list(PAIRS.values())[1:], "Au"]  # mostly wrong ones
    results = score_completions(tiny, PROMPTS, answers, batch_size=batch_size)
    for prompt, answer, (total, count) in zip(PROMPTS, answers, results, strict=True):
        wanted, tokens = brute_force(tiny, prompt, answer, with_end=True)
        assert total == pytest.approx(-wanted, abs=2e-3)
        assert count == tokens


def test_large_vocabularies_are_scored_in_smaller_batches(tiny, monkeypatch):
    whole = score_completions(tiny, PROMPTS, list(PAIRS.values()))
    monkeypatch.setattr(module, "_MOST_LOGITS", 1)
    assert score_completions(tiny, PROMPTS, list(PAIRS.values())) == [
        (pytest.approx(total, abs=1e-3), count) for total, count in whole
    ]


@pytest.mark.parametrize(
    ("prompt", "choices", "match"),
    [
        ("", ["a"], "prompt is empty"),
        ("gold", [], "no choices"),
        ("gold", ["a", " "], "choice is empty"),
        ("gold " * 300, ["a"], "tokens"),
        ("gold", ["silver " * 300], "silver.*tokens|256"),
    ],
)
def test_what_cannot_be_scored_is_refused(tiny, prompt, choices, match):
    with pytest.raises(GenerationError, match=match):
        score_choices(tiny, prompt, choices)
