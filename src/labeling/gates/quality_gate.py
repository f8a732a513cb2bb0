"""The gate between stages: least rates that the quality report of a stage must show.

It runs on a pilot before the full spend, and after the teacher before anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class QualityGate:
    """Least values of a quality report; None is not checked, 0 is checked as 0."""

    min_total: int | None = None
    min_exec_pass_rate: float | None = None
    """Share of executed records that ran, 0 to 1."""
    min_gold_match_rate: float | None = None
    """Share of compared records that match their gold query, 0 to 1."""
    min_judge_score_mean: float | None = None


TEACHER_GATE = QualityGate(50, 0.5, 0.1, 0.4)
"""Defaults of the gate after the teacher."""


def evaluate_quality_gate(report: Mapping[str, Any], gate: QualityGate) -> list[str]:
    """List what a report fails, in the order total, exec, gold, judge; empty if it passes.

    A value that is missing, null, NaN or not a number fails.

    >>> evaluate_quality_gate({"total": 2, "exec_pass_rate": 0.119}, TEACHER_GATE)[:2]
    ['total 2 < min_total 50', 'exec_pass_rate 0.1190 < min_exec_pass_rate 0.5000']
    """
    scores = report.get("judge_score")
    mean = scores.get("mean") if isinstance(scores, Mapping) else None
    checks = (
        ("total", report.get("total"), "min_total", gate.min_total),
        ("exec_pass_rate", report.get("exec_pass_rate"), "min_exec_pass_rate",
         gate.min_exec_pass_rate),
        ("gold_match_rate", report.get("gold_match_rate"), "min_gold_match_rate",
         gate.min_gold_match_rate),
        ("judge_score.mean", mean, "min_judge_score_mean", gate.min_judge_score_mean),
    )  # fmt: skip
    failures = (
        _failure(name, value, bound, least) for name, value, bound, least in checks
        if least is not None
    )  # fmt: skip
    return [failure for failure in failures if failure]


def gate_message(failures: list[str]) -> str:
    """Write the message of a pipeline that a failed gate ends."""
    return f"Teacher eval gate failed: {'; '.join(failures)}"


def _failure(name: str, value: object, bound: str, least: float) -> str:
    if value is None:
        return f"missing {name}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{name} {value} is not a finite number"
    if not math.isfinite(least):
        return f"{bound} {least} is not a finite number"
    if value >= least:
        return ""
    shown = "{}" if name == "total" else "{:.4f}"
    return f"{name} {shown.format(value)} < {bound} {shown.format(least)}"
