"""Draw the results of a session: tokens per second and peak memory, relative to TRL GKD."""

from __future__ import annotations

from pathlib import Path

from cases import SYSTEMS

from tables import GKD, Measured

_SHORT = {
    "ce_trainer": "CE only, Trainer",
    "ce_rows": "CE only, our trainer",
    "cached": "ours, cached",
    "online": "ours, online",
    "trl_gkd": "TRL GKD",
    "liger": "Liger chunked JSD",
    "trl_chunked": "TRL chunked",
    "liger_triton": "Liger Triton JSD",
}
_COLOURS = {
    "ce_trainer": "#bbbbbb",
    "ce_rows": "#888888",
    "cached": "#1b6e53",
    "online": "#5bb08f",
    "trl_gkd": "#c4622d",
    "liger": "#d9a05b",
    "trl_chunked": "#e3c795",
    "liger_triton": "#b58900",
}


def draw(measured: Measured, path: Path) -> None:
    """Draw one group of bars per setting; settings without TRL GKD are left out.

    Args:
        measured: Read from an output folder.
        path: Of the SVG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "kd_peer"  # the same file from the same numbers
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    settings = [s for s, _ in measured.settings() if measured.median(s, GKD, "peak_mib")]
    shown = [n for n in SYSTEMS if any(measured.median(s, n, "peak_mib") for s in settings)]
    panels = {
        "tokens_per_second": "supervised tokens per second, TRL GKD = 1",
        "peak_mib": "peak memory over the models, TRL GKD = 1",
    }
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 1.2 + 1.05 * max(len(settings), 1)))
    for axis, (field, title) in zip(axes, panels.items(), strict=True):
        for row, setting in enumerate(settings):
            peer = measured.median(setting, GKD, field)
            for place, system in enumerate(shown):
                value = measured.median(setting, system, field)
                if value is None or not peer:
                    continue
                height = row + 0.8 * (place / len(shown)) - 0.35
                axis.barh(
                    height,
                    value / peer,
                    height=0.8 / len(shown),
                    color=_COLOURS[system],
                )
        axis.axvline(1.0, color="#444444", linewidth=0.8)
        axis.set_title(title, fontsize=10)
        axis.set_yticks(range(len(settings)), [_label(s) for s in settings], fontsize=8)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    patches = [Patch(color=_COLOURS[name], label=_SHORT[name]) for name in shown]
    figure.legend(handles=patches, loc="lower center", ncols=len(shown), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _label(setting: str) -> str:
    pair, data, accumulation, memory, _ = setting.split(".")
    more = "" if accumulation == "acc1" else f", {accumulation}"
    return f"{pair}, {data}{more}" + ("" if memory == "kept" else "\nmemory returned")
