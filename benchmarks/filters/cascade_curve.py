"""Measure speed against false negatives of a cascade, at three shares of articles that pass.

    python benchmarks/filters/cascade_curve.py                               # minutes on one core
    python benchmarks/filters/cascade_curve.py --stages encoder,decoder --train 1500 --val 700

The filter is that of `banking77_filter.py`, on real requests. A stage is one of

- `words`: TF-IDF and ridge;
- `encoder`: a network on vectors of all-MiniLM-L6 (22 million weights), trained for recall where it
  is the first stage;
- `decoder`: SmolLM2-135M, whose mean hidden states a ridge regression reads.

Both stages learn from the same noisy labels. The threshold is chosen on validation, for at most 2 %
missed of what the labels pass; all figures are of requests that no stage has seen. A false negative
is a request that stage 1 drops and that stage 2 (or the label) passes.

Requests are drawn to give the three shares: all of the rarer side stay, and of the other as many as
the share allows. Milliseconds are processor time per request, in batches of 16, on one thread.
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
from stillroom.labeling.filters.scoring.cascade import cascade_curve
from stillroom.labeling.filters.scoring.student_scorer import weighted_averages
from stillroom.rate_interval import wilson_interval

RESULTS = Path(__file__).parents[1] / "results" / "filters"
SHARES = (0.05, 0.2, 0.5)
"""Of requests that pass, by the label."""
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


def trained(stage: str, parts: Parts, target_fn: float, *, first: bool) -> Student:
    """Train a stage."""
    if stage == "words":
        return train_tfidf(parts.train, parts.val, parts.facts)
    if stage == "decoder":
        return Decoder(parts)
    config = parts.package.config
    return train_probe(
        parts.train, parts.val, parts.facts, weights=config.weights,
        operating_point=config.pass_threshold, averages=parts.averages,
        settings=ProbeSettings("recall" if first else "regression", target_fn),
    )  # fmt: skip


def timed(student: Student, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Give scores (N, D) and processor milliseconds per text."""
    student.predict(texts[:2])
    started = time.process_time()
    rows = [student.predict(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    return np.concatenate(rows), 1000 * (time.process_time() - started) / len(texts)


def at_share(passes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw places so that this share of them passes."""
    good, bad = np.flatnonzero(passes), np.flatnonzero(~passes)
    most_good = int(min(len(good), len(bad) * share / (1 - share)))
    most_bad = int(min(len(bad), most_good * (1 - share) / share))
    return np.concatenate([rng.permutation(good)[:most_good], rng.permutation(bad)[:most_bad]])


def rate(missed: np.ndarray, of: np.ndarray) -> dict[str, Any]:
    """Give a share with its interval."""
    count, n = int((missed & of).sum()), int(of.sum())
    return {"missed": count, "of": n, "rate": count / n, "ci95": list(wilson_interval(count, n))}


def main() -> None:
    """Train both stages, measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--stages", default="words,encoder")
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--val", type=int, default=2000)
    parser.add_argument("--test", type=int, default=3500)
    parser.add_argument("--target-fn", type=float, default=0.02)
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
    point, rng = package.config.pass_threshold, np.random.default_rng(0)

    one, two = (trained(name, parts, args.target_fn, first=n == 0) for n, name in enumerate(stages))
    scores1, stage1_ms = timed(one, parts.test.texts)
    scores2, stage2_ms = timed(two, parts.test.texts)
    stage1, stage2 = parts.averages(scores1), parts.averages(scores2)
    truth = parts.averages(parts.test.targets)
    chosen = choose_threshold(
        parts.averages(one.predict(parts.val.texts)),
        parts.averages(parts.val.targets) >= point,
        args.target_fn,
    )
    thresholds = sorted({*np.quantile(stage1, np.linspace(0, 0.99, 67)).tolist(), chosen})
    targets, mean = parts.test.targets, parts.train.targets.mean(axis=0)
    report: dict[str, Any] = {
        "stages": stages, "train": args.train, "val": args.val, "test": args.test,
        "target_fn": args.target_fn, "stage1_ms": stage1_ms, "stage2_ms": stage2_ms,
        "threshold": chosen,
        "stage1_mae": float(np.abs(scores1 - targets).mean()),
        "stage2_mae": float(np.abs(scores2 - targets).mean()),
        "mean_mae": float(np.abs(mean - targets).mean()),
        "shares": {},
    }  # fmt: skip
    for share in SHARES:
        places = at_share(truth >= point, share, rng)
        first, second, true = stage1[places], stage2[places], truth[places]
        curve = cascade_curve(
            first.tolist(), second.tolist(), true.tolist(), thresholds=thresholds,
            operating_point=point, stage1_ms=stage1_ms, stage2_ms=stage2_ms,
        )  # fmt: skip
        at = next(row for row in curve if row["threshold"] == chosen)
        dropped = first < chosen
        report["shares"][f"{share:g}"] = {
            "requests": len(places),
            "curve": curve,
            "chosen": {
                **at,
                "against_stage2": rate(dropped, second >= point),
                "against_labels": rate(dropped, true >= point),
                "stage2_alone_against_labels": rate(second < point, true >= point),
            },
        }
    name = f"cascade_{'_'.join(stages)}"
    write_json(args.output / f"{name}.json", report)
    write_text(args.output / f"{name}.md", table(report))
    plot(report, args.output / f"{name}.png")
    print(table(report))


def table(report: dict[str, Any]) -> str:
    """Write the point that is chosen as Markdown."""
    first, second = (NAMES[name] for name in report["stages"])
    lines = [
        "# A cascade: speed against false negatives, at three shares of requests that pass",
        "",
        f"Stage 1 ({first}) takes {report['stage1_ms']:.2f} ms a request, stage "
        f"2 ({second}) {report['stage2_ms']:.1f} ms, on one core. MAE against the "
        f"noisy labels of {report['test']:,} requests: stage 1 {report['stage1_mae']:.3f}, stage 2 "
        f"{report['stage2_mae']:.3f}, mean of training {report['mean_mae']:.3f}. Threshold "
        f"{report['threshold']:.3f}, chosen on {report['val']:,} others for at most "
        f"{100 * report['target_fn']:g} % missed.",
        "",
        "| pass | requests | dropped by stage 1 | speed against stage 2 alone | false negatives "
        "against stage 2 | against labels | stage 2 alone against labels |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for share, one in report["shares"].items():
        at = one["chosen"]
        cells = [f"{100 * float(share):g} %", f"{one['requests']:,}",
                 f"{100 * at['skip_share']:.1f} %", f"{at['speedup']:.2f} x",
                 *(_told(at[key]) for key in ("against_stage2", "against_labels",
                                              "stage2_alone_against_labels"))]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    name = "_".join(report["stages"])
    lines += [
        "",
        "Shares in brackets are Wilson intervals of 95 %.",
        "",
        f"![Speed against false negatives](cascade_{name}.png)",
        "",
        f"`python benchmarks/filters/cascade_curve.py --stages {','.join(report['stages'])} "
        f"--train {report['train']} --val {report['val']} --test {report['test']}`",
    ]
    return "\n".join(lines) + "\n"


def _told(one: dict[str, Any]) -> str:
    low, high = one["ci95"]
    return (f"{100 * one['rate']:.1f} % ({100 * low:.1f} to {100 * high:.1f}; {one['missed']} of "
            f"{one['of']})")  # fmt: skip


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
        rows = [row for row in one["curve"] if row["fn_rate_stage2"] is not None]
        axes.plot([100 * row["fn_rate_stage2"] for row in rows], [row["speedup"] for row in rows],
                  color=colour, label=f"{100 * float(share):g} % pass")  # fmt: skip
        at = one["chosen"]
        axes.plot(100 * at["fn_rate_stage2"], at["speedup"], "o", color=colour)
    axes.axvline(3.0, color="#999999", linestyle="--", linewidth=1)
    axes.set_xlim(0, 15)
    axes.set_xlabel("requests that stage 2 passes and stage 1 drops, %")
    axes.set_ylabel("speed against stage 2 alone")
    axes.legend(title="dots: the threshold that is chosen")
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=150)


if __name__ == "__main__":
    main()
