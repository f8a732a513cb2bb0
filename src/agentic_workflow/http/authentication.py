"""Authentication: who sends a request, and whether a web page may send it.

With a file of keys, a request carries `Authorization: Bearer KEY`, `X-Api-Key: KEY`, or the cookie
that `/login` sets for browsers. Without one the server is reachable from this machine only, and
each request belongs to `local`; its Host header must then name this machine, or any web page could
reach the server by DNS rebinding.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .keys import KeyFile
from .rate_limits import RateWindow, address_of, too_many
from .replies import Fault, fault_response
from .settings import LOCAL_OWNER, ServerSettings, is_loopback

COOKIE = "stillroom_key"
PUBLIC = frozenset({"/health", "/ready", "/login"})
"""The paths that need no key; every other one does."""


class Authentication:
    """Set `request.state.owner`, or refuse the request.

    Args:
        app: The next app.
        settings: Names the allowed hosts and origins.
        keys: The keys; None for a server on loopback without keys.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, keys: KeyFile | None) -> None:
        """Start without counts."""
        self.app, self._keys = app, keys
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        self._failures = RateWindow(settings.failed_key_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # WebSockets are not served
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)
        if scope["state"].get("wrong_key"):  # given to the login page
            self._failures.take(address_of(scope))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the response to a request that is refused; set the owner of any other."""
        origin = headers.get("origin")
        if origin is not None and not self._may_come_from(origin, headers.get("host", "")):
            told = "web pages of this origin may not call the server; start it with --allow-origin"
            return fault_response(scope, Fault(403, told, "origin_not_allowed"))
        if self._keys is None:
            if not self._names_this_machine(headers.get("host", "")):
                told = "the Host header names another machine; start the server with --allow-host"
                return fault_response(scope, Fault(421, told, "host_not_allowed"))
            scope["state"]["owner"] = LOCAL_OWNER
            return None
        address = address_of(scope)
        if not self._failures.left(address):
            fault = too_many(self._failures.wait_s(address), "address with wrong keys")
            return fault_response(scope, fault)
        given = given_keys(headers)
        owners = {self._keys.owner_of(key) for key in given}
        if len(owners) == 1 and None not in owners:
            scope["state"]["owner"] = owners.pop()
            return None
        if scope["path"] in PUBLIC:
            return None
        if given:
            self._failures.take(address)
        elif scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(f"/login?next={quote(scope['path'])}", 303)
        told = "no key was given" if not given else "the key is not known"
        fault = Fault(
            401,
            f"{told}; send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'",
            "invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )
        return fault_response(scope, fault)

    def _may_come_from(self, origin: str, host: str) -> bool:
        own = bool(host) and _netloc(origin) == host.lower()
        return origin in self._origins or own

    def _names_this_machine(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._hosts


def given_keys(headers: Headers) -> list[str]:
    """List the keys that a request carries; a cookie counts only where there is no header."""
    keys = []
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        keys.append(rest.strip())
    if headers.get("x-api-key"):
        keys.append(headers["x-api-key"])
    if not keys:
        try:
            cookie: Any = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and cookie.value:
            keys.append(cookie.value)
    return keys


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
