"""Statistics of labels, and whether their tiers are balanced: `analyze_distribution`.

No tier should have less than a tenth or more than two fifths of the records. Records of a rare tier
are drawn several times in training only; records that a model wrote come last, and are marked.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ....errors import ConfigError, EmptyDataError
from ....files import atomic_path
from ..filter_config import HIGHEST, FilterConfig
from ..scored_record import AnalysisFault, analysis_of
from ..scoring.score_order import judge_scores
from .splits import SYNTHETIC

LEAST_SHARE: Final = 0.10
MOST_SHARE: Final = 0.40
_BINS: Final = 10
_COLOUR: Final = "#0072B2"


def label_group(record: Mapping[str, Any], config: FilterConfig) -> str:
    """Give the tier of a record, or its class; computed from its scores with the config of now.

    Raises:
        AnalysisFault: It has no valid analysis.
    """
    analysis = analysis_of(record, config)
    if analysis is None:
        raise AnalysisFault(f"no_analysis {config.analysis_field}")
    if analysis.label is not None:
        return analysis.label
    return judge_scores(analysis.scores, config, content_type=analysis.content_type).tier


def label_passes(record: Mapping[str, Any], config: FilterConfig) -> bool:
    """Tell whether the oracle lets a record pass; computed with the config of now.

    Raises:
        AnalysisFault: It has no valid analysis.
    """
    analysis = analysis_of(record, config)
    if analysis is None:
        raise AnalysisFault(f"no_analysis {config.analysis_field}")
    if analysis.label is not None:
        return analysis.label in config.pass_classes
    return judge_scores(analysis.scores, config, content_type=analysis.content_type).passed


def label_average(record: Mapping[str, Any], config: FilterConfig) -> float:
    """Give the weighted average of a record; computed from its scores with the config of now.

    Raises:
        AnalysisFault: It has no valid analysis.
    """
    analysis = analysis_of(record, config)
    if analysis is None:
        raise AnalysisFault(f"no_analysis {config.analysis_field}")
    return judge_scores(
        analysis.scores, config, content_type=analysis.content_type
    ).weighted_average


def analyze_distribution(
    records: Sequence[Mapping[str, Any]], config: FilterConfig
) -> dict[str, Any]:
    """Count tiers (or classes) and describe the dimensions.

    Args:
        records: Labelled records; those without a valid analysis are counted as `rejected`.
        config: Of the filter.

    Returns:
        `total`, `rejected`, `synthetic`; `tiers` (name -> `count`, `share`, `verdict`: `ok`,
        `too_few` or `too_many`); `balanced`; `advice`; and for dimensions and `weighted_average`:
        `mean`, `std`, `min`, `p25`, `median`, `p75`, `max`, `histogram` (10 bins of one point), and
        `correlations` of each pair of dimensions (None where one is constant).

    Raises:
        EmptyDataError: No record has a valid analysis.
    """
    groups: Counter[str] = Counter()
    rows, averages, rejected, synthetic = [], [], 0, 0
    for record in records:
        try:
            groups[label_group(record, config)] += 1
        except AnalysisFault:
            rejected += 1
            continue
        synthetic += bool(record.get(SYNTHETIC))
        analysis = analysis_of(record, config)
        if analysis is not None and not config.is_classifier:
            rows.append([analysis.scores[name] for name in config.dimension_names])
            verdict = judge_scores(analysis.scores, config, content_type=analysis.content_type)
            averages.append(verdict.weighted_average)
    total = groups.total()
    if not total:
        raise EmptyDataError(f"none of {len(records)} records has a valid analysis")
    names = list(config.classes) if config.is_classifier else [one.name for one in config.tiers]
    tiers = {
        name: {
            "count": groups[name],
            "share": groups[name] / total,
            "verdict": _verdict(groups[name] / total),
        }
        for name in [*names, *(name for name in groups if name not in names)]
    }
    found: dict[str, Any] = {
        "total": total,
        "rejected": rejected,
        "synthetic": synthetic,
        "tiers": tiers,
        "balanced": all(one["verdict"] == "ok" for one in tiers.values()),
        "advice": _advice(tiers, total),
    }
    if rows:
        scores = np.asarray(rows, dtype=np.float64)  # (N, D)
        found["weighted_average"] = _described(np.asarray(averages))
        found["dimensions"] = {
            name: _described(scores[:, place]) for place, name in enumerate(config.dimension_names)
        }
        found["correlations"] = _correlations(scores, config.dimension_names)
    return found


def oversample(
    train: Sequence[Mapping[str, Any]],
    group_of: Callable[[Mapping[str, Any]], str],
    *,
    least_share: float = LEAST_SHARE,
    most_copies: int = 5,
    seed: int = 42,
) -> list[dict[str, Any]]:
    """Repeat records of rare groups; for the training part alone.

    Args:
        train: The training part.
        group_of: Tier or class of a record.
        least_share: Share of the records that each group should reach, above 0, and together at
            most 1.
        most_copies: Most times that a record occurs, 1 or more; with few records a share that
            needs more is not reached.
        seed: Of the choice of the records that occur once more than others.

    Returns:
        All records in their order, each copy behind its original.

    Raises:
        ConfigError: A value is out of range.
    """
    groups = Counter(group_of(one) for one in train)
    if not 0 < least_share * max(1, len(groups)) <= 1 or most_copies < 1:
        raise ConfigError([f"least_share is {least_share!r} and most_copies {most_copies!r}; "
                           f"allowed are above 0 to 1/{len(groups)}, and 1 or more"])  # fmt: skip
    wanted = _wanted(groups, least_share, most_copies)
    random = np.random.default_rng(seed)
    extra: dict[str, set[int]] = {}
    for name, count in groups.items():
        extra[name] = {int(n) for n in random.permutation(count)[: wanted[name] % count]}
    made, seen = [], Counter[str]()
    for record in train:
        name = group_of(record)
        copies = wanted[name] // groups[name] + (seen[name] in extra[name])
        seen[name] += 1
        made += [dict(record)] * copies
    return made


def plot_distribution(found: Mapping[str, Any], path: str | Path) -> Path:
    """Draw the shares of tiers with the limits of balance, and a histogram per dimension.

    Args:
        found: From `analyze_distribution`.
        path: PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    described = {"weighted_average": found.get("weighted_average"), **found.get("dimensions", {})}
    drawn = {name: one for name, one in described.items() if one is not None}
    columns = 3
    rows = 1 + -(-len(drawn) // columns)
    figure = Figure(figsize=(9, 2.6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns)
    axes = figure.add_subplot(grid[0, :])
    tiers = found["tiers"]
    bars = axes.bar(range(len(tiers)), [100 * one["share"] for one in tiers.values()], 0.7,
                    color=_COLOUR)  # fmt: skip
    axes.bar_label(bars, [str(one["count"]) for one in tiers.values()], fontsize=8, padding=2)
    axes.set_xticks(range(len(tiers)), list(tiers), fontsize=8)
    axes.set_ylabel("% of records")
    for limit in (LEAST_SHARE, MOST_SHARE):
        axes.axhline(100 * limit, color="black", linestyle="--", linewidth=0.8)
    for place, (name, one) in enumerate(drawn.items()):
        axes = figure.add_subplot(grid[1 + place // columns, place % columns])
        axes.bar([n + 0.5 for n in range(_BINS)], one["histogram"], 0.95, color=_COLOUR)
        axes.set_title(f"{name}, mean {one['mean']:.1f}", fontsize=8)
        axes.set_xlim(0, HIGHEST)
        axes.tick_params(labelsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    return Path(path)


def _wanted(groups: Mapping[str, int], least_share: float, most_copies: int) -> dict[str, int]:
    """Find the number of records of each group; raising one group lowers the share of others."""
    wanted = dict(groups)
    while True:
        total = sum(wanted.values())
        raised = False
        for name, count in groups.items():
            if wanted[name] < least_share * total - 1e-9 and wanted[name] < most_copies * count:
                wanted[name] += 1
                raised = True
        if not raised:
            return wanted


def _verdict(share: float) -> str:
    return "too_few" if share < LEAST_SHARE else "too_many" if share > MOST_SHARE else "ok"


def _advice(tiers: Mapping[str, Mapping[str, Any]], total: int) -> list[str]:
    said = []
    for name, one in tiers.items():
        percent = f"{100 * one['share']:.1f} %"
        if one["verdict"] == "too_few":
            more = math.ceil((LEAST_SHARE * total - one["count"]) / (1 - LEAST_SHARE))
            said.append(f"{name} has {percent} of the records, below 10 %: label about {more} more "
                        "of that tier; repeat them in training only, and add synthetic ones only "
                        "where the corpus is exhausted")  # fmt: skip
        elif one["verdict"] == "too_many":
            said.append(f"{name} has {percent} of the records, above 40 %: label others, or leave "
                        "some out")  # fmt: skip
    return said


def _described(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    p25, median, p75 = (float(one) for one in np.percentile(values, (25, 50, 75)))
    counts, _ = np.histogram(values, bins=_BINS, range=(0, HIGHEST))
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "p25": p25,
        "median": median,
        "p75": p75,
        "max": float(values.max()),
        "histogram": [int(one) for one in counts],
    }


def _correlations(
    scores: np.ndarray[Any, np.dtype[np.float64]], names: Sequence[str]
) -> dict[str, float | None]:
    made: dict[str, float | None] = {}
    for (a, one), (b, other) in itertools.combinations(enumerate(names), 2):
        x, y = scores[:, a], scores[:, b]
        constant = x.std() == 0 or y.std() == 0
        made[f"{one} {other}"] = None if constant else float(np.corrcoef(x, y)[0, 1])
    return made
