"""What is known about a model after an evaluation: plain values that travel as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskScores:
    """Quality of a model on the held-out examples of one task, or of all."""

    exact_match: float
    """Fraction of answers that are the target, 0 to 1."""
    token_f1: float
    """Mean overlap of words with the target, 0 to 1."""
    agreement: float
    """Fraction of answers that are the teacher's, right or wrong, 0 to 1."""
    perplexity: float
    """exp of the mean loss on the targets' tokens; 1 is certainty."""
    count: int
    """How many examples these numbers are over."""


@dataclass(frozen=True)
class ModelScores:
    """Quality and cost of one model; its quality is over all examples, so large tasks weigh
    more."""

    exact_match: float
    """Fraction of answers that are the target, 0 to 1."""
    token_f1: float
    """Mean overlap of words with the target, 0 to 1."""
    agreement: float
    """Fraction of answers that are the teacher's, right or wrong, 0 to 1."""
    perplexity: float
    """exp of the mean loss on the targets' tokens; 1 is certainty."""
    count: int
    """How many examples these numbers are over."""
    by_task: dict[str, TaskScores] = field(default_factory=dict)
    """The same per task."""
    parameters: int = 0
    """Weights of the model; tied ones count once."""
    weights_bytes: int = 0
    """Memory of the weights as they were evaluated."""
    bytes_on_disk: int | None = None
    """Weights, configuration and tokenizer on disk; None for a model without a folder."""
    peak_memory_bytes: int | None = None
    """Most resident memory of a fresh process that answers one prompt, Python and libraries
    included."""
    tokens_per_second: float | None = None
    """One prompt at a time, greedy, reading the prompt included; median of rounds."""
    batch_tokens_per_second: float | None = None
    """32 prompts at a time; None where it was not measured."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values; what is infinite becomes null."""
        finite: dict[str, Any] = _finite(asdict(self))
        return finite

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelScores:
        """Build scores from what `to_dict` gave."""
        tasks = {task: TaskScores(**_infinite(part)) for task, part in value["by_task"].items()}
        return cls(**{**_infinite(value), "by_task": tasks})


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _infinite(value: Mapping[str, Any]) -> dict[str, Any]:
    perplexity = value["perplexity"]
    return {**value, "perplexity": math.inf if perplexity is None else perplexity}
