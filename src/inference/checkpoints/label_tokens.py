"""The labels of a classifier as the tokens of its answers: token n is label n."""

from __future__ import annotations

from collections.abc import Sequence


class LabelTokens:
    """Stands where a tokenizer turns answers to text; prompts keep the model's own tokenizer.

    >>> LabelTokens(["no", "yes"]).decode([1])
    'yes'
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Keep the labels in the order of their numbers."""
        self.labels = tuple(labels)

    def decode(self, token_ids: Sequence[int], **_: object) -> str:
        """Write labels, one a line; an answer has one."""
        return "\n".join(self.labels[token] for token in token_ids)

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """Name a label."""
        return self.labels[token_id]

    def ids(self, texts: Sequence[str]) -> list[int]:
        """Number labels.

        Raises:
            ValueError: A text is no label.
        """
        return [self.labels.index(text.strip()) for text in texts]
