"""Calls and tokens per minute: how long the next call has to wait.

Two rules hold at once. In no 60 seconds more is sent than the limit, counted exactly. Within them
calls go out evenly, a hundredth of the limit in a burst at most, because servers that count by the
minute often also count by the second.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

MINUTE_S = 60.0
_BURST = 0.01
_ROUNDING_S = 1e-9
_LONGEST_NAP_S = 0.05
"""Tokens that were reserved and not used come back while others wait for them."""


class Pace:
    """A limit on an amount per minute."""

    def __init__(self, per_minute: float) -> None:
        """Start with nothing sent."""
        self._limit = per_minute
        self._per_second = per_minute / MINUTE_S
        self._burst = per_minute * _BURST
        self._debt, self._debt_at = 0.0, 0.0
        self._sent: deque[list[float]] = deque()  # [time, amount], oldest first
        self._total = 0.0

    def wait_s(self, amount: float, now: float) -> float:
        """Say how many seconds an amount has to wait; 0 where it may go.

        Args:
            amount: Of calls or tokens. One above the whole limit goes alone.
            now: Seconds on a clock that never goes back.
        """
        self._forget(now)
        evenly = (self._debt - max(0.0, self._burst - amount)) / self._per_second
        if evenly < _ROUNDING_S:
            evenly = 0.0
        return max(evenly, self._until_room(amount, now))

    def take(self, amount: float, now: float) -> list[float]:
        """Count an amount as sent.

        Returns:
            What `correct` takes, once the amount is known.
        """
        self._forget(now)
        entry = [now, amount]
        self._sent.append(entry)
        self._total += amount
        self._debt += amount
        return entry

    def correct(self, entry: list[float], amount: float) -> None:
        """Put the true amount in the place of the one that was taken."""
        change = amount - entry[1]
        entry[1] = amount
        self._debt = max(0.0, self._debt + change)
        if self._sent and self._sent[0][0] <= entry[0]:  # not forgotten yet
            self._total += change

    def _until_room(self, amount: float, now: float) -> float:
        room = self._limit - self._total - amount
        if room >= 0:
            return 0.0
        for sent_at, sent in self._sent:
            room += sent
            if room >= 0:
                return sent_at + MINUTE_S - now
        return self._sent[-1][0] + MINUTE_S - now if self._sent else 0.0

    def _forget(self, now: float) -> None:
        self._debt = max(0.0, self._debt - (now - self._debt_at) * self._per_second)
        self._debt_at = now
        while self._sent and self._sent[0][0] <= now - MINUTE_S:
            self._total -= self._sent.popleft()[1]
        if not self._sent:
            self._total = 0.0  # what rounding left


class TokenGuess:
    """How many tokens a call will take, learnt from those before it."""

    def __init__(self) -> None:
        """Know nothing: guesses are the most that is possible."""
        self._calls = self._bytes = self._asked = self._made = 0

    def guess(self, prompt_bytes: int, max_tokens: int) -> float:
        """Expect tokens of prompt and answer together."""
        if not self._calls:
            return prompt_bytes + max_tokens
        return prompt_bytes * self._asked / self._bytes + self._made / self._calls

    def learn(self, prompt_bytes: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Take in what a call took."""
        self._calls += 1
        self._bytes += max(1, prompt_bytes)
        self._asked += prompt_tokens
        self._made += completion_tokens


class Limits:
    """The gate that calls go through, in the order in which they come."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the gate.

        Args:
            requests_per_minute: Most calls in any minute; None is no limit.
            tokens_per_minute: Most tokens in any minute; None is no limit.
            clock: Seconds.
        """
        self._requests = None if requests_per_minute is None else Pace(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else Pace(tokens_per_minute)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._closed_until = float("-inf")
        self._ended = False

    def end(self) -> None:
        """Let everybody through who waits: the run is over, and they will send nothing."""
        self._ended = True

    def pause(self, seconds: float) -> None:
        """Let nobody through for a time: the server said when to come back."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    async def admit(self, tokens: float) -> list[float] | None:
        """Wait until a call may go.

        Args:
            tokens: Expected of prompt and answer together.

        Returns:
            What `settle` takes; None where tokens are not limited.
        """
        if self._requests is None and self._tokens is None and self._clock() >= self._closed_until:
            return None
        async with self._turn:
            while not self._ended and (wait := self._wait_s(tokens)) > 0:
                await asyncio.sleep(min(wait, _LONGEST_NAP_S))
            now = self._clock()
            if self._requests is not None:
                self._requests.take(1, now)
            return None if self._tokens is None else self._tokens.take(tokens, now)

    def settle(self, entry: list[float] | None, tokens: float) -> None:
        """Put the true number of tokens in the place of the expected one."""
        if self._tokens is not None and entry is not None:
            self._tokens.correct(entry, tokens)

    def _wait_s(self, tokens: float) -> float:
        now = self._clock()
        waits = [self._closed_until - now]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now))
        return max(waits)
