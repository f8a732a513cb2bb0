"""What all rows will cost, and how long they will take, from a few that were answered.

The rows of a pilot are a sample of all rows: the cost of the others has a mean and a spread, and so
their sum has a prediction interval (Student's t; Geisser 1993, Predictive Inference, section 2.2).
It covers the chance of which rows were drawn, not a pilot whose rows are unlike the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ...errors import ConfigError, EmptyDataError
from ..batch.label_run import LabelSettings, Prices
from .token_statistics import token_statistics

Interval = tuple[float, float]
_LEAST: Final = 2


@dataclass(frozen=True)
class PilotRow:
    """Tokens of the answers to one row."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class PilotEstimate:
    """What all rows will take; intervals hold with the stated confidence."""

    rows: int
    pilot_rows: int
    confidence: float
    prompt_tokens: float
    prompt_tokens_interval: Interval | None
    """None for a pilot of one row; so are the other intervals."""
    completion_tokens: float
    completion_tokens_interval: Interval | None
    cost: float | None
    """In the currency of the prices; None without prices."""
    cost_interval: Interval | None
    seconds: float | None
    """None if the times of the calls are not known, and no limit is set."""
    seconds_interval: Interval | None

    def __str__(self) -> str:
        """Format as one line."""
        tokens = self.prompt_tokens + self.completion_tokens
        words = [f"{self.rows:,} rows, from a pilot of {self.pilot_rows:,}: {tokens:,.0f} tokens"]
        if self.cost is not None:
            words.append(f"cost {self.cost:.4g}{_between(self.cost_interval, '.4g')}")
        if self.seconds is not None:
            words.append(f"{self.seconds:,.0f} s{_between(self.seconds_interval, ',.0f')}")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def estimate_from_pilot(
    pilot: Sequence[PilotRow],
    rows: int,
    *,
    prices: Prices | None = None,
    price_factor: float = 1.0,
    settings: LabelSettings | None = None,
    call_seconds: Sequence[float] = (),
    calls_per_row: int = 1,
    confidence: float = 0.95,
) -> PilotEstimate:
    """Estimate what all rows cost and how long they take.

    Args:
        pilot: Rows that were answered, drawn at random or the first ones.
        rows: Number of all rows, those of the pilot included; at least as many.
        prices: Prices of the model; None leaves the cost out.
        price_factor: 0.5 for a batch endpoint at half the price.
        settings: Calls at once and limits per minute, for the time; None is one call at a time
            without limits.
        call_seconds: Seconds from a call to its answer, of some calls; empty if not measured.
        calls_per_row: Answers per row, 1 or more.
        confidence: Probability of the intervals, above 0 and below 1.

    Raises:
        EmptyDataError: The pilot has no rows.
        ConfigError: A number is out of range.

    >>> pilot = [PilotRow(100, 20), PilotRow(100, 40), PilotRow(100, 60)]
    >>> told = estimate_from_pilot(pilot, 1000, prices=Prices(1.0, 2.0))
    >>> round(told.cost, 6), [round(end, 3) for end in told.cost_interval]
    (0.18, [0.081, 0.279])
    """
    if not pilot:
        raise EmptyDataError("the pilot has no answered rows, so there is nothing to go by")
    if rows < len(pilot) or not 0 < confidence < 1:
        raise ConfigError([
            f"rows is {rows} and confidence {confidence}; allowed are at least the {len(pilot)} "
            "rows of the pilot, and above 0 and below 1"
        ])  # fmt: skip
    asked = _total([row.prompt_tokens for row in pilot], rows, confidence)
    made = _total([row.completion_tokens for row in pilot], rows, confidence)
    cost: tuple[float, Interval | None] | None = None
    if prices is not None:
        paid = [price_factor * prices.cost(r.prompt_tokens, r.completion_tokens) for r in pilot]
        cost = _total(paid, rows, confidence)
    limits = settings or LabelSettings(concurrency=1)
    calls = rows * calls_per_row
    seconds = max(
        (found for found in (
            _seconds_of_calls(call_seconds, calls, limits.concurrency, confidence),
            _seconds_of_tokens(pilot, rows, limits.tokens_per_minute, confidence),
            _seconds_of_requests(calls, limits.requests_per_minute),
        ) if found is not None),
        key=lambda found: found[0],
        default=None,
    )  # fmt: skip
    return PilotEstimate(
        rows, len(pilot), confidence, *asked, *made, *(cost or (None, None)),
        *(seconds or (None, None)),
    )  # fmt: skip


def pilot_rows(records: Iterable[Mapping[str, Any]], step: str) -> list[PilotRow]:
    """Read the tokens of a step from the records of a pilot.

    Records without them are left out; generations of one row in several records count as rows.
    """
    return [
        PilotRow(asked, made)
        for record in records
        for name, asked, made, _ in token_statistics(record)
        if name == step
    ]


def _total(values: Sequence[float], rows: int, confidence: float) -> tuple[float, Interval | None]:
    """Estimate the sum over all rows: the pilot's own, and that of the others with its interval."""
    count, others = len(values), rows - len(values)
    known = math.fsum(values)
    mean = known / count
    total = known + others * mean
    if count < _LEAST:
        return total, None
    from scipy.stats import t

    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    # Spread of the sum of the others, and of the mean that it was computed from.
    spread = math.sqrt(variance * (others + others * others / count))
    half = float(t.ppf((1 + confidence) / 2, count - 1)) * spread
    return total, (max(known, total - half), total + half)


def _seconds_of_calls(
    seconds: Sequence[float], calls: int, concurrency: int, confidence: float
) -> tuple[float, Interval | None] | None:
    """Spread the time of all calls over the slots; one call takes its time all the same."""
    if not seconds:
        return None
    longest, slots = max(seconds), min(concurrency, calls)
    total, interval = _total(seconds, max(calls, len(seconds)), confidence)
    if interval is None:
        return max(longest, total / slots), None
    low, high = interval
    return max(longest, total / slots), (max(longest, low / slots), max(longest, high / slots))


def _seconds_of_tokens(
    pilot: Sequence[PilotRow], rows: int, per_minute: float | None, confidence: float
) -> tuple[float, Interval | None] | None:
    if per_minute is None:
        return None
    tokens = [float(row.prompt_tokens + row.completion_tokens) for row in pilot]
    total, interval = _total(tokens, rows, confidence)
    rate = per_minute / 60
    return total / rate, interval and (interval[0] / rate, interval[1] / rate)


def _seconds_of_requests(calls: int, per_minute: float | None) -> tuple[float, Interval] | None:
    if per_minute is None:
        return None
    exact = calls / per_minute * 60
    return exact, (exact, exact)


def _between(interval: Interval | None, form: str) -> str:
    if interval is None:
        return ""
    return f" ({format(interval[0], form)} to {format(interval[1], form)})"
