"""Train a ranker from questions whose right plans are known, or only their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from .features import COLUMN_FEATURES
from .model import Ranker, right_loss
from .ranking import Seen, new_ranker

ENCODED: Final = torch.tensor(
    [block * COLUMN_FEATURES + one for block in range(3) for one in (2, 3, 4, 6, 7)]
)
"""Numbers of a plan that come from the encoder."""


@dataclass(frozen=True)
class Example:
    """A question with the plans that are right.

    Attributes:
        seen: What a ranker sees.
        right: Of each plan, and of "the table cannot answer".
    """

    seen: Seen
    right: torch.Tensor


def without_encoder(seen: Seen) -> Seen:
    """Give what would be seen without an encoder."""
    numbers = seen.numbers.clone()
    numbers[:, ENCODED] = 0.0
    return replace(seen, encoded=None, numbers=numbers)


def train_ranker(
    examples: Sequence[Example],
    *,
    start: Ranker | None = None,
    epochs: int = 5,
    batch: int = 16,
    rate: float = 4e-3,
    blind: float = 0.2,
    seed: int = 0,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
) -> Ranker:
    """Train a ranker by the probability of all right plans together.

    Args:
        examples: Those without a right plan are passed over.
        start: A trained ranker to go on from; None starts anew.
        epochs: How often each question is seen.
        batch: Questions a step.
        rate: Highest learning rate.
        blind: Share of the questions that are shown without the encoder, so that a ranker works
            without one as well.
        seed: Of all chance.
        watch: Wraps the steps, for a progress bar.

    Returns:
        The ranker, ready to rank.
    """
    used = [one for one in examples if bool(one.right.any()) and not bool(one.right.all())]
    rng = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoded = next((len(one.seen.encoded) for one in used if one.seen.encoded is not None), 0)
        ranker = start or new_ranker(encoded)
        if start is None:
            _standardise(ranker, used, rng)
        optimizer = torch.optim.AdamW(ranker.parameters(), lr=rate, weight_decay=1e-4)
        each = max(1, -(-len(used) // batch))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=max(2, epochs * each + 1), pct_start=0.1
        )
        order: list[Example] = []
        ranker.train()
        ranker.norm.eval()
        for step in watch(range(epochs * each)):
            if step % each == 0:
                order = rng.sample(used, len(used))
            chosen = order[step % each * batch : (step % each + 1) * batch]
            optimizer.zero_grad()
            for one in chosen:
                seen = without_encoder(one.seen) if rng.random() < blind else one.seen
                scores = ranker(seen.hashed, seen.encoded, seen.structure, seen.numbers)
                loss = right_loss(scores, one.right) / len(chosen)
                loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return ranker.eval()


def _standardise(ranker: Ranker, examples: Sequence[Example], rng: random.Random) -> None:
    """Set the mean and spread of each number from some of the questions."""
    sample = rng.sample(list(examples), min(len(examples), 500))
    numbers = torch.cat([one.seen.numbers for one in sample])
    assert ranker.norm.running_mean is not None
    assert ranker.norm.running_var is not None
    ranker.norm.running_mean.copy_(numbers.mean(0))
    ranker.norm.running_var.copy_(numbers.var(0) + 1e-3)
