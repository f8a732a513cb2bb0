"""Charts as inline SVG: they follow the page's colours, also in dark mode, and fit a phone.

All are 330 units wide, so that a text of 13 units has its own size on a screen of 360 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from .content import Bars, Lines, Matrix

_WIDTH: Final = 330
_HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 40
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "4 2", "1 2", "10 4", "3 1")
COLOURS: Final = 8
"""Colours `--c0` to `--c7` of the page's style."""

CHART_STYLE: Final = """
:root { --c0: #0072b2; --c1: #444; --c2: #d55e00; --c3: #009e73; --c4: #cc79a7; --c5: #b07800;
 --c6: #3a9bd0; --c7: #8a8a8a; --grid: #8885; --soft: #8883 }
@media (prefers-color-scheme: dark) { :root { --c0: #56b4e9; --c1: #ddd; --c2: #ff8a3d;
 --c3: #2fd3a5; --c4: #e6a6c9; --c5: #f0c000; --c6: #8ccbf2; --c7: #9a9a9a } }
svg { display: block; width: 100%; max-width: 30rem; height: auto; overflow: visible }
svg text { fill: currentColor; font: 13px system-ui, sans-serif }
svg text.v { font-variant-numeric: tabular-nums }
.legend { list-style: none; padding: 0; margin: .3rem 0; display: flex; flex-wrap: wrap;
 gap: .2rem 1rem; font-size: .875rem }
.legend svg { display: inline-block; width: 28px; height: 10px; vertical-align: middle;
 margin-right: .35rem }
"""


def bars_svg(chart: Bars) -> str:
    """Draw horizontal bars: the label stands above its bar, the value behind it."""
    rows = chart.bars
    most = chart.most or max((bar.high or bar.value for bar in rows), default=0.0) or 1.0
    room, step = _WIDTH - 118, 38
    parts = []
    for number, bar in enumerate(rows):
        y = number * step
        value = room * min(max(bar.value, 0.0), most) / most
        colour = "--c0" if bar.is_main else "--c7"
        weight = ' font-weight="600"' if bar.is_main else ""
        parts.append(
            f'<text x="0" y="{y + 12}"{weight}>{escape(bar.label)}</text>'
            f'<rect x="0" y="{y + 17}" width="{room}" height="13" fill="var(--soft)"/>'
            f'<rect x="0" y="{y + 17}" width="{value:.1f}" height="13" fill="var({colour})"/>'
        )
        told = shown(bar.value, chart.unit)
        if bar.low is not None and bar.high is not None:
            low, high = (room * min(max(end, 0.0), most) / most for end in (bar.low, bar.high))
            parts.append(
                f'<path d="M{low:.1f} {y + 23.5}H{high:.1f}M{low:.1f} {y + 19}v9'
                f'M{high:.1f} {y + 19}v9" stroke="currentColor" stroke-width="1.5" fill="none"/>'
            )
            told += f" <tspan opacity='.75'>{_ends(bar.low, bar.high)}</tspan>"
        parts.append(f'<text class="v" x="{room + 6}" y="{y + 28}">{told}</text>')
    height = max(step * len(rows), step)
    return _figure(chart.caption, f"0 0 {_WIDTH} {height}", "".join(parts))


def lines_svg(chart: Lines) -> str:
    """Draw lines with a legend below, so that no label lies over another."""
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return ""
    x_from, x_to = chart.x_range or _span([x for x, _ in points])
    y_from, y_to = chart.y_range or _span([y for _, y in points], from_zero=True)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (min(max(x, x_from), x_to) - x_from) / (x_to - x_from)
        up = (min(max(y, y_from), y_to) - y_from) / (y_to - y_from)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [_axes(chart, (x_from, x_to), (y_from, y_to))]
    if chart.diagonal:
        (x0, y0), (x1, y1) = place(x_from, x_from), place(x_to, x_to)
        parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="currentColor" '
                     'stroke-dasharray="3 3" opacity=".6"/>')  # fmt: skip
    legend = []
    for number, line in enumerate(chart.lines):
        colour = f"var(--c{number % COLOURS})"
        there = [place(x, y) for x, y in line.points]
        if not line.is_points and len(there) > 1:
            way = "L".join(f"{x:.1f} {y:.1f}" for x, y in there)
            dash = _DASHES[number % len(_DASHES)]
            stroke = f'stroke-dasharray="{dash}"' if dash else ""
            parts.append(f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2" '
                         f'{stroke}/>')  # fmt: skip
            mark = f'<path d="M0 5H28" stroke="{colour}" stroke-width="2.5" {stroke}/>'
        else:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
                      for x, y in there]  # fmt: skip
            mark = f'<circle cx="14" cy="5" r="4" fill="{colour}"/>'
        parts += _point_labels(there, line.labels)
        legend.append(f'<li><svg viewBox="0 0 28 10" aria-hidden="true">{mark}</svg>'
                      f"{escape(line.name)}</li>")  # fmt: skip
    listed = f'<ul class="legend">{"".join(legend)}</ul>'
    return _figure(chart.caption, f"0 0 {_WIDTH} {_HEIGHT}", "".join(parts), listed)


def matrix_html(chart: Matrix) -> str:
    """Write a matrix as a table: darker means a larger share; columns have numbers."""
    head = "".join(f"<th>{number}</th>" for number in range(1, len(chart.names) + 1))
    rows = []
    for number, (name, row) in enumerate(zip(chart.names, chart.cells, strict=True), start=1):
        cells = "".join(
            f'<td style="background: color-mix(in srgb, var(--c0) {60 * share:.0f}%, transparent)">'
            f"{100 * share:.0f}</td>"
            for share in row
        )
        rows.append(f"<tr><td>{number} {escape(name)}</td>{cells}</tr>")
    return (
        f'<figure><figcaption>{escape(chart.caption)}</figcaption><div class="wide" tabindex="0">'
        f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table></div></figure>'
    )


def shown(value: float, unit: str) -> str:
    """Write a value in few digits, with its unit.

    >>> shown(93.333, "%"), shown(1234.5, "ms"), shown(0.01234, "MB")
    ('93.3 %', '1,234 ms', '0.0123 MB')
    """
    if unit == "%":
        return f"{value:.1f} %"
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def _ends(low: float, high: float) -> str:
    return f"{low:.0f}–{high:.0f}"


def _point_labels(places: Sequence[tuple[float, float]], labels: Sequence[str]) -> list[str]:
    """Write labels beside points; one that would lie on the one before moves below it."""
    parts: list[str] = []
    taken: list[tuple[float, float]] = []
    for (x, y), label in zip(places, labels, strict=False):
        while any(abs(y - other) < 13 and abs(x - left) < 70 for left, other in taken):
            y += 13
        taken.append((x, y))
        end = "end" if x > _WIDTH - 80 else "start"
        parts.append(f'<text x="{x + (-7 if end == "end" else 7):.1f}" y="{y + 4:.1f}" '
                     f'text-anchor="{end}">{escape(label)}</text>')  # fmt: skip
    return parts


def _axes(chart: Lines, across: tuple[float, float], up: tuple[float, float]) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value in _ticks(*up):
        y = bottom - (value - up[0]) / (up[1] - up[0]) * (bottom - _TOP)
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="var(--grid)"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in _ticks(*across):
        x = _LEFT + (value - across[0]) / (across[1] - across[0]) * (right - _LEFT)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
                 f"{escape(chart.x_label)}</text>")  # fmt: skip
    parts.append(f'<text transform="translate(11 {(_TOP + bottom) / 2}) rotate(-90)" '
                 f'text-anchor="middle">{escape(chart.y_label)}</text>')  # fmt: skip
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Choose three to six round values between two ends."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _span(values: Sequence[float], *, from_zero: bool = False) -> tuple[float, float]:
    low, high = (0.0 if from_zero else min(values)), max(values)
    return (low, high * 1.05 if from_zero else high) if high > low else (low, low + 1.0)


def _figure(caption: str, box: str, drawn: str, below: str = "") -> str:
    text = escape(caption)
    return (
        f"<figure><figcaption>{text}</figcaption>"
        f'<svg viewBox="{box}" role="img" aria-label="{text}">{drawn}</svg>{below}</figure>'
    )
