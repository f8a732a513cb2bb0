"""Loss of quality of an export: its probabilities compared with the checkpoint's, on real prompts.

Both read the same prompts and answers (teacher forcing), so that one different token does not
affect those after it.

Sizes: N tokens of an answer, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from ..checkpoints.load_student import Checkpoint
from .batch import ExportedBatch
from .session import StepSession


class Read(NamedTuple):
    """A prompt and its answer, as token ids; neither is empty."""

    prompt_ids: list[int]
    answer_ids: list[int]


@dataclass(frozen=True)
class ExportLoss:
    """How far an export is from its checkpoint."""

    prompts: int
    tokens: int
    """Tokens of all answers, end tokens included."""
    top1_agreement: float
    """Share of tokens for which both have the same likeliest token, 0 to 1."""
    answers_unchanged: float
    """Share of answers for which that holds at every token, 0 to 1."""
    kl_nats: float
    """Mean over tokens of KL(checkpoint || export), in nats."""
    perplexity_before: float
    """Perplexity of the answers under the checkpoint."""
    perplexity_after: float
    """Perplexity under the export."""
    largest_difference: float
    """Largest difference of a logit, relative to the largest logit of its token."""

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Format the numbers for people."""
        change = 100 * (self.perplexity_after / self.perplexity_before - 1)
        return [
            f"the same likeliest token in {100 * self.top1_agreement:.2f} % of {self.tokens} "
            f"tokens, throughout in {100 * self.answers_unchanged:.1f} % of {self.prompts} answers",
            f"KL {self.kl_nats:.2g} nats a token, perplexity {self.perplexity_before:.4f} -> "
            f"{self.perplexity_after:.4f} ({round(change, 2) + 0.0:+.2f} %)",
        ]


@torch.inference_mode()
def measure_loss(checkpoint: Checkpoint, session: StepSession, reads: Sequence[Read]) -> ExportLoss:
    """Compare an export with the checkpoint it was made from.

    Args:
        checkpoint: In float32 on the CPU.
        session: The export.
        reads: At least one.
    """
    same = unchanged = tokens = 0
    divergence = before = after = largest = 0.0
    for prompt_ids, answer_ids in reads:
        ids, count = [*prompt_ids, *answer_ids[:-1]], len(answer_ids)
        model = checkpoint.model
        wanted = model(input_ids=torch.tensor([ids]), logits_to_keep=count).logits[0]  # (N, V)
        found = ExportedBatch(session).read_all(ids, count)
        far = (wanted - found).abs().amax(dim=-1) / wanted.abs().amax(dim=-1)
        right = wanted.argmax(dim=-1) == found.argmax(dim=-1)
        ours, theirs = (logits.double().log_softmax(dim=-1) for logits in (wanted, found))
        labels = torch.tensor(answer_ids)[:, None]
        same += int(right.sum())
        unchanged += int(right.all())
        tokens += count
        divergence += float((ours.exp() * (ours - theirs)).sum())
        before -= float(ours.gather(1, labels).sum())
        after -= float(theirs.gather(1, labels).sum())
        largest = max(largest, float(far.max()))
    return ExportLoss(
        prompts=len(reads),
        tokens=tokens,
        top1_agreement=same / tokens,
        answers_unchanged=unchanged / len(reads),
        kl_nats=max(0.0, divergence / tokens),
        perplexity_before=math.exp(before / tokens),
        perplexity_after=math.exp(after / tokens),
        largest_difference=largest,
    )
