"""How well a student scores articles: errors beside the mean baseline and the noise of the oracle.

report = evaluate_filter(config, labels, predictions, train=training_labels)
report["conclusion"]                  # two sentences
report["dimensions"]["joy"]["mae"]

Sizes: N articles, D dimensions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import EmptyDataError
from ...evaluation.statistics.alignment import Paired
from ...evaluation.statistics.comparison import compare_paired
from ...evaluation.statistics.paired_tests import SEED, bootstrap_mean
from ...labeling.filters.filter_config import HIGHEST, FilterConfig
from ...labeling.filters.scoring.metrics import average_metrics, ndcg_at, recall_at
from ...labeling.filters.scoring.score_order import NO_TIER, judge_scores
from ...labeling.reports.score_agreement import score_agreement
from ...rate_interval import rate_with_interval
from .score_files import ScoredArticle

AVERAGE: Final = "weighted_average"
_RANKS: Final = (10, 20, 50)
_SHOWN: Final = 10
_BINS: Final = 5
_RANK_RESAMPLES: Final = 500
SCHEMA_VERSION: Final = 1
Floats = NDArray[np.float64]
Scored = Mapping[str, ScoredArticle]


def evaluate_filter(
    config: FilterConfig,
    labels: Scored,
    predictions: Scored,
    *,
    train: Scored | None = None,
    second: Scored | None = None,
    ratings: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    seed: int = SEED,
) -> dict[str, Any]:
    """Compare the scores of a student with held-out labels.

    Args:
        config: Of the filter, with dimensions.
        labels: Article id -> oracle label or mean of raters.
        predictions: Article id -> scores of the student, calibrated if it is.
        train: Labels of training, whose means are the mean baseline and whose commonest tier is the
            majority baseline; None takes those of `labels`, which favours the baseline.
        second: Labels of the same articles by another run of the oracle, or another oracle: how
            far oracles differ is the noise floor.
        ratings: Article id -> scores of single raters; how far one rater is from the mean of the
            others is the noise floor.
        seed: Of the bootstrap.

    Returns:
        JSON values: `n`, `dimensions` (with the weighted average last), `passing`, `tiers`,
        `ranking`, `reliability`, `categories`, `worst`, `conclusion`, `only_predicted`,
        `only_labelled`.

    Raises:
        EmptyDataError: No id is on both sides.
    """
    ids = sorted(labels.keys() & predictions.keys())
    if not ids:
        raise EmptyDataError("no article is both predicted and labelled")
    known = labels if train is None else train
    own, true = ([side[one] for one in ids] for side in (predictions, labels))
    floor = _noise_floor(config, labels, second, ratings)
    dimensions = {
        name: _dimension(ids, own, true, list(known.values()), name, floor.get(name), seed)
        for name in (*config.dimension_names, AVERAGE)
    }
    found: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "filter_name": config.name,
        "filter_version": config.version,
        "n": len(ids),
        "baseline_from": "the labels themselves" if train is None else "training labels",
        "n_train": None if train is None else len(train),
        "noise_from": floor.get("from"),
        "dimensions": dimensions,
        "passing": _passing(ids, own, true, list(known.values()), config),
        "tiers": _tiers(own, true, list(known.values()), config),
        "ranking": _ranking(own, true, config, seed),
        "reliability": _reliability(own, true),
        "categories": _categories(ids, own, true, seed),
        "worst": _worst(own, true),
        "only_predicted": sorted(predictions.keys() - labels.keys()),
        "only_labelled": sorted(labels.keys() - predictions.keys()),
    }
    found["conclusion"] = _conclusion(found)
    return found


def score_of(article: ScoredArticle, name: str) -> float:
    """Give a dimension's score, or the weighted average."""
    return article.verdict.weighted_average if name == AVERAGE else article.verdict.scores[name]


def paired_values(ids: Sequence[str], candidate: Floats, baseline: Floats,
                  categories: Sequence[str] = ()) -> Paired:  # fmt: skip
    """Pair values of the same articles, in the order of `ids`; each article is its own source."""
    return Paired(
        tuple(ids), candidate, baseline, np.arange(len(ids)),
        tuple(categories) if categories else ("",) * len(ids),
    )  # fmt: skip


def _dimension(
    ids: Sequence[str],
    own: Sequence[ScoredArticle],
    true: Sequence[ScoredArticle],
    known: Sequence[ScoredArticle],
    name: str,
    noise: Mapping[str, float] | None,
    seed: int,
) -> dict[str, Any]:
    p, t = _column(own, name), _column(true, name)
    constant = float(_column(known, name).mean())
    errors, baseline = p - t, constant - t
    against = compare_paired(
        paired_values(ids, np.abs(errors), np.abs(baseline)), lower_is_better=True, seed=seed
    )
    squares = bootstrap_mean(errors**2, seed=seed)
    absolute = bootstrap_mean(np.abs(errors), seed=seed)
    return {
        "mae": absolute.mean,
        "mae_ci95": _ends(absolute.low, absolute.high),
        "rmse": math.sqrt(squares.mean),
        "rmse_ci95": _ends(math.sqrt(max(0.0, squares.low)), math.sqrt(max(0.0, squares.high))),
        "bias": float(errors.mean()),
        "spearman": score_agreement(t.tolist(), p.tolist())["spearman"],
        "baseline": constant,
        "baseline_mae": float(np.abs(baseline).mean()),
        "baseline_rmse": math.sqrt(float((baseline**2).mean())),
        "noise_mae": None if noise is None else noise["mae"],
        "noise_rmse": None if noise is None else noise["rmse"],
        "verdict": against.verdict,
        "words": against.in_words("the student", "the mean baseline"),
    }


def _noise_floor(
    config: FilterConfig,
    labels: Scored,
    second: Scored | None,
    ratings: Mapping[str, Sequence[Mapping[str, float]]] | None,
) -> dict[str, Any]:
    """Measure how far two oracles, or one rater and the mean of the others, are apart."""
    names = (*config.dimension_names, AVERAGE)
    differences: dict[str, list[float]] = {name: [] for name in names}
    if second is not None:
        for one in sorted(labels.keys() & second.keys()):
            for name in names:
                differences[name].append(score_of(labels[one], name) - score_of(second[one], name))
        told = "two labels of the oracle"
    else:
        for _, own in sorted((ratings or {}).items()):
            for place, rating in enumerate(own):
                others = [one for n, one in enumerate(own) if n != place]
                if others:
                    _add_rater(differences, rating, others, config)
        told = "one rater against the mean of the others"
    count = len(differences[AVERAGE])
    if not count:
        return {}
    return {
        "from": f"{told}, {count:,} pairs",
        **{
            name: {
                "mae": float(np.abs(values).mean()),
                "rmse": float(np.sqrt(np.square(values).mean())),
            }
            for name, values in differences.items()
        },
    }


def _add_rater(
    differences: dict[str, list[float]],
    rating: Mapping[str, float],
    others: Sequence[Mapping[str, float]],
    config: FilterConfig,
) -> None:
    means = {name: float(np.mean([one[name] for one in others])) for name in config.dimension_names}
    for name in config.dimension_names:
        differences[name].append(rating[name] - means[name])
    one, other = (judge_scores(scores, config).weighted_average for scores in (rating, means))
    differences[AVERAGE].append(one - other)


def _passing(
    ids: Sequence[str],
    own: Sequence[ScoredArticle],
    true: Sequence[ScoredArticle],
    known: Sequence[ScoredArticle],
    config: FilterConfig,
) -> dict[str, Any]:
    passed, positive = (
        np.array([one.verdict.passed for one in side], dtype=bool) for side in (own, true)
    )
    majority = sum(one.verdict.passed for one in known) * 2 >= len(known)
    right, plain = passed == positive, positive == majority
    against = compare_paired(paired_values(ids, right.astype(float), plain.astype(float)))
    return {
        "threshold": config.pass_threshold,
        **rate_with_interval("accuracy", int(right.sum()), len(ids)),
        "majority_accuracy": float(plain.mean()),
        "verdict": against.verdict,
        "words": against.in_words("the student", "always the commoner verdict"),
        **pass_rates(passed, positive),
    }


def pass_rates(passed: NDArray[np.bool_], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Count right and wrong verdicts; rates with Wilson intervals, None where they divide by zero.

    Args:
        passed: Whether the student lets an article pass, (N,).
        positive: Whether it should pass, (N,).

    Returns:
        `tp`, `fn`, `fp`, `tn`, `positives`, `recall`, `precision`, `specificity` with `<name>_ci95`
        and `f1`.
    """
    tp, fn = int((passed & positive).sum()), int((~passed & positive).sum())
    fp, tn = int((passed & ~positive).sum()), int((~passed & ~positive).sum())
    return {
        "tp": tp, "fn": fn, "fp": fp, "tn": tn, "positives": tp + fn,
        **rate_with_interval("recall", tp, tp + fn),
        **rate_with_interval("precision", tp, tp + fp),
        **rate_with_interval("specificity", tn, tn + fp),
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }  # fmt: skip


def _tiers(
    own: Sequence[ScoredArticle],
    true: Sequence[ScoredArticle],
    known: Sequence[ScoredArticle],
    config: FilterConfig,
) -> dict[str, Any]:
    ours, theirs = ([one.verdict.tier for one in side] for side in (own, true))
    commonest = Counter(one.verdict.tier for one in known).most_common(1)[0][0]
    return {
        **rate_with_interval("accuracy", sum(map(str.__eq__, ours, theirs)), len(ours)),
        "majority": commonest,
        "majority_accuracy": theirs.count(commonest) / len(theirs),
        **tier_confusion(theirs, ours, config),
    }


def tier_confusion(
    true: Sequence[str], predicted: Sequence[str], config: FilterConfig
) -> dict[str, Any]:
    """Count pairs of tiers: `names`, and `confusion` with a row for each tier of the labels."""
    names = [tier.name for tier in config.tiers]
    if not {*true, *predicted} <= set(names):
        names.append(NO_TIER.name)
    pairs = Counter(zip(true, predicted, strict=True))
    return {"names": names, "confusion": [[pairs[a, b] for b in names] for a in names]}


def _ranking(
    own: Sequence[ScoredArticle], true: Sequence[ScoredArticle], config: FilterConfig, seed: int
) -> dict[str, Any]:
    p, t = _column(own, AVERAGE), _column(true, AVERAGE)
    draws = np.random.default_rng(seed).integers(0, len(p), (_RANK_RESAMPLES, len(p)))
    found: dict[str, Any] = dict(average_metrics(p, t, operating_point=config.pass_threshold))
    measures: dict[str, Callable[[Floats, Floats, int], float]] = {
        "recall_at": recall_at, "ndcg_at": ndcg_at,
    }  # fmt: skip
    for name, measure in measures.items():
        for k in _RANKS:
            key = f"{name}_{k}"
            if key in found:
                again = [measure(p[draw], t[draw], k) for draw in draws]
                found[f"{key}_ci95"] = [float(one) for one in np.percentile(again, (2.5, 97.5))]
    return found


def _reliability(
    own: Sequence[ScoredArticle], true: Sequence[ScoredArticle]
) -> list[dict[str, Any]]:
    """Compare predicted and true averages in bands of the prediction, two points wide."""
    p, t = _column(own, AVERAGE), _column(true, AVERAGE)
    bands = []
    for number in range(_BINS):
        low, high = (HIGHEST / _BINS * one for one in (number, number + 1))
        inside = (p >= low) & ((p < high) | (number == _BINS - 1))
        if not inside.any():
            continue
        found = bootstrap_mean(t[inside]) if inside.sum() > 1 else None
        bands.append({
            "from": low, "to": high, "n": int(inside.sum()),
            "predicted": float(p[inside].mean()), "true": float(t[inside].mean()),
            "true_ci95": None if found is None else _ends(found.low, found.high),
        })  # fmt: skip
    return bands


def _categories(
    ids: Sequence[str], own: Sequence[ScoredArticle], true: Sequence[ScoredArticle], seed: int
) -> dict[str, Any]:
    """Give the error of the average in each part of the data, where there are several."""
    names = [label.category or article.category for article, label in zip(own, true, strict=True)]
    errors = np.abs(_column(own, AVERAGE) - _column(true, AVERAGE))
    counts = Counter(names)
    if len(counts) < 2:
        return {}
    found = {}
    for name, count in counts.most_common():
        inside = np.array([one == name for one in names])
        one = bootstrap_mean(errors[inside], seed=seed)
        found[name or "none"] = {"n": count, "mae": one.mean, "mae_ci95": _ends(one.low, one.high)}
    return found


def _worst(own: Sequence[ScoredArticle], true: Sequence[ScoredArticle]) -> list[dict[str, Any]]:
    pairs = sorted(
        zip(own, true, strict=True),
        key=lambda pair: -abs(score_of(pair[0], AVERAGE) - score_of(pair[1], AVERAGE)),
    )
    return [
        {
            "id": label.id,
            "title": label.title or article.title,
            "predicted": score_of(article, AVERAGE),
            "true": score_of(label, AVERAGE),
            "predicted_tier": article.verdict.tier,
            "tier": label.verdict.tier,
        }
        for article, label in pairs[:_SHOWN]
    ]


def _conclusion(found: Mapping[str, Any]) -> list[str]:
    """Say in two sentences how good the student is, and how sure that is."""
    average, passing = found["dimensions"][AVERAGE], found["passing"]
    dimensions = [name for name in found["dimensions"] if name != AVERAGE]
    better = [name for name in dimensions if found["dimensions"][name]["verdict"] == "better"]
    low, high = passing["accuracy_ci95"]
    first = (
        f"On {found['n']:,} held-out articles the weighted average of the student is off by "
        f"{average['mae']:.2f} points on average, where always the mean is off by "
        f"{average['baseline_mae']:.2f}"
    )
    if average["noise_mae"] is not None:
        first += f"; the noise floor ({found['noise_from']}) is {average['noise_mae']:.2f}"
    second = (
        f"It is better than the mean baseline in {len(better)} of {len(dimensions)} dimensions "
        f"beyond chance, and passes or blocks {100 * passing['accuracy']:.1f} % of the articles "
        f"as the labels do ({100 * low:.1f} to {100 * high:.1f} %)"
    )
    return [f"{first}.", f"{second}."]


def _column(articles: Sequence[ScoredArticle], name: str) -> Floats:
    return np.array([score_of(one, name) for one in articles], dtype=np.float64)


def _ends(low: float, high: float) -> list[float] | None:
    return [low, high] if math.isfinite(low) and math.isfinite(high) else None
