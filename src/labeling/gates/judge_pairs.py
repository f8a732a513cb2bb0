"""A judge that compares two answers, asked in both orders, and its position bias.

Judges prefer a position (Zheng et al. 2023, arXiv 2306.05685, section 3.3), so every pair is asked
twice with the answers swapped. An answer wins only if it wins in both orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...rate_interval import rate_with_interval
from ..batch.label_run import Labelled, LabelRun, LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..batch.open_folder import OpenFolder
from ..teachers.protocol import DecodeProfile, Teacher, TeacherAnswer
from .judge_scores import fault_reason
from .rubric import Choice, Rubric, read_choice

Winner = Literal["a", "b", "tie"]


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one instruction."""

    instruction: str
    a: str
    b: str
    reference: str | None = None
    """A gold answer that the judge is shown; None without one."""


@dataclass(frozen=True)
class PairJudgement:
    """What a judge said about one pair."""

    winner: Winner | None
    """`tie` also where the two orders contradict each other; None without both replies."""
    reason: str
    """`ok`, `contradiction`, or why there is no winner, as in `JudgeScores`."""
    choices: tuple[Choice | None, Choice | None]
    """The position that was chosen with `a` first, and with `b` first."""


@dataclass(frozen=True)
class PairJudgements:
    """What a judge said about some pairs."""

    pairs: list[PairJudgement]
    """One per pair."""
    run: LabelRun
    """The calls, with their number and cost."""

    def position_bias(self) -> dict[str, Any]:
        """Measure how often the judge follows the position: see `position_bias`."""
        return position_bias(self.pairs)


def position_bias(pairs: Iterable[PairJudgement]) -> dict[str, Any]:
    """Measure how often a judge follows the position instead of the answer.

    Returns:
        `judged` (pairs with both replies), `consistent` (share of these with the same winner, or a
        tie, in both orders), `consistent_ci95`, `first_chosen` (share of the replies with a choice
        that chose the first position; 0.5 has no bias), `first_chosen_ci95`. Shares without a case
        are None.
    """
    both = [one for one in pairs if one.winner is not None]
    chosen = [c for one in both for c in one.choices if c is not None and c != "tie"]
    steady = sum(one.reason == "ok" for one in both)
    return {
        "judged": len(both),
        **rate_with_interval("consistent", steady, len(both)),
        **rate_with_interval("first_chosen", chosen.count("first"), len(chosen)),
    }


def judge_pairs(
    teacher: Teacher,
    pairs: Sequence[AnswerPair],
    rubric: Rubric,
    folder: str | Path | OpenFolder,
    *,
    profile: DecodeProfile | None = None,
    settings: LabelSettings | None = None,
) -> PairJudgements:
    """Ask a judge which answer of each pair is better, in both orders.

    Args:
        teacher: The judge.
        pairs: The answers.
        rubric: What is judged; its scale is not used.
        folder: Folder of the calls; the same call is never paid for twice. One that
            is open stays open.
        profile: How to decode; None takes the likeliest tokens, up to 512.
        settings: Cap, retries and budget of the judge alone.

    Raises:
        As `BatchLabeler.run`.
    """
    tasks = []
    for number, pair in enumerate(pairs):
        for order, (first, second) in enumerate(((pair.a, pair.b), (pair.b, pair.a))):
            prompt = rubric.ask_choice(pair.instruction, first, second, pair.reference)
            # Two equal answers have one prompt; the sample keeps its two orders apart.
            tasks.append(LabelTask(f"{number} {order}", prompt, sample=order))

    def check(task: LabelTask, answer: TeacherAnswer) -> str | None:
        return None if read_choice(answer.text) is not None else "no_choice"

    labeler = BatchLabeler(
        teacher, folder, profile=profile or DecodeProfile(), settings=settings, check=check
    )
    run = labeler.run(tasks)
    replies = zip(run.results[::2], run.results[1::2], strict=True)
    return PairJudgements([_judgement(*both) for both in replies], run)


def _judgement(forward: Labelled, backward: Labelled) -> PairJudgement:
    choices = _choice(forward), _choice(backward)
    reasons = [reason for reason in map(fault_reason, (forward, backward)) if reason != "ok"]
    if reasons:
        return PairJudgement(None, reasons[0], choices)
    winners: dict[Choice | None, Winner] = {"first": "a", "second": "b", "tie": "tie"}
    swapped: dict[Choice | None, Winner] = {"first": "b", "second": "a", "tie": "tie"}
    winner, other = winners[choices[0]], swapped[choices[1]]
    if winner != other:
        return PairJudgement("tie", "contradiction", choices)
    return PairJudgement(winner, "ok", choices)


def _choice(one: Labelled) -> Choice | None:
    return None if one.answer is None else read_choice(one.answer.text)
