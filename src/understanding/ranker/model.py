"""The ranker, a small network that scores each candidate plan of a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ranker(nn.Module):
    """Scores plans by their structure and by how they fit the question.

    The vector of a question is the mean of the vectors of its words and word pairs, plus a
    projection of the encoder's vector. The score of a plan is the sum of two parts: a bilinear
    product of the question and the vector of the plan's structure, and a hidden layer over the
    numeric features (with the encoder's vectors of the plan's columns), the structure, and the
    product of question and structure.

    Args:
        slots: Number of possible values of each categorical feature.
        numbers: Number of numeric features.
        encoded: Dimensions of the encoder; 0 without one.
        buckets: Size of the hash table of words.
        width: Size of all hidden vectors.
        dropout: Share of hidden values that are dropped in training.
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
            hashed: Buckets of the words and word pairs, as `hash_words` returns them.
            read: Vectors of the encoder, (columns + 1) x `encoded`, the last that of the question;
                None without an encoder.
            structure: Categorical features, plans x slots.
            columns: Numbers of columns, plans x 4: target, order, two conditions; -1 for none.
            numbers: Numeric features, plans x `numbers`.

        Returns:
            One score for each plan.
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
                # Index -1, no column, selects a row of zeros at the end.
                said = torch.cat([said, torch.zeros_like(said[:1])])
                fit = fit + said[columns[:, place]]
        fit = self.dropout(torch.relu(fit))
        both = torch.cat([fit, torch.relu(plan), question * plan], dim=-1)
        score = self.hidden(both).squeeze(-1)
        return torch.as_tensor(score + (self.product(question) * plan).sum(-1))


def right_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Compute the negative log-probability of all right plans together.

    Args:
        scores: One score for each plan.
        right: Whether each plan is right; at least one is.
    """
    return torch.logsumexp(scores, 0) - torch.logsumexp(scores[right], 0)
