"""Make the table and the picture of `inference.py` from the JSON file that it wrote."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

COLOURS = ("#9aa0a6", "#4285a8", "#2f6f4f", "#c2703d", "#8e5ea2", "#c45ab3", "#6b6ecf", "#b8a02e")


def summarise(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a row per shape, number of callers and backend, from the rounds."""
    rows = []
    for shape, one in told["shapes"].items():
        for callers, by_backend in one["rounds"].items():
            for backend, rounds in by_backend.items():
                if not rounds:  # not asked by so many callers
                    continue
                rows.append(_row(told, shape, one, int(callers), backend, rounds))
    base = {(r["shape"], r["callers"]): r["tokens_per_s"] for r in rows
            if r["backend"] == "ChatHuggingFace"}  # fmt: skip
    for row in rows:
        peer = base.get((row["shape"], row["callers"]))
        row["ratio"] = None if peer is None else row["tokens_per_s"] / peer
    return rows


def _row(
    told: dict[str, Any], shape: str, one: dict[str, Any], callers: int, backend: str,
    rounds: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    made = one["made"][str(callers)]
    # The median round as a whole, so that the two times of a decode rate belong together.
    middle = statistics.median(entry["whole_s"] for entry in rounds)
    first = statistics.median(entry["one_token_s"] for entry in rounds)
    decode = (made - callers) / (middle - first) if middle > first else None
    bound = _bound(told, one, backend, callers)
    waits = [wait for entry in rounds for wait in entry["first_s"]]
    return {
        "shape": shape,
        "callers": callers,
        "backend": backend,
        "tokens_per_s": made / middle,
        "spread": [made / entry["whole_s"] for entry in rounds],
        "decode_tokens_per_s": decode,
        "limit_tokens_per_s": bound,
        "of_limit": None if decode is None else decode / bound,
        "first_token_ms": 1000 * statistics.median(waits),
        "memory_mb": one["memory_mb"][backend]["now"],
    }


def _bound(told: dict[str, Any], one: dict[str, Any], backend: str, callers: int) -> float:
    """Tokens per second that memory and arithmetic allow (design/serving.md, section 5)."""
    dtype = "int8" if backend.endswith(("int8", "Q8_0")) else "float32"
    weights = one["weight_bytes"][dtype]
    cache = callers * one["cache_bytes_per_token"] * one["context"]
    rate = told["limits"]["bytes_per_s"][str(weights)]
    seconds = max((weights + cache) / rate,
                  2 * one["read_parameters"] * callers / told["limits"][dtype])  # fmt: skip
    return callers / seconds


def write_markdown(told: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> None:
    """Write the table."""
    limits = told["limits"]
    lines = [
        "# Tokens per second of the engines on a CPU",
        "",
        f"`{told['command']}`, {told['date']}, {told['machine']}, {told['threads']} threads, load "
        f"average {told['load_average']:.1f} before. {told['versions']}. Random weights at the "
        "sizes named, unless a student is named. Every way runs in a process of its own; they take "
        "turns, medians count. Before anything is timed, the greedy tokens of every float32 way "
        "are compared with `transformers.generate`, token by token.",
        "",
        "Limit: memory read at "
        + ", ".join(f"{rate / 1e9:.0f} GB/s ({int(size) / 1e6:,.0f} MB)"
                    for size, rate in limits["bytes_per_s"].items())
        + f", products at {limits['float32'] / 1e9:,.0f} GFLOP/s in float32 and "
        f"{limits['int8'] / 1e9:,.0f} Gop/s in int8, measured in the same run. Decoding alone, "
        "without prompts, is compared with it; above 100 % means that the runtime multiplies "
        "faster than the library that the limit was measured with.",
        "",
    ]  # fmt: skip
    for shape, one in told["shapes"].items():
        mine = [row for row in rows if row["shape"] == shape]
        real = shape == "student" or told.get("real", False)
        lines += _shape_lines(shape, one, mine, real=real)
    lines += [f"![tokens per second]({path.stem}.png)", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _shape_lines(
    shape: str, one: dict[str, Any], rows: list[dict[str, Any]], *, real: bool
) -> list[str]:
    random = "" if real else " (random weights amplify what is rounded off)"
    lines = [
        f"## {shape}: {one['parameters'] / 1e6:,.1f} million parameters",
        "",
        f"At most {one['tokens']} tokens an answer after prompts of {one['prompt_tokens']}. Greedy "
        f"tokens compared: {one['gate']['compared']}, {one['gate']['distinct']} different ones; "
        "equal: "
        + ", ".join(f"{name} {share:.1%}" for name, share in one["gate"]["equal"].items())
        + f". int8 against float32: {one['int8_loss']}{random}.",
        "",
        "| callers | | tokens/s | against ChatHuggingFace | decoding alone | of the limit | "
        "first token, ms | memory, MB |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = (
            f"{row['callers']}",
            row["backend"],
            f"{row['tokens_per_s']:,.0f}" if row["tokens_per_s"] >= 100
            else f"{row['tokens_per_s']:.1f}",
            "" if row["ratio"] is None else f"{row['ratio']:.1f} x",
            "" if row["decode_tokens_per_s"] is None else f"{row['decode_tokens_per_s']:,.0f}",
            "" if row["of_limit"] is None else f"{row['of_limit']:.0%}",
            f"{row['first_token_ms']:.1f}",
            f"{row['memory_mb']:,.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw tokens per second by callers, a panel per shape."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    figure, panels = pyplot.subplots(1, len(shapes), figsize=(4.2 * len(shapes), 3.6),
                                     squeeze=False)  # fmt: skip
    for shape, panel in zip(shapes, panels[0], strict=True):
        mine = [row for row in rows if row["shape"] == shape]
        counts = list(dict.fromkeys(row["callers"] for row in mine))
        for place, backend in enumerate(backends):
            by_count = {
                row["callers"]: row["tokens_per_s"] for row in mine if row["backend"] == backend
            }
            heights = [by_count.get(count, 0) for count in counts]
            offset = (place - (len(backends) - 1) / 2) * 0.8 / len(backends)
            places = [number + offset for number in range(len(counts))]
            panel.bar(
                places,
                heights,
                0.76 / len(backends),
                color=COLOURS[place % len(COLOURS)],
                label=backend,
            )
        panel.set_yscale("log")
        panel.set_xticks(range(len(counts)), [str(count) for count in counts])
        panel.set_xlabel("callers")
        panel.set_title(shape)
    panels[0][0].set_ylabel("tokens per second")
    handles = panels[0][0].get_legend_handles_labels()
    columns = min(4, 2 * len(shapes))
    figure.legend(*handles, loc="lower center", ncol=columns, frameon=False)
    figure.tight_layout(rect=(0, 0.08 if len(shapes) > 1 else 0.13, 1, 1))
    figure.savefig(path, dpi=120)
