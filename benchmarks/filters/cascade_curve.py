"""Measure speed against false negatives of a cascade, at three shares of articles that pass.

    python benchmarks/filters/cascade_curve.py --work cascade_work    # some 15 minutes on one core

The filter is that of `banking77_filter.py`, on real requests. Stage 1 is a probe on vectors of
all-MiniLM-L6 (22 million weights), trained for recall; stage 2 is SmolLM2-135M, whose mean hidden
states a ridge regression reads. Both learn from the same noisy labels. The threshold is chosen on
validation, for at most 2 % missed of what the labels pass; all figures are of requests that neither
has seen. A false negative is a request that stage 1 drops and that stage 2 (or the label) passes.

Requests are drawn to give the three shares: all of the rarer side stay, and of the other as many as
the share allows. Milliseconds are processor time per request, in batches of 16, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from banking77_filter import oracle_scores, requests, write_package
from stillroom.distillation.score_students.ridge import fit_ridge
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_probe import ProbeSettings, train_probe
from stillroom.files import write_json, write_text
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.inference.scoring.embeddings import StudentEmbeddings
from stillroom.inference.sources.find_model import find_model
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.scoring.cascade import cascade_curve
from stillroom.labeling.filters.scoring.student_scorer import weighted_averages
from stillroom.rate_interval import wilson_interval

RESULTS = Path(__file__).parents[1] / "results" / "filters"
SHARES = (0.05, 0.2, 0.5)
"""Of requests that pass, by the label."""
BATCH = 16


def kept(path: Path, make: Callable[[], tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
    """Compute vectors and milliseconds once."""
    if not path.is_file():
        vectors, ms = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=vectors, ms=ms)
    with np.load(path) as found:
        return found["vectors"], float(found["ms"])


def decoder_vectors(texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Give mean hidden states of SmolLM2 and processor milliseconds per text."""
    reader = StudentEmbeddings(find_model("smollm2"), device="cpu")
    reader.embed_documents(list(texts[:BATCH]))
    started, rows = time.process_time(), []
    for at in range(0, len(texts), BATCH):
        rows += reader.embed_documents(list(texts[at : at + BATCH]))
    return np.array(rows), 1000 * (time.process_time() - started) / len(texts)


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
    parser.add_argument("--work", type=Path, default=Path("cascade_work"))
    parser.add_argument("--train", type=int, default=3000)
    parser.add_argument("--val", type=int, default=1500)
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--target-fn", type=float, default=0.02)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    package = load_filter(write_package(args.work))
    config, view = package.config, package.view
    own = requests()[: args.train + args.val + args.test]
    texts = [view.student_text(view.read(one.article())) for one in own]
    labels = np.array([oracle_scores(one) for one in own])
    train, val, test = np.split(np.arange(len(own)), [args.train, args.train + args.val])
    everything = ScoreExamples(texts, labels, np.ones(len(own)))
    parts = [everything.chosen(part.tolist()) for part in (train, val)]

    facts = StudentFacts(config.dimension_names, view.sha256)
    probe = train_probe(
        *parts, facts, weights=config.weights, operating_point=config.pass_threshold,
        settings=ProbeSettings("recall", args.target_fn),
        averages=lambda scores: weighted_averages(scores, config),
    )  # fmt: skip
    seen = [texts[n] for n in test]
    probe.predict(seen[:BATCH])
    started, rows = time.process_time(), []
    for at in range(0, len(seen), BATCH):
        rows.append(probe.predict(seen[at : at + BATCH]))
    stage1_ms = 1000 * (time.process_time() - started) / len(seen)
    stage1 = weighted_averages(np.concatenate(rows), config)

    name = f"smollm2-{args.train}-{args.val}-{args.test}.npz"
    vectors, stage2_ms = kept(args.work / name, lambda: decoder_vectors(texts))
    scaled = (vectors - vectors[train].mean(axis=0)) / vectors[train].std(axis=0)
    fit = fit_ridge(scaled[train], labels[train], np.ones(len(train)), scaled[val], labels[val])
    scores2 = np.clip(fit.predict(scaled[test]), 0, 10)
    stage2, truth = weighted_averages(scores2, config), weighted_averages(labels[test], config)

    point, rng = config.pass_threshold, np.random.default_rng(0)
    chosen = float(probe.threshold or 0.0)
    thresholds = sorted({*np.quantile(stage1, np.linspace(0, 0.99, 67)).tolist(), chosen})
    report: dict[str, Any] = {
        "train": args.train, "val": args.val, "test": args.test, "target_fn": args.target_fn,
        "stage1_ms": stage1_ms, "stage2_ms": stage2_ms, "threshold": chosen, "probe": probe.told,
        "stage1_mae": float(np.abs(np.concatenate(rows) - labels[test]).mean()),
        "stage2_mae": float(np.abs(scores2 - labels[test]).mean()),
        "mean_mae": float(np.abs(labels[train].mean(axis=0) - labels[test]).mean()),
        "shares": {},
    }  # fmt: skip
    for share in SHARES:
        places = at_share(truth >= point, share, rng)
        one, two, true = stage1[places], stage2[places], truth[places]
        curve = cascade_curve(
            one.tolist(), two.tolist(), true.tolist(), thresholds=thresholds,
            operating_point=point, stage1_ms=stage1_ms, stage2_ms=stage2_ms,
        )  # fmt: skip
        at = next(row for row in curve if row["threshold"] == chosen)
        dropped = one < chosen
        report["shares"][f"{share:g}"] = {
            "requests": len(places),
            "curve": curve,
            "chosen": {
                **at,
                "against_stage2": rate(dropped, two >= point),
                "against_labels": rate(dropped, true >= point),
                "stage2_alone_against_labels": rate(two < point, true >= point),
            },
        }
    write_json(args.output / "cascade_curve.json", report)
    write_text(args.output / "cascade_curve.md", table(report))
    plot(report, args.output / "cascade_curve.png")
    print(table(report))


def table(report: dict[str, Any]) -> str:
    """Write the point that is chosen as Markdown."""
    lines = [
        "# A cascade: speed against false negatives, at three shares of requests that pass",
        "",
        f"Stage 1 (probe on MiniLM) takes {report['stage1_ms']:.2f} ms a request, stage 2 "
        f"(SmolLM2-135M and ridge) {report['stage2_ms']:.1f} ms, on one core. MAE against the "
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
    lines += ["", "Shares in brackets are Wilson intervals of 95 %.", "",
              "![Speed against false negatives](cascade_curve.png)", "",
              "`python benchmarks/filters/cascade_curve.py`"]  # fmt: skip
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
