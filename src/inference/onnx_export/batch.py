"""Batched decoding and scoring with an exported model.

Sizes: B sequences, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import GenerationError
from ..scoring.model_limits import DAMAGED
from .session import StepSession

_MOST_TOKENS = 2048
"""Prompt tokens computed at once, padding included; bounds the memory of activations."""
_MOST_CHUNK = 512
"""Tokens of a long prompt computed at once; attention scores are this times its length."""
_MOST_ROWS = 64
"""Continuations scored at once; bounds the memory of their caches."""


class ExportedBatch:
    """See `engine.batch.Batch`. Logits are valid until the next call."""

    def __init__(self, session: StepSession) -> None:
        """Start without sequences."""
        self._session = session
        self._cache = session.open_cache()

    @property
    def rows(self) -> int:
        """Number of sequences."""
        return self._cache.rows

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return self._cache.tokens

    def is_current(self) -> bool:
        """An export never changes."""
        return True

    def add(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Append sequences; return the logits (new, V) after each."""
        logits = [self._read(part) for part in _parts(prompts)]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token (B,) to every sequence; return the logits (B, V) after it."""
        cache = self._cache
        cache.advance()
        places = np.arange(cache.rows)
        return self._session.forward(tokens.numpy()[:, None], cache.lengths, places, cache)

    def drop(self, row: int) -> None:
        """Remove a sequence; the last one takes its number."""
        self._cache.drop(row)

    def repeat(self, row: int, copies: int) -> None:
        """Append copies of a sequence."""
        self._cache.repeat(row, copies)

    def shorten(self, row: int, length: int) -> None:
        """Truncate a sequence to `length` tokens."""
        self._cache.lengths[row] = length

    def read_all(self, ids: Sequence[int], kept: int) -> Tensor:
        """Append a sequence; return the logits (kept, V) after each of its last tokens."""
        self._cache.add([len(ids)])
        row = self._cache.rows - 1
        logits = []
        for begin in range(0, len(ids), _MOST_CHUNK):
            end = min(begin + _MOST_CHUNK, len(ids))
            wanted = range(max(begin, len(ids) - kept), end)
            # Not every runtime accepts a product without rows, so one is computed and dropped.
            places = [place - begin for place in wanted] or [0]
            chunk = np.array([ids[begin:end]], np.int64)
            found = self._session.forward(chunk, [end], places, self._cache, row)
            if wanted:
                logits.append(found.clone())
        return torch.cat(logits)

    def _read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Compute prompts side by side, each from column 0 on."""
        if len(prompts) == 1 and len(prompts[0]) > _MOST_CHUNK:
            return self.read_all(prompts[0], 1)
        lengths = [len(prompt) for prompt in prompts]
        first = self._cache.add(lengths)
        width = max(lengths)
        ids = np.zeros((len(prompts), width), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
        places = np.arange(len(prompts)) * width + np.array(lengths) - 1
        return self._session.forward(ids, lengths, places, self._cache, first).clone()


def score_continuations(
    session: StepSession, ids: Sequence[int], answers: Sequence[Sequence[int]]
) -> list[float]:
    """Compute the log-likelihood of each answer after a prompt; all as token ids.

    The prompt is read once; then all answers advance together, a token at a time.

    Args:
        session: The model.
        ids: The prompt, not empty.
        answers: At least one, none empty, each fits into the model's context after the prompt.

    Returns:
        Sums of natural log-probabilities, in the order of `answers`.

    Raises:
        GenerationError: The logits are not finite.
    """
    scores: list[float] = []
    batch = ExportedBatch(session)
    first = batch.add([ids])[0].double().log_softmax(dim=-1)  # (V,)
    for begin in range(0, len(answers), _MOST_ROWS):
        part = answers[begin : begin + _MOST_ROWS]
        scores += _score_part(batch, first, part)
    if not all(score > -float("inf") for score in scores):  # also false for NaN
        raise GenerationError(DAMAGED)
    return scores


def _score_part(
    batch: ExportedBatch, first: Tensor, answers: Sequence[Sequence[int]]
) -> list[float]:
    """Score answers after the prompt that is row 0, whose next log-probabilities are `first`."""
    sums = [float(first[answer[0]]) for answer in answers]
    # Longest first, so that finished ones are the last rows.
    active = [place for place, answer in enumerate(answers) if len(answer) > 1]
    active.sort(key=lambda place: -len(answers[place]))
    if not active:
        return sums
    length = batch.tokens
    batch.repeat(0, len(active) - 1)
    for step in range(1, len(answers[active[0]])):
        while len(answers[active[-1]]) <= step:
            active.pop()
            batch.drop(len(active))
        logits = batch.step(torch.tensor([answers[place][step - 1] for place in active]))
        logprobs = logits.double().log_softmax(dim=-1)
        for row, place in enumerate(active):
            sums[place] += float(logprobs[row, answers[place][step]])
    while batch.rows > 1:
        batch.drop(batch.rows - 1)
    batch.shorten(0, length)
    return sums


def _parts(prompts: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """Split prompts, in order, into parts that are computed at once."""
    begin, width = 0, 0
    for place, prompt in enumerate(prompts):
        wider = max(width, len(prompt))
        if place > begin and wider * (place + 1 - begin) > _MOST_TOKENS:
            yield prompts[begin:place]
            begin, wider = place, len(prompt)
        width = wider
    yield prompts[begin:]
