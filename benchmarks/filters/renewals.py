"""How often renewals are promoted: null ones, real ones, and whether a drifted oracle is noticed.

    python benchmarks/filters/renewals.py                  # writes ../results/filter_renewals.md
    python benchmarks/filters/renewals.py --rounds 20 --no-results

Simulated at the level of scores. A test article has a true average; what a recipe makes of it has a
part that all of its runs share (what the data teach) and a part that the seed draws: noise per
article, and a quality of the whole run. In a null renewal both recipes are the same, so promoting
is a mistake. In a real one the new labels take away some of the shared error.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from stillroom.evaluation.score_drift import oracle_drift
from stillroom.files import write_text
from stillroom.labeling.filters.filter_config import Dimension, FilterConfig, Tier
from stillroom.pipeline.filter_judging.promotion import judge_promotion
from stillroom.rate_interval import wilson_interval

RESULTS = Path(__file__).parents[1] / "results" / "filter_renewals.md"
ARTICLES = 400
SHARED, SEEDED, RUN = 0.9, 0.5, 0.06
"""Standard deviations: shared error and seeded error of an article; quality of a run, as a share of
its error."""
ANCHORS, ORACLE_NOISE = 100, 0.5
CONFIG = FilterConfig(
    "made", "1.0", dimensions=(Dimension("a", 1.0),),
    tiers=(Tier("high", 7), Tier("medium", 4), Tier("low", 0)),
)  # fmt: skip
IDS = [f"a{n:04}" for n in range(ARTICLES)]
LANGUAGES = {one: "en" if n % 3 else "de" for n, one in enumerate(IDS)}
Floats = NDArray[np.float64]


def runs_of(
    rng: np.random.Generator, true: Floats, shared: Floats, count: int
) -> list[dict[str, float]]:
    """Draw runs of one recipe."""
    runs = []
    for _ in range(count):
        error = (shared + rng.normal(0, SEEDED, len(true))) * np.exp(rng.normal(0, RUN))
        runs.append(dict(zip(IDS, (true + error).tolist(), strict=True)))
    return runs


def renewal(rng: np.random.Generator, gain: float, new: int, old: int) -> tuple[bool, bool]:
    """Simulate one: was it promoted, and would the smaller error of one run have done?"""
    true = rng.uniform(0, 10, ARTICLES)
    shared = rng.normal(0, SHARED, ARTICLES)
    # New labels teach something else about each article, as much as before; a real gain takes some.
    again = (0.9 * shared + np.sqrt(1 - 0.81) * rng.normal(0, SHARED, ARTICLES)) * (1 - gain)
    renewed, running = runs_of(rng, true, again, new), runs_of(rng, true, shared, old)
    truth = dict(zip(IDS, true.tolist(), strict=True))
    found = judge_promotion(renewed, running, truth, CONFIG, categories=LANGUAGES)

    def error(run: dict[str, float]) -> float:
        return float(np.mean([abs(run[one] - truth[one]) for one in IDS]))

    return found.promoted, error(renewed[0]) < error(running[0])


def drift(rng: np.random.Generator, change: Callable[[Floats], Floats]) -> bool:
    """Score anchors twice on four dimensions; is the change of one of them noticed?"""
    before, after = {}, {}
    for name in "abcd":
        true = rng.uniform(0, 10, ANCHORS)
        once, again = (true + rng.normal(0, ORACLE_NOISE, ANCHORS) for _ in range(2))
        before[name] = np.round(once, 1)
        after[name] = np.round(change(again) if name == "a" else again, 1)
    return any(one.drifted for one in oracle_drift(before, after).values())


def share(hits: Sequence[bool]) -> str:
    low, high = wilson_interval(sum(hits), len(hits))
    return f"{sum(hits)} of {len(hits)}: {100 * sum(hits) / len(hits):.1f} % ({100 * low:.1f} to {100 * high:.1f})"  # noqa: E501


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-results", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    lines = ["| renewal | seeds, new + running | promoted | one run has the smaller error |",
             "|---|--:|--:|--:|"]  # fmt: skip
    for name, gain, new, old in (
        ("null", 0.0, 3, 1), ("null", 0.0, 3, 3), ("null", 0.0, 5, 5),
        ("a tenth of the shared error less", 0.1, 5, 5),
        ("a quarter of the shared error less", 0.25, 3, 3),
        ("a quarter of the shared error less", 0.25, 5, 5),
    ):  # fmt: skip
        rng = np.random.default_rng(args.seed)
        made = [renewal(rng, gain, new, old) for _ in range(args.rounds)]
        lines.append(f"| {name} | {new} + {old} | {share([one for one, _ in made])} | "
                     f"{share([two for _, two in made])} |")  # fmt: skip
        print(lines[-1], flush=True)
    lines += ["", "| oracle, scored again | noticed |", "|---|--:|"]
    changes: dict[str, Callable[[Floats], Floats]] = {
        "unchanged": lambda one: one,
        "0.3 points higher in one of four dimensions": lambda one: one + 0.3,
        "0.5 points higher": lambda one: one + 0.5,
        "a tenth closer to the middle": lambda one: 5 + 0.9 * (one - 5),
    }
    for name, change in changes.items():
        rng = np.random.default_rng(args.seed)
        lines.append(f"| {name} | {share([drift(rng, change) for _ in range(args.rounds)])} |")
        print(lines[-1], flush=True)
    if not args.no_results:
        write_text(RESULTS, report(lines, args.rounds))


def report(lines: Sequence[str], rounds: int) -> str:
    table = "\n".join(lines)
    return f"""# Renewals of a filter: promoted, and drift of the oracle noticed

`python benchmarks/filters/renewals.py`, {date.today()}, {platform.machine()}, {os.cpu_count()} CPU,
Python {platform.python_version()}. {rounds} simulated renewals a row, {ARTICLES} frozen test
articles in two languages; shared error {SHARED}, seeded error {SEEDED} points; the quality of a run
varies by {100 * RUN:.0f} %. {ANCHORS} anchors, four dimensions, oracle noise {ORACLE_NOISE}. In
brackets: 95 % intervals (Wilson).

{table}

A null renewal holds nothing new, so each one that is promoted is a mistake; at most 5 % may be.
"""


if __name__ == "__main__":
    main()
