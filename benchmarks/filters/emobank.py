"""EmoBank as a filter: five students against the mean baseline and the noise of single readers.

    python benchmarks/filters/emobank.py --output-dir /tmp/emobank          # all, some 40 minutes
    python benchmarks/filters/emobank.py --output-dir /tmp/emobank --student tfidf,frozen

Reads ../shared/data/emobank; the package and the split are written to the output folder, and the
table to benchmarks/results/emobank.{md,json,png}. Scores are 1 to 5; truth is the mean of a
sentence's readers. Errors are on the published dev split (1,000 sentences); a tenth of the training
split chooses strengths and epochs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from stillroom.console import Console, quiet_libraries
from stillroom.files import write_json_lines, write_text
from stillroom.inference.score_students.base_model import TextCut
from stillroom.labeling.filters.filter_package import FilterPackage, load_filter
from stillroom.labeling.filters.new_package import new_filter
from stillroom.labeling.filters.scored_record import Analysis, scored_record
from stillroom.pipeline.filter_training.score_report import REPORT_FILE, markdown_table
from stillroom.pipeline.filter_training.train_filter import (
    DEFAULT_TUNING,
    TRAINED,
    FilterTraining,
    train_filter,
)
from stillroom.records import split_position

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "emobank"
RESULTS = Path(__file__).parents[1] / "results"
NAMES = {"V": "valence", "A": "arousal", "D": "dominance"}
CONFIG = {
    "filter": {
        "name": "emobank",
        "version": "1.0",
        "description": "How a sentence feels to its readers.",
    },
    "scoring": {
        "dimensions": {
            "valence": {"weight": 0.34, "description": "From unpleasant (1) to pleasant (5)."},
            "arousal": {"weight": 0.33, "description": "From calm (1) to excited (5)."},
            "dominance": {"weight": 0.33, "description": "From submissive (1) to dominant (5)."},
        },
        "tiers": {
            "lively": {"threshold": 3.15, "description": "Above the usual"},
            "usual": {"threshold": 2.95, "description": "About the middle of the scale"},
            "subdued": {"threshold": 0.0, "description": "Below the usual"},
        },
        "pass_threshold": 3.15,
    },
    "prefilter": {"enabled": False},
}


def main() -> None:
    quiet_libraries()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--student", default=",".join(TRAINED))
    parser.add_argument("--looks", type=int, default=2000, help="texts of LoRA and generative")
    parser.add_argument("--tuned-looks", type=int, help="texts of tuned; default all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--no-results", action="store_true", help="leave the results as they are")
    args = parser.parse_args()
    console = Console()
    package = write_package(args.output_dir / "emobank" / "v1")
    write_split(package, args.output_dir / "splits")
    tuning = {
        "tuned": replace(
            DEFAULT_TUNING["tuned"], epochs=args.epochs, most_examples=args.tuned_looks
        ),
        "lora": replace(DEFAULT_TUNING["lora"], epochs=1, most_examples=args.looks, most_val=200),
        "generative": replace(
            DEFAULT_TUNING["generative"], epochs=1, most_examples=args.looks, most_val=100
        ),
    }
    rows = train_filter(
        package,
        args.output_dir / "splits",
        args.output_dir / "students",
        args.student.split(","),
        FilterTraining(cut=TextCut(128), tuning=tuning, lowest=1.0, highest=5.0),
        progress=lambda items, name, total: console.progress(items, name, total),
        tell=console.line,
    )
    if not args.no_results:
        noise = reader_noise()
        write_results(args.output_dir / "students", package, rows, noise)


def read_table(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def read_ratings() -> dict[str, list[list[float]]]:
    """Sentence -> the ratings V, A, D of each of its readers."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for row in read_table("reader_ratings.train-dev.csv.gz"):
        found[row["id"]].append([float(row[name]) for name in NAMES])
    return found


def reader_noise() -> dict[str, float]:
    """Mean error of one reader against the mean of the other readers, on the dev split."""
    dev = {row["id"] for row in read_table("emobank.train-dev.csv.gz") if row["split"] == "dev"}
    errors = []
    for name, own in read_ratings().items():
        if name in dev and len(own) > 1:
            rows = np.array(own)
            others = (rows.sum(axis=0) - rows) / (len(rows) - 1)
            errors.append(np.abs(rows - others))
    return dict(zip(NAMES.values(), np.concatenate(errors).mean(axis=0).tolist(), strict=True))


def write_package(folder: Path) -> FilterPackage:
    shutil.rmtree(folder, ignore_errors=True)
    new_filter(folder, dimensions=list(NAMES.values()))
    write_text(folder / "config.yaml", yaml.safe_dump(CONFIG, sort_keys=False))
    return load_filter(folder)


def write_split(package: FilterPackage, folder: Path) -> None:
    """Write the split; training sentences that stand in dev too are left out."""
    ratings, parts = read_ratings(), {"train": [], "val": [], "test": []}
    rows = list(read_table("emobank.train-dev.csv.gz"))
    held_out = {plain(row["text"]) for row in rows if row["split"] == "dev"}
    moment, seen = datetime(2026, 1, 1, tzinfo=UTC), set()
    for row in rows:
        key = plain(row["text"])
        part = "test" if row["split"] == "dev" else "val" if split_position(key) < 0.1 else "train"
        if not key or (part != "test" and (key in held_out or key in seen)):
            continue
        seen.add(key)
        scores = {NAMES[name]: float(row[name]) for name in NAMES}
        own = {
            f"reader {n}": dict(zip(NAMES.values(), one, strict=True))
            for n, one in enumerate(ratings[row["id"]])
        }
        article = {"id": row["id"], "title": "-", "content": row["text"]}
        parts[part].append(
            scored_record(
                article, Analysis(scores, oracles=own), package.config, oracle="readers",
                prompt_hash=package.prompt.prompt_hash, view_hash=package.view.sha256,
                analyzed_at=moment,
            )
        )  # fmt: skip
    for name, records in parts.items():
        write_json_lines(folder / f"{name}.jsonl", records)


def plain(text: str) -> str:
    return " ".join(text.casefold().split())


def write_results(
    folder: Path, package: FilterPackage, rows: list[dict], noise: Mapping[str, float]
) -> None:
    base = rows[0]["mae"]
    below = [row["student"] for row in rows[1:] if all(row["mae"][n] < base[n] for n in base)]
    told = ", ".join(f"{name} {error:.2f}" for name, error in noise.items())
    students = (folder / f"{REPORT_FILE}.md").read_text(encoding="utf-8")
    notes = students.split(f"({REPORT_FILE}.png)\n")[1].strip()
    text = (
        "# EmoBank: students of a filter with three dimensions\n\n"
        "Made by `benchmarks/filters/emobank.py` on one core of an AMD EPYC, "
        f"{datetime.now(UTC):%Y-%m-%d}.\n\n"
        f"{markdown_table(rows, package.config)}\n"
        f"One reader against the mean of the others: {told}.\n"
        "Training is time by the clock, on a machine that did other work beside it.\n"
        f"Below the mean baseline in all three dimensions: {', '.join(below) or 'none'}.\n\n"
        f"{notes}\n\n![Error against speed](emobank.png)\n"
    )
    write_text(RESULTS / "emobank.md", text)
    for end in ("json", "png"):
        shutil.copyfile(folder / f"{REPORT_FILE}.{end}", RESULTS / f"emobank.{end}")


if __name__ == "__main__":
    main()
