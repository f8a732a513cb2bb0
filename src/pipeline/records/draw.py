"""Draw the graph of a pipeline: as Mermaid text, or as a picture by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ...errors import ConfigError
from ...files import atomic_path, write_text
from .step import Step

_TEXT: Final = (".mmd", ".md")
_PICTURES: Final = (".png", ".svg", ".pdf")


def draw_plan(
    steps: Mapping[str, Step],
    edges: Sequence[tuple[str, str]],
    path: Path,
    *,
    top_to_bottom: bool = False,
) -> Path:
    """Draw steps and edges into a file; see `Pipeline.draw`."""
    ending = path.suffix.lower()
    if ending in _TEXT:
        text = mermaid(steps, edges, top_to_bottom=top_to_bottom)
        return write_text(path, f"```mermaid\n{text}```\n" if ending == ".md" else text)
    if ending not in _PICTURES:
        allowed = ", ".join((*_TEXT, *_PICTURES))
        raise ConfigError([f"path ends in {ending!r}; allowed are {allowed}"])
    _picture(steps, edges, path, top_to_bottom)
    return path


def mermaid(
    steps: Mapping[str, Step], edges: Sequence[tuple[str, str]], *, top_to_bottom: bool = False
) -> str:
    """Write the graph as Mermaid text."""
    lines = [f"flowchart {'TD' if top_to_bottom else 'LR'}"]
    lines += [f'  {name}["{name}<br/>{type(step).__name__}"]' for name, step in steps.items()]
    lines += [f"  {before} --> {after}" for before, after in edges]
    return "\n".join(lines) + "\n"


def _picture(
    steps: Mapping[str, Step], edges: Sequence[tuple[str, str]], path: Path, top_to_bottom: bool
) -> None:
    from matplotlib.figure import Figure

    depth = _depths(steps, edges)
    columns: dict[int, list[str]] = {}
    for name, column in depth.items():
        columns.setdefault(column, []).append(name)
    widest = max((len(names) for names in columns.values()), default=1)
    places: dict[str, tuple[float, float]] = {}
    for column, names in columns.items():
        for row, name in enumerate(names):
            across = row - (len(names) - 1) / 2
            places[name] = (across, -column) if top_to_bottom else (column, -across)
    size = (3.0 * len(columns) + 1, 1.2 * widest + 1)
    figure = Figure(figsize=(3.0 * widest + 1, 1.2 * len(columns) + 1) if top_to_bottom else size)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    for name, (x, y) in places.items():
        axes.text(
            x, y, f"{name}\n{type(steps[name]).__name__}", ha="center", va="center", fontsize=8,
            bbox={"boxstyle": "round", "facecolor": "white"}, zorder=2,
        )  # fmt: skip
    for before, after in edges:
        arrow = {"arrowstyle": "->", "shrinkA": 30, "shrinkB": 30}
        axes.annotate("", places[after], places[before], arrowprops=arrow, zorder=1)
    axes.margins(0.2)
    axes.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower())


def _depths(steps: Mapping[str, Step], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Count the steps on the longest way to each step."""
    depth = dict.fromkeys(steps, 0)
    for _ in steps:
        for before, after in edges:
            depth[after] = max(depth[after], min(depth[before] + 1, len(steps)))
    return depth
