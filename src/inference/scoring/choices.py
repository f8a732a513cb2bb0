"""Log-likelihoods of given texts: scores of choices, and of the targets for perplexity.

Nothing is generated, so an answer outside the list is impossible, and all choices together cost two
forward passes.

Sizes: B sequences, T positions, K choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import GenerationError
from ...prompts import Prompt, as_text, join_of
from ..checkpoints.label_tokens import LabelTokens
from ..checkpoints.load_student import Checkpoint
from ..prompt_tokens.prompt_ids import answer_end, answer_ids, prompt_ids
from .model_limits import DAMAGED, check_room, context_length, model_lock

IGNORED = -100
_MOST_LOGITS = 1 << 26
"""Logits held at once, 256 MiB: large vocabularies get smaller batches."""


def encode_prompt(checkpoint: Checkpoint, prompt: Prompt) -> list[int]:
    """Tokenise a prompt as in training; a classifier reads it as a text, with its end token."""
    if checkpoint.label_tokens is not None:
        text = as_text(prompt)
        ids: list[int] = checkpoint.tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids
    return prompt_ids(checkpoint.tokenizer, [prompt])[0]


def encode_completion(checkpoint: Checkpoint, prompt: Prompt, completion: str) -> list[int]:
    """Tokenise what separates prompt and answer, and the text that follows it."""
    return answer_ids(checkpoint.tokenizer, prompt, completion)


def encode_choices(
    checkpoint: Checkpoint, prompt: str, choices: Sequence[str], *, with_end: bool = False
) -> tuple[list[int], list[list[int]]]:
    """Tokenise a prompt and the choices after it.

    Students of stillroom were trained on prompt and completion tokenised apart, and chat templates
    separate the two. Other models were trained on whole texts, in which the last word of a prompt
    can become another token (`"a "` and `"b"`, but `"a"` and `" b"`); for them each whole text is
    tokenised, and the choices begin after the longest common beginning.

    Args:
        checkpoint: Model and tokenizer.
        prompt: A rendered prompt.
        choices: Answers to compare.
        with_end: Put the end token after each. Needed if one choice begins with another, because
            the longer one could never be likelier without it.

    Returns:
        Ids of the prompt, and of each choice.

    Raises:
        GenerationError: The prompt or a choice is empty, or they do not fit into the model's
            context; or a choice is none of a classifier's labels.
    """
    ids = encode_prompt(checkpoint, prompt)
    check_room(len(ids), checkpoint.model)
    if checkpoint.label_tokens is not None:
        return ids, [[number] for number in _label_numbers(checkpoint.label_tokens, choices)]
    if checkpoint.run is not None or checkpoint.tokenizer.chat_template:
        answers = [encode_completion(checkpoint, prompt, choice) for choice in choices]
    else:
        joint = "" if prompt[-1:].isspace() else join_of(prompt)
        whole = prompt_ids(checkpoint.tokenizer, [prompt + joint + choice for choice in choices])
        # Every choice keeps a token of its own, and the prompt its first.
        common = max(1, min((_common(ids, row[:-1]) for row in whole), default=1))
        ids, answers = ids[:common], [row[common:] for row in whole]
    end = answer_end(checkpoint.tokenizer) if with_end else None
    answers = [answer if end is None else [*answer, end] for answer in answers]
    _check_choices(checkpoint, len(ids), choices, answers)
    return ids, answers


def _label_numbers(known: LabelTokens, choices: Sequence[str]) -> list[int]:
    try:
        return known.ids(choices)
    except ValueError as fault:
        raise GenerationError(
            f"choices are {list(choices)[:20]!r}; this model chooses among {known.labels[:20]!r}"
        ) from fault


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning of two sequences."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


@torch.inference_mode()
def score_continuations(
    model: Any,  # noqa: ANN401 - transformers is untyped
    ids: Sequence[int],
    answers: Sequence[Sequence[int]],
) -> list[float]:
    """Compute the log-likelihood of each answer after a prompt; all as token ids.

    Args:
        model: A transformers causal language model in eval mode.
        ids: The prompt, not empty.
        answers: At least one, none empty, each fits into the model's context after the prompt.

    Returns:
        Sums of natural log-probabilities, in the order of `answers`, not normalised by length.

    Raises:
        GenerationError: The logits are not finite.
    """
    from .prompt_cache import make_cache

    width = max(len(answer) for answer in answers)
    # Large vocabularies are scored in parts, which share the cache of the prompt.
    rows = max(1, _MOST_LOGITS // (width * model.config.vocab_size))
    scores: list[float] = []
    with model_lock(model):
        cache = make_cache(model, len(ids) + width)
        first = model(
            input_ids=torch.tensor([list(ids)], device=model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits  # (1, 1, V)
        for start in range(0, len(answers), rows):
            last = start + rows >= len(answers)
            read = cache if last else deepcopy(cache)
            scores += _score_part(model, read, first, len(ids), answers[start : start + rows])
    if not all(score > -float("inf") for score in scores):  # also false for NaN
        raise GenerationError(DAMAGED)
    return scores


def _score_part(
    model: Any,  # noqa: ANN401
    cache: Any,  # noqa: ANN401
    first: Tensor,
    begin: int,
    answers: Sequence[Sequence[int]],
) -> list[float]:
    """Score answers after a cached prompt of `begin` tokens, whose next logits are `first`."""
    device, width = model.device, max(len(answer) for answer in answers)
    # Padding on the right, which causal attention of real tokens never sees.
    padded = torch.tensor([[*a, *[0] * (width - len(a))] for a in answers], device=device)  # (K, T)
    logits = first.expand(len(answers), -1, -1)
    if width > 1:
        cache.batch_repeat_interleave(len(answers))
        places = torch.arange(begin, begin + width - 1, device=device)
        rest = model(
            input_ids=padded[:, :-1],
            past_key_values=cache,
            position_ids=places.expand(len(answers), -1),
            use_cache=True,
        ).logits  # (K, T - 1, V)
        logits = torch.cat([logits, rest], dim=1)
    lengths = torch.tensor([len(answer) for answer in answers], device=device)
    labels = padded.masked_fill(torch.arange(width, device=device) >= lengths[:, None], IGNORED)
    scores: list[float] = (-_losses(logits, labels)).sum(dim=1).tolist()
    return scores


@torch.inference_mode()
def score_labels(
    model: Any,  # noqa: ANN401 - transformers is untyped
    ids: Sequence[int],
    answers: Sequence[Sequence[int]],
) -> list[float]:
    """Compute the log-probability of each label, `[number]` in `answers`, of a classifier."""
    with model_lock(model):
        logits = model(
            input_ids=torch.tensor([list(ids)], device=model.device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64, device=model.device),
        ).logits
    rows: list[float] = logits.float().log_softmax(dim=-1)[0].tolist()
    return [rows[number] for (number,) in answers]


@torch.inference_mode()
def score_completions(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    completions: Sequence[str],
    *,
    batch_size: int = 32,
) -> list[tuple[float, int]]:
    """Compute the negative log-likelihoods of given answers, for perplexity.

    Only the supervised tokens count: separator, text and end token of the answers.

    Args:
        checkpoint: Model and tokenizer.
        prompts: Rendered prompts.
        completions: One answer per prompt.
        batch_size: Most pairs computed together.

    Returns:
        Per pair the sum of negative natural log-likelihoods, and the number of tokens it is over.
        A classifier's answer is one token; of an answer that is no label the likelihood is 0.

    Raises:
        GenerationError: A pair does not fit into the model's context.
    """
    if checkpoint.label_tokens is not None:
        return [_label_loss(checkpoint, *pair) for pair in zip(prompts, completions, strict=True)]
    end = answer_end(checkpoint.tokenizer)
    ending = [] if end is None else [end]
    pairs = [
        (encode_prompt(checkpoint, p), [*encode_completion(checkpoint, p, c), *ending])
        for p, c in zip(prompts, completions, strict=True)
    ]
    for prompt, answer in pairs:
        check_room(len(prompt) + len(answer) - 1, checkpoint.model)
    # Prompts of similar length together: only logits after the shortest prompt are computed.
    order = sorted(range(len(pairs)), key=lambda place: -len(pairs[place][0]))
    results: dict[int, tuple[float, int]] = {}
    widest = max((len(answer) for _, answer in pairs), default=1)
    rows = max(1, min(batch_size, _MOST_LOGITS // (widest * checkpoint.model.config.vocab_size)))
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        sums = _score_batch(checkpoint, [pairs[place] for place in places])
        for place, total in zip(places, sums, strict=True):
            results[place] = (total, len(pairs[place][1]))
    return [results[place] for place in range(len(pairs))]


def _label_loss(checkpoint: Checkpoint, prompt: Prompt, label: str) -> tuple[float, int]:
    known = checkpoint.label_tokens
    if known is None or label.strip() not in known.labels:
        return math.inf, 1
    ids = encode_prompt(checkpoint, prompt)
    return -score_labels(checkpoint.model, ids, [known.ids([label])])[0], 1


def _score_batch(
    checkpoint: Checkpoint, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[float]:
    """Sum the losses of each pair's answer."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    kept = width - min(len(prompt) for prompt, _ in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.int64)
    labels = torch.full((len(pairs), width), IGNORED)
    for row, (prompt, answer) in enumerate(pairs):
        # Padding on the right, which causal attention of real tokens never sees: no mask needed.
        length = len(prompt) + len(answer)
        ids[row, :length] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : length] = torch.tensor(answer)
    ids, labels = ids.to(checkpoint.device), labels.to(checkpoint.device)
    with model_lock(checkpoint.model):
        # Logits of the prompts' tokens are not needed and would take most of the memory.
        logits = checkpoint.model(input_ids=ids, use_cache=False, logits_to_keep=kept + 1).logits
    sums: list[float] = (
        _losses(logits[:, :-1], labels[:, 1:][:, -(logits.shape[1] - 1) :]).sum(dim=1).tolist()
    )
    return sums


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per position (B, T) of logits (B, T, V) that are already shifted; 0 where
    ignored."""
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape).double()


def _check_choices(
    checkpoint: Checkpoint, length: int, choices: Sequence[str], answers: Sequence[Sequence[int]]
) -> None:
    if not choices:
        raise GenerationError("there are no choices to score; give at least one")
    room = context_length(checkpoint.model)
    for choice, answer in zip(choices, answers, strict=True):
        if not choice.strip():
            raise GenerationError("a choice is empty; every choice needs at least one word")
        if length + len(answer) > room:
            raise GenerationError(
                f"the prompt has {length} tokens and the choice {choice[:40]!r} {len(answer)}, the "
                f"model attends to {room} in all; shorten the prompt"
            )
