"""`normalization.json`: the percentile, times ten, of a weighted average among a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ....config import as_settings, read_written_json
from ....errors import ConfigError, DataError, EmptyDataError
from ....files import write_json
from ..filter_config import HIGHEST, FilterConfig
from .calibration import Curve, belongs_faults, curve_faults

NORMALIZATION_FILE: Final = "normalization.json"
SCHEMA_VERSION: Final = 1
LEAST_SCORES: Final = 10
FEW_ARTICLES: Final = 200
"""Below, a fit is refused unless `allow_thin_fit`."""
HIGHEST_MINIMUM: Final = 4.5
"""Above, the lowest score shows that low ones are missing; refused unless `allow_high_minimum`."""
_PERCENTILES: Final = (10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class Normalization:
    """The curve from a weighted average to 0 to 10."""

    curve: Curve
    filter_name: str = ""
    filter_version: str = ""
    fitted_from: str = ""
    fitted_at: str = ""
    n_articles: int = 0
    stats: Mapping[str, Any] = field(default_factory=dict)


def fit_normalization(
    scores: Sequence[float],
    config: FilterConfig,
    *,
    n_bins: int = 200,
    anchor: float | None = None,
    fitted_from: str = "",
    allow_thin_fit: bool = False,
    allow_high_minimum: bool = False,
) -> Normalization:
    """Fit the percentiles of weighted averages.

    Args:
        scores: Weighted averages of a corpus; those that are not finite are left out.
        config: Of the filter.
        n_bins: Points of the curve, 2 or more.
        anchor: Weighted average that maps to 0 where it lies below the lowest, such as the
            operating point that decided what is in the corpus.
        fitted_from: Name of the corpus.
        allow_thin_fit: Accept 10 to 199 articles.
        allow_high_minimum: Accept a lowest score above 4.5.

    Raises:
        EmptyDataError: There are fewer than 10 finite scores.
        DataError: All scores are equal, or the fit is refused.
        ConfigError: `n_bins` is below 2.
    """
    if n_bins < 2:
        raise ConfigError([f"n_bins is {n_bins!r}; allowed is 2 or more"])
    values = np.asarray(scores, dtype=np.float64)
    values = np.sort(values[np.isfinite(values)])
    if len(values) < LEAST_SCORES:
        raise EmptyDataError(f"there are {len(values)} finite scores; at least {LEAST_SCORES} "
                             "are needed")  # fmt: skip
    low, high = float(values[0]), float(values[-1])
    if low == high:
        raise DataError(f"all scores are {low:g}, so there are no percentiles")
    if len(values) < FEW_ARTICLES and not allow_thin_fit:
        raise DataError(f"there are {len(values)} articles; at least {FEW_ARTICLES} are needed, or "
                        "set allow_thin_fit=True")  # fmt: skip
    if low > HIGHEST_MINIMUM and not allow_high_minimum:
        raise DataError(f"the lowest score is {low:g}, above {HIGHEST_MINIMUM:g}, so low articles "
                        "are missing; add them, or set allow_high_minimum=True")  # fmt: skip
    points = np.linspace(low, high, n_bins)
    shares = np.searchsorted(values, points, side="right") / len(values) * HIGHEST
    x, y = ([round(float(one), 6) for one in ones] for ones in (points, shares))
    if anchor is not None and anchor < low:
        x, y = [float(anchor), *x], [0.0, *y]
    stats = {
        "raw_min": low if anchor is None else min(low, anchor),
        "sample_min": low,
        "raw_max": high,
        "raw_mean": float(values.mean()),
        "raw_std": float(values.std()),
        "percentiles": {f"p{p}": round(float(np.percentile(values, p)), 4) for p in _PERCENTILES},
    }
    return Normalization(
        Curve(tuple(x), tuple(y)),
        config.name,
        config.version,
        fitted_from,
        datetime.now(UTC).isoformat(),
        len(values),
        {key: round(one, 4) if isinstance(one, float) else one for key, one in stats.items()},
    )


def apply_normalization(score: float, normalization: Normalization) -> float:
    """Map a weighted average to its percentile, 0 to 10.

    Raises:
        DataError: It is not finite.
    """
    if not np.isfinite(score):
        raise DataError(f"the score is {score!r} (not_finite)")
    return normalization.curve(score)


def apply_normalization_batch(scores: Sequence[float], normalization: Normalization) -> list[float]:
    """Map many weighted averages; see `apply_normalization`."""
    return [apply_normalization(one, normalization) for one in scores]


def save_normalization(normalization: Normalization, path: str | Path) -> Path:
    """Write `normalization.json`."""
    one = normalization
    return write_json(path, {
        "schema_version": SCHEMA_VERSION,
        "method": "percentile",
        "filter_name": one.filter_name,
        "filter_version": one.filter_version,
        "fitted_from": one.fitted_from,
        "fitted_at": one.fitted_at,
        "n_articles": one.n_articles,
        "x": list(one.curve.x),
        "y": list(one.curve.y),
        "stats": dict(one.stats),
    })  # fmt: skip


def load_normalization(
    path: str | Path, config: FilterConfig | None = None
) -> Normalization | None:
    """Read `normalization.json` where there is one; None where there is no such file.

    Raises:
        ConfigError: The file has faults.
    """
    return read_normalization(path, config) if Path(path).exists() else None


def read_normalization(path: str | Path, config: FilterConfig | None = None) -> Normalization:
    """Read `normalization.json`.

    Raises:
        ConfigError: The file has faults; lists all.
    """
    given = as_settings(read_written_json(path), path)
    file = Path(path).name
    faults = [] if config is None else belongs_faults(file, given, config)
    if given.get("method") != "percentile":
        faults.append(f"{file}: method is {given.get('method')!r}; allowed is 'percentile'")
    faults += curve_faults(f"{file}: curve", {"x": given.get("x"), "y": given.get("y")})
    if faults:
        raise ConfigError(faults)
    return Normalization(
        Curve(tuple(map(float, given["x"])), tuple(map(float, given["y"]))),
        str(given.get("filter_name", "")),
        str(given.get("filter_version", "")),
        str(given.get("fitted_from", "")),
        str(given.get("fitted_at", "")),
        int(given.get("n_articles") or 0),
        given.get("stats") or {},
    )  # fmt: skip
