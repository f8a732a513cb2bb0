"""Rate limits per address, before authentication, and per owner, after it.

A window of one minute begins with the first request of a key and admits a fixed number of requests,
so that a client sees exactly that many in it. The counters are in memory and bounded.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from .replies import Fault, fault_response

WINDOW_S = 60.0
_MOST_KEYS = 20_000
"""Counters kept; the oldest is dropped for a new one."""


class RateWindow:
    """Counts requests by key in windows of a minute.

    Args:
        most: Requests of one key in a window.
        clock: Seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without counts."""
        self._most, self._clock = most, clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str) -> float:
        """Count a request.

        Returns:
            0 where it is admitted, else the seconds until the next window.
        """
        now = self._clock()
        began, count = self._counts.get(key, (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count >= self._most:
            return began + WINDOW_S - now
        if count == 0:
            self._counts.pop(key, None)
            if len(self._counts) >= _MOST_KEYS:
                self._counts.popitem(last=False)
        self._counts[key] = (began, count + 1)
        return 0.0

    def left(self, key: str) -> bool:
        """Tell whether a request would be admitted now, without counting one."""
        began, count = self._counts.get(key, (-math.inf, 0))
        return count < self._most or self._clock() - began >= WINDOW_S

    def wait_s(self, key: str) -> float:
        """Give the seconds until the next window of a key."""
        began, _ = self._counts.get(key, (-math.inf, 0))
        return max(0.0, began + WINDOW_S - self._clock())


def address_of(scope: Scope) -> str:
    """Name the client: its IPv4 address, or the /64 network of its IPv6 address."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def too_many(wait_s: float, of: str) -> Fault:
    """Make the fault of a request beyond a limit."""
    seconds = max(1, math.ceil(wait_s))
    return Fault(
        429,
        f"too many requests of this {of}; send the next one in {seconds} s",
        "rate_limit_exceeded",
        headers={"retry-after": str(seconds)},
    )


class AddressRate:
    """Refuse requests of an address beyond its rate."""

    def __init__(self, app: ASGIApp, window: RateWindow) -> None:
        """Set the window."""
        self.app, self._window = app, window

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            wait_s = self._window.take(address_of(scope))
            if wait_s > 0:
                await fault_response(scope, too_many(wait_s, "address"))(scope, receive, send)
                return
        await self.app(scope, receive, send)


class OwnerRate:
    """Refuse requests of an owner beyond its rate; stands behind authentication."""

    def __init__(self, app: ASGIApp, window: RateWindow) -> None:
        """Set the window."""
        self.app, self._window = app, window

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        owner = (scope.get("state") or {}).get("owner") if scope["type"] == "http" else None
        if owner is not None:
            wait_s = self._window.take(owner)
            if wait_s > 0:
                await fault_response(scope, too_many(wait_s, "key"))(scope, receive, send)
                return
        await self.app(scope, receive, send)
