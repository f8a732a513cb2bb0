"""Measure how reliable a student's confidence is: risk at each coverage, and use in a cascade.

    python benchmarks/confidence.py outputs/elements       # writes results/confidence.md and .png
    python benchmarks/confidence.py outputs/countries --splits 20 --out /tmp/countries

The input is a finished run of the main job. No model of the run was trained on its held-out
questions. They are split by fact: confidence is calibrated and thresholds are chosen on one half,
and everything is measured on the other. The student of the bundled table is hardly ever wrong, so
the control that was trained without its teacher's labels (`controls/student_without_teacher`) is
measured too.

Since one split is random, the measurement is repeated over many random splits.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from processor import processor
from stillroom.agentic_workflow.graphs import build_multi_agent_graph
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.evaluation.calibrate_student import AskedStudent, ask_student, calibration_split
from stillroom.evaluation.calibration import (
    calibration_error,
    fit_confidence,
    risk_coverage,
)
from stillroom.evaluation.metrics import exact_match
from stillroom.evaluation.plots import plot_risk_coverage
from stillroom.files import write_text
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.scoring.confidence import ConfidenceMap, RiskLimit
from stillroom.records import Example, read_examples

RESULTS = Path(__file__).parent / "results" / "confidence"
TARGETS = (0.01, 0.02, 0.05, 0.1)
MAX_TOKENS = 64
BAR_ERROR = 0.05
MOST_TEACHER_CALLS = 0.6
"""Fixed before the first run: more calls than that are no cascade."""


@dataclass(frozen=True)
class Half:
    """What a student said to some of the questions."""

    asked: AskedStudent
    places: list[int]

    def right(self) -> list[bool]:
        return [self.asked.right[n] for n in self.places]

    def signals(self, name: str) -> list[float]:
        return [self.asked.signals[name][n] for n in self.places]  # type: ignore[index]

    def fitted(self) -> ConfidenceMap:
        signals = {name: self.signals(name) for name in self.asked.signals}
        return fit_confidence(signals, self.right(), risk_targets=TARGETS)

    def sure(self, known: ConfidenceMap) -> np.ndarray:
        return np.array([known.probability(value) for value in self.signals(known.signal)])


@dataclass(frozen=True)
class Given:
    """What was given under one stated risk."""

    target: float
    threshold: float | None
    coverage: float
    risk: float
    error: float
    """Standard error of the target at so many answers."""

    @property
    def holds(self) -> bool:
        return self.risk <= self.target + self.error


def given_at(known: ConfidenceMap, test: Half) -> list[Given]:
    """Measure the risk of what would be given, for each target."""
    sure, right = test.sure(known), np.array(test.right())
    found = []
    for limit in known.limits:
        kept = sure >= (2.0 if limit.threshold is None else limit.threshold)
        count = int(kept.sum())
        risk = float(1.0 - right[kept].mean()) if count else 0.0
        error = (limit.target * (1.0 - limit.target) / count) ** 0.5 if count else 0.0
        found.append(Given(limit.target, limit.threshold, count / len(right), risk, error))
    return found


def random_halves(
    asked: AskedStudent, questions: Sequence[Example], seed: int
) -> tuple[Half, Half]:
    """Split by fact, at random."""
    facts = sorted({example.fact or example.id for example in questions})
    chosen = set(random.Random(seed).sample(facts, len(facts) // 2))
    first = [n for n, e in enumerate(questions) if (e.fact or e.id) in chosen]
    second = [n for n, e in enumerate(questions) if (e.fact or e.id) not in chosen]
    return Half(asked, first), Half(asked, second)


def own_halves(asked: AskedStudent, questions: Sequence[Example]) -> tuple[Half, Half]:
    """Split as the main job does."""
    places = {example.id: number for number, example in enumerate(questions)}
    first, second = calibration_split(questions)
    return Half(asked, [places[e.id] for e in first]), Half(asked, [places[e.id] for e in second])


def raw_error(test: Half) -> float:
    """Give the calibration error of what the tokens say by themselves: their joint probability."""
    return calibration_error(np.exp(test.signals("log_probability")), test.right())


def over_splits(asked: AskedStudent, questions: Sequence[Example], splits: int) -> list[str]:
    """Say what becomes of error and risk over random splits."""
    errors, held = [], {target: [] for target in TARGETS}  # type: ignore[var-annotated]
    for seed in range(splits):
        fit, test = random_halves(asked, questions, seed)
        known = fit.fitted()
        errors.append(calibration_error(test.sure(known), test.right()))
        for given in given_at(known, test):
            held[given.target].append((given.risk, given.coverage, given.holds))
    lines = [f"calibration error: mean {np.mean(errors):.3f}, 95 % of splits at most "
             f"{np.quantile(errors, 0.95):.3f}"]  # fmt: skip
    for target, found in held.items():
        risk, coverage, holds = (
            np.array(values, dtype=float) for values in zip(*found, strict=True)
        )
        lines.append(f"target {target:.0%}: mean risk {risk.mean():.3%}, mean coverage "
                     f"{coverage.mean():.1%}, held in {holds.mean():.0%}")  # fmt: skip
    return lines


def cascade(
    student: ChatStudent,
    teacher: ChatStudent,
    known: ConfidenceMap,
    questions: Sequence[Example],
    target: float,
) -> tuple[float, float]:
    """Run the workflow itself, without a table; give accuracy and share of teacher calls."""
    policy = AnswerPolicy(risk_target=target, teacher=teacher, attempts=1)
    graph = build_multi_agent_graph(student, policy=policy, confidence=known)
    asked = [{"messages": [("human", e.fields["text"])]} for e in questions]
    states = graph.batch(asked, {"max_concurrency": 16})  # type: ignore[arg-type]
    pairs = zip(states, questions, strict=True)
    right = [exact_match(str(state["results"][-1]), e.target or "") for state, e in pairs]
    calls = [state["teacher_calls"] for state in states]
    return sum(right) / len(right), sum(calls) / len(calls)


def measured(
    name: str,
    folder: Path,
    teacher: ChatStudent,
    by_teacher: AskedStudent,
    questions: Sequence[Example],
    splits: int,
) -> tuple[list[str], dict[str, tuple[list[float], list[bool]]], list[RiskLimit], list[str]]:
    """Measure one student; give the report, its curve, what was given, and missed bars."""
    student = ChatStudent(model=str(folder), top_logprobs=2, max_tokens=MAX_TOKENS)
    asked = ask_student(student, questions)
    fit, test = own_halves(asked, questions)
    known = fit.fitted()
    sure, right = test.sure(known), test.right()
    error = calibration_error(sure, right)
    accuracy, missed = float(np.mean(right)), []
    if error > BAR_ERROR:
        missed.append(f"{name}: calibration error {error:.3f}")
    lines = [
        f"## {name}",
        "",
        f"{accuracy:.1%} right on {len(right)} questions; fitted on {len(fit.places)} others, "
        f"signal `{known.signal}`. Calibration error **{error:.3f}** (bar {BAR_ERROR}); that of "
        f"the tokens' own probability is {raw_error(test):.3f}. Area under the risk-coverage curve "
        f"{risk_coverage(sure, right).area:.4f}; without any skill {1 - accuracy:.4f}.",
        "",
        "| stated risk | threshold | answers given | wrong among them | bar | holds |",
        "|---|---|---|---|---|---|",
    ]
    kept = given_at(known, test)
    for given in kept:
        threshold = "none" if given.threshold is None else f"{given.threshold:.3f}"
        lines.append(
            f"| {given.target:.0%} | {threshold} | {given.coverage:.1%} | {given.risk:.2%} | "
            f"{given.target + given.error:.2%} | {'yes' if given.holds else 'no'} |"
        )
        if not given.holds:
            missed.append(f"{name}: risk {given.risk:.2%} at {given.target:.0%}")
    lines += ["", "The bar is the stated risk and one standard error of it at so many answers."]
    lines += [f"Over {splits} random splits:", ""]
    lines += [f"- {line}" for line in over_splits(asked, questions, splits)]
    _, halves = own_halves(by_teacher, questions)
    alone = float(np.mean(halves.right()))
    lines += ["", "| cascade at a stated risk of | accuracy | teacher alone | teacher calls |",
              "|---|---|---|---|"]  # fmt: skip
    reached = []
    for target in TARGETS:
        score, share = cascade(student, teacher, known, [questions[n] for n in test.places], target)
        lines.append(f"| {target:.0%} | {score:.2%} | {alone:.2%} | {share:.1%} |")
        reached.append(score >= alone - 0.01 and share <= MOST_TEACHER_CALLS)
    if not any(reached):
        missed.append(f"{name}: no cascade within a point of the teacher")
    student.serving_engine.close()
    limits = [RiskLimit(g.target, g.threshold, g.coverage, g.risk) for g in kept]
    return lines, {name: (sure.tolist(), right)}, limits, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run of the main job")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS, help="without suffix")
    args = parser.parse_args()
    held_out = read_examples(str(args.run / "data" / "held_out.jsonl"))
    questions = [example for example in held_out if example.task == "qa"]
    teacher = ChatStudent(model=str(args.run / "teacher"), top_logprobs=2, max_tokens=MAX_TOKENS)
    by_teacher = ask_student(teacher, questions)
    arms = {"the student": args.run / "student"}
    weak = args.run / "controls" / "student_without_teacher"
    if weak.is_dir():
        arms["a student without its teacher's labels"] = weak
    report = [
        "# Confidence: calibration, stated risks, cascade",
        "",
        f"`python benchmarks/confidence.py outputs/{args.run.name}`, {date.today()}, "
        f"{processor()}, one thread, other work on the machine. "
        f"{len(questions):,} held-out questions; exact match.",
    ]
    curves, missed, limits = {}, [], []
    for name, folder in arms.items():
        lines, curve, limits, misses = measured(
            name, folder, teacher, by_teacher, questions, args.splits
        )
        print("\n".join(lines), flush=True)
        report += ["", *lines]
        curves |= curve
        missed += misses
    # The points are those of the last student, the weakest.
    plot_risk_coverage(curves, args.out.with_suffix(".png"), limits=limits)
    report += ["", f"![risk over coverage]({args.out.with_suffix('.png').name})", ""]
    report += [f"missed: {fault}" for fault in missed] or ["All bars held."]
    write_text(args.out.with_suffix(".md"), "\n".join(report) + "\n")
    if missed:
        raise SystemExit("; ".join(missed))


if __name__ == "__main__":
    main()
