"""What calls cost: known, and at most.

A call is charged with the most that it can cost before it is sent. When its end is seen, the true
price takes that place; where the end is never seen, the charge stays. So what was spent is never
more than `most`, and a budget that `most` keeps to is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROUNDING = 1e-9


class Ledger:
    """Money of one folder, all runs together."""

    def __init__(self) -> None:
        """Start with nothing spent."""
        self.known = 0.0
        self._lost = 0.0
        self._open: dict[str, float] = {}
        self._open_total = 0.0

    @property
    def most(self) -> float:
        """What all calls so far can have cost at most."""
        return self.known + self._lost + self._open_total

    @property
    def open(self) -> Mapping[str, float]:
        """Charges of calls whose end is not known, by key."""
        return self._open

    def fits(self, key: str, most: float, budget: float | None, *, once: bool) -> bool:
        """Say whether a call may be sent without the budget being exceeded.

        Args:
            key: Of the record.
            most: What the call can cost at most.
            budget: Most that may be spent in all; None is no limit.
            once: The server charges calls with one idempotency key once.
        """
        if budget is None:
            return True
        new = max(0.0, most - self._open.get(key, 0.0)) if once else most
        return self.most + new <= budget * (1 + _ROUNDING)

    def charge(self, key: str, most: float, *, once: bool) -> None:
        """Charge a call that is about to be sent."""
        before = self._open.get(key, 0.0)
        self._put(key, max(before, most) if once else before + most)

    def refund(self, key: str, most: float, *, once: bool) -> None:
        """Take back the charge of a call that was refused, and was sent before without an end."""
        if not once:  # else one charge stands for all of them
            self._put(key, max(0.0, self._open.get(key, 0.0) - most))

    def settle(self, key: str, most: float, cost: float | None, *, once: bool) -> None:
        """Take the end of a call in: what the next one of this record is charged is another call.

        Args:
            key: Of the record.
            most: What the call was charged.
            cost: What it cost; None where that is not known.
            once: As in `charge`.
        """
        held = self._open.get(key, 0.0)
        if cost is not None:
            self.known += cost
            held = 0.0 if once else max(0.0, held - most)
        self._lost += held
        self._put(key, None)

    def _put(self, key: str, amount: float | None) -> None:
        self._open_total += (amount or 0.0) - self._open.pop(key, 0.0)
        if amount is not None:
            self._open[key] = amount
        if not self._open:
            self._open_total = 0.0  # what rounding left
