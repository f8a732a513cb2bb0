"""The scores of models that write SQL: shares of statements that run, and that give gold's rows.

The names are those of quality reports: `exec_pass_rate`, `gold_match_rate`. Empty results that
equal empty gold results prove nothing, so they are counted apart and are in no rate of matches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from ..rate_interval import wilson_interval

_WIDTH: Final = 24


class SqlVerdict(Protocol):
    """What running a statement and its gold query gave."""

    @property
    def exec_pass(self) -> bool:
        """Whether the statement ran."""
        ...

    @property
    def exec_error(self) -> str | None:
        """Why it did not."""
        ...

    @property
    def gold_match(self) -> bool | None:
        """Whether its rows are those of the gold query; None without a gold query that ran."""
        ...

    @property
    def empty_match(self) -> bool:
        """Whether both have no rows."""
        ...


@dataclass(frozen=True)
class SqlScores:
    """Counts and rates of statements."""

    total: int
    exec_passed: int
    gold_evaluated: int
    """Statements with a gold query that ran, without empty matches."""
    gold_matched: int
    """Those of them that give gold's rows."""
    empty_matches: int
    """Statements whose result is empty, like gold's."""
    exec_errors: Mapping[str, int] = field(default_factory=dict)
    """Class of the error, without its text -> count."""
    shapes: Mapping[str, SqlScores] = field(default_factory=dict)
    """The same by the shape of the question; empty if no shapes were named."""

    @property
    def exec_pass_rate(self) -> float | None:
        """Share of statements that ran, 0 to 1; None if there are none."""
        return self.exec_passed / self.total if self.total else None

    @property
    def gold_match_rate(self) -> float | None:
        """Share of the evaluated statements that match gold, 0 to 1; None if there are none."""
        return self.gold_matched / self.gold_evaluated if self.gold_evaluated else None

    def to_dict(self) -> dict[str, Any]:
        """Return counts, rates and 95 % Wilson intervals as JSON values."""
        counts = {k: v for k, v in asdict(self).items() if k not in ("exec_errors", "shapes")}
        told = {
            **counts,
            "exec_pass_rate": self.exec_pass_rate,
            "exec_pass_ci95": _interval(self.exec_passed, self.total),
            "gold_match_rate": self.gold_match_rate,
            "gold_match_ci95": _interval(self.gold_matched, self.gold_evaluated),
            "exec_error_counts": dict(self.exec_errors),
        }
        if self.shapes:
            told["shapes"] = {name: one.to_dict() for name, one in self.shapes.items()}
        return told


def score_sql(verdicts: Sequence[SqlVerdict], shapes: Sequence[str] | None = None) -> SqlScores:
    """Count verdicts.

    Args:
        verdicts: One per question.
        shapes: The shape of each question, for counts by shape; None for none.

    Raises:
        ValueError: The lists are of different length.
    """
    of_shape: dict[str, list[SqlVerdict]] = {}
    if shapes is not None:
        for verdict, shape in zip(verdicts, shapes, strict=True):
            of_shape.setdefault(shape, []).append(verdict)
    judged = [one for one in verdicts if one.gold_match is not None and not _is_empty(one)]
    return SqlScores(
        total=len(verdicts),
        exec_passed=sum(one.exec_pass for one in verdicts),
        gold_evaluated=len(judged),
        gold_matched=sum(one.gold_match is True for one in judged),
        empty_matches=sum(map(_is_empty, verdicts)),
        exec_errors=Counter(
            (one.exec_error or "unknown").split(":")[0] for one in verdicts if not one.exec_pass
        ),
        shapes={name: score_sql(of_shape[name]) for name in sorted(of_shape)},
    )


def format_sql_scores(rows: Mapping[str, SqlScores]) -> str:
    """Write scores as a table: one row per model, rates in percent with their 95 % intervals."""
    head = f"{'':<{_WIDTH}} {'questions':>9}  {'exec_pass_rate':<22} {'gold_match_rate':<22} empty"
    lines = [head.rstrip()]
    for name, scores in rows.items():
        passed = _percent(scores.exec_passed, scores.total)
        matched = _percent(scores.gold_matched, scores.gold_evaluated)
        lines.append(
            f"{name:<{_WIDTH}} {scores.total:>9}  {passed:<22} {matched:<22} "
            f"{scores.empty_matches:>5}"
        )
    return "\n".join(lines)


def format_sql_shapes(rows: Mapping[str, SqlScores]) -> str:
    """Write the matches by shape as a table: shape, questions, matches of each model."""
    shapes = {name: one.total for scores in rows.values() for name, one in scores.shapes.items()}
    width = max(map(len, shapes), default=0)
    columns = [max(len(name), 5) for name in rows]
    heads = "  ".join(f"{name:>{wide}}" for name, wide in zip(rows, columns, strict=True))
    lines = [f"{'':<{width}} {'asked':>5}  {heads}"]
    for shape in sorted(shapes):
        cells = []
        for scores, wide in zip(rows.values(), columns, strict=True):
            found = scores.shapes.get(shape)
            cells.append(f"{'' if found is None else found.gold_matched:>{wide}}")
        lines.append(f"{shape:<{width}} {shapes[shape]:>5}  {'  '.join(cells)}")
    return "\n".join(lines)


def _is_empty(verdict: SqlVerdict) -> bool:
    return verdict.gold_match is True and verdict.empty_match


def _interval(successes: int, trials: int) -> list[float] | None:
    return [round(end, 6) for end in wilson_interval(successes, trials)] if trials else None


def _percent(successes: int, trials: int) -> str:
    if not trials:
        return "-"
    low, high = (100 * end for end in wilson_interval(successes, trials))
    return f"{100 * successes / trials:5.1f} % ({low:.1f} to {high:.1f})"
