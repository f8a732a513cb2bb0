"""Measure speed against false negatives of a cascade, at three shares of articles that pass.

    python benchmarks/filters/cascade_curve.py                               # minutes on one core
    python benchmarks/filters/cascade_curve.py --stages encoder,decoder --train 1500 --val 700

The filter is that of `banking77_filter.py`, on real requests. A stage is one of

- `words`: TF-IDF and ridge;
- `encoder`: a network on vectors of all-MiniLM-L6 (22 million weights), trained for recall where it
  is the first stage;
- `decoder`: SmolLM2-135M, whose mean hidden states a ridge regression reads.

Both stages learn from the same noisy labels. The threshold is chosen on validation: the highest one
at which the interval of what is missed of the requests that the labels pass ends at 3 % or below.
All figures are of requests that no stage has seen. A false negative is a request that stage 1 drops
and that the label (or stage 2) passes.

For each share of requests that pass, the requests of the test are weighted, those that pass by the
label against the others. False negatives against labels do not depend on the share. Milliseconds
are processor time per request, in batches of 16, on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from banking77_filter import oracle_scores, requests, write_package
from stillroom.distillation.score_students.ridge import fit_ridge
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_probe import (
    ProbeSettings,
    choose_threshold,
    train_probe,
)
from stillroom.distillation.score_students.train_tfidf import train_tfidf
from stillroom.files import write_json, write_text
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.inference.scoring.embeddings import StudentEmbeddings
from stillroom.inference.sources.find_model import find_model
from stillroom.labeling.filters.filter_package import FilterPackage, load_filter
from stillroom.labeling.filters.scoring.student_scorer import weighted_averages
from stillroom.rate_interval import wilson_interval

RESULTS = Path(__file__).resolve().parents[1] / "results" / "filters"
SHARES = (0.05, 0.2, 0.5)
"""Of requests that pass, by the label."""
MOST_MISSED = 0.03
BATCH = 16
NAMES = {
    "words": "TF-IDF and ridge",
    "encoder": "a network on MiniLM's vectors",
    "decoder": "SmolLM2-135M and ridge",
}


@dataclass(frozen=True)
class Parts:
    """The filter, and examples that are split once."""

    package: FilterPackage
    train: ScoreExamples
    val: ScoreExamples
    test: ScoreExamples

    @property
    def facts(self) -> StudentFacts:
        """What all students are told."""
        return StudentFacts(self.package.config.dimension_names, self.package.view.sha256)

    def averages(self, scores: np.ndarray) -> np.ndarray:
        """Give weighted averages."""
        return weighted_averages(scores, self.package.config)


class Student(Protocol):
    """Scores texts."""

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Give (N, D)."""
        ...


class Decoder:
    """SmolLM2 and ridge."""

    def __init__(self, parts: Parts) -> None:
        """Read all training texts; this takes minutes."""
        self.reader = StudentEmbeddings(find_model("smollm2"), device="cpu")
        train, val = self._vectors(parts.train.texts), self._vectors(parts.val.texts)
        self.mean, self.scale = train.mean(axis=0), train.std(axis=0)
        self.fit = fit_ridge(
            self._scaled(train), parts.train.targets, parts.train.weights, self._scaled(val),
            parts.val.targets,
        )  # fmt: skip

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Score texts."""
        return np.clip(self.fit.predict(self._scaled(self._vectors(texts))), 0, 10)

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.scale

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        return np.array(self.reader.embed_documents(list(texts)))


def trained(stage: str, parts: Parts, *, first: bool) -> Student:
    """Train a stage."""
    if stage == "words":
        return train_tfidf(parts.train, parts.val, parts.facts)
    if stage == "decoder":
        return Decoder(parts)
    config = parts.package.config
    return train_probe(
        parts.train, parts.val, parts.facts, weights=config.weights,
        operating_point=config.pass_threshold, averages=parts.averages,
        settings=ProbeSettings("recall" if first else "regression"),
    )  # fmt: skip


def timed(student: Student, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Give scores (N, D) and processor milliseconds per text."""
    student.predict(texts[:2])
    started = time.process_time()
    rows = [student.predict(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    return np.concatenate(rows), 1000 * (time.process_time() - started) / len(texts)


def allowed_share(passes: int, most: float = MOST_MISSED) -> float:
    """Give the largest share of so many requests whose interval ends at `most` or below."""
    fine = [n for n in range(passes) if wilson_interval(n, passes)[1] <= most]
    return max(fine, default=0) / max(passes, 1)


def weights_of(passes: np.ndarray, share: float) -> np.ndarray:
    """Weigh requests so that this share of them passes; the weights sum to 1."""
    return np.where(passes, share / passes.sum(), (1 - share) / (~passes).sum())


def missed_share(dropped: np.ndarray, passes: np.ndarray, weights: np.ndarray) -> float:
    """Give the share of the passing requests that is dropped."""
    return float(weights[dropped & passes].sum() / weights[passes].sum())


def bootstrap(dropped: np.ndarray, passes: np.ndarray, weights: np.ndarray) -> list[float]:
    """Give the 95 % interval of `missed_share`."""
    rng, found = np.random.default_rng(0), []
    for _ in range(2000):
        drawn = rng.integers(0, len(passes), len(passes))
        found.append(missed_share(dropped[drawn], passes[drawn], weights[drawn]))
    return [float(one) for one in np.percentile(found, [2.5, 97.5])]


def measured(
    first: np.ndarray,
    second: np.ndarray,
    truth: np.ndarray,
    threshold: float,
    share: float,
    point: float,
    ms: tuple[float, float],
) -> dict[str, float]:
    """Give what one threshold drops and misses, and the speed against stage 2 alone."""
    weights, dropped = weights_of(truth >= point, share), first < threshold
    skipped = float(weights[dropped].sum())
    return {
        "threshold": threshold,
        "skip_share": skipped,
        "fn_rate_stage2": missed_share(dropped, second >= point, weights),
        "fn_rate_labels": missed_share(dropped, truth >= point, weights),
        "speedup": ms[1] / (ms[0] + (1 - skipped) * ms[1]),
    }  # fmt: skip


def main() -> None:
    """Train both stages, measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--stages", default="words,encoder")
    parser.add_argument("--train", type=int, default=3000)
    parser.add_argument("--val", type=int, default=2500)
    parser.add_argument("--test", type=int, default=3500)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    stages = args.stages.split(",")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        package = load_filter(write_package(Path(folder)))
    own = requests()[: args.train + args.val + args.test]
    texts = [package.view.student_text(package.view.read(one.article())) for one in own]
    labels = np.array([oracle_scores(one) for one in own])
    everything = ScoreExamples(texts, labels, np.ones(len(own)))
    borders = [0, args.train, args.train + args.val, len(own)]
    parts = Parts(package, *(everything.chosen(range(a, b)) for a, b in pairwise(borders)))
    point = package.config.pass_threshold

    one, two = (trained(name, parts, first=n == 0) for n, name in enumerate(stages))
    scores1, stage1_ms = timed(one, parts.test.texts)
    scores2, stage2_ms = timed(two, parts.test.texts)
    stage1, stage2 = parts.averages(scores1), parts.averages(scores2)
    truth = parts.averages(parts.test.targets)
    val_passes = parts.averages(parts.val.targets) >= point
    allowed = allowed_share(int(val_passes.sum()))
    chosen = choose_threshold(parts.averages(one.predict(parts.val.texts)), val_passes, allowed)
    thresholds = sorted({*np.quantile(stage1, np.linspace(0, 0.99, 67)).tolist(), chosen})
    targets, mean = parts.test.targets, parts.train.targets.mean(axis=0)
    report: dict[str, Any] = {
        "stages": stages, "train": args.train, "val": args.val, "test": args.test,
        "allowed_on_validation": allowed, "stage1_ms": stage1_ms, "stage2_ms": stage2_ms,
        "threshold": chosen,
        "stage1_mae": float(np.abs(scores1 - targets).mean()),
        "stage2_mae": float(np.abs(scores2 - targets).mean()),
        "mean_mae": float(np.abs(mean - targets).mean()),
        "shares": {},
    }  # fmt: skip
    ms = (stage1_ms, stage2_ms)
    dropped = stage1 < chosen
    good = truth >= point
    count, n = int((dropped & good).sum()), int(good.sum())
    report["against_labels"] = {"missed": count, "of": n, "ci95": list(wilson_interval(count, n))}
    report["stage2_alone_misses"] = float((stage2 < point)[good].mean())
    for share in SHARES:
        curve = [measured(stage1, stage2, truth, at, share, point, ms) for at in thresholds]
        report["shares"][f"{share:g}"] = {
            "curve": curve,
            "chosen": next(row for row in curve if row["threshold"] == chosen),
            "ci95_stage2": bootstrap(dropped, stage2 >= point, weights_of(good, share)),
        }
    name = f"cascade_{'_'.join(stages)}"
    write_json(args.output / f"{name}.json", report)
    write_text(args.output / f"{name}.md", table(report))
    plot(report, args.output / f"{name}.png")
    print(table(report))


def table(report: dict[str, Any]) -> str:
    """Write the point that is chosen as Markdown."""
    first, second = (NAMES[name] for name in report["stages"])
    labels = report["against_labels"]
    lines = [
        "# A cascade: speed against false negatives, at three shares of requests that pass",
        "",
        f"Stage 1 ({first}) takes {report['stage1_ms']:.2f} ms a request, stage "
        f"2 ({second}) {report['stage2_ms']:.1f} ms, on one core. MAE against the "
        f"noisy labels of {report['test']:,} requests: stage 1 {report['stage1_mae']:.3f}, stage 2 "
        f"{report['stage2_mae']:.3f}, mean of training {report['mean_mae']:.3f}. Threshold "
        f"{report['threshold']:.3f}, chosen on {report['val']:,} others, of which it misses "
        f"{100 * report['allowed_on_validation']:.2f} % of those that pass.",
        "",
        f"Missed of the {labels['of']:,} requests that the labels pass: {labels['missed']}, "
        f"{100 * labels['missed'] / labels['of']:.1f} % ({100 * labels['ci95'][0]:.1f} to "
        f"{100 * labels['ci95'][1]:.1f}), whatever the share that passes. Stage 2 alone, whose "
        f"scores are drawn to the mean, misses {100 * report['stage2_alone_misses']:.1f} %.",
        "",
        "| pass | dropped by stage 1 | speed against stage 2 alone | missed of stage 2's |",
        "|---:|---:|---:|---:|",
    ]
    for share, one in report["shares"].items():
        at, (low, high) = one["chosen"], one["ci95_stage2"]
        lines.append(
            f"| {100 * float(share):g} % | {100 * at['skip_share']:.1f} % | "
            f"{at['speedup']:.2f} x | {100 * at['fn_rate_stage2']:.1f} % ({100 * low:.1f} to "
            f"{100 * high:.1f}) |"
        )
    name = "_".join(report["stages"])
    lines += [
        "",
        "In brackets: intervals of 95 %, Wilson's and of 2,000 bootstrap draws.",
        "",
        f"![Speed against false negatives](cascade_{name}.png)",
        "",
        f"`python benchmarks/filters/cascade_curve.py --stages {','.join(report['stages'])} "
        f"--train {report['train']} --val {report['val']} --test {report['test']}`",
    ]
    return "\n".join(lines) + "\n"


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the curves and the points that are chosen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (share, one), colour in zip(
        report["shares"].items(), ("#0072B2", "#E69F00", "#009E73"), strict=True
    ):
        rows = one["curve"]
        axes.plot([100 * row["fn_rate_labels"] for row in rows], [row["speedup"] for row in rows],
                  color=colour, label=f"{100 * float(share):g} % pass")  # fmt: skip
        at = one["chosen"]
        axes.plot(100 * at["fn_rate_labels"], at["speedup"], "o", color=colour)
    axes.axvline(3.0, color="#999999", linestyle="--", linewidth=1)
    shown = [row["speedup"] for one in report["shares"].values() for row in one["curve"]
             if row["fn_rate_labels"] <= 0.15]  # fmt: skip
    axes.set_xlim(0, 15)
    axes.set_ylim(0.8, 1.1 * max(shown))
    axes.set_xlabel("of the requests that pass by the label, dropped by stage 1, %")
    axes.set_ylabel("speed against stage 2 alone")
    axes.legend(title="dots: the threshold that is chosen")
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=150)


if __name__ == "__main__":
    main()
