"""Judge a renewed student against the running one on the frozen test, and tell what it forgot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...evaluation.held_out import answer_held_out
from ...evaluation.predictions import (
    Prediction,
    predictions_of,
    read_predictions,
    write_predictions,
)
from ...evaluation.promotion import Promotion, PromotionRules, judge_promotion
from ...evaluation.statistics.alignment import Outcome, align_runs
from ...inference.checkpoints.load_student import load_checkpoint
from ...records import Example, sha256_text
from ..main_job.teacher import answer_room

RUNNING: Final = "running"
MOST_TESTED: Final = 1000
"""Most questions of a category that are asked, the same ones in every renewal."""
BATCH: Final = 128


@dataclass(frozen=True)
class Forgetting:
    """What a renewed student no longer knows, in one category of the frozen test."""

    known: int
    """Questions that the running student answers right."""
    forgotten: int
    """Of these, those that the renewed student answers wrong."""
    learned: int
    """Questions that the renewed student alone answers right."""

    def in_words(self) -> str:
        """Say what was forgotten and learned."""
        return f"{self.forgotten} of {self.known} known answers forgotten, {self.learned} learned"


def questions_of_test(
    examples: Sequence[Example], outdated: frozenset[str] = frozenset(), most: int = MOST_TESTED
) -> list[Example]:
    """Choose the questions of the frozen test that are asked, the same ones in every renewal.

    Args:
        examples: The frozen test.
        outdated: Ids of questions whose row was updated since.
        most: Most questions of a category.
    """
    by_task: dict[str, list[Example]] = {}
    for one in sorted(examples, key=lambda one: sha256_text(one.id)):
        if one.id not in outdated:
            by_task.setdefault(one.task, []).append(one)
    chosen = {one.id for found in by_task.values() for one in found[:most]}
    return [one for one in examples if one.id in chosen]


def ask_test(
    folder: Path,
    questions: Sequence[Example],
    path: Path,
    console: Console,
    device: str | None = None,
) -> list[Prediction]:
    """Let a student answer the frozen test; answers that are there already are read.

    Args:
        folder: The student.
        questions: Examples with targets.
        path: File for the answers.
        console: Shows a progress bar.
        device: Torch device; None selects one.
    """
    if not path.is_file():
        checkpoint = load_checkpoint(folder, device=device)
        with console.busy("asking the frozen test"):
            answers = answer_held_out(
                checkpoint,
                [one.asked for one in questions],
                [one.target or "" for one in questions],
                max_new_tokens=answer_room(checkpoint, questions),
                batch_size=BATCH,
                scored=[],
            )
        write_predictions(path, predictions_of(questions, answers))
    return read_predictions(path)


def judge(
    renewed: Sequence[Sequence[Prediction]],
    running: Sequence[Prediction],
    rules: PromotionRules | None = None,
) -> Promotion:
    """Judge a renewal by the promotion gate.

    Args:
        renewed: Answers of at least three students, each with its own seed; the first is served.
        running: Answers of the running student to the same questions.
        rules: What is demanded; None for better, with no category much worse.
    """
    return judge_promotion(
        align_runs([_outcomes(one) for one in renewed], [_outcomes(running)],
                   ("renewed student", "running student")),
        rules,
        candidate="the renewed student",
        baseline="the running student",
    )  # fmt: skip


def forgetting(
    renewed: Sequence[Prediction], running: Sequence[Prediction]
) -> dict[str, Forgetting]:
    """Count by category what a renewed student forgot and learned."""
    before = {one.sample_id: one.right for one in running}
    found: dict[str, list[tuple[bool, bool]]] = {}
    for one in renewed:
        found.setdefault(one.category, []).append((before[one.sample_id], one.right))
    return {
        name: Forgetting(
            sum(was for was, _ in pairs),
            sum(was and not now for was, now in pairs),
            sum(now and not was for was, now in pairs),
        )
        for name, pairs in sorted(found.items())
    }


def told(promotion: Promotion, forgot: Mapping[str, Forgetting]) -> dict[str, Any]:
    """Give the verdict and what was forgotten as JSON values."""
    return {
        **promotion.to_dict(),
        "in_words": promotion.in_words("the renewed student"),
        "reasons": promotion.reasons,
        "forgetting": {name: vars(one) for name, one in forgot.items()},
    }


def _outcomes(predictions: Sequence[Prediction]) -> list[Outcome]:
    return [Outcome(one.sample_id, float(one.right), one.source_id, one.category)
            for one in predictions]  # fmt: skip
