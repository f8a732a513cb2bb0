"""Settings of runs and of their event streams; limits of turns are those of the server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import ConfigError


@dataclass(frozen=True)
class RunSettings:
    """Times and limits of runs and streams.

    Raises:
        ConfigError: A setting is not above 0.
    """

    heartbeat_s: float = 5.0
    """Seconds of silence after which a stream sends a comment, so that proxies keep it open."""
    lease_s: float = 15.0
    """Seconds after which the runs of a process that was killed go on in another."""
    poll_s: float = 0.2
    """Seconds between two looks at the database for events that other processes stored."""
    max_attempts: int = 3
    """Attempts at one run: the first, and those after its process died."""
    most_waiting: int = 20
    """Most runs of a thread that wait for the one in progress (`enqueue`)."""
    kept_runs: int = 20
    """Runs of a thread whose events are kept, the newest one included; older events are deleted."""
    kept_events: int = 50_000
    """Most events of one run; a run with more fails."""
    drain_s: float = 5.0
    """Seconds that runs without a client may take to end when the server stops; then another
    process, or the next start, takes them over."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = [
            f"{field.name} is {getattr(self, field.name)!r}; it must be above 0"
            for field in fields(self)
            if not getattr(self, field.name) > 0
        ]
        if faults:
            raise ConfigError(faults)
