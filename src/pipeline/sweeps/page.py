"""The result of a sweep as Markdown, a picture, and an HTML page that loads no other file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from ...evaluation.plots import COLOURS, new_figure, save_figure
from ...html_page import html_page
from .result import SIZE, SPEED, SweepResult, figures
from .search import Trial, name_of

_MERITS: Final[dict[str, tuple[str, Callable[[Trial], float]]]] = {
    SIZE: ("size of the student, MB", lambda one: one.found.bytes / 1e6),
    SPEED: ("speed, tokens per second", lambda one: one.found.tokens_per_second or 0.0),
}
_STYLE: Final = """
:root { --front: #00754f; --taken: #b84300; --other: #777 }
@media (prefers-color-scheme: dark) {
:root { --front: #2fc796; --taken: #ff8a4c; --other: #999 } }
.lead { font-size: 1.1rem }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr));
 gap: 1rem 3rem }
.plot { position: relative; height: 20rem; margin: .5rem 1rem 2.6rem 3.2rem;
 border-left: 1px solid #8888; border-bottom: 1px solid #8888 }
.plot .x, .plot .y { position: absolute; font-size: .8rem; white-space: nowrap }
.plot .x { top: 100%; transform: translateX(-50%); padding-top: .2rem }
.plot .y { right: 100%; transform: translateY(50%); padding-right: .3rem }
.plot .dot { position: absolute; min-width: 1rem; height: 1.4rem; padding: 0 .25rem;
 transform: translate(-50%, 50%); border-radius: .7rem; font-size: .8rem; line-height: 1.4rem;
 text-align: center; white-space: nowrap; color: Canvas; background: var(--other) }
.plot .front { background: var(--front); z-index: 1; font-weight: 600 }
.plot .taken { background: var(--taken); z-index: 2; font-weight: 600 }
.key b { display: inline-block; width: .8rem; height: .8rem; border-radius: 50% }
tr.taken td:first-child { color: var(--taken); font-weight: 600 }
tr.front td:first-child { color: var(--front); font-weight: 600 }
"""


def markdown(result: SweepResult, title: str) -> str:
    """Write the advice, the front and the table as Markdown."""
    lines = [f"# {title}", "", result.advice(), "", _caution(result), "",
             "![quality over size and over speed](pareto.png)", ""]  # fmt: skip
    for name, front in result.fronts.items():
        lines += [f"On the front of quality and {name}:", ""]
        lines += [f"- student {n}: {name_of(result.trial(n).params)}; {figures(result.trial(n))}"
                  for n in front]  # fmt: skip
        lines.append("")
    head, rows = _table(result)
    lines += [f"| {' | '.join(head)} |", "|" + "--:|" * len(head)]
    lines += [f"| {' | '.join(cells)} |" for _, cells in rows]
    return "\n".join([*lines, ""])


def page(result: SweepResult, title: str) -> str:
    """Write the result as an HTML page."""
    head, rows = _table(result)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for kind, cells in rows
    )
    names = "".join(
        f"<li>student {n}, front of {' and '.join(_fronts_of(result, n))}: "
        f"{escape(name_of(result.trial(n).params))}; {escape(figures(result.trial(n)))}</li>"
        for n in result.named
    )
    plots = "".join(
        f"<section><h3>right answers, %, over {escape(label)}</h3>{_plot(result, name)}</section>"
        for name, (label, _) in _MERITS.items()
        if result.fronts.get(name)
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(result.advice())}</p>',
        f"<p>{escape(_caution(result))}</p>",
        '<p class="key"><b style="background:var(--taken)"></b> take this one '
        '<b style="background:var(--front)"></b> on the front: no other student is better in both '
        '<b style="background:var(--other)"></b> others</p>',
        f'<div class="plots">{plots}</div>',
        "<h2>Students on a front</h2>",
        f"<ul>{names}</ul>",
        "<h2>All students</h2>",
        '<div class="wide"><table><tr>' + "".join(f"<th>{escape(one)}</th>" for one in head)
        + f"</tr>{body}</table></div>",
    ]  # fmt: skip
    return html_page(title, "\n".join(parts), _STYLE)


def plot_fronts(result: SweepResult, path: str | Path) -> Path:
    """Draw right answers over size and over speed; students on the front carry their names.

    Args:
        result: The sweep.
        path: PNG or SVG file to write.

    Returns:
        The path.
    """
    shown = [name for name in _MERITS if result.fronts.get(name)]
    figure, axes = new_figure(5.4 * len(shown), 4.2 + 0.22 * len(result.named), columns=len(shown))
    for place, name in zip(axes, shown, strict=True):
        label, merit = _MERITS[name]
        front = set(result.fronts[name])
        trials = [one for one in result.trials if name == SIZE or one.found.tokens_per_second]
        points: dict[tuple[float, float], list[int]] = {}
        for one in sorted(trials, key=lambda t: t.number == result.taken):
            point = (merit(one), 100 * one.found.right)
            points.setdefault(point, []).append(one.number)
            colour = {"taken": COLOURS[7], "front": COLOURS[4], "": COLOURS[1]}[
                _kind(result, one.number, front)
            ]
            place.plot(*point, "o", color=colour, markersize=8)
        line = sorted((merit(result.trial(n)), 100 * result.trial(n).found.right) for n in front)
        place.plot(*zip(*line, strict=True), "-", color=COLOURS[4], linewidth=1, zorder=0)
        for point, numbers in points.items():
            bold = "bold" if front & set(numbers) else "normal"
            place.annotate(", ".join(map(str, sorted(numbers))), point, fontsize=9, fontweight=bold,
                           textcoords="offset points", xytext=(6, 4))  # fmt: skip
        place.set_xlabel(label)
        place.set_ylabel("right answers, %")
        place.margins(x=0.15, y=0.15)
        place.grid(color="0.85", linewidth=0.6)
    names = [
        f"{n}: {name_of(result.trial(n).params)}{'  (take this one)' if n == result.taken else ''}"
        for n in result.named
    ]
    figure.supxlabel("On a front, where no other student is better in both:\n" + "\n".join(names),
                     fontsize=8.5, x=0.02, ha="left")  # fmt: skip
    return save_figure(figure, path)


def _plot(result: SweepResult, name: str) -> str:
    """Draw one plot as boxes of the page, whose texts keep their size on a phone."""
    _, merit = _MERITS[name]
    front = set(result.fronts[name])
    trials = [one for one in result.trials if name == SIZE or one.found.tokens_per_second]
    left, right = _axis([merit(one) for one in trials])
    low, high = _axis([100 * one.found.right for one in trials])
    low = max(0.0, low)
    marks = [
        f'<span class="x" style="left:{100 * part:.0f}%">'
        f"{escape(_shown(left + part * (right - left)))}</span>"
        f'<span class="y" style="bottom:{100 * part:.0f}%">'
        f"{escape(_shown(low + part * (high - low)))}</span>"
        for part in (0.0, 0.5, 1.0)
    ]
    points: dict[tuple[float, float], list[Trial]] = {}
    for one in trials:
        points.setdefault((merit(one), 100 * one.found.right), []).append(one)
    dots = []
    for (x, y), ones in points.items():
        kinds = {_kind(result, one.number, front) for one in ones}
        kind = next((name for name in ("taken", "front") if name in kinds), "")
        numbers = ", ".join(str(one.number) for one in ones)
        dots.append(
            f'<span class="dot {kind}" style="left:{100 * (x - left) / (right - left):.2f}%;'
            f'bottom:{100 * (y - low) / (high - low):.2f}%">{numbers}</span>'
        )
    return f'<div class="plot">{"".join(marks)}{"".join(dots)}</div>'


def _axis(values: Sequence[float]) -> tuple[float, float]:
    """Choose the ends of an axis, with room around the points."""
    low, high = min(values), max(values)
    room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _kind(result: SweepResult, number: int, front: set[int]) -> str:
    if number == result.taken:
        return "taken"
    return "front" if number in front else ""


def _fronts_of(result: SweepResult, number: int) -> list[str]:
    return [name for name, front in result.fronts.items() if number in front]


def _table(result: SweepResult) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Give the head and the rows of the table, each with its kind."""
    head = ["student", *result.varied, "right, %", "MB", "parameters", "tokens/s", "front"]
    rows = []
    for one in result.trials:
        fronts, found = _fronts_of(result, one.number), one.found
        speed: Any = found.tokens_per_second
        cells = [
            str(one.number), *(_cell(one.params[name]) for name in result.varied),
            f"{100 * found.right:.1f}", f"{found.bytes / 1e6:.3g}", f"{found.parameters:,}",
            "-" if speed is None or not math.isfinite(speed) else f"{speed:,.0f}",
            ", ".join(fronts) + (" (take)" if one.number == result.taken else ""),
        ]  # fmt: skip
        rows.append((_kind(result, one.number, set(result.named)), cells))
    return head, rows


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _caution(result: SweepResult) -> str:
    count = result.trials[0].found.count
    return (
        f"Each student answered the same {count:,} held-out questions, on which it was chosen too, "
        "so the figure of the best is a little too good. Speeds were measured side by side on this "
        "machine."
    )
