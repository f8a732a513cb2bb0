"""Make tables and verdicts from the JSON files of a session."""

from __future__ import annotations

import datetime
import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cases import FULL_TEACHER, KEPT, SYSTEMS, Case
from stillroom.files import read_json

GKD: Final = "trl_gkd"


@dataclass(frozen=True)
class Measured:
    """Everything that a session found."""

    runs: dict[Case, list[dict[str, Any]]]
    caches: dict[tuple[str, str], dict[str, Any]]
    rates: dict[tuple[str, str], dict[str, Any]]

    @classmethod
    def read(cls, output: Path) -> Measured:
        """Read an output folder."""
        runs: dict[Case, list[dict[str, Any]]] = {}
        for path in sorted((output / "runs").glob("*.json")):
            run = read_json(path)
            runs.setdefault(Case(**run["case"]), []).append(run)
        return cls(runs, _by_data(output / "caches"), _by_data(output / "rates"))

    def settings(self) -> Iterator[tuple[str, dict[str, list[dict[str, Any]]]]]:
        """Give each setting with the finished runs of its systems."""
        for setting in dict.fromkeys(case.setting for case in self.runs):
            found = {c.system: runs for c, runs in self.runs.items() if c.setting == setting}
            yield setting, {s: found[s] for s in SYSTEMS if s in found}

    def median(self, setting: str, system: str, field: str) -> float | None:
        """Give the median over the runs; None where the system was not run or ran out of memory."""
        found = dict(self.settings()).get(setting, {}).get(system, [])
        values = [run[field] for run in found if field in run]
        return statistics.median(values) if values else None


def _by_data(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        pair, data = path.stem.split(".")
        found[pair, data] = read_json(path)
    return found


# ------------------------------------------------------------------------------------ verdicts


@dataclass(frozen=True)
class Verdict:
    """One bar."""

    text: str
    value: float
    bar: float
    most: bool
    """Whether the bar is the most that is allowed, not the least."""

    @property
    def holds(self) -> bool:
        """Tell whether the bar is met."""
        return self.value <= self.bar if self.most else self.value >= self.bar

    def __str__(self) -> str:
        """Give one line."""
        limit = "at most" if self.most else "at least"
        word = "holds" if self.holds else "SHORT"
        return f"{word}  {self.text}: {self.value:.3g} ({limit} {self.bar:g})"


_THROUGHPUT: Final = {
    ("B", "prompt-heavy"): {"cached": 6.0, "online": 3.5},
    ("A", "prompt-heavy"): {"cached": 3.0, "online": 2.0},
    ("B", "answer-heavy"): {"cached": 2.0, "online": 1.2},
    ("A", "answer-heavy"): {"cached": 2.0, "online": 1.2},
}
_PEAK: Final = {"A": 0.30, "B": 0.15}


def judge(measured: Measured) -> list[Verdict]:
    """Compare medians with the bars, as far as they were measured."""
    verdicts: list[Verdict] = []
    for (pair, data), bars in _THROUGHPUT.items():
        setting = Case(pair, data, "").setting
        where = f"{pair}, {data}"

        def ratio(system: str, other: str, field: str, setting: str = setting) -> float | None:
            one, two = (measured.median(setting, name, field) for name in (system, other))
            return one / two if one and two else None

        found = [
            (f"{where}: step of cached / CE-only, supervised rows",
             ratio("cached", "ce_rows", "seconds"), 1.10, True),
            *((f"{where}: tokens per second of {system} / TRL GKD",
               ratio(system, GKD, "tokens_per_second"), bar, False)
              for system, bar in bars.items()),
            *((f"{where}: peak over the models of {system} / TRL GKD",
               ratio(system, GKD, "peak_mib"), _PEAK[pair], True) for system in bars),
        ]  # fmt: skip
        verdicts += [Verdict(t, value, bar, most) for t, value, bar, most in found if value]
    return verdicts


# -------------------------------------------------------------------------------------- tables


def write_tables(
    measured: Measured, gates: list[dict[str, Any]], verdicts: list[Verdict], *, picture: str
) -> str:
    """Write the whole page as Markdown.

    Args:
        measured: Read from an output folder.
        gates: Rows of the equivalence checks.
        verdicts: From `judge`.
        picture: File name of the picture beside the page.
    """
    parts = [_head(measured), f"![tokens per second and peak memory]({picture})"]
    if verdicts:
        parts += ["## Bars", _block([str(v) for v in verdicts])]
    parts += ["## Runs", _LEGEND]
    parts += [_setting_table(measured, name, found) for name, found in measured.settings()]
    parts += ["## The cache", _cache_table(measured)]
    parts += ["## Bare products", _rate_table(measured)]
    parts += ["## Equivalence, checked before any timing", _block(gate_lines(gates))]
    parts += ["Losses of the timed runs:", _block(_loss_lines(measured))]
    return "\n\n".join(parts) + "\n"


_LEGEND: Final = (
    "Medians; in brackets the smallest and largest run. Peak: largest resident memory of the "
    "process while it trains, less that when models and optimizer exist (on CUDA: allocated "
    "memory). Products: what the system multiplies itself, counted by formula "
    "(`benchmarks/kd_peer/products.py`); their rate is given as a share of what bare products at "
    "the shapes of the student's head reach on this machine. In `kept` rows freed memory stays "
    "with the process on all sides, in `returned` rows on none."
)


def _head(measured: Measured) -> str:
    some = next(run for runs in measured.runs.values() for run in runs if "torch" in run)
    today = datetime.date.today().isoformat()
    return (
        "# A distillation step against its peers\n\n"
        f"`python benchmarks/kd_peer`, {today}, {_processor()}, {some['threads']} threads, torch "
        f"{some['torch']}; {some['steps']} optimizer steps a run, of which "
        f"{some['timed_from']} to {some['steps']} are timed. "
        "What is compared is described in [benchmarks/kd_peer](../kd_peer/README.md)."
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _setting_table(measured: Measured, setting: str, found: dict[str, list[dict[str, Any]]]) -> str:
    pair, data, accumulation, memory, device = setting.split(".")
    title = f"### {pair}, {data}, accumulation {accumulation.removeprefix('acc')}, {memory} memory"
    lines = [
        f"{title}{'' if device == 'cpu' else ', ' + device}\n",
        "| system | runs | s / step | supervised tokens / s | x TRL GKD | peak, MiB | of TRL GKD | "
        "GFLOP / step | GFLOP/s | of bare products |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    bare = measured.rates.get((pair, data), {}).get("step")
    for system, runs in found.items():
        done = [run for run in runs if "error" not in run]
        if not done:
            lines.append(f"| {SYSTEMS[system]} | {len(runs)} | out of memory |" + " |" * 7)
            continue
        steps = done[0]["steps"] - done[0]["timed_from"] + 1
        peers = [measured.median(setting, GKD, f) for f in ("tokens_per_second", "peak_mib")]
        speed, peak, rate = (
            _median(done, f) for f in ("tokens_per_second", "peak_mib", "gflop_per_second")
        )
        speeds = [run["tokens_per_second"] for run in done]
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        lines.append(
            f"| {SYSTEMS[system]} | {len(done)} | {_median(done, 'seconds') / steps:.3f} | "
            f"{speed:.0f} ({spread}) | {_ratio(speed, peers[0])} | {peak:.0f} | "
            f"{_ratio(peak, peers[1], percent=True)} | {_median(done, 'gflop') / steps:.0f} | "
            f"{rate:.0f} | {_ratio(rate, bare, percent=True)} |"
        )
    return "\n".join(lines)


def _cache_table(measured: Measured) -> str:
    lines = [
        f"Top {KEPT} and tail at three temperatures; bytes on the disk, all of the 64 examples. "
        "Amortised: tokens per second of the cached runs when one build is shared by so many "
        "epochs of this data.\n",
        "| | build, s | bytes / token | tokens / s | 1 epoch | 3 epochs | online |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (pair, data), cache in measured.caches.items():
        setting = Case(pair, data, "").setting
        speed = measured.median(setting, "cached", "tokens_per_second")
        online = measured.median(setting, "online", "tokens_per_second")
        if speed is None:
            continue
        spread = [
            n * cache["tokens"] / (n * cache["tokens"] / speed + cache["seconds"]) for n in (1, 3)
        ]
        lines.append(
            f"| {pair}, {data} | {cache['seconds']:.1f} | {cache['bytes'] / cache['tokens']:.0f} | "
            f"{speed:.0f} | {spread[0]:.0f} | {spread[1]:.0f} | "
            f"{'' if online is None else format(online, '.0f')} |"
        )
    return "\n".join(lines)


def _rate_table(measured: Measured) -> str:
    lines = [
        "GFLOP/s of single products in preallocated memory, best of some; R rows of a batch, H "
        "width, V vocabulary.\n",
        "| | R | (R, H) (H, V) | (R, V) (V, H) | (V, R) (R, H) | all three | inside a layer |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (pair, data), rate in measured.rates.items():
        cells = [rate[name] for name in ("logits", "by_hidden", "by_head", "step", "layer")]
        lines.append(
            f"| {pair}, {data} | {rate['rows']} | " + " | ".join(f"{c:.0f}" for c in cells) + " |"
        )
    return "\n".join(lines)


def gate_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Write one line per comparison."""
    return [
        f"{'holds' if row['holds'] else 'SHORT'}  {row['pair']}, {row['data']}, accumulation "
        f"{row['accumulation']}, {row['steps']} steps: {row['system']} against {row['against']}: "
        + ", ".join(f"{name} {value:.1e}" for name, value in row["found"].items())
        for row in rows
    ]


def _loss_lines(measured: Measured) -> list[str]:
    """Say how far the losses of the timed runs lie apart, at full size and over all steps."""
    lines = []
    for setting, found in measured.settings():
        for names in (FULL_TEACHER, ("ce_rows", "ce_trainer")):
            losses = [run["losses"] for n in names for run in found.get(n, []) if "losses" in run]
            if len(losses) > 1:
                apart = max(
                    (max(step) - min(step)) / abs(min(step)) for step in zip(*losses, strict=True)
                )
                those = ", ".join(name for name in names if name in found)
                lines.append(f"{setting}: {len(losses)} runs of {those}: {apart:.1e}")
    return lines


def _median(runs: list[dict[str, Any]], field: str) -> float:
    return statistics.median(run[field] for run in runs)


def _ratio(value: float, other: float | None, *, percent: bool = False) -> str:
    if other is None:
        return ""
    return f"{100 * value / other:.0f} %" if percent else f"{value / other:.2f}"


def _block(lines: list[str]) -> str:
    return "```text\n" + "\n".join(lines) + "\n```"
