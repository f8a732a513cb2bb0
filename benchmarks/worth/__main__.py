"""Measure where training on soft targets pays off, on three real tables.

    python benchmarks/worth                        # all runs, then tables and picture
    python benchmarks/worth --tasks chinook --seeds 11 12
    python benchmarks/worth --pilot                # what was tried to choose the settings
    python benchmarks/worth --tables               # only the tables, of the runs that are there

Every run writes one JSON file below `--output`; runs with a file are not repeated. The tables
replace everything after the marker in benchmarks/results/worth.md; the text before it is written by
hand. Needs scikit-learn: pip install 'stillroom[bench]'.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from stillroom.console import quiet_libraries
from stillroom.files import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"
MARKER = "<!-- everything below is written by benchmarks/worth -->"


def main() -> int:
    arguments = read_arguments()
    quiet_libraries()
    import torch
    from plan import GOLDS, cells, systems
    from runs import Bench

    if not (arguments.data / "banking77").is_dir():
        print(f"public data not found: {arguments.data}; give its folder with --data")
        return 2
    warnings.simplefilter("ignore")
    logging.getLogger("stillroom").setLevel(logging.ERROR)
    torch.set_num_threads(1)  # processor seconds are the clock
    bench = Bench(arguments.data, arguments.output)
    if arguments.pilot:
        from pilot import PILOT

        run_all(bench, "validation", PILOT.items())
    elif not arguments.tables:
        tasks = arguments.tasks or list(GOLDS)
        chosen = [c for c in cells(arguments.seeds) if c.task in tasks]
        run_all(bench, "test", [(cell, systems(cell.task, cell.gold)) for cell in chosen])
    write_results(arguments.output)
    return 0


def read_arguments() -> argparse.Namespace:
    from plan import GOLDS, SEEDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("outputs/worth"))
    parser.add_argument("--tasks", nargs="+", choices=list(GOLDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--tables", action="store_true")
    return parser.parse_args()


def run_all(bench, part: str, plan: Iterable) -> None:  # noqa: ANN001 - runs.Bench imports torch
    """Run what is missing and say how it goes."""
    for cell, systems in plan:
        began, missing = time.monotonic(), bench.missing(part, cell, systems)
        bench.run_cell(part, cell, systems)
        if missing:
            seconds = time.monotonic() - began
            print(f"{cell.folder}: {len(missing)} runs in {seconds:.0f} s", flush=True)


def write_results(output: Path) -> None:
    """Write worth.md, worth.png and worth.jsonl, the runs themselves in one file."""
    from picture import draw
    from runs import read_runs

    from tables import all_tables, by_system, pilot_tables

    found = read_runs(output, "test")
    tried = read_runs(output, "validation")
    path = RESULTS / "worth.md"
    words = path.read_text(encoding="utf-8").split(MARKER)[0] if path.is_file() else "# Worth\n\n"
    seeds = sorted({run["seed"] for run in found})
    made = (
        f"`python benchmarks/worth`, {time.strftime('%Y-%m-%d')}, {platform.machine()}, one "
        f"thread, seeds {seeds}, {len(found)} runs. Means with 95 % intervals of Student's t "
        "over the seeds."
    )
    runs = by_system(found)
    tables = f"{MARKER}\n\n## Tables\n\n{made}\n\n{all_tables(runs)}\n## Pilot\n\n"
    write_text(path, words + tables + pilot_tables(by_system(tried)))
    draw(runs, RESULTS / "worth.png")
    lines = [json.dumps(run, sort_keys=True) + "\n" for run in (*found, *tried)]
    write_text(RESULTS / "worth.jsonl", "".join(lines))
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
