"""Test whether the demo's result depends on its seed: run the main job over several seeds.

    python benchmarks/distillation_seeds.py [--seeds 201 202 203 204 205] [--output outputs/seeds]

The recipe was tuned on the built-in question templates with seed 0, and on an earlier set of
templates in this file with seed 102. The templates and seeds below were chosen after the tuning.
Each seed draws its own held-out phrasings, gold half, wrong answers, initial weights and batches.
Printed are means per task with 95 % intervals (Student's t over the seeds), and the mean and the
worst seed for each target: teacher, student relative to teacher, size, speed.

A finished seed is not run again; delete its folder to repeat it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from stillroom.console import Console, quiet_libraries
from stillroom.files import read_json, write_json, write_text

FRESH_TEMPLATES = (
    "Please look up the {label} of {key}.",
    "Which {label} belongs to {key}?",
    "About {key}: what would its {label} be?",
    "I forgot {key}'s {label}, what is it?",
    "Name {key}'s {label}.",
    "{label} for {key}, if you know it?",
)
ROWS = (
    "teacher",
    "student",
    "student_untrained",
    "student_without_teacher",
    "student_teacher_text",
    "student_all_gold",
)
# Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def interval(values: list[float]) -> tuple[float, float]:
    """Give mean and half-width of the 95 % interval; the half-width of one value is 0."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, 0.0
    quantile = T_95[min(len(values) - 2, len(T_95) - 1)]
    return mean, quantile * statistics.stdev(values) / len(values) ** 0.5


def run_seed(seed: int, output: Path, data: str) -> dict:
    """Run the main job once, or read what it gave."""
    from stillroom.pipeline import MainJob, run_main_job

    folder = output / f"seed-{seed}"
    progress = folder / "progress.json"
    if not (progress.is_file() and read_json(progress)["status"] == "complete"):
        run_main_job(
            MainJob(data=data, templates=FRESH_TEMPLATES, seed=seed, output_dir=str(folder)),
            Console(),
        )
    return read_json(folder / "metrics.json")


def table(runs: list[dict]) -> str:
    """Write means and intervals as a Markdown table."""
    tasks = sorted(runs[0]["teacher"]["by_task"])
    lines = [
        f"| exact match, %, {len(runs)} seeds | " + " | ".join(["all", *tasks]) + " | perplexity |",
        "|---" * (len(tasks) + 3) + "|",
    ]
    for row in ROWS:
        cells = []
        for task in [None, *tasks]:
            values = [
                100 * (r[row] if task is None else r[row]["by_task"][task])["exact_match"]
                for r in runs
            ]
            mean, half = interval(values)
            cells.append(f"{mean:.1f} ± {half:.1f}")
        mean, half = interval([r[row]["perplexity"] for r in runs])
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {mean:.3f} ± {half:.3f} |")
    return "\n".join(lines)


def bars(runs: list[dict]) -> list[str]:
    """Say of each bar whether it holds in the mean over the seeds, and what the worst seed gave."""
    tasks = sorted(runs[0]["teacher"]["by_task"])

    def exact(run: dict, row: str, task: str) -> float:
        return run[row]["by_task"][task]["exact_match"]

    def ratio(name: str) -> list[float]:
        return [r["student"][name] / r["teacher"][name] for r in runs]

    measured: list[tuple[str, float, list[float]]] = []
    for task in tasks:
        teacher = [exact(r, "teacher", task) for r in runs]
        kept = [exact(r, "student", task) / exact(r, "teacher", task) for r in runs]
        measured.append((f"{task}: teacher, exact match", 0.97, teacher))
        measured.append((f"{task}: student / teacher, exact match", 0.97, kept))
    measured.append(("student / teacher, tokens per second", 1.8, ratio("tokens_per_second")))
    lines = [
        f"{'holds' if statistics.fmean(values) >= bar else 'SHORT'}  {name}: "
        f"{statistics.fmean(values):.3f} (at least {bar}; worst seed {min(values):.3f})"
        for name, bar, values in measured
    ]
    size = max(ratio("parameters"))
    lines.append(f"{'holds' if size <= 0.5 else 'SHORT'}  parameters: {size:.3f} (at most 0.5)")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202, 203, 204, 205])
    parser.add_argument("--output", type=Path, default=Path("outputs/seeds"))
    parser.add_argument("--data", default="examples/data/elements.csv")
    args = parser.parse_args()
    quiet_libraries()
    runs = []
    for seed in args.seeds:
        runs.append(run_seed(seed, args.output, args.data))
    lines = bars(runs)
    text = table(runs) + "\n\n```text\n" + "\n".join(lines) + "\n```\n"
    print(text)
    write_text(args.output / "seeds.md", text)
    write_json(args.output / "seeds.json", {"seeds": args.seeds, "runs": runs})
    return 0 if all(line.startswith("holds") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
