"""Settings of the HTTP server."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError

DEFAULT_PORT = 8000
LOCAL_OWNER = "local"
"""Owner of every request where the server has no keys; it is then reachable from this machine only.
"""
OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Names of owners; without `/`, which separates owner and thread in the name of a stored thread."""
MIB = 1 << 20


@dataclass(frozen=True)
class ServerSettings:
    """Where the server listens, who may use it, and its limits.

    Raises:
        ConfigError: A setting is out of range, or the server would be reachable from other machines
            without keys; all faults at once.
    """

    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs `tokens`."""
    port: int = DEFAULT_PORT
    """TCP port; 0 takes a free one."""
    tokens: Path | None = None
    """File of the keys' hashes (`stillroom keys add`); None: no key is needed, and every request
    belongs to `LOCAL_OWNER`."""
    allowed_origins: Sequence[str] = ()
    """Origins of web pages on other hosts that may call the server, such as
    `https://chat.example.org`; `*` is not allowed."""
    allowed_hosts: Sequence[str] = ()
    """Further names in the Host header that a server on loopback accepts, besides `localhost` and
    loopback addresses; without that check any web page could reach it by DNS rebinding."""
    max_body_bytes: int = MIB
    """Most bytes of a request's body."""
    max_upload_bytes: int = 16 * MIB
    """Most bytes of a file that is uploaded to the chat page."""
    max_header_bytes: int = 32768
    """Most bytes of a request's line and headers together."""
    header_deadline_s: float = 5.0
    """Seconds from the first byte of a request, or from connecting, to the end of its headers."""
    receive_deadline_s: float = 7.0
    """Seconds from the end of the headers to the end of the body."""
    send_deadline_s: float = 30.0
    """Seconds that a client may take to read what it was sent, before more is sent."""
    turn_deadline_s: float = 300.0
    """Seconds that one turn may take."""
    address_rate: int = 1200
    """Most requests per minute from one address, those without a valid key included."""
    owner_rate: int = 600
    """Most requests per minute of one owner."""
    failed_key_rate: int = 30
    """Most wrong keys per minute from one address."""
    max_turns: int = 64
    """Turns in progress at once; further ones are refused with 429."""
    max_turns_per_owner: int = 32
    """Turns in progress at once of one owner."""
    max_connections: int = 2048
    """Open connections; further ones are closed at once."""
    drain_s: float = 30.0
    """Seconds that turns in progress may take to end after SIGTERM."""
    stall_s: float = 30.0
    """Seconds in one forward pass after which the engine counts as hung: `/ready` fails, and the
    turns in progress end with an error. Many long prompts at once take seconds on a processor; on
    a GPU 4 is enough."""
    hung_s: float = 120.0
    """Seconds in one forward pass after which `/health` fails, so that a supervisor restarts the
    process."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = []
        if not 0 <= self.port <= 65535:
            faults.append(f"port is {self.port!r}; allowed is 0 to 65535")
        for name in (
            "max_body_bytes", "max_upload_bytes", "max_header_bytes", "address_rate", "owner_rate",
            "failed_key_rate", "max_turns", "max_turns_per_owner", "max_connections",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                faults.append(f"{name} is {getattr(self, name)!r}; allowed is 1 or more")
        for name in (
            "header_deadline_s", "receive_deadline_s", "send_deadline_s", "turn_deadline_s",
            "drain_s", "stall_s", "hung_s",
        ):  # fmt: skip
            if not 0 < getattr(self, name) < math.inf:
                faults.append(f"{name} is {getattr(self, name)!r}; allowed is above 0 seconds")
        for origin in self.allowed_origins:
            scheme, colon, rest = origin.partition("://")
            if scheme not in ("http", "https") or not colon or not rest or set(rest) & set("/*?# "):
                faults.append(
                    f"allowed_origins holds {origin!r}; write scheme and host, such as "
                    "'https://chat.example.org', without a path and without '*'"
                )
        if self.tokens is None and not is_loopback(self.host):
            faults.append(
                f"host is {self.host!r}, which other machines can reach, and there are no keys; "
                "make one (stillroom keys add NAME --tokens keys.json) and pass --tokens keys.json"
            )
        if faults:
            raise ConfigError(faults)


def is_loopback(host: str) -> bool:
    """Tell whether an address or name can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
