"""Compare models from their answers: the first is the baseline of all others.

found = compare_answers({"old": [old_rows], "new": [new_rows]}, margin=0.02)
found.comparisons["new"].verdict, found.in_words("new")
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...evaluation.promotion import LEAST_CATEGORY, Promotion
from ...evaluation.statistics.alignment import PairedRuns, align_runs
from ...evaluation.statistics.comparison import SIGNIFICANCE, Comparison, adjusted
from ...evaluation.statistics.paired_tests import bootstrap_mean
from ...evaluation.statistics.seeds import compare_runs, compare_runs_by_category
from ...rate_interval import wilson_interval
from .contenders import Fields, Rows, id_of, outcomes_of, require_same_questions

MARGIN: Final = 0.02
"""Two points of right answers."""
MOST_SHOWN: Final = 10
"""Questions of each kind that are shown with the answers of both models."""


@dataclass(frozen=True)
class ModelResult:
    """How good a model is by itself."""

    runs: int
    mean: float
    """Over records and runs; a rate for right or wrong answers."""
    low: float
    high: float
    interval: str
    """How the 95 % interval was computed."""


@dataclass(frozen=True)
class ModelsCompared:
    """The baseline and the models that were compared with it."""

    baseline: str
    metric: str
    lower_is_better: bool
    records: int
    sources: int
    models: dict[str, ModelResult]
    """Name -> result, the baseline first."""
    comparisons: dict[str, Comparison]
    """Name -> comparison with the baseline; p-values and intervals hold for all together."""
    categories: dict[str, dict[str, Comparison]]
    """Name -> category -> comparison; {} where there are fewer than two large categories."""
    not_judged: tuple[str, ...]
    """Categories with too few records."""
    differing: dict[str, dict[str, list[dict[str, str]]]]
    """Name -> `gained` and `lost` -> some questions that one of the two alone has right, with the
    answers of the first runs."""
    paired: Mapping[str, PairedRuns]
    """Name -> the aligned values."""
    promotion: Promotion | None = None
    """Verdict of the promotion gate, where it was asked for."""

    def in_words(self, name: str) -> str:
        """Say the verdict about a model, why, and what more data would decide."""
        return self.comparisons[name].in_words(name, self.baseline)

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as JSON values."""
        return {
            "schema_version": 1,
            "baseline": self.baseline,
            "metric": self.metric,
            "lower_is_better": self.lower_is_better,
            "records": self.records,
            "sources": self.sources,
            "models": {name: _finite(vars(one)) for name, one in self.models.items()},
            "comparisons": {
                name: {
                    **one.to_dict(),
                    "in_words": self.in_words(name),
                    "categories": {k: v.to_dict() for k, v in self.categories[name].items()},
                    "differing": self.differing[name],
                }
                for name, one in self.comparisons.items()
            },
            "categories_not_judged": list(self.not_judged),
            "promotion": None if self.promotion is None else self.promotion.to_dict(),
        }


def compare_answers(
    answers: Mapping[str, Sequence[Rows]],
    *,
    fields: Fields | None = None,
    margin: float | None = MARGIN,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
) -> ModelsCompared:
    """Compare models with the first of them.

    Args:
        answers: Name -> answers of each of its runs, the baseline first; two models or more.
        fields: Names of the fields that are read; None for the defaults.
        margin: Largest loss that counts as not worse, above 0, in the unit of the metric; None
            leaves that verdict out.
        lower_is_better: Whether the metric is an error.
        significance: Chance to call equal models different in any of the comparisons.

    Raises:
        DataError: The answers are not to the same questions, or a record cannot be used.
        ConfigError: A model has two runs, or several where its baseline or it has fewer than three.
    """
    fields = fields or Fields()
    baseline, *others = answers
    paired = _aligned(answers, fields)
    share = significance / len(others)
    options: dict[str, Any] = {"lower_is_better": lower_is_better, "significance": share}
    comparisons = adjusted(
        {name: compare_runs(paired[name], margin=margin, **options) for name in others},
        significance,
    )
    first = paired[others[0]]
    counts = sorted(Counter(first.categories).items())
    large = [name for name, count in counts if count >= LEAST_CATEGORY]
    small = [name for name, count in counts if count < LEAST_CATEGORY]
    categories = {
        name: compare_runs_by_category(paired[name].part(*large), margin=margin, **options)
        if len(large) > 1
        else {}
        for name in others
    }
    return ModelsCompared(
        baseline, fields.metric, lower_is_better, len(first), len(np.unique(first.sources)),
        {baseline: _result(first.baseline, first.sources),
         **{name: _result(paired[name].candidate, first.sources) for name in others}},
        comparisons, categories, tuple(small) if len(counts) > 1 else (),
        {name: _differing(answers[name][0], answers[baseline][0], paired[name], fields)
         for name in others},
        paired,
    )  # fmt: skip


def _aligned(answers: Mapping[str, Sequence[Rows]], fields: Fields) -> dict[str, PairedRuns]:
    """Pair the values of each model with those of the baseline."""
    baseline, *others = answers
    like: dict[str, Any] = {}
    for rows in (rows for runs in answers.values() for rows in runs):
        names = {name for row in rows for name in row}
        if {fields.source, fields.category} & names:
            like = {str(id_of(row, fields)): row for row in rows}
            break
    first = answers[baseline][0]
    for name, runs in answers.items():
        for rows in runs:
            if rows is not first:
                require_same_questions(rows, first, (name, baseline), fields)
    outcomes = {
        name: [outcomes_of(rows, name, fields, like) for rows in runs]
        for name, runs in answers.items()
    }
    return {
        name: align_runs(outcomes[name], outcomes[baseline], (name, baseline)) for name in others
    }


def _result(values: np.ndarray[Any, Any], sources: np.ndarray[Any, Any]) -> ModelResult:
    """Compute the mean of (K, N) values and its 95 % interval over records or their sources."""
    runs, count = values.shape
    means = values.mean(axis=0)
    clusters = len(np.unique(sources))
    if runs == 1 and clusters == count and bool(np.isin(values, (0, 1)).all()):
        low, high = wilson_interval(float(values.sum()), count)
        return ModelResult(runs, float(means.mean()), low, high, "Wilson")
    found = bootstrap_mean(means, sources)
    told = f"bootstrap of {clusters:,} source records"
    return ModelResult(runs, found.mean, found.low, found.high, told)


def _differing(
    rows: Rows, other: Rows, paired: PairedRuns, fields: Fields
) -> dict[str, list[dict[str, str]]]:
    """Show questions on which the first runs differ most, in the order of the ids."""
    gains = paired.candidate[0] - paired.baseline[0]
    own, theirs = ({id_of(row, fields): row for row in one} for one in (rows, other))
    shown: dict[str, list[dict[str, str]]] = {}
    for name, sign in (("gained", 1.0), ("lost", -1.0)):
        places = [n for n in np.argsort(-sign * gains, kind="stable") if sign * gains[n] > 0]
        shown[name] = [
            {
                "sample_id": paired.sample_ids[n],
                "question": _shown(theirs, own, paired.sample_ids[n], "question"),
                "gold": _shown(theirs, own, paired.sample_ids[n], "gold"),
                "answer": _shown(own, {}, paired.sample_ids[n], "answer"),
                "baseline_answer": _shown(theirs, {}, paired.sample_ids[n], "answer"),
            }
            for n in places[:MOST_SHOWN]
        ]
    return shown


def _shown(rows: Mapping[Any, Any], other: Mapping[Any, Any], identity: str, field: str) -> str:
    value = rows.get(identity, {}).get(field)
    if value is None:
        value = other.get(identity, {}).get(field)
    return "" if value is None else str(value)


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
