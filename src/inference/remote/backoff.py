"""When a server is asked again, and after how long."""

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
"""Statuses that another attempt may change: the server is busy, starting or broken."""
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 60
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")


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
    longest = min(base_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), _LONGEST_S)
    return max(told, longest * random.uniform(0.5, 1.0))


def told_wait_s(retry_after: str | None) -> float:
    """Read a Retry-After header as seconds from now; 0 where it says nothing that can be read.

    Args:
        retry_after: Seconds, or a date in a form of RFC 9110 or ISO 8601. A date without a zone is
            in UTC.

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
    # The parsers raise ValueError, TypeError, IndexError or OverflowError, by fault.
    except Exception:  # noqa: BLE001 - a header that cannot be read counts as absent
        return 0.0


def retry_after_of(headers: Mapping[str, str]) -> str | None:
    """Find what a response says of when to come back: seconds or a date; None for nothing.

    Args:
        headers: Of the response. `retry-after-ms`, which OpenAI and Azure send, is more exact and
            goes first where it can be read.

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
