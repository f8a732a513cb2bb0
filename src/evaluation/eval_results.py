"""Results in the form of the Hugging Face hub: `model-index` of a card, and `.eval_results/*.yaml`.

Source: https://huggingface.co/docs/hub/eval-results, https://huggingface.co/docs/hub/model-cards.

A result is taken from stored numbers only: rates of `predictions/*.jsonl`, values of public tasks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from ..files import write_text

RESULTS_FOLDER: Final = ".eval_results"
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class EvalResult:
    """One measured value."""

    dataset: str
    """Id of a data set of the hub, or the name of a local one."""
    task: str
    """Task inside the data set."""
    metric: str
    """Id of a metric of the hub, such as `exact_match`."""
    value: float
    count: int | None = None
    """Number of questions."""
    interval: tuple[float, float] | None = None
    """95 % interval."""
    date: str | None = None
    """When it was measured, in ISO 8601."""
    is_public: bool = False
    """Whether `dataset` is one of the hub."""

    @property
    def notes(self) -> str:
        """What the value rests on."""
        parts = [] if self.count is None else [f"{self.count:,} questions"]
        if self.interval is not None:
            low, high = self.interval
            parts.append(f"95 % interval {low:.4f} to {high:.4f}")
        return ", ".join([*parts, self.metric])


def model_index(name: str, results: Sequence[EvalResult]) -> list[dict[str, Any]]:
    """Give the `model-index` of a card's metadata.

    Args:
        name: Of the model.
        results: What was measured.
    """
    return [
        {
            "name": name,
            "results": [
                {
                    "task": {"type": "text-generation", "name": one.task},
                    "dataset": {
                        "name": one.dataset,
                        "type": one.dataset if one.is_public else slug(one.dataset),
                    },
                    "metrics": [
                        {"type": one.metric, "value": one.value, "name": one.notes},
                    ],
                }
                for one in results
            ],
        }
    ]


def write_eval_results(folder: str | Path, results: Sequence[EvalResult]) -> list[Path]:
    """Write `.eval_results/<data set>.yaml`, one file per data set.

    Args:
        folder: Checkpoint folder.
        results: What was measured.

    Returns:
        The files.
    """
    by_dataset: dict[str, list[EvalResult]] = {}
    for one in results:
        by_dataset.setdefault(one.dataset, []).append(one)
    written = []
    for dataset, own in by_dataset.items():
        entries = [
            {
                "dataset": {"id": dataset if one.is_public else slug(dataset),
                            "task_id": one.task},
                "value": one.value,
                **({} if one.date is None else {"date": one.date}),
                "notes": one.notes,
            }
            for one in own
        ]  # fmt: skip
        path = Path(folder) / RESULTS_FOLDER / f"{slug(dataset)}.yaml"
        written.append(write_text(path, yaml.safe_dump(entries, sort_keys=False,
                                                       allow_unicode=True)))  # fmt: skip
    return written


def slug(text: str) -> str:
    """Make an id of a name.

    >>> slug("Held-out questions of Äpfel.csv")
    'held-out-questions-of-pfel-csv'
    """
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-") or "data"
