"""Risk over coverage as a picture: what withholding the least sure answers gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import atomic_path
from ..inference.scoring.confidence import RiskLimit
from .calibration import risk_coverage
from .plots import COLOURS


def plot_risk_coverage(
    models: Mapping[str, tuple[Sequence[float], Sequence[bool]]],
    path: str | Path,
    *,
    limits: Sequence[RiskLimit] = (),
) -> Path:
    """Draw the share of wrong answers among those given, over the share of answers given.

    Args:
        models: Name -> (confidence, right), (N,) each.
        path: PNG file to write.
        limits: Thresholds chosen for stated risks, drawn as points.

    Returns:
        The path.

    Raises:
        EmptyDataError: A model has no answers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)  # the object API: no global state, no window, safe in threads
    axes = figure.add_subplot()
    for number, (name, (confidence, right)) in enumerate(models.items()):
        curve = risk_coverage(confidence, right)
        colour = COLOURS[number % len(COLOURS)]
        axes.step(100 * curve.coverage, 100 * curve.risk, where="post", color=colour,
                  label=f"{name}, area {curve.area:.4f}")  # fmt: skip
        # A student whose answers are all alike has one point, which a line would not show.
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
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return Path(path)
