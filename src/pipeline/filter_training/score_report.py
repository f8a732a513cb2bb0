"""How well and how fast students score held-out texts: one row each, beside the mean baseline.

Sizes: N texts, D dimensions, K tiers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...files import atomic_path, write_json, write_text
from ...inference.score_students.protocol import Floats, ScoreStudent
from ...labeling.filters.filter_config import FilterConfig
from ...labeling.filters.scoring.score_order import NO_TIER, judge_scores

MEAN_BASELINE: Final = "mean baseline"
REPORT_FILE: Final = "students"
"""Name of the report, with `.json`, `.md` and `.png`."""


def timed_scores(student: ScoreStudent, texts: Sequence[str]) -> tuple[Floats, float]:
    """Score texts; the scores (N, D), and the texts per second of one core.

    Processor time of all threads is counted, so that the figure does not depend on their number.
    A few texts are scored before, since the first call loads libraries.
    """
    student.predict(texts[:2])
    began = time.process_time()
    scores = student.predict(texts)
    return scores, len(texts) / max(time.process_time() - began, 1e-9)


def score_row(
    name: str,
    predicted: Floats,
    true: Floats,
    config: FilterConfig,
    **more: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Compare scores (N, D) with labels (N, D).

    Returns:
        `student`, `n`, `mae` and `spearman` per dimension and their means (`mean_mae`,
        `mean_spearman`; None where a side has one value only), `tier_kappa` (quadratic weights),
        `tier_accuracy`, `pass_accuracy`, and `more`.
    """
    errors = np.abs(predicted - true).mean(axis=0)
    ranks = [_spearman(predicted[:, n], true[:, n]) for n in range(true.shape[1])]
    own, theirs = _verdicts(predicted, config), _verdicts(true, config)
    levels = [one.name for one in config.tiers] + [NO_TIER.name]
    kappa = weighted_kappa(
        [levels.index(tier) for tier, _ in theirs], [levels.index(tier) for tier, _ in own]
    )
    known = [one for one in ranks if one is not None]
    return {
        "student": name,
        "n": len(true),
        "mae": dict(zip(config.dimension_names, errors.tolist(), strict=True)),
        "mean_mae": float(errors.mean()),
        "spearman": dict(zip(config.dimension_names, ranks, strict=True)),
        "mean_spearman": float(np.mean(known)) if known else None,
        "tier_kappa": kappa,
        "tier_accuracy": float(np.mean([a[0] == b[0] for a, b in zip(own, theirs, strict=True)])),
        "pass_accuracy": float(np.mean([a[1] == b[1] for a, b in zip(own, theirs, strict=True)])),
        **more,
    }


def weighted_kappa(true: Sequence[int], predicted: Sequence[int]) -> float | None:
    """Give Cohen's kappa with quadratic weights of two series of levels; None where it is 0/0.

    Source: Cohen 1968.

    >>> weighted_kappa([0, 1, 2, 2], [0, 1, 2, 1])
    0.8
    """
    a, b = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    seen = float(((a - b) ** 2).mean())
    chance = float(((a[:, None] - b[None, :]) ** 2).mean())
    return None if chance == 0 else 1 - seen / chance


def markdown_table(rows: Sequence[Mapping[str, Any]], config: FilterConfig) -> str:
    """Write the rows as a table; the best value of each column is bold."""
    names = config.dimension_names
    heads = ["student", *(f"MAE {name}" for name in names), "Spearman", "kappa of tiers",
             "texts / s and core", "training", "trained on"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    least = {name: min(row["mae"][name] for row in rows) for name in names}
    for row in rows:
        marks = ["**" if row["mae"][name] == least[name] else "" for name in names]
        errors = [f"{m}{row['mae'][n]:.3f}{m}" for n, m in zip(names, marks, strict=True)]
        cells = [row["student"], *errors, _shown(row["mean_spearman"]), _shown(row["tier_kappa"]),
                 _rate(row.get("texts_per_second_core")), _seconds(row.get("train_s")),
                 _count(row.get("train_examples"))]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def terminal_table(rows: Sequence[Mapping[str, Any]], config: FilterConfig) -> str:
    """Write the rows for a terminal."""
    lines = [line.strip("| ").split(" | ") for line in markdown_table(rows, config).splitlines()]
    cells = [[cell.replace("**", "") for cell in line] for n, line in enumerate(lines) if n != 1]
    widths = [max(len(line[n]) for line in cells) for n in range(len(cells[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}"
                  for n, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    )  # fmt: skip


def write_score_report(
    folder: Path, rows: Sequence[Mapping[str, Any]], config: FilterConfig, notes: Sequence[str]
) -> None:
    """Write `students.json`, `students.md` and `students.png`."""
    whole = {"filter": config.name, "version": config.version, "rows": list(rows)}
    write_json(folder / f"{REPORT_FILE}.json", {**whole, "notes": list(notes)})
    head = f"# Students of {config.name} {config.version}\n\n"
    plot = f"\n![Error against speed]({REPORT_FILE}.png)\n"
    told = "".join(f"\n- {note}" for note in notes)
    write_text(folder / f"{REPORT_FILE}.md", f"{head}{markdown_table(rows, config)}{plot}{told}\n")
    plot_students(rows, folder / f"{REPORT_FILE}.png")


def plot_students(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw the mean error of each student over its speed; lines are those without a speed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row in rows:
        speed = row.get("texts_per_second_core")
        if speed is None:
            axes.axhline(row["mean_mae"], color="#999999", linestyle="--", linewidth=1)
            axes.annotate(row["student"], (0.01, row["mean_mae"]), fontsize=8, va="bottom",
                          xycoords=("axes fraction", "data"), color="#555555")  # fmt: skip
        else:
            axes.plot(speed, row["mean_mae"], "o", color="#0072B2")
            axes.annotate(row["student"], (speed, row["mean_mae"]), fontsize=8,
                          xytext=(5, 4), textcoords="offset points")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("texts per second and core")
    axes.set_ylabel("mean absolute error, mean of the dimensions")
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path


def _verdicts(scores: Floats, config: FilterConfig) -> list[tuple[str, bool]]:
    verdicts = [
        judge_scores(dict(zip(config.dimension_names, row, strict=True)), config) for row in scores
    ]
    return [(one.tier, one.passed) for one in verdicts]


def _spearman(one: Floats, other: Floats) -> float | None:
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)


def _shown(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
