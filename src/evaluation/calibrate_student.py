"""Calibrate a student: fit its confidence on questions that it was not trained on.

    python -m stillroom.evaluation.calibrate_student outputs/elements/student validation.jsonl

writes `confidence.json` and `risk_coverage.png` beside the weights. The student must not have been
trained on the examples, and later measurements must use others: `calibration_split` halves them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, EmptyDataError
from ..inference.scoring.confidence import (
    CONFIDENCE_FILE,
    TOP_LOGPROBS,
    ConfidenceMap,
    Signal,
    signal_of,
)
from ..records import Example, read_examples, split_position
from .calibration import RISK_TARGETS, fit_confidence
from .metrics import exact_match
from .plots import plot_risk_coverage

if TYPE_CHECKING:
    from ..inference.chat.chat_model import ChatStudent
    from ..inference.checkpoints.load_student import Checkpoint

SIGNALS: tuple[Signal, ...] = ("least_margin", "log_probability", "mean_log_probability")
AT_ONCE = 64
"""Questions sent to the engine together."""
MOST_EXAMPLES = 2000
"""More examples hardly improve the curve."""
RISK_PICTURE = "risk_coverage.png"


@dataclass(frozen=True)
class AskedStudent:
    """The answers of a student to N questions."""

    answers: list[str]
    """(N,)."""
    right: list[bool]
    """(N,), exact match with the target."""
    signals: dict[Signal, list[float]]
    """(N,) each; larger means more confident."""


def calibrate_student(
    folder: str | Path,
    examples: Sequence[Example],
    *,
    checkpoint: Checkpoint | None = None,
    risk_targets: Sequence[float] = RISK_TARGETS,
    max_tokens: int = 64,
    seed: int = 0,
) -> ConfidenceMap:
    """Fit the map from a student's margins to probabilities, and write it beside the weights.

    Args:
        folder: The student's folder; `confidence.json` and `risk_coverage.png` are written there.
        examples: Questions with targets that the student was not trained on; the first 2,000 of
            task `qa` are asked.
        checkpoint: The student, if it is loaded already.
        risk_targets: Shares of wrong answers that thresholds are chosen for, above 0 to 1.
        max_tokens: Most tokens of an answer.
        seed: Seed of the cross-validation folds.

    Returns:
        The map.

    Raises:
        EmptyDataError: There are too few questions.
        DataError: A question has no target.
        CheckpointError: The folder is no checkpoint.
    """
    from ..inference.chat.chat_model import ChatStudent  # torch loads here

    questions = [example for example in examples if example.task == "qa"][:MOST_EXAMPLES]
    given = checkpoint if checkpoint is not None else str(folder)
    student = ChatStudent(model=given, top_logprobs=TOP_LOGPROBS, max_tokens=max_tokens)
    asked = ask_student(student, questions)
    fitted = fit_confidence(asked.signals, asked.right, risk_targets=risk_targets, seed=seed)
    signals = asked.signals[fitted.signal]
    plot_risk_coverage(
        {"student": ([fitted.probability(value) for value in signals], asked.right)},
        Path(folder) / RISK_PICTURE,
        limits=fitted.limits,
    )
    fitted.write(folder)
    return fitted


def ask_student(student: ChatStudent, examples: Sequence[Example]) -> AskedStudent:
    """Ask questions in batches, and read the confidence signals of each answer.

    Args:
        student: A student with `top_logprobs` of 2 or more.
        examples: Questions with targets.

    Raises:
        EmptyDataError: There are no examples.
        DataError: An example has no target.
    """
    if not examples:
        raise EmptyDataError("there are no questions to ask; give examples of task 'qa'")
    for example in examples:
        if not (example.target or "").strip():
            raise DataError(f"example {example.id!r} has no target to compare with")
    messages = student.batch([e.prompt for e in examples], {"max_concurrency": AT_ONCE})
    answers = [str(message.text).strip() for message in messages]
    return AskedStudent(
        answers,
        [
            exact_match(answer, example.target or "")
            for answer, example in zip(answers, examples, strict=True)
        ],
        {name: [signal_of(message, name) for message in messages] for name in SIGNALS},
    )


def calibration_split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split examples by fact into about one half for calibration and one for measurement.

    All wordings of a fact are in the same half, and every run makes the same split.
    """
    halves: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        halves[split_position(f"calibration:{example.fact or example.id}") >= 0.5].append(example)
    return halves


def _main() -> None:
    parser = argparse.ArgumentParser(
        description="Calibrate a student on examples that it was not trained on."
    )
    parser.add_argument("student", help="checkpoint folder")
    parser.add_argument("examples", help="JSON Lines of examples with targets")
    parser.add_argument("--risk", type=float, nargs="+", default=RISK_TARGETS, metavar="SHARE",
                        help="shares of wrong answers that thresholds are chosen for")  # fmt: skip
    args = parser.parse_args()
    fitted = calibrate_student(
        args.student, read_examples(args.examples), risk_targets=tuple(args.risk)
    )
    print(f"{fitted.fitted_on} answers, signal {fitted.signal}, "
          f"calibration error {fitted.calibration_error:.3f}")  # fmt: skip
    for limit in fitted.limits:
        threshold = "none" if limit.threshold is None else f"{limit.threshold:.3f}"
        print(
            f"at most {limit.target:.0%} wrong: threshold {threshold}, {limit.coverage:.1%} given"
        )
    print(f"written: {Path(args.student) / CONFIDENCE_FILE}, {RISK_PICTURE}")


if __name__ == "__main__":
    _main()
