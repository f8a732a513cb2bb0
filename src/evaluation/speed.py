"""Measure how fast models decode, and how long single answers take.

Models that decode alternate, so that a busy machine slows all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from ..inference.checkpoints.load_student import Checkpoint
from ..inference.engine.detokenize import decode_answer
from ..inference.engine.protocol import Engine, GenerationRequest
from ..inference.engine.transformers_engine import serve_checkpoint
from ..inference.scoring.choices import encode_prompt
from ..inference.scoring.model_limits import context_length
from ..prompts import Prompt


def measure_speed(
    checkpoints: Mapping[str, Checkpoint],
    prompts: Sequence[str],
    *,
    new_tokens: int = 64,
    rounds: int = 5,
    batch_size: int = 1,
) -> dict[str, float]:
    """Measure greedy decoding in tokens per second of wall time, reading the prompts included.

    The models alternate (A B C, A B C, ...). The first round is a warm-up and is not counted; the
    result is the median of the others. End tokens are ignored, so that every model decodes the same
    number of tokens.

    Args:
        checkpoints: Models by name.
        prompts: Rendered prompts, the same for all.
        new_tokens: Tokens per prompt and round.
        rounds: Measured rounds.
        batch_size: Prompts decoded together.

    Returns:
        Tokens per second by name.
    """
    rates: dict[str, list[float]] = {name: [] for name in checkpoints}
    for round_number in range(rounds + 1):
        for name, checkpoint in checkpoints.items():
            rate = _rate(checkpoint, prompts, new_tokens, batch_size)
            if round_number > 0:
                rates[name].append(rate)
    return {name: median(values) for name, values in rates.items()}


def measure_latency(
    checkpoint: Checkpoint, prompts: Sequence[str], *, max_new_tokens: int = 64
) -> list[float]:
    """Measure the time of each answer, one prompt at a time, after a warm-up.

    Args:
        checkpoint: The model.
        prompts: Rendered prompts, one or more.
        max_new_tokens: Most tokens of an answer.

    Returns:
        Milliseconds per prompt, in their order.
    """
    with closing(serve_checkpoint(checkpoint, most_running=1, most_waiting=1)) as engine:
        asked = ask_singly(engine, checkpoint, prompts, max_new_tokens=max_new_tokens)
    return list(asked.times_ms)


@dataclass(frozen=True)
class Latency:
    """Times of N answers that were asked for one after the other."""

    times_ms: tuple[float, ...]
    """(N,), from the question to the end of its answer."""
    texts: tuple[str, ...]
    """(N,)."""
    tokens: int
    """Of all answers together."""

    def percentile(self, share: float) -> float:
        """Give the time in ms within which a share of the answers, in percent, came."""
        return float(np.percentile(self.times_ms, share))

    @property
    def mean_ms(self) -> float:
        """Mean time of an answer."""
        return float(np.mean(self.times_ms))

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answers over the time that they took."""
        return self.tokens / max(sum(self.times_ms) / 1000, 1e-9)


def ask_singly(
    engine: Engine,
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    most_seconds: float | None = None,
) -> Latency:
    """Ask questions one after the other, greedily.

    Args:
        engine: Answers.
        checkpoint: Its tokenizer.
        prompts: Rendered prompts or turns, at least one; the first is asked once more, before.
        max_new_tokens: Most tokens of an answer.
        most_seconds: Ask no further question after this time; None asks all.
    """
    times: list[float] = []
    texts: list[str] = []
    tokens = 0
    began = time.perf_counter()
    for number, prompt in enumerate([prompts[0], *prompts]):
        start = time.perf_counter()
        if times and most_seconds is not None and start - began > most_seconds:
            break
        request = GenerationRequest(encode_prompt(checkpoint, prompt), max_tokens=max_new_tokens)
        events = engine.submit(request).collect()
        spent = time.perf_counter() - start
        if number:
            ids = [event.token_id for event in events if event.token_id is not None]
            times.append(1000 * spent)
            texts.append(decode_answer(checkpoint.tokenizer, ids))
            tokens += len(ids)
    return Latency(tuple(times), tuple(texts), tokens)


def _rate(
    checkpoint: Checkpoint, prompts: Sequence[str], new_tokens: int, batch_size: int
) -> float:
    encoded = [encode_prompt(checkpoint, prompt) for prompt in prompts]
    free = context_length(checkpoint.model) - max(len(ids) for ids in encoded)
    limit = min(new_tokens, free)
    requests = [GenerationRequest(ids, max_tokens=limit, ignore_end=True) for ids in encoded]
    capacity = {"most_running": batch_size, "most_waiting": batch_size}
    tokens = 0
    with closing(serve_checkpoint(checkpoint, **capacity)) as engine:
        _synchronize(checkpoint)
        start = time.perf_counter()
        for first in range(0, len(requests), batch_size):
            streams = [engine.submit(request) for request in requests[first : first + batch_size]]
            tokens += sum(len(stream.collect()) for stream in streams)
        _synchronize(checkpoint)
        return tokens / (time.perf_counter() - start)


def _synchronize(checkpoint: Checkpoint) -> None:
    if checkpoint.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.device)
