"""Plots of an evaluation as PNG files: risk over coverage, differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import atomic_path
from ..inference.scoring.confidence import RiskLimit
from .calibration import risk_coverage
from .statistics.comparison import Comparison

# The palette of Okabe and Ito, which readers with the common colour deficiencies can tell apart.
COLOURS = ("#000000", "#999999", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00")

_VERDICT_COLOURS = {
    "better": COLOURS[4], "not_worse": COLOURS[6], "worse": COLOURS[7], "undecided": "0.45",
}  # fmt: skip


def plot_risk_coverage(
    models: Mapping[str, tuple[Sequence[float], Sequence[bool]]],
    path: str | Path,
    *,
    limits: Sequence[RiskLimit] = (),
) -> Path:
    """Draw the share of wrong answers among the given ones over the share of answers given.

    Args:
        models: Name -> (confidence, right), (N,) each.
        path: PNG file to write.
        limits: Thresholds chosen for stated risks, drawn as points.

    Returns:
        The path.

    Raises:
        EmptyDataError: A model has no answers.
    """
    figure, (axes,) = new_figure(6.0, 4.2)
    for number, (name, (confidence, right)) in enumerate(models.items()):
        curve = risk_coverage(confidence, right)
        colour = COLOURS[number % len(COLOURS)]
        axes.step(100 * curve.coverage, 100 * curve.risk, where="post", color=colour,
                  label=f"{name}, area {curve.area:.4f}")  # fmt: skip
        # If all answers have the same confidence, the curve is one point, and no line is visible.
        axes.plot(100 * curve.coverage[-1], 100 * curve.risk[-1], "o", markersize=4, color=colour)
    kept = [limit for limit in limits if limit.threshold is not None]
    if kept:
        axes.scatter(
            [100 * limit.coverage for limit in kept],
            [100 * limit.risk for limit in kept],
            marker="D",
            color=COLOURS[3],
            zorder=3,
            label="chosen for a stated risk",
        )
    for limit in kept:
        axes.annotate(f"{limit.target:.0%}", (100 * limit.coverage, 100 * limit.risk), fontsize=8,
                      textcoords="offset points", xytext=(4, 5))  # fmt: skip
    axes.set_xlabel("answers given, %")
    axes.set_ylabel("wrong among them, %")
    axes.set_xlim(0, 103)
    axes.set_ylim(bottom=0)
    axes.grid(color="0.85", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return save_figure(figure, path)


def plot_differences(
    lines: Sequence[tuple[str, Comparison]], path: str | Path, *, baseline: str
) -> Path:
    """Draw differences from a baseline with their intervals, one below the other.

    Args:
        lines: Name and comparison, the first at the top.
        path: PNG file to write.
        baseline: Name of the baseline.

    Returns:
        The path.
    """
    figure, (axes,) = new_figure(6.4, 1.4 + 0.36 * len(lines))
    is_rate = all(one.is_rate for _, one in lines)
    scale = 100.0 if is_rate else 1.0
    for place, (_, one) in enumerate(lines):
        colour = _VERDICT_COLOURS[one.verdict]
        if math.isfinite(one.low) and math.isfinite(one.high):
            axes.plot(
                [scale * one.low, scale * one.high], [place, place], color=colour, linewidth=3
            )
        axes.plot(scale * one.difference, place, "o", color=colour, markersize=7)
        if one.margin is not None:
            axes.plot([-scale * one.margin] * 2, [place - 0.4, place + 0.4], ":", color="0.4")
    axes.axvline(0.0, color="black", linewidth=1)
    words = [f"{name}\n{one.verdict.replace('_', ' ')}, n = {one.records:,}" for name, one in lines]
    axes.set_yticks(range(len(lines)), words, fontsize=8)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    unit = ", percentage points" if is_rate else ""
    axes.set_xlabel(f"difference from {baseline}{unit}; right of 0 is better")
    axes.grid(axis="x", color="0.85", linewidth=0.6)
    return save_figure(figure, path)


def new_figure(width: float, height: float, *, columns: int = 1) -> tuple[Any, list[Any]]:
    """Make a figure of plots side by side, without pyplot.

    Args:
        width: In inches.
        height: In inches.
        columns: Number of plots.

    Returns:
        The figure and its axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot, which keeps global state and may open a window
    found = [figure.add_subplot(1, columns, number) for number in range(1, columns + 1)]
    for axes in found:
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def save_figure(figure: Any, path: str | Path) -> Path:  # noqa: ANN401 - matplotlib loads late
    """Write a figure, as SVG where the name ends so, else as PNG."""
    from matplotlib import rc_context

    kind = "svg" if Path(path).suffix == ".svg" else "png"
    # Texts of an SVG stay texts, so that they can be searched and read aloud.
    with atomic_path(path) as temporary, rc_context({"svg.fonttype": "none"}):
        figure.savefig(temporary, format=kind, dpi=150)
    return Path(path)
