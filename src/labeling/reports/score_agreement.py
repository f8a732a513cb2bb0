"""`score_agreement.json`: how far the scores of a student are from those of its teacher."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import Any, Final

from ...errors import ConfigError
from ..gates.record_values import read_number
from ..gates.score_agreement import ROUNDING
from .exact_sums import UNIT_BITS, in_units, quotient
from .external_sort import ExternalSort, float_key

EPSILONS: Final = (0.0, 0.05, 0.1, 0.2)


class ScoreAgreement:
    """The agreement of two scores over a stage, pair by pair."""

    def __init__(
        self, agreement_epsilons: Iterable[float] = EPSILONS, pass_threshold: float | None = None
    ) -> None:
        """Begin without pairs.

        Args:
            agreement_epsilons: Largest differences for which the share of agreeing pairs is given.
            pass_threshold: Score from which a record passes, for `pass_agreement`; None leaves it
                out.

        Raises:
            ConfigError: A largest difference is negative or not finite.
        """
        self._near = dict.fromkeys(map(float, agreement_epsilons), 0)
        wrong = [epsilon for epsilon in self._near if not 0 <= epsilon < math.inf]
        if wrong:
            raise ConfigError([f"agreement_epsilons has {wrong[0]}; allowed is 0 or more"])
        self._threshold = pass_threshold
        self._total = 0
        self._same = 0
        self._scores = _Moments()
        self._errors = 0
        self._squares = 0
        self._pairs = ExternalSort(16)

    def add(self, teacher: object, student: object) -> None:
        """Take the scores of a record; what is no finite number counts as missing."""
        self._total += 1
        first, second = (read_number({"": score}, "")[0] for score in (teacher, student))
        if first is None or second is None:
            return
        a, b = in_units(first), in_units(second)
        self._scores.add(a, b)
        self._errors += abs(a - b)
        self._squares += (a - b) ** 2
        for epsilon in self._near:
            self._near[epsilon] += abs(first - second) <= epsilon + ROUNDING
        if self._threshold is not None:
            self._same += (first >= self._threshold) == (second >= self._threshold)
        self._pairs.add(float_key(first) + float_key(second))

    def report(self) -> dict[str, Any]:
        """Give the fields of `score_agreement.json` without those of the run.

        Returns:
            `total`, `matched`, `missing`; with a pair also `teacher_mean`, `student_mean`, `mae`,
            `rmse`, `agreement_at_<epsilon>`, `pearson`, `spearman` (None for fewer than two pairs,
            or if one side is constant), and with a threshold `pass_threshold`, `pass_agreement`.
        """
        count = self._scores.count
        found: dict[str, Any] = {
            "total": self._total,
            "matched": count,
            "missing": self._total - count,
        }
        if not count:
            return found
        unit = count << UNIT_BITS
        square = quotient(self._squares, unit << UNIT_BITS)
        found |= {
            "teacher_mean": quotient(self._scores.first, unit),
            "student_mean": quotient(self._scores.second, unit),
            "mae": quotient(self._errors, unit),
            "rmse": None if square is None else math.sqrt(square),
            **{f"agreement_at_{epsilon}": near / count for epsilon, near in self._near.items()},
            "pearson": self._scores.correlation(),
            "spearman": _ranked(self._pairs).correlation(),
        }
        if self._threshold is not None:
            found |= {"pass_threshold": self._threshold, "pass_agreement": self._same / count}
        return found


def score_agreement(
    teacher: Sequence[Any],
    student: Sequence[Any],
    *,
    agreement_epsilons: Sequence[float] = EPSILONS,
    pass_threshold: float | None = None,
) -> dict[str, Any]:
    """Compare lists of scores; see `ScoreAgreement`.

    Args:
        teacher: Scores, one per record. Nulls, truth values, texts and numbers that are not finite
            count as missing.
        student: Likewise, for the same records.
        agreement_epsilons: As for `ScoreAgreement`.
        pass_threshold: As for `ScoreAgreement`.

    Raises:
        ValueError: The two are of different length.
    """
    if len(teacher) != len(student):
        raise ValueError(
            f"there are {len(teacher)} scores of the teacher and {len(student)} of the student; "
            "give one of each per record, None where there is none"
        )
    found = ScoreAgreement(agreement_epsilons, pass_threshold)
    for first, second in zip(teacher, student, strict=True):
        found.add(first, second)
    return found.report()


class _Moments:
    """Exact sums of pairs of whole numbers, of their squares and products."""

    def __init__(self) -> None:
        self.count = self.first = self.second = 0
        self._first_squares = self._second_squares = self._products = 0

    def add(self, first: int, second: int) -> None:
        self.count += 1
        self.first += first
        self.second += second
        self._first_squares += first * first
        self._second_squares += second * second
        self._products += first * second

    def add_group(self, size: int, firsts: int, squares: int, second: int) -> None:
        """Add pairs with the same second number.

        Args:
            size: Number of pairs.
            firsts: Sum of their first numbers.
            squares: Sum of the squares of these.
            second: The second number.
        """
        self.count += size
        self.first += firsts
        self.second += size * second
        self._first_squares += squares
        self._second_squares += size * second * second
        self._products += firsts * second

    def correlation(self) -> float | None:
        """Compute Pearson's correlation; None if it is not defined."""
        n = self.count
        spread = (n * self._first_squares - self.first**2) * (
            n * self._second_squares - self.second**2
        )
        if spread == 0:
            return None
        # 64 more binary digits than the root has, so that rounding it down costs nothing.
        root = math.isqrt(spread << 128)
        return quotient((n * self._products - self.first * self.second) << 64, root)


def _ranked(pairs: ExternalSort) -> _Moments:
    """Sum up pairs of ranks, equal values with the average of their ranks.

    Ranks are doubled, so that averages are whole numbers. Pairs come sorted by the first value;
    groups of equal ones may be larger than memory, so they are counted by one reader and ranked by
    another.
    """
    by_second = ExternalSort(16)
    reader, before = iter(pairs), 0
    for _, group in groupby(pairs, key=lambda key: key[:8]):
        size = sum(1 for _ in group)
        rank = struct.pack(">Q", 2 * before + size + 1)
        for key in islice(reader, size):
            by_second.add(key[8:] + rank)
        before += size
    found, before = _Moments(), 0
    for _, group in groupby(by_second, key=lambda key: key[:8]):
        size = firsts = squares = 0
        for key in group:
            (rank_of_first,) = struct.unpack(">Q", key[8:])
            size += 1
            firsts += rank_of_first
            squares += rank_of_first**2
        found.add_group(size, firsts, squares, 2 * before + size + 1)
        before += size
    return found
