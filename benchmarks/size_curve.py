"""Measure the accuracy of students of a pretrained teacher by their size.

    stillroom models add smollm2
    python benchmarks/size_curve.py [--teacher smollm2] [--shares 0.8 0.5 0.2 0.1] [--seed 7]

A teacher is trained (LoRA) on a table of 120 invented facts in five wordings. Then it answers eight
further wordings of each column, and students of several sizes learn from its probabilities. Each is
asked in three wordings that no model was trained on and that do not name the column. Two more
students are measured: one with every second layer of the teacher, and one from scratch; both are
trained as long as the student with half of the parameters.

Training is measured in processor seconds on one core. Finished rows are kept in
`outputs/size_curve` and not run again; delete the folder to repeat them.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from size_curve_table import questions
from stillroom.console import Console, quiet_libraries
from stillroom.files import read_json, write_json, write_text
from stillroom.prompts import render

RESULTS = Path(__file__).parent / "results"
TEACHING = {"max_steps": 300, "learning_rate": 1e-3, "lora_r": 16, "lora_alpha": 32, "alpha": 0.0}
HEALING = {"learning_rate": 5e-4, "alpha": 1.0, "temperature": 1.0}
USUAL = {
    "max_length": 96,
    "batch_size": 16,
    "warmup_ratio": 0.05,
    "packing": True,
    "progress": False,
}
STEPS = {0.8: 100, 0.5: 250, 0.2: 700, 0.1: 1000}
"""Optimizer steps by share: a smaller student has more to mend, and its steps are cheaper."""


@dataclass(frozen=True)
class Row:
    """A point of the curve."""

    name: str
    parameters: int
    right: float
    """Percent of the held-out wordings."""
    speed: float
    """Tokens per second at one caller, as a multiple of the teacher's."""
    train_s: float
    """Seconds of processor time, choosing included."""
    kept: str
    """What it kept of the teacher."""


def teach(teacher: str, folder: Path, seed: int) -> None:
    """Teach the table to a pretrained model."""
    from stillroom.distillation.distiller import DistillationConfig, ModelDistiller

    config = DistillationConfig(
        teacher_model_name=teacher, student_model_name=teacher, **TEACHING, **USUAL
    )
    distiller = ModelDistiller(config)
    distiller.distill(questions("taught", seed=seed))
    distiller.save_distilled_model(folder)


def answered(teacher: Path, output: Path, seed: int) -> list[dict[str, str]]:
    """Give the taught questions with their gold, and the further ones with the teacher's answers;
    cache the teacher's probabilities of both."""
    from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from stillroom.inference.generate import generate_texts

    path = output / "records.json"
    if not path.is_file():
        further = questions("further", seed=seed)
        prompts = [render("s2-qa", one["question"]) for one in further]
        texts = generate_texts(load_checkpoint(teacher), prompts, max_new_tokens=16)
        records = questions("taught", seed=seed) + [
            {"question": one["question"], "answer": answer.text.strip()}
            for one, answer in zip(further, texts, strict=True)
            if answer.text.strip()
        ]
        cache_teacher_logits(
            CacheSettings(str(teacher), str(output / "cache"), max_length=96), records
        )
        write_json(path, records)
    return read_json(path)


def measure(name: str, folder: Path, teacher: Path, kept: str, train_s: float, seed: int) -> Row:
    """Ask the held-out wordings, and time the decoding in turns with the teacher."""
    from stillroom.evaluation.speed import measure_speed
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from stillroom.inference.generate import generate_texts

    checkpoint, held_out = load_checkpoint(folder), questions("held_out", seed=seed)
    prompts = [render("s2-qa", one["question"]) for one in held_out]
    texts = generate_texts(checkpoint, prompts, max_new_tokens=16)
    right = sum(t.text.strip() == one["answer"] for t, one in zip(texts, held_out, strict=True))
    pair = {"student": checkpoint, "teacher": load_checkpoint(teacher)}
    speeds = measure_speed(pair, prompts[:2], new_tokens=32, rounds=3)
    return Row(
        name,
        sum(p.numel() for p in checkpoint.model.parameters()),
        100.0 * right / len(held_out),
        speeds["student"] / speeds["teacher"],
        train_s,
        kept,
    )


def train(
    teacher: Path,
    folder: Path,
    records: list[dict[str, str]],
    cache: Path | None,
    settings: dict[str, Any],
) -> tuple[str, float]:
    """Train a student; give what it kept and the seconds of processor time."""
    from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
    from stillroom.distillation.pruning.prune_teacher import describe

    began = time.process_time()
    config = DistillationConfig(
        teacher_model_name=str(teacher),
        teacher_cache=str(cache),
        **{**HEALING, **USUAL, **settings},
    )
    distiller = ModelDistiller(config)
    distiller.distill(records)
    distiller.save_distilled_model(folder)
    kept = "nothing" if distiller.pruning is None else describe(distiller.pruning)
    return kept, time.process_time() - began


def students(shares: list[float]) -> dict[str, dict[str, Any]]:
    """Name the settings of each student."""
    named: dict[str, dict[str, Any]] = {
        f"{share:.0%}": {
            "student_model_name": "from_teacher",
            "student_size": share,
            "max_steps": STEPS[share],
        }
        for share in shares
    }
    same = {"max_steps": STEPS[0.5]}
    named["every second layer"] = {**same, "student_model_name": "every_second_layer"}
    named["from scratch"] = {
        **same,
        "student_model_name": "from_scratch",
        "student_layers": 5,
        "student_width": 128,
        "learning_rate": 3e-3,
    }
    return named


def run(teacher: str, output: Path, shares: list[float], seed: int, console: Console) -> list[Row]:
    """Make all rows that are not there yet."""
    taught = output / "teacher"
    if not (taught / "run.json").is_file():
        began = time.process_time()
        teach(teacher, taught, seed)
        console.line("teacher", f"taught, {time.process_time() - began:,.0f} s of one core")
    records = answered(taught, output, seed)
    asked = {"teacher": None, **students(shares)}
    rows = []
    for name, settings in asked.items():
        path = output / f"{name.replace(' ', '-').replace('%', '')}.json"
        if not path.is_file():
            folder, kept, train_s = taught, "all", 0.0
            if settings is not None:
                folder = path.with_suffix("")
                # A pruned student has a vocabulary of its own, so its teacher runs beside it.
                pruned = settings["student_model_name"] == "from_teacher"
                cache = None if pruned else output / "cache"
                kept, train_s = train(taught, folder, records, cache, settings)
            write_json(path, asdict(measure(name, folder, taught, kept, train_s, seed)))
        rows.append(Row(**read_json(path)))
        console.line(name, f"{rows[-1].right:.1f} % right, {rows[-1].parameters / 1e6:.1f}M")
    return rows


def report(rows: list[Row]) -> str:
    """Write the table of the results."""
    whole = rows[0].parameters
    lines = [
        "# Size of a student against its right answers",
        "",
        "`python benchmarks/size_curve.py`: 120 invented facts, asked in 15 wordings that nobody",
        "was trained on and that do not name the column (360 questions). Training is in seconds of",
        f"one core. {platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}.",
        "",
        "| student | parameters | of the teacher | right | tokens/s, x teacher | training | kept |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    lines += [
        f"| {row.name} | {row.parameters / 1e6:.1f}M | {row.parameters / whole:.0%} "
        f"| {row.right:.1f} % | {row.speed:.1f} | {row.train_s:,.0f} s | {row.kept} |"
        for row in rows
    ]
    return "\n".join([*lines, "", "![curve](size_curve.png)", ""])


def draw(rows: list[Row], path: Path) -> None:
    """Draw the pruned students as a curve, and the others as single points."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    curve = sorted(
        (row for row in rows if row.name == "teacher" or row.name.endswith("%")),
        key=lambda row: row.parameters,
    )
    axes.plot([r.parameters / 1e6 for r in curve], [r.right for r in curve], "o-", label="pruned")
    for row in rows:
        if row not in curve:
            axes.plot(row.parameters / 1e6, row.right, "s", label=row.name)
    axes.set(xscale="log", xlabel="parameters, millions", ylabel="right answers, %", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run all rows, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teacher", default="smollm2")
    parser.add_argument("--shares", type=float, nargs="+", default=sorted(STEPS, reverse=True),
                        choices=sorted(STEPS))  # fmt: skip
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("outputs/size_curve"))
    args = parser.parse_args()
    quiet_libraries()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = run(args.teacher, args.output, args.shares, args.seed, Console())
    write_text(RESULTS / "size_curve.md", report(rows))
    draw(rows, RESULTS / "size_curve.png")


if __name__ == "__main__":
    main()
