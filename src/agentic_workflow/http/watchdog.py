"""The watchdog: notices an engine that hangs, and ends the turns that wait for it.

A thread that is stuck in a forward pass cannot be ended in Python. So `/ready` fails at once, the
turns in progress fail with a typed error, and when the pass does not end for much longer,
`/health` fails, on which a supervisor restarts the process. If the pass does end, all is well
again. An engine whose thread died restarts by itself with the next request.
"""

from __future__ import annotations

import asyncio
import logging

from .service import Service
from .settings import ServerSettings

_EVERY_S = 0.5
_log = logging.getLogger(__name__)


async def watch_engine(service: Service, settings: ServerSettings) -> None:
    """Watch the service's engine until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        check_engine(service, settings)


def check_engine(service: Service, settings: ServerSettings) -> None:
    """Look at the engine once, and mark the service accordingly."""
    stuck_s = 0.0 if service.engine is None else getattr(service.engine, "pass_s", float)()
    hangs = stuck_s > settings.stall_s
    if hangs and not service.hung:
        _log.error("the engine has been in one forward pass for %.1f s; turns end", stuck_s)
    if service.hung and not hangs:
        _log.warning("the engine goes on")
    service.hung = hangs
    service.must_restart = stuck_s > settings.hung_s
    if hangs:
        service.fail_turns()
