"""The decode loop: token ids in, token ids out, one step at a time.

`transformers.generate` cannot stop between tokens from another thread, ties a sample to its place
in a batch, and spends more time around the model than in it when the model is small. Greedy results
here equal its results.

Sizes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import ConfigError, GenerationError
from .llama_step import LlamaStep, fits

FinishReason = Literal["stop", "length"]

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
    pad_id: int,
    occurrences: Sequence[int] | None = None,
) -> Generator[list[Token], None, None]:
    """Continue prompts together; close the iterator to stop early.

    Args:
        model: A transformers causal language model in eval mode.
        prompts: Token ids, none empty.
        sampling: Limits and randomness, the same for all.
        end_ids: Tokens that end a sequence; empty to run to the limit.
        pad_id: Any token id; padding is never attended to.
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
    batch = _Batch(model, prompts, sampling, pad_id)
    draws = _draws(prompts, occurrences or [0] * len(prompts), sampling)
    limits = [min(sampling.max_new_tokens, context_length(model) - len(p)) for p in prompts]
    live = set(range(len(prompts)))
    for step in range(max(limits)):
        logits = batch.forward()
        chosen, logprobs = _choose(
            logits, sampling, None if draws is None else draws[batch.rows, step]
        )
        tokens = []
        for row, token, logprob in zip(batch.rows, chosen.tolist(), logprobs, strict=True):
            if row not in live:
                continue
            reason: FinishReason | None = None
            if token in end_ids:
                reason = "stop"
            elif step + 1 == limits[row]:
                reason = "length"
            if reason is not None:
                live.remove(row)
            tokens.append(Token(row, token, logprob, reason))
        yield tokens
        if not live:
            return
        batch.advance(chosen, live)


class _Batch:
    """Sequences that are decoded together, padded on the left so that all end at the same place."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        pad_id: int,
    ) -> None:
        from .kv_cache import make_cache

        self._model = model
        self._lock = model_lock(model)
        device = model.device
        width = max(len(prompt) for prompt in prompts)
        self.rows = list(range(len(prompts)))
        padding = [width - len(prompt) for prompt in prompts]
        rows = [[pad_id] * pad + list(p) for pad, p in zip(padding, prompts, strict=True)]
        self._ids = torch.tensor(rows, device=device)  # (B, T)
        self._padding = torch.tensor(padding, device=device)  # (B,)
        capacity = width + sampling.max_new_tokens
        self._cache = make_cache(model, capacity)
        self._width = self._length = width
        self._places = torch.arange(capacity, device=device)
        self._step = LlamaStep(model, capacity) if fits(model) else None
        self._mask: Tensor | None = None
        if any(padding):  # without padding transformers takes its fast path, which needs no mask
            self._mask = self._places >= self._padding[:, None]

    def forward(self) -> Tensor:
        """Give the logits (B, V) after the last token, in float32."""
        try:
            with self._lock:
                if self._step is not None and self._length > self._width:
                    mask = None if self._mask is None else self._mask[:, : self._length]
                    last = self._length - 1
                    places = self._places[last : last + 1]
                    if mask is not None:
                        places = places - self._padding
                    return self._step(self._ids, places, mask, self._cache)
                return self._transformers_forward()
        except RuntimeError as fault:
            raise GenerationError(f"the model failed while answering: {fault}") from fault

    def _transformers_forward(self) -> Tensor:
        first = self._length - self._ids.shape[1]
        positions = self._places[first : self._length]
        mask = None
        if self._mask is not None:
            mask = self._mask[:, : self._length].long()
        logits: Tensor = self._model(
            input_ids=self._ids,
            attention_mask=mask,
            position_ids=(positions - self._padding[:, None]).clamp(min=0),  # (B, T)
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float()

    def advance(self, chosen: Tensor, live: set[int]) -> None:
        """Append a token to each sequence, and drop finished ones when they are many enough to pay
        the copy."""
        self._ids = chosen[:, None]
        self._length += 1
        if len(live) > 0.75 * len(self.rows):
            return
        keep = [place for place, row in enumerate(self.rows) if row in live]
        kept = torch.tensor(keep, device=self._ids.device)
        self.rows = [self.rows[place] for place in keep]
        self._ids, self._padding = self._ids[kept], self._padding[kept]
        if self._mask is not None:
            self._mask = self._mask[kept]
        self._cache.batch_select_indices(kept)


def _choose(logits: Tensor, sampling: Sampling, draws: Tensor | None) -> tuple[Tensor, list[float]]:
    """Choose a token per row of the logits (B, V); give ids (B,) and their log-probabilities."""
    if draws is None:
        chosen = logits.argmax(dim=-1)
    else:
        chosen = _sample(logits / sampling.temperature, sampling.top_p, draws.to(logits.device))
    logprobs = logits.gather(1, chosen[:, None]).squeeze(1) - logits.logsumexp(dim=-1)
    listed: list[float] = logprobs.tolist()
    if not all(map(math.isfinite, listed)):
        raise GenerationError("the model's logits are no finite numbers; its weights are damaged")
    return chosen, listed


def _sample(logits: Tensor, top_p: float, draws: Tensor) -> Tensor:
    """Invert the cumulative distribution of each row at its draw from [0, 1)."""
    probabilities, order = (
        logits.double().softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    )
    before = probabilities.cumsum(dim=-1) - probabilities
    cumulative = probabilities.masked_fill(before >= top_p, 0).cumsum(dim=-1)
    places = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)
    return order.gather(1, places.clamp(max=order.shape[1] - 1)).squeeze(1)


def _draws(
    prompts: Sequence[Sequence[int]], occurrences: Sequence[int], sampling: Sampling
) -> Tensor | None:
    """Draw the random numbers of all steps, (B, steps), from seed and prompt alone."""
    if sampling.temperature == 0:
        return None
    rows = []
    for prompt, occurrence in zip(prompts, occurrences, strict=True):
        key = f"{sampling.seed} {occurrence} {list(prompt)}".encode()
        seed = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
        source = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(sampling.max_new_tokens, generator=source, dtype=torch.float64))
    return torch.stack(rows)
