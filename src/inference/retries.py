"""When a server is asked again, and after how long."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ..errors import RemoteError

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that another attempt may change: the server is busy, starting or broken."""
_LONGEST_S = 30.0


def may_pass(fault: Exception) -> bool:
    """Say whether the same request may succeed later.

    Refused keys, unknown models and bad requests stay as they are; asking again only hides them.
    """
    if isinstance(fault, RemoteError):
        return fault.status is None or fault.status in _LATER
    return isinstance(fault, httpx.TransportError) and not isinstance(
        fault, httpx.UnsupportedProtocol
    )


def wait_s(
    attempt: int,
    base_s: float,
    retry_after: str | None = None,
    *,
    patience_s: float = _LONGEST_S,
) -> float | None:
    """Say how long to wait before the next attempt.

    Half of the wait is random, so that clients that failed together do not come back together
    (M. Brooker, Exponential Backoff And Jitter, AWS 2015).

    Args:
        attempt: How many attempts failed, 1 or more.
        base_s: Seconds after the first; doubles with every attempt, to 30 at most.
        retry_after: What the server's header says: seconds or a date.
        patience_s: Longest wait that the server may ask for.

    Returns:
        Seconds; None where the server wants more patience than that.
    """
    told = told_wait_s(retry_after)
    if told > patience_s:
        return None
    longest = min(base_s * 2.0 ** (attempt - 1), _LONGEST_S)
    return max(told, longest * random.uniform(0.5, 1.0))


def told_wait_s(retry_after: str | None) -> float:
    """Read a Retry-After header, seconds or a date, as seconds from now; 0 where it says nothing.

    >>> told_wait_s("2"), told_wait_s("soon"), told_wait_s("nan"), told_wait_s(None)
    (2.0, 0.0, 0.0, 0.0)
    """
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))  # a NaN loses against the 0 that comes first
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
