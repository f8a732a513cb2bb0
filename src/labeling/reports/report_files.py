"""Where a report is written, and what all reports have: run, stage, time, version of the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ...files import read_json, write_json

SCHEMA_VERSION: Final = 1


def require_own_report(path: Path, run_id: str | None) -> None:
    """Refuse to replace a report of another run.

    Args:
        path: File to be written.
        run_id: The run; None is a run of its own.

    Raises:
        ConfigError: The file is there and is not a report of this run.
    """
    if not path.exists():
        return
    try:
        found = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, Mapping):
        raise ConfigError([f"{path} is there and is no report; remove it or write elsewhere"])
    if found.get("run_id") != run_id:
        raise ConfigError([
            f"{path} belongs to run {found.get('run_id')!r}, this is run {run_id!r}; give another "
            "output_dir or stage, or remove the file"
        ])  # fmt: skip


def write_report(
    path: Path, head: Mapping[str, Any], body: Mapping[str, Any], *, partial: bool = False
) -> Path:
    """Write a report, atomically.

    Args:
        path: File to write.
        head: First fields: `run_id`, and `stage` where it has one.
        body: What was found.
        partial: Whether the run was ended early; then the report says so.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    mark = {"partial": True} if partial else {}
    return write_json(
        path, {**head, **body, **mark, "created_at": now(), "schema_version": SCHEMA_VERSION}
    )


def now() -> str:
    """Give the time in UTC as ISO 8601 with microseconds and offset."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
