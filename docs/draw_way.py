"""Draw docs/way.png, the picture at the top of the README: `python docs/draw_way.py`."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

STEPS = (
    ("table", "CSV, JSON, Parquet,\na database", "#e8eef7"),
    ("questions", "several wordings a fact,\none held out", "#e8eef7"),
    ("teacher", "answers what has\nno answer yet", "#fdebd0"),
    ("student", "half the size,\nsoft targets", "#d9f0e3"),
    ("proof", "beside its teacher\nand four controls", "#d9f0e3"),
    ("agents", "each answer checked\nagainst its record", "#e9e3f5"),
)


def draw(path: Path) -> None:
    """Draw the steps as boxes from left to right."""
    figure = Figure(figsize=(12, 2.1), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.005, 0.02, 0.99, 0.96))
    axes.set_xlim(0, 12)
    axes.set_ylim(0, 2.1)
    axes.axis("off")
    for place, (name, words, colour) in enumerate(STEPS):
        left = 0.12 + 2 * place
        box = FancyBboxPatch(
            (left, 0.3), 1.62, 1.4, boxstyle="round,pad=0.02,rounding_size=0.12",
            facecolor=colour, edgecolor="#455a64", linewidth=1.1,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(left + 0.81, 1.36, name, ha="center", va="center", fontsize=14, weight="bold")
        axes.text(left + 0.81, 0.74, words, ha="center", va="center", fontsize=9, color="#37474f")
        if place < len(STEPS) - 1:
            axes.annotate(
                "", xy=(left + 1.98, 1.0), xytext=(left + 1.66, 1.0),
                arrowprops={"arrowstyle": "-|>", "color": "#455a64", "linewidth": 1.6},
            )  # fmt: skip
    figure.savefig(path)


if __name__ == "__main__":
    draw(Path(__file__).with_name("way.png"))
