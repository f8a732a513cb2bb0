"""`WriteJudgeReport`: how far a judge agrees with execution, and whether it follows positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....errors import ConfigError
from ....labeling.gates.judge_agreement import judge_agreement
from ....labeling.gates.judge_pairs import PairJudgement, position_bias
from ....labeling.gates.record_values import read_number
from ..report_steps.report_step import StageReportStep
from ..step import Record


class WriteJudgeReport(StageReportStep):
    """Writes and prints `judge_report.json`.

    Its fields are `agreement` (of the judge with the verdicts: see `judge_agreement`), `pairs` (of
    a judge of pairs: see `position_bias`) and `reasons` (why rows have no verdict of the judge).
    """

    stage: str = "judge"
    verdict_field: str = "gold_match"
    """Column of verdicts that are taken as right: true, false, or null without one."""
    score_field: str = "judge_score"
    pass_score: float = 0.5
    """Score from which the judge passes a row, 0 to 1."""
    winner_field: str = "judge_winner"
    choices_field: str = "judge_choices"
    reason_field: str = "judge_reason"

    def __post_init__(self) -> None:
        """Check the score."""
        super().__post_init__()
        if not 0.0 <= self.pass_score <= 1.0:
            raise ConfigError([f"pass_score is {self.pass_score}; allowed is 0 to 1"])

    @property
    def report_path(self) -> Path:
        """`<stage>/judge_report.json`."""
        return Path(self.stage) / "judge_report.json"

    def begin(self) -> None:
        """Begin without records."""
        self._judged: list[bool | None] = []
        self._verdicts: list[bool | None] = []
        self._pairs: list[PairJudgement] = []
        self._reasons: dict[str, int] = {}

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        score_field, verdict_field = self.column(self.score_field), self.column(self.verdict_field)
        for row in rows:
            if score_field in row:
                score, _ = read_number(row, score_field)
                verdict = row.get(verdict_field)
                self._judged.append(None if score is None else score >= self.pass_score)
                self._verdicts.append(verdict if isinstance(verdict, bool) else None)
            reason = str(row.get(self.column(self.reason_field)))
            choices = row.get(self.column(self.choices_field))
            if isinstance(choices, Sequence) and len(choices) == 2:
                winner = row.get(self.column(self.winner_field))
                self._pairs.append(PairJudgement(winner, reason, (choices[0], choices[1])))
            if reason not in ("None", "ok"):
                self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report, and print them."""
        agreement = judge_agreement(self._judged, self._verdicts) if self._judged else None
        pairs = position_bias(self._pairs) if self._pairs else None
        for line in (_agreement_line(agreement, self.verdict_field), _bias_line(pairs)):
            if line:
                print(line)
        return {
            "verdict_field": self.verdict_field,
            "pass_score": self.pass_score,
            "agreement": agreement,
            "pairs": pairs,
            "reasons": dict(sorted(self._reasons.items())),
        }


def _agreement_line(found: Mapping[str, Any] | None, verdicts: str) -> str:
    if found is None:
        return ""
    if found["agreement"] is None:
        return f"judge: no row has both a score and a verdict in {verdicts!r}"
    low, high = found["agreement_ci95"]
    kappa = "undefined" if found["kappa"] is None else f"{found['kappa']:.2f}"
    return (
        f"judge: agrees with {verdicts!r} on {found['agreement']:.3f} of {found['matched']} rows "
        f"(95 % interval {low:.3f} to {high:.3f}; kappa {kappa}); passed {found['passed_wrong']} "
        f"wrong ones, rejected {found['rejected_right']} right ones"
    )


def _bias_line(found: Mapping[str, Any] | None) -> str:
    if found is None or found["consistent"] is None:
        return ""
    first = found["first_chosen"]
    chosen = "no choice" if first is None else (
        f"chose the first position in {first:.3f} of its choices "
        f"({found['first_chosen_ci95'][0]:.3f} to {found['first_chosen_ci95'][1]:.3f}; without "
        "bias 0.5)"
    )  # fmt: skip
    return (
        f"judge: the same verdict in both orders for {found['consistent']:.3f} of "
        f"{found['judged']} pairs; {chosen}"
    )
