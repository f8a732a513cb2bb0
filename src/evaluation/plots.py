"""Scores as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..files import atomic_path
from .score_table import display_name, ordered, percent, tasks_of
from .scores import ModelScores

# Okabe and Ito's palette: told apart with every common kind of colour blindness.
COLOURS = ("#000000", "#999999", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00")


def plot_scores(scores: Mapping[str, ModelScores], path: str | Path) -> Path:
    """Draw exact match per task as grouped bars, one colour per model.

    Args:
        scores: By name, as `evaluate_models` gives them.
        path: PNG file to write.

    Returns:
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named = ordered(scores)
    tasks = tasks_of(scores)
    groups = ["all", *tasks] if len(tasks) > 1 else tasks or ["all"]
    figure = Figure(
        figsize=(1.6 + 1.9 * len(groups) + 0.12 * len(named), 4.6), layout="constrained"
    )
    FigureCanvasAgg(figure)  # the object API: no global state, no window, safe in threads
    axes = figure.add_subplot()
    width = 0.84 / len(named)
    for number, (name, model) in enumerate(named):
        heights = [100 * _exact_match(model, group) for group in groups]
        places = [group + (number - (len(named) - 1) / 2) * width for group in range(len(groups))]
        colour = COLOURS[number % len(COLOURS)]
        bars = axes.bar(places, heights, 0.92 * width, label=display_name(name), color=colour,
                        edgecolor="black" if name == "student" else "none")  # fmt: skip
        axes.bar_label(bars, [percent(h) for h in heights], fontsize=7, padding=2, rotation=90)
    axes.set_xticks(range(len(groups)), [_group_label(group, named[0][1]) for group in groups])
    axes.set_ylabel("exact match, % of held-out examples")
    axes.set_ylim(0, 118)  # room for the labels above full bars
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(3, len(named)), frameon=False, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return Path(path)


def _exact_match(model: ModelScores, group: str) -> float:
    if group == "all":
        return model.exact_match
    return model.by_task[group].exact_match if group in model.by_task else 0.0


def _group_label(group: str, model: ModelScores) -> str:
    count = model.count if group == "all" else getattr(model.by_task.get(group), "count", 0)
    return f"{group}\n{count} examples"
