"""Write the results of `grounding.py` as a page and a picture."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from stillroom.files import atomic_path, write_text

WAYS = ("student alone", "validated", "grounded")
"""How a question is answered."""
_COLORS = {"student alone": "#b9b9b9", "validated": "#7fa8d1", "grounded": "#1f4e79"}
_HEAD = """# Grounding: what it is worth

`python benchmarks/grounding.py {command} --write`, seed {seed}, {day}, {machine}, Python {python}.

![with grounding and without](grounding.svg)

The same questions, answered in three ways: by the student alone, by the workflow that validates
without grounding, and with grounding. Shares with 95 % intervals. "Numbers supported" counts the
numbers of accepted answers and summaries that stand in a cited cell; without citations, in any
cell of the record that was asked about. A simulated student is right four times in five and never
at a loss; it is no student's score, it shows what the layer does with one that is often wrong.
"""


def write(
    path: Path,
    measured: Sequence[Any],
    sections: Sequence[list[str]],
    verdicts: Sequence[str],
    seed: int,
) -> None:
    """Write the page."""
    command = " ".join(
        one.name + (f"=outputs/{one.name}/student" if one.student == "trained" else "")
        for one in measured
    )
    head = _HEAD.format(
        command=command,
        seed=seed,
        day=date.today().isoformat(),
        machine=platform.machine(),
        python=platform.python_version(),
    )
    parts = [head, *("\n".join(section) + "\n" for section in sections)]
    judged = "\n".join(["```text", *verdicts, "```"])
    path.parent.mkdir(exist_ok=True)
    write_text(path, "\n".join([*parts, judged, ""]))


def draw(path: Path, measured: Sequence[Any]) -> None:
    """Draw three figures of every table, with their bars, as an SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "grounding"  # the same file from the same numbers
    from matplotlib import pyplot

    panels: list[tuple[str, Callable[[Any], tuple[int, int]], float]] = [
        ("abstained: no answer there", lambda t: t.refusals, 0.95),
        ("abstained: an answer is there", lambda t: (t.abstained, t.answerable), 0.05),
        ("numbers supported", lambda t: (t.supported, t.numbers), 0.99),
    ]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(11, 3.4), layout="constrained")
    for axis, (title, value, bar) in zip(axes, panels, strict=True):
        for place, way in enumerate(WAYS):
            shares = [part / whole if whole else 0.0
                      for part, whole in (value(one.tallies[way]) for one in measured)]  # fmt: skip
            at = [i + 0.27 * (place - 1) for i in range(len(measured))]
            bars = axis.bar(at, [100 * s for s in shares], 0.25, label=way, color=_COLORS[way])
            axis.bar_label(bars, fmt="%.0f", fontsize=7)
        axis.axhline(100 * bar, color="#c0392b", linestyle="--", linewidth=1)
        axis.set_xticks(range(len(measured)), [one.name for one in measured])
        axis.set_ylim(0, 112)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("% (dashed: the bar)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)
