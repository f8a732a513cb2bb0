"""Is the demo's result luck? The main job over several seeds, asked with other templates.

    python benchmarks/distillation_seeds.py [--seeds 101 102 103 104 105] [--output outputs/seeds]

The recipe was tuned on the built-in question templates and on seed 0. Here the templates are
others, written after the tuning, and so are the seeds. Each seed draws its own held-out phrasings,
gold half, wrong answers, initial weights and batches. Printed are means with 95 % intervals
(Student's t over the seeds), per task, and the bars: teacher, student against teacher, size, speed.

A seed that is finished is not run again; delete its folder to repeat it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from stillroom.console import Console, quiet_libraries
from stillroom.files import read_json, write_json, write_text

FRESH_TEMPLATES = (
    "Could you give me {key}'s {label}?",
    "For {key}, what is the {label}?",
    "I need to know the {label} of {key}.",
    "State the {label} that {key} has.",
    "{label} of {key}, please?",
    "When it comes to {key}, what {label} do we have?",
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


def bars(runs: list[dict]) -> list[tuple[str, float, float, bool]]:
    """Give the bars of the issue: name, worst value over seeds and tasks, bar, whether it holds."""
    tasks = sorted(runs[0]["teacher"]["by_task"])

    def worst(value) -> float:  # noqa: ANN001 - a function of run and task
        return min(value(run, task) for run in runs for task in tasks)

    teacher = worst(lambda r, t: r["teacher"]["by_task"][t]["exact_match"])
    kept = worst(
        lambda r, t: (
            r["student"]["by_task"][t]["exact_match"] / r["teacher"]["by_task"][t]["exact_match"]
        )
    )
    size = max(r["student"]["parameters"] / r["teacher"]["parameters"] for r in runs)
    speed = statistics.median(
        r["student"]["tokens_per_second"] / r["teacher"]["tokens_per_second"] for r in runs
    )
    return [
        ("teacher, exact match, worst task of the worst seed", teacher, 0.97, teacher >= 0.97),
        ("student / teacher, worst task of the worst seed", kept, 0.97, kept >= 0.97),
        ("student / teacher, parameters", size, 0.5, size <= 0.5),
        ("student / teacher, tokens per second, median of seeds", speed, 1.8, speed >= 1.8),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--output", type=Path, default=Path("outputs/seeds"))
    parser.add_argument("--data", default="examples/data/elements.csv")
    args = parser.parse_args()
    quiet_libraries()
    runs = []
    for seed in args.seeds:
        runs.append(run_seed(seed, args.output, args.data))
    text = table(runs)
    print(text)
    for name, value, bar, holds in bars(runs):
        print(f"{'holds' if holds else 'SHORT'}  {name}: {value:.3f} (bar {bar})")
    write_text(args.output / "seeds.md", text + "\n")
    write_json(args.output / "seeds.json", {"seeds": args.seeds, "runs": runs})
    return 0 if all(holds for *_, holds in bars(runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
