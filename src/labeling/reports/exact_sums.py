"""Sums of floats without rounding, so that they depend neither on order nor on batches.

A float is a whole number of 2^-1074, so sums and products of floats are whole numbers too.
"""

from __future__ import annotations

from typing import Final

UNIT_BITS: Final = 1074
"""The smallest positive float is 2^-1074."""


def in_units(value: float) -> int:
    """Write a finite number as a whole number of 2^-1074.

    >>> in_units(1.0) == 2**1074 and in_units(5e-324) == 1
    True
    """
    numerator, denominator = float(value).as_integer_ratio()
    return numerator << (UNIT_BITS - denominator.bit_length() + 1)


def quotient(numerator: int, denominator: int) -> float | None:
    """Divide two whole numbers, rounded once; None for 0 / 0 and what no float can hold."""
    try:
        return numerator / denominator
    except (ZeroDivisionError, OverflowError):
        return None


class ExactSum:
    """Adds finite numbers exactly.

    >>> total = ExactSum()
    >>> for value in (0.1, 1e16, 0.1, -1e16):
    ...     total.add(value)
    >>> total.mean
    0.05
    """

    def __init__(self) -> None:
        """Begin at 0."""
        self.count = 0
        """Numbers added."""
        self._units = 0

    def add(self, value: float) -> None:
        """Add a number."""
        self._units += in_units(value)
        self.count += 1

    @property
    def total(self) -> float:
        """The sum, rounded once."""
        return quotient(self._units, 1 << UNIT_BITS) or 0.0

    @property
    def mean(self) -> float | None:
        """The mean, rounded once; None without numbers."""
        return quotient(self._units, self.count << UNIT_BITS)
