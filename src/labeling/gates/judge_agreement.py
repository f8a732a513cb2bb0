"""How far a judge agrees with verdicts of people, or of running the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...rate_interval import rate_with_interval


def judge_agreement(
    judged: Sequence[bool | None], verdicts: Sequence[bool | None]
) -> dict[str, Any]:
    """Compare what a judge passed with verdicts that are taken as right.

    Args:
        judged: Whether the judge passed a record; None if it was not judged. One per record.
        verdicts: Whether people, or its execution, passed the record; None without a verdict, or
            where an empty result matched an empty one, which proves nothing.

    Returns:
        `total`, `matched` (both known), `missing`; `agreement` with `agreement_ci95`; `kappa`
        (Cohen 1960; None where chance alone agrees fully); `passed_wrong` and `rejected_right`,
        the two kinds of mistakes of the judge, as counts. Rates without a case are None.

    Raises:
        ValueError: The two are of different length.

    >>> found = judge_agreement([True, True, False, None], [True, False, False, True])
    >>> found["matched"], found["passed_wrong"], round(found["kappa"], 2)
    (3, 1, 0.4)
    """
    if len(judged) != len(verdicts):
        raise ValueError(
            f"there are {len(judged)} judgements and {len(verdicts)} verdicts; give one of each "
            "per record, None where there is none"
        )
    pairs = [(a, b) for a, b in zip(judged, verdicts, strict=True)
             if isinstance(a, bool) and isinstance(b, bool)]  # fmt: skip
    same = sum(a == b for a, b in pairs)
    return {
        "total": len(judged),
        "matched": len(pairs),
        "missing": len(judged) - len(pairs),
        **rate_with_interval("agreement", same, len(pairs)),
        "kappa": _kappa(pairs),
        "passed_wrong": sum(a and not b for a, b in pairs),
        "rejected_right": sum(b and not a for a, b in pairs),
    }


def _kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    if not pairs:
        return None
    count = len(pairs)
    first, second = sum(a for a, _ in pairs) / count, sum(b for _, b in pairs) / count
    chance = first * second + (1 - first) * (1 - second)
    if chance == 1.0:
        return None
    return (sum(a == b for a, b in pairs) / count - chance) / (1 - chance)
