"""Draw the gain of soft targets over hard labels."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from plan import GOLD, GOLDS
from stillroom.files import atomic_path

from tables import Runs, best_both, best_soft, differences, hard_control, interval

# Okabe and Ito's palette: told apart with every common kind of colour blindness.
COLOURS = {"soft - teacher's text": "#0072B2", "soft and gold - gold": "#D55E00"}


def draw(runs: Runs, path: Path) -> Path:
    """Draw differences of accuracy and of calibration error with their intervals.

    Args:
        runs: From `tables.by_system`.
        path: PNG file to write.
    """
    places = [(task, gold) for task, golds in GOLDS.items() for gold in golds]
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("accuracy, points (right is better)", "calibration error, points (left is better)")
    for axes, measure, title in zip(panels, ("accuracy", "ece"), titles, strict=True):
        for shift, name in ((-0.15, "soft - teacher's text"), (0.15, "soft and gold - gold")):
            for height, (task, gold) in enumerate(places):
                if name.startswith("soft -"):
                    ours, theirs = best_soft(gold), hard_control(gold)
                else:
                    ours, theirs = best_both(task, gold), GOLD
                if ours is None:
                    continue
                found = differences(runs, task, gold, ours, theirs, measure)
                if not found:
                    continue
                mean, half = interval([100 * value for value in found])
                axes.errorbar(
                    mean, height + shift, xerr=half, fmt="o", color=COLOURS[name], capsize=2, ms=4
                )
        axes.axvline(0, color="#999999", lw=1)
        axes.set_title(title)
        axes.set_yticks(range(len(places)), [f"{task}, {gold}" for task, gold in places])
        axes.invert_yaxis() if measure == "accuracy" else None
        axes.grid(axis="x", alpha=0.3)
    for name, colour in COLOURS.items():
        panels[0].plot([], [], "o", color=colour, label=name)
    panels[0].legend(loc="lower right", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    return path
