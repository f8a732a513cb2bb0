"""Measure how fast models decode; they alternate, so that a busy machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from statistics import median

import torch

from ..inference.checkpoints.load_student import Checkpoint
from ..inference.engine.protocol import GenerationRequest
from ..inference.engine.transformers_engine import serve_checkpoint
from ..inference.scoring.choices import encode_prompt
from ..inference.scoring.model_limits import context_length


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
    times = []
    with closing(serve_checkpoint(checkpoint, most_running=1, most_waiting=1)) as engine:
        for prompt in [prompts[0], *prompts]:
            ids = encode_prompt(checkpoint, prompt)
            start = time.perf_counter()
            engine.submit(GenerationRequest(ids, max_tokens=max_new_tokens)).collect()
            times.append(1000 * (time.perf_counter() - start))
    return times[1:]


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
