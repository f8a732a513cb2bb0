"""Train a ranker on questions whose right plans, or at least right answers, are known."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from .encoder import Encoder, adapter_weights, add_adapters
from .model import Ranker, right_loss
from .ranking import Seen, new_ranker

VARIED: Final = 0.5
"""Share of the questions that are read with shuffled columns and masked tokens in training."""


@dataclass(frozen=True)
class Example:
    """A question with its right plans.

    Attributes:
        seen: The ranker's inputs.
        right: Whether each plan, and last "the table cannot answer", is right.
    """

    seen: Seen
    right: torch.Tensor


def train_ranker(
    examples: Sequence[Example],
    *,
    encoder: Encoder | None = None,
    start: Ranker | None = None,
    adapter: Mapping[str, torch.Tensor] | None = None,
    epochs: int = 4,
    batch: int = 16,
    rate: float = 3e-3,
    adapter_rate: float = 1e-3,
    seed: int = 0,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
) -> tuple[Ranker, Mapping[str, torch.Tensor]]:
    """Train a ranker to maximise the probability of all right plans together.

    Args:
        examples: The questions; those with no right plan or only right plans are skipped.
        encoder: The pretrained encoder, to which an adapter is trained; None trains a ranker that
            uses words alone.
        start: A trained ranker of the same kind to continue from; it is changed. None starts anew.
        adapter: Adapter of the encoder to continue from.
        epochs: Number of passes over the questions.
        batch: Questions per step.
        rate: Peak learning rate of the ranker.
        adapter_rate: Peak learning rate of the adapter.
        seed: Seed of the order of the questions and of all random weights.
        watch: Wraps the iterable of steps, for a progress bar.

    Returns:
        The ranker in evaluation mode, and the adapter of the encoder, empty without one.
    """
    used = [one for one in examples if bool(one.right.any()) and not bool(one.right.all())]
    rng = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader, added = None, []
        if encoder is not None:
            reader = copy.copy(encoder)
            reader.model = copy.deepcopy(encoder.model)
            added = add_adapters(reader, adapter)
        ranker = start or new_ranker(0 if encoder is None else encoder.width)
        if start is None:
            _standardise(ranker, used, rng)
        groups: list[dict[str, Any]] = [
            {"params": list(ranker.parameters())},
            {"params": added, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=1e-4)
        each = max(1, -(-len(used) // batch))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [rate, adapter_rate], total_steps=max(2, epochs * each + 1), pct_start=0.1
        )
        batches: list[list[Example]] = []
        ranker.train()
        ranker.norm.eval()
        for step in watch(range(epochs * each)):
            if step % each == 0:
                batches = _batches(used, batch, rng)
            chosen = batches[step % each]
            optimizer.zero_grad()
            read = _read(reader, chosen, rng)
            loss = torch.zeros(())
            for one, vectors in zip(chosen, read, strict=True):
                seen = one.seen
                scores = ranker(seen.hashed, vectors, seen.structure, seen.columns, seen.numbers)
                loss = loss + right_loss(scores, one.right) / len(chosen)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([*ranker.parameters(), *added], 1.0)
            optimizer.step()
            schedule.step()
    trained = {} if reader is None else adapter_weights(reader)
    if encoder is not None:
        ranker.reader = encoder.adapted(trained)
    return ranker.eval(), trained


def _read(
    reader: Encoder | None, examples: Sequence[Example], rng: random.Random | None = None
) -> list[torch.Tensor | None]:
    """Encode questions and columns; with `rng` every other question is varied, for training."""
    tokens = [one.seen.tokens for one in examples if one.seen.tokens is not None]
    if reader is None or len(tokens) < len(examples):
        return [None] * len(examples)
    if rng is not None:
        tokens = [reader.varied(one, rng) if rng.random() < VARIED else one for one in tokens]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_fast_halves()):
        vectors = reader.read(tokens)
    return [one.float() for one in vectors]


def _fast_halves() -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known()) if known is not None else False


def _batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[Example]]:
    """Shuffle the questions into batches of similar length, which need less padding."""
    order = rng.sample(list(examples), len(examples))
    found = []
    for start in range(0, len(order), 8 * size):
        part = sorted(order[start : start + 8 * size], key=_length)
        found += [part[at : at + size] for at in range(0, len(part), size)]
    rng.shuffle(found)
    return found


def _length(example: Example) -> int:
    return sum(len(ids) for ids, _ in example.seen.tokens or ())


def _standardise(ranker: Ranker, examples: Sequence[Example], rng: random.Random) -> None:
    """Set the mean and variance of each numeric feature from up to 500 of the questions."""
    sample = rng.sample(list(examples), min(len(examples), 500))
    numbers = torch.cat([one.seen.numbers for one in sample])
    assert ranker.norm.running_mean is not None
    assert ranker.norm.running_var is not None
    ranker.norm.running_mean.copy_(numbers.mean(0))
    ranker.norm.running_var.copy_(numbers.var(0) + 1e-3)
