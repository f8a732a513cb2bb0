"""Keep the known costs of calls, and an upper bound of the unknown ones.

Before a call is sent, the ledger reserves its largest possible cost. The real cost replaces the
reservation when the call ends; if its outcome is never known, the reservation stays. The money
spent therefore never exceeds `most`.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROUNDING = 1e-9


class Ledger:
    """Costs of one folder over all runs."""

    def __init__(self) -> None:
        """Start at zero."""
        self.known = 0.0
        self._lost = 0.0
        self._open: dict[str, float] = {}
        self._open_total = 0.0

    @property
    def most(self) -> float:
        """Upper bound of what all calls so far have cost."""
        return self.known + self._lost + self._open_total

    @property
    def open(self) -> Mapping[str, float]:
        """Key -> reservation of calls without a known outcome."""
        return self._open

    def fits(self, key: str, most: float, budget: float | None, *, once: bool) -> bool:
        """Return whether a call fits into the budget.

        Args:
            key: Key of the record.
            most: Largest possible cost of the call.
            budget: Most that may be spent in total; None sets no limit.
            once: Whether the server charges all calls with the same idempotency key only once.
        """
        if budget is None:
            return True
        new = max(0.0, most - self._open.get(key, 0.0)) if once else most
        return self.most + new <= budget * (1 + _ROUNDING)

    def charge(self, key: str, most: float, *, once: bool) -> None:
        """Reserve the cost of a call that is about to be sent."""
        before = self._open.get(key, 0.0)
        self._put(key, max(before, most) if once else before + most)

    def refund(self, key: str, most: float, *, once: bool) -> None:
        """Release the reservation of a refused call whose earlier attempts have no known end."""
        if not once:  # else one reservation covers all attempts
            self._put(key, max(0.0, self._open.get(key, 0.0) - most))

    def settle(self, key: str, most: float, cost: float | None, *, once: bool) -> None:
        """Record the end of a call.

        Args:
            key: Key of the record.
            most: Amount that was reserved for the call.
            cost: Cost of the call; None if unknown.
            once: As in `fits`.
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
            self._open_total = 0.0  # drop rounding errors
