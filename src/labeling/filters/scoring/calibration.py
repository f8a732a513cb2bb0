"""`calibration.json`: an isotonic curve per dimension from a student's scores to the oracle's.

The fit is the least-squares regression that never falls (Zadrozny and Elkan 2002), as
scikit-learn's `IsotonicRegression(out_of_bounds="clip")` makes it.

Sizes: N records, K breakpoints.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ....config import as_settings, read_written_json
from ....errors import ConfigError, DataError, EmptyDataError
from ....files import write_json
from ..filter_config import HIGHEST, LOWEST, FilterConfig

CALIBRATION_FILE: Final = "calibration.json"
FOLDS: Final = 5
SCHEMA_VERSION: Final = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A line through breakpoints, flat beyond its ends."""

    x: tuple[float, ...]
    """Ascending, K >= 1."""
    y: tuple[float, ...]
    """Not falling, K."""

    def __call__(self, value: float) -> float:
        """Map one value."""
        return float(np.interp(value, self.x, self.y))


@dataclass(frozen=True)
class Calibration:
    """Curves of the dimensions; one without a curve stays as it is."""

    curves: Mapping[str, Curve] = field(default_factory=dict)
    filter_name: str = ""
    filter_version: str = ""
    fitted_on: str = ""
    n_samples: int = 0
    stats: Mapping[str, Any] = field(default_factory=dict)


def fit_curve(student: Sequence[float] | Floats, oracle: Sequence[float] | Floats) -> Curve:
    """Fit one curve.

    Args:
        student: Scores of the student, (N,), finite.
        oracle: Scores of the oracle for the same records, (N,), finite.

    >>> curve = fit_curve([1, 2, 3, 4, 5], [1, 3, 2, 4, 6])
    >>> curve.y, curve(3.5)
    ((1.0, 2.5, 2.5, 4.0, 6.0), 3.25)
    """
    from scipy.optimize import isotonic_regression  # loads for a second

    order = np.argsort(np.asarray(student, dtype=np.float64), kind="stable")
    values = np.asarray(student, dtype=np.float64)[order]
    targets = np.asarray(oracle, dtype=np.float64)[order]
    x, counts = np.unique(values, return_counts=True)
    means = np.add.reduceat(targets, np.cumsum(counts) - counts) / counts
    y = np.asarray(isotonic_regression(means, weights=counts).x)
    # Inside a flat piece only its ends are needed.
    same = np.diff(y) == 0
    inner = np.zeros(len(y), dtype=bool)
    inner[1:-1] = same[:-1] & same[1:]
    return Curve(tuple(map(float, x[~inner])), tuple(map(float, y[~inner])))


def fit_calibration(
    student: Mapping[str, Sequence[float]],
    oracle: Mapping[str, Sequence[float]],
    config: FilterConfig,
    *,
    fitted_on: str = "val",
    seed: int = 42,
) -> Calibration:
    """Fit the curves of all dimensions of a filter.

    Args:
        student: Dimension -> scores, (N,) each.
        oracle: The same for the oracle.
        config: Names the dimensions.
        fitted_on: Name of the data, which is neither that of training nor that of the report.
        seed: Of the folds.

    Returns:
        The curves. `stats.mae_after` is cross-fitted: each record is mapped by a curve that was
        fitted without it. `stats.mae_after_in_sample` is not, and flatters.

    Raises:
        EmptyDataError: There are fewer records than folds.
        DataError: A dimension is missing, of another length, or holds a score that is not finite.
    """
    names = config.dimension_names
    pairs = {name: _pair(name, student, oracle) for name in names}
    sizes = {len(own) for own, _ in pairs.values()}
    if len(sizes) != 1:
        raise DataError(f"the dimensions have {sorted(sizes)} scores; each needs one per record")
    n = sizes.pop()
    if n < FOLDS:
        raise EmptyDataError(f"there are {n} scored records; at least {FOLDS} are needed")
    folds = np.random.default_rng(seed).permutation(n) % FOLDS
    curves, per_dimension, in_sample = {}, {}, []
    for name, (own, true) in pairs.items():
        curves[name] = fit_curve(own, true)
        mapped, crossed = _mapped(curves[name], own), _cross_fitted(own, true, folds)
        in_sample.append(_mae(mapped, true))
        per_dimension[name] = {
            "mae_before": _mae(own, true),
            "mae_after": _mae(crossed, true),
            **_spread("student", own),
            **_spread("calibrated", mapped),
            **_spread("oracle", true),
            "n_breakpoints": len(curves[name].x),
        }
    stats = {
        "mae_before": _mean_of(per_dimension, "mae_before"),
        "mae_after": _mean_of(per_dimension, "mae_after"),
        "mae_after_in_sample": float(np.mean(in_sample)),
        "per_dimension": per_dimension,
    }
    return Calibration(curves, config.name, config.version, fitted_on, n, _rounded(stats))


def apply_calibration(
    scores: Mapping[str, float], calibration: Calibration | None
) -> dict[str, float]:
    """Map the scores of one article; dimensions without a curve stay as they are."""
    if calibration is None:
        return dict(scores)
    curves = calibration.curves
    return {name: curves[name](one) if name in curves else one for name, one in scores.items()}


def save_calibration(calibration: Calibration, path: str | Path) -> Path:
    """Write `calibration.json`."""
    return write_json(path, {
        "schema_version": SCHEMA_VERSION,
        "method": "isotonic",
        "fitted_on": calibration.fitted_on,
        "n_samples": calibration.n_samples,
        "filter_name": calibration.filter_name,
        "filter_version": calibration.filter_version,
        "dimensions": {
            name: {"x": list(one.x), "y": list(one.y)} for name, one in calibration.curves.items()
        },
        "stats": dict(calibration.stats),
    })  # fmt: skip


def load_calibration(path: str | Path, config: FilterConfig | None = None) -> Calibration | None:
    """Read `calibration.json` where there is one; None where there is no such file.

    Raises:
        ConfigError: The file has faults; it is never left out in silence.
    """
    return read_calibration(path, config) if Path(path).exists() else None


def read_calibration(path: str | Path, config: FilterConfig | None = None) -> Calibration:
    """Read `calibration.json`.

    Args:
        path: The file.
        config: Of the filter that it must belong to; None does not check that.

    Raises:
        ConfigError: The file has faults; lists all.
    """
    given = as_settings(read_written_json(path), path)
    file, faults = Path(path).name, []
    if given.get("method") != "isotonic":
        faults.append(f"{file}: method is {given.get('method')!r}; allowed is 'isotonic'")
    dimensions = given.get("dimensions")
    if not isinstance(dimensions, Mapping):
        faults.append(f"{file}: dimensions is {dimensions!r}; allowed is an object")
        dimensions = {}
    for name, one in dimensions.items():
        faults += curve_faults(f"{file}: dimensions.{name}", one)
    if config is not None:
        faults += belongs_faults(file, given, config)
        faults += [
            f"{file}: dimensions.{name} is no dimension of {config.name}"
            for name in dimensions
            if name not in config.dimension_names
        ]
    if faults:
        raise ConfigError(faults)
    curves = {
        name: Curve(tuple(map(float, one["x"])), tuple(map(float, one["y"])))
        for name, one in dimensions.items()
    }
    return Calibration(
        curves,
        str(given.get("filter_name", "")),
        str(given.get("filter_version", "")),
        str(given.get("fitted_on", "")),
        int(given.get("n_samples") or 0),
        given.get("stats") or {},
    )


def curve_faults(place: str, one: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """List why an object is no curve `{x: [...], y: [...]}`."""
    if not isinstance(one, Mapping):
        return [f"{place} is {one!r}; allowed is an object with x and y"]
    faults = []
    for name in ("x", "y"):
        values = one.get(name)
        if not isinstance(values, list) or not values or not all(map(_is_finite, values)):
            faults.append(f"{place}.{name} is no list of finite numbers")
    if faults:
        return faults
    x, y = one["x"], one["y"]
    if len(x) != len(y):
        faults.append(f"{place}: x has {len(x)} values and y has {len(y)}; equal are needed")
    if any(a >= b for a, b in itertools.pairwise(x)):
        faults.append(f"{place}.x does not ascend")
    if any(a > b for a, b in itertools.pairwise(y)):
        faults.append(f"{place}.y falls; it must not")
    return faults


def belongs_faults(file: str, given: Mapping[str, Any], config: FilterConfig) -> list[str]:
    """List how a file of another filter differs from the config."""
    ours = {"filter_name": config.name, "filter_version": config.version}
    return [
        f"{file}: {name} is {given[name]!r}, and that of {own!r} is needed; fit it again"
        for name, own in ours.items()
        if given.get(name) not in (None, "", own)
    ]


def clamp(value: float) -> float:
    """Limit a finite score to 0 to 10."""
    return min(HIGHEST, max(LOWEST, value))


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _pair(
    name: str, student: Mapping[str, Sequence[float]], oracle: Mapping[str, Sequence[float]]
) -> tuple[Floats, Floats]:
    found = []
    for who, scores in (("student", student), ("oracle", oracle)):
        if name not in scores:
            raise DataError(f"the {who} has no scores", column=name)
        values = np.asarray(scores[name], dtype=np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"a score of the {who} is not finite (not_finite)", column=name)
        found.append(values)
    if len(found[0]) != len(found[1]):
        raise DataError(f"the student has {len(found[0])} scores, the oracle {len(found[1])}",
                        column=name)  # fmt: skip
    return found[0], found[1]


def _cross_fitted(own: Floats, true: Floats, folds: NDArray[np.int64]) -> Floats:
    mapped = np.empty_like(own)
    for fold in range(FOLDS):
        inside = folds == fold
        mapped[inside] = _mapped(fit_curve(own[~inside], true[~inside]), own[inside])
    return mapped


def _mapped(curve: Curve, values: Floats) -> Floats:
    return np.asarray(np.interp(values, curve.x, curve.y), dtype=np.float64)


def _mae(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).mean())


def _spread(name: str, values: Floats) -> dict[str, float]:
    return {
        f"{name}_min": float(values.min()),
        f"{name}_max": float(values.max()),
        f"{name}_std": float(values.std()),
    }


def _mean_of(rows: Mapping[str, Mapping[str, float]], key: str) -> float:
    return float(np.mean([one[key] for one in rows.values()]))


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value
