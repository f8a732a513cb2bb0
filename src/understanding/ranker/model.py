"""The ranker: a small network that scores each listed plan of a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ranker(nn.Module):
    """Scores plans by their structure, by how they fit, and by what the question asks for.

    A question is the vector of the encoder and the sum of vectors of its words and word pairs. It
    meets each plan twice: by a product with the vector of the plan's structure, and in a hidden
    layer together with the numbers and what the encoder says of the plan's columns in their roles.

    Args:
        slots: How many names each category of a plan has.
        numbers: Features of a plan that are numbers.
        encoded: Dimensions of the encoder; 0 without one.
        buckets: Of the hash table of words.
        width: Of all hidden vectors.
        dropout: Share of hidden values left out in training.
    """

    def __init__(
        self,
        slots: Sequence[int],
        numbers: int,
        encoded: int,
        buckets: int = 4096,
        width: int = 64,
        dropout: float = 0.2,
    ) -> None:
        """Build an untrained ranker."""
        super().__init__()
        self.structure = nn.ModuleList(nn.Embedding(count, width) for count in slots)
        self.words = nn.EmbeddingBag(buckets, width, mode="mean")
        self.encoded = nn.Linear(encoded, width) if encoded else None
        self.roles = nn.ModuleList(nn.Linear(encoded, width) for _ in range(3 if encoded else 0))
        self.norm = nn.BatchNorm1d(numbers)
        self.fit = nn.Linear(numbers, width)
        self.hidden = nn.Sequential(
            nn.Linear(3 * width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1)
        )
        self.product = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.reader: Any = None
        self.temperature = 1.0
        for table in (*self.structure, self.words):
            nn.init.normal_(table.weight, std=0.1)

    def forward(
        self,
        hashed: Tensor,
        read: Tensor | None,
        structure: Tensor,
        columns: Tensor,
        numbers: Tensor,
    ) -> Tensor:
        """Score the plans of one question.

        Args:
            hashed: Buckets of its words and pairs.
            read: Vectors of the encoder, columns + 1 x dimensions: the last is the question's.
            structure: Plans x slots.
            columns: Plans x 4: target, order, two conditions; -1 for none.
            numbers: Plans x numbers.

        Returns:
            One score a plan.
        """
        question = self.words(hashed.unsqueeze(0))
        if self.encoded is not None and read is not None:
            question = question + self.encoded(read[-1:])
        question = self.dropout(torch.tanh(question))
        plan = torch.stack(
            [table(structure[:, slot]) for slot, table in enumerate(self.structure)]
        ).sum(0)
        fit = self.fit(self.norm(numbers))
        if self.encoded is not None and read is not None:
            for place, role in enumerate((0, 1, 2, 2)):
                said = self.roles[role](read)
                # No column, -1, is the row of zeros at the end.
                said = torch.cat([said, torch.zeros_like(said[:1])])
                fit = fit + said[columns[:, place]]
        fit = self.dropout(torch.relu(fit))
        both = torch.cat([fit, torch.relu(plan), question * plan], dim=-1)
        score = self.hidden(both).squeeze(-1)
        return torch.as_tensor(score + (self.product(question) * plan).sum(-1))


def right_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Give the negative log of the probability of all right plans together."""
    return torch.logsumexp(scores, 0) - torch.logsumexp(scores[right], 0)
