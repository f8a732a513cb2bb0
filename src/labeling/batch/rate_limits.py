"""Limit calls and tokens per minute, and tokens at work at once.

No window of 60 seconds exceeds the limit. Within a window, calls are spread evenly, with bursts of
at most a hundredth of the limit, because servers with limits per minute often have limits per
second too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .day_quota import DayQuota

MINUTE_S = 60.0
_BURST = 0.01
_ROUNDING_S = 1e-9
_LONGEST_NAP_S = 0.05
_LONGEST_DAY_NAP_S = 1.0
"""Longest sleep of a waiting call: meanwhile other calls may release tokens they did not use."""


class Pace:
    """A limit on an amount per minute."""

    def __init__(self, per_minute: float) -> None:
        """Start at zero."""
        self._limit = per_minute
        self._per_second = per_minute / MINUTE_S
        self._burst = per_minute * _BURST
        self._debt, self._debt_at = 0.0, 0.0
        self._sent: deque[list[float]] = deque()  # [time, amount], oldest first
        self._total = 0.0

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds to wait before an amount may be sent; 0 if it may be sent now.

        Args:
            amount: Number of calls or tokens. An amount above the whole limit is sent alone.
            now: Seconds of a monotonic clock.
        """
        self._forget(now)
        evenly = (self._debt - max(0.0, self._burst - amount)) / self._per_second
        if evenly < _ROUNDING_S:
            evenly = 0.0
        return max(evenly, self._window_wait(amount, now))

    def take(self, amount: float, now: float) -> list[float]:
        """Count an amount as sent.

        Returns:
            A handle for `correct`.
        """
        self._forget(now)
        entry = [now, amount]
        self._sent.append(entry)
        self._total += amount
        self._debt += amount
        return entry

    def correct(self, entry: list[float], amount: float) -> None:
        """Replace an estimated amount by the real one."""
        change = amount - entry[1]
        entry[1] = amount
        self._debt = max(0.0, self._debt + change)
        if self._sent and self._sent[0][0] <= entry[0]:  # not forgotten yet
            self._total += change

    def _window_wait(self, amount: float, now: float) -> float:
        free = self._limit - self._total - amount
        if free >= 0:
            return 0.0
        for sent_at, sent in self._sent:
            free += sent
            if free >= 0:
                return sent_at + MINUTE_S - now
        return self._sent[-1][0] + MINUTE_S - now if self._sent else 0.0

    def _forget(self, now: float) -> None:
        self._debt = max(0.0, self._debt - (now - self._debt_at) * self._per_second)
        self._debt_at = now
        while self._sent and self._sent[0][0] <= now - MINUTE_S:
            self._total -= self._sent.popleft()[1]
        if not self._sent:
            self._total = 0.0  # drop rounding errors


class TokenGuess:
    """Estimates the tokens of a call from those before it."""

    def __init__(self) -> None:
        """Start without calls; estimates are then the maximum."""
        self._calls = self._bytes = self._asked = self._made = 0

    def guess(self, prompt_bytes: int, max_tokens: int) -> float:
        """Estimate the tokens of prompt and answer together."""
        if not self._calls:
            return prompt_bytes + max_tokens
        return prompt_bytes * self._asked / self._bytes + self._made / self._calls

    def learn(self, prompt_bytes: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Add the tokens of a finished call."""
        self._calls += 1
        self._bytes += max(1, prompt_bytes)
        self._asked += prompt_tokens
        self._made += completion_tokens


@dataclass
class Admission:
    """A call that may be sent; `Limits.settle` ends it."""

    tokens: float
    """Estimate for prompt and answer together."""
    entry: list[float] | None
    """Handle of the pace of tokens."""


class Limits:
    """Admits calls in the order in which they arrive."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        tokens_at_once: float | None = None,
        day: DayQuota | None = None,
    ) -> None:
        """Set the limits.

        Args:
            requests_per_minute: Most calls in any minute; None sets no limit.
            tokens_per_minute: Most tokens in any minute; None sets no limit.
            clock: Returns the seconds of a monotonic clock.
            tokens_at_once: Most tokens of all calls under way; None sets no limit. A call above it
                is sent alone.
            day: Calls of the last 24 hours; None sets no limit.
        """
        self._day = day
        self._requests = None if requests_per_minute is None else Pace(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else Pace(tokens_per_minute)
        self._at_once = tokens_at_once
        self._at_work = 0.0
        self._calls_at_work = 0
        self._clock = clock
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()
        self._closed_until = float("-inf")
        self._ended = False

    def begin(self) -> None:
        """Start a run; paces and tokens at work are those of the runs before."""
        self._ended = False

    def end(self) -> None:
        """Admit all waiting calls at once; the run is over, and they will send nothing."""
        self._ended = True
        self._settled.set()

    def pause(self, seconds: float) -> None:
        """Admit no call for some seconds, as the server's Retry-After demands."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    async def admit(self, tokens: float) -> Admission:
        """Wait until a call may be sent.

        Args:
            tokens: Estimate for prompt and answer together.

        Returns:
            A handle for `settle`.
        """
        limited = self._requests or self._tokens or self._day or self._at_once is not None
        if limited or self._clock() < self._closed_until:
            async with self._turn:
                while not self._ended and (wait := self._wait_s(tokens)) > 0:
                    nap = _LONGEST_NAP_S if wait < MINUTE_S else _LONGEST_DAY_NAP_S
                    self._settled.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._settled.wait(), min(wait, nap))
                return self._admitted(tokens)
        return self._admitted(tokens)

    def settle(self, admission: Admission, tokens: float) -> None:
        """End a call, and replace the estimated number of tokens by the real one."""
        if self._tokens is not None and admission.entry is not None:
            self._tokens.correct(admission.entry, tokens)
        self._calls_at_work -= 1
        self._at_work = self._at_work - admission.tokens if self._calls_at_work else 0.0
        self._settled.set()

    def _admitted(self, tokens: float) -> Admission:
        now = self._clock()
        if self._requests is not None:
            self._requests.take(1, now)
        if self._day is not None and not self._ended:
            self._day.take()
        self._calls_at_work += 1
        self._at_work += tokens
        return Admission(tokens, None if self._tokens is None else self._tokens.take(tokens, now))

    def _wait_s(self, tokens: float) -> float:
        now = self._clock()
        waits = [self._closed_until - now]
        if self._day is not None:
            waits.append(self._day.wait_s())
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now))
        full = self._at_once is not None and self._at_work + tokens > self._at_once
        if full and self._calls_at_work:
            waits.append(_LONGEST_NAP_S)
        return max(waits)
