"""Retries of requests to servers: which faults, and after how long."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ...errors import RemoteError

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses of servers that are busy, starting or broken."""
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 60
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def may_pass(fault: Exception) -> bool:
    """Return whether the same request may succeed later; not for refused keys, unknown models and
    bad requests."""
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
    """Return the seconds to wait before the next attempt.

    Half of the wait is random, so that clients that failed together do not retry together
    (M. Brooker, Exponential Backoff And Jitter, AWS 2015).

    Args:
        attempt: How many attempts failed, 1 or more.
        base_s: Seconds after the first; doubles with every attempt, to 30 at most.
        retry_after: The Retry-After header: seconds or a date.
        patience_s: Longest wait that the server may ask for.

    Returns:
        Seconds; None if the server asks for more than `patience_s`.
    """
    told = told_wait_s(retry_after)
    if told > patience_s:
        return None
    longest = min(base_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), _LONGEST_S)
    return max(told, longest * random.uniform(0.5, 1.0))


def told_wait_s(retry_after: str | None) -> float:
    """Parse a Retry-After header as seconds from now; 0 if it cannot be parsed.

    Args:
        retry_after: Seconds, or a date of RFC 9110 or ISO 8601; UTC without a zone.

    >>> told_wait_s("2"), told_wait_s("soon"), told_wait_s("inf"), told_wait_s("-5")
    (2.0, 0.0, 0.0, 0.0)
    """
    text = str(retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else 0.0
    try:
        when = _read_date(text)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    # The parsers raise ValueError, TypeError, IndexError or OverflowError.
    except Exception:  # noqa: BLE001 - a malformed header counts as absent
        return 0.0


def retry_after_of(headers: Mapping[str, str]) -> str | None:
    """Return the Retry-After of a response: seconds or a date; None without one.

    Args:
        headers: Headers of the response. `retry-after-ms` of OpenAI and Azure is more exact and
            goes first.

    >>> retry_after_of({"retry-after-ms": "900", "retry-after": "1"})
    '0.9'
    """
    milliseconds = str(headers.get("retry-after-ms") or "").strip()
    if _SECONDS.fullmatch(milliseconds):
        return f"{float(milliseconds) / 1000:g}"
    return headers.get("retry-after")


def _read_date(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = parsedate_to_datetime(text)
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
