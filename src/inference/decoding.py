"""The decode loop: token ids in, token ids out, one step at a time.

`transformers.generate` cannot stop between tokens from another thread, ties a sample to its place
in a batch, and spends more time around the model than in it when the model is small. Greedy results
here equal its results.

Sizes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import ConfigError, GenerationError
from .batch import open_batch
from .sampling import make_draws, sample

FinishReason = Literal["stop", "length"]
DAMAGED = "the model's logits are no finite numbers; its weights are damaged"

_locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen."""

    max_new_tokens: int = 128
    """Most tokens after the prompt."""
    temperature: float = 0.0
    """0 takes the likeliest token; above 0 samples."""
    top_p: float = 1.0
    """Sample only from the likeliest tokens that together have this probability."""
    seed: int = 0
    """With the prompt it determines the sample, whatever else is in the batch."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        faults = []
        if self.max_new_tokens < 1:
            faults.append(f"max_new_tokens is {self.max_new_tokens!r}; allowed is 1 or more")
        if not 0 <= self.temperature <= 100:
            faults.append(f"temperature is {self.temperature!r}; allowed is 0 to 100")
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p!r}; allowed is above 0 to 1")
        if faults:
            raise ConfigError(faults)


class Token(NamedTuple):
    """One token of one sequence."""

    row: int
    """Which of the prompts it continues."""
    token_id: int
    logprob: float
    """Natural logarithm of its probability under the model, before temperature and top_p."""
    finish_reason: FinishReason | None
    """Set on the last token of a sequence: `stop` for an end token, `length` for the limit."""


def model_lock(model: Any) -> threading.Lock:  # noqa: ANN401 - transformers is untyped
    """Give the lock under which a model computes: concurrent requests take turns, step by step."""
    with _locks_guard:
        return _locks.setdefault(model, threading.Lock())


def end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401
    """Collect the tokens that end an answer: those of the generation config and the tokenizer's."""
    generation = getattr(model, "generation_config", None)
    ids = getattr(generation, "eos_token_id", None)
    listed = [] if ids is None else ids if isinstance(ids, list) else [ids]
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return frozenset(int(token) for token in [*listed, *own])


def context_length(model: Any) -> int:  # noqa: ANN401
    """Give the most tokens a model can attend to, prompt and answer together."""
    config = model.config
    return int(getattr(config, "max_position_embeddings", None) or config.n_positions)


def check_room(length: int, model: Any) -> None:  # noqa: ANN401
    """Refuse a prompt without tokens, or one that leaves no room for an answer.

    Args:
        length: Tokens of the prompt.
        model: The model that is to continue it.

    Raises:
        GenerationError: With the numbers.
    """
    room = context_length(model)
    if length == 0:
        raise GenerationError("the prompt is empty; give at least one word")
    if length >= room:
        raise GenerationError(
            f"the prompt has {length} tokens, the model attends to {room} in all, so none is left "
            "for an answer; shorten the prompt or its context"
        )


@torch.inference_mode()
def decode(
    model: Any,  # noqa: ANN401
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    end_ids: Collection[int],
    occurrences: Sequence[int] | None = None,
) -> Generator[list[Token], None, None]:
    """Continue prompts together; close the iterator to stop early.

    Args:
        model: A transformers causal language model in eval mode.
        prompts: Token ids, none empty.
        sampling: Limits and randomness, the same for all.
        end_ids: Tokens that end a sequence; empty to run to the limit.
        occurrences: For sampling: how often each prompt came before, so that repeated prompts
            differ.

    Yields:
        Per step, one token for each sequence that is not finished.

    Raises:
        GenerationError: A prompt has no room, or the model fails or gives logits that are no
            numbers.
    """
    for prompt in prompts:
        check_room(len(prompt), model)
    limits = [min(sampling.max_new_tokens, context_length(model) - len(p)) for p in prompts]
    draws = _draws(prompts, occurrences or [0] * len(prompts), sampling)
    rows = list(range(len(prompts)))
    batch = open_batch(model)
    logits = _compute(model, batch.add, prompts)
    for step in range(max(limits)):
        now = None if draws is None else draws[rows, step]
        chosen, logprobs = _choose(logits, sampling, now)
        tokens, ended = [], []
        for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            last = step + 1 == limits[row]
            reason: FinishReason | None = "stop" if token in end_ids else "length" if last else None
            tokens.append(Token(row, token, logprobs[place], reason))
            if reason is not None:
                ended.append(place)
        yield tokens
        for place in reversed(ended):  # the last row takes the place of one that goes
            batch.drop(place)
            rows[place] = rows[-1]
            rows.pop()
            chosen[place] = chosen[len(rows)]
        if not rows:
            return
        logits = _compute(model, batch.step, chosen[: len(rows)])


def _compute(model: Any, forward: Callable[[Any], Tensor], given: Any) -> Tensor:  # noqa: ANN401
    """Run one pass when it is this caller's turn."""
    try:
        with model_lock(model):
            return forward(given)
    except RuntimeError as fault:
        raise GenerationError(f"the model failed while answering: {fault}") from fault


def _choose(logits: Tensor, sampling: Sampling, draws: Tensor | None) -> tuple[Tensor, list[float]]:
    """Choose a token per row of the logits (B, V); give ids (B,) and their log-probabilities."""
    if draws is None:
        chosen = logits.argmax(dim=-1)
    else:
        rows = draws.to(logits.device)
        like = torch.ones_like(rows)
        chosen = sample(
            logits,
            (like * sampling.temperature).float(),
            like * sampling.top_p,
            torch.full_like(rows, logits.shape[1], dtype=torch.int64),
            rows,
        )
    listed = logprobs_of(logits, chosen)
    if not all(map(math.isfinite, listed)):
        raise GenerationError(DAMAGED)
    return chosen, listed


def logprobs_of(logits: Tensor, chosen: Tensor) -> list[float]:
    """Give the natural log-probability of one token (B,) per row of the logits (B, V)."""
    listed: list[float] = logits.log_softmax(dim=-1).gather(1, chosen[:, None]).squeeze(1).tolist()
    return listed


def _draws(
    prompts: Sequence[Sequence[int]], occurrences: Sequence[int], sampling: Sampling
) -> Tensor | None:
    """Draw the random numbers of all steps, (B, steps), from seed and prompt alone."""
    if sampling.temperature == 0:
        return None
    return torch.stack(
        [
            make_draws(sampling.seed, occurrence, prompt, sampling.max_new_tokens)
            for prompt, occurrence in zip(prompts, occurrences, strict=True)
        ]
    )
