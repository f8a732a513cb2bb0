"""P(label | prompt): the probability of each of a closed list of answers.

    from stillroom.inference.scoring.label_scoring import label_probabilities

    label_probabilities(student, "Question: ...\\n\\nTask:", ["qa", "summarize", "validate"])

Nothing is generated, so no other answer is possible. The log-likelihood of an answer includes its
end token, so that `no` does not include `no, it is Au`.

Long answers and rare words are less likely whatever the question. `correction` chooses what is done
about it:

- `"prior"`, the default: the log-likelihood after a neutral prompt is subtracted, so that what
  counts is how much the question raises the answer's likelihood (PMI_DC, Holtzman et al. 2021,
  arXiv:2104.08315, section 3). The neutral prompt is the last line of the prompt.
- `"length"`: the mean over the tokens (Brown et al. 2020, arXiv:2005.14165, section 2.4). Favours
  long answers whose end follows from their beginning.
- `"none"`: the model's own distribution over the answers. Right for a student that was trained to
  answer with these texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

from ...errors import ConfigError
from ..checkpoints.load_student import Checkpoint
from .choices import encode_choices, score_continuations, score_labels

Correction = Literal["prior", "length", "none"]
Scorer = Callable[[Sequence[int], Sequence[Sequence[int]]], list[float]]
"""From ids of a prompt and of the answers after it to log-likelihoods."""


def label_probabilities(
    checkpoint: Checkpoint,
    prompt: str,
    labels: Sequence[str],
    *,
    correction: Correction = "prior",
    neutral: str | None = None,
    score: Scorer | None = None,
) -> list[float]:
    """Compute the probability of each label as the answer to a prompt.

    The prompt is computed once, then all labels together; `"prior"` does so twice.

    Args:
        checkpoint: Model and tokenizer.
        prompt: A rendered prompt.
        labels: Answers to compare, all different.
        correction: What is done about length and rarity; see above.
        neutral: For `"prior"`: a prompt of the same form that asks nothing; None takes the last
            line of `prompt`, or an empty document where there is only one.
        score: What computes log-likelihoods, such as an engine's `score_choices`; None computes
            here.

    Returns:
        Numbers from 0 to 1 in the order of `labels`; they add up to 1.

    Raises:
        GenerationError: The prompt or a label is empty, or they do not fit into the model's
            context.
        ConfigError: Two labels are the same, or the correction is unknown.
    """
    _check(labels, correction)
    chooses = checkpoint.label_tokens is not None
    score = score or partial(score_labels if chooses else score_continuations, checkpoint.model)
    ids, answers = encode_choices(checkpoint, prompt, labels, with_end=True)
    scores = score(ids, answers)
    if chooses:
        return _softmax(scores)  # a classifier's labels have neither length nor rare words
    if correction == "length":
        scores = [s / len(answer) for s, answer in zip(scores, answers, strict=True)]
    elif correction == "prior":
        before = _prior(checkpoint, prompt, labels, answers, neutral, score)
        scores = [s - b for s, b in zip(scores, before, strict=True)]
    return _softmax(scores)


def _prior(
    checkpoint: Checkpoint,
    prompt: str,
    labels: Sequence[str],
    answers: Sequence[Sequence[int]],
    neutral: str | None,
    score: Scorer,
) -> list[float]:
    """Score the labels after a neutral prompt."""
    if neutral is None:
        lines = prompt.rstrip().rsplit("\n", 1)
        if len(lines) == 1 or not lines[1].strip():
            tokenizer = checkpoint.tokenizer
            start = tokenizer.bos_token_id
            return score([tokenizer.eos_token_id if start is None else start], answers)
        neutral = prompt[len(lines[0]) + 1 :]
    return score(*encode_choices(checkpoint, neutral, labels, with_end=True))


def _check(labels: Sequence[str], correction: str) -> None:
    faults = []
    if correction not in get_args(Correction):
        faults.append(f"correction is {correction!r}; allowed: {list(get_args(Correction))}")
    bare = [label.strip() for label in labels]
    twice = sorted({label for label in bare if bare.count(label) > 1})
    if twice:
        faults.append(f"labels {twice} are given twice; every label must differ from the others")
    if faults:
        raise ConfigError(faults)


def _softmax(scores: Sequence[float]) -> list[float]:
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
