"""The folder of a pipeline run: its id, its lock, and `run.json`, which says how far it is."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError, DataError
from .stage_store import read_sealed, write_sealed

RUN_FILE: Final = "run.json"
LOCK_FILE: Final = ".lock"
RUN_ID_VARIABLE: Final = "FASTDISTILL_RUN_ID"
FOLDER_VARIABLE: Final = "FASTDISTILL_ARTIFACTS_DIR"
CACHE_VARIABLE: Final = "FASTDISTILL_CACHE_DIR"
_RUN_ID: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")


def slug(text: str) -> str:
    """Write a text for a file name: lower case, everything else than a-z and 0-9 as `-`.

    >>> slug("Text to SQL, v2!")
    'text-to-sql-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def new_run_id(name: str | None, now: datetime | None = None) -> str:
    """Make a run id from the time in UTC and a name.

    >>> new_run_id("My run", datetime(2026, 1, 23, 17, 37, 24, tzinfo=UTC))
    '20260123T173724Z-my-run'
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    named = slug(name or "")
    return f"{stamp}-{named}" if named else stamp


def choose_run_id(
    given: str | None,
    artifacts: Path,
    name: str,
    shape: object,
    *,
    may_resume: bool,
) -> str:
    """Choose the id of a run: given, else from the environment, else of a broken-off run, else new.

    Args:
        given: What the user named.
        artifacts: Folder of the runs.
        name: Name of the pipeline.
        shape: Steps and connections of the pipeline; a broken-off run of the same is resumed.
        may_resume: Whether a broken-off run may be chosen.

    Raises:
        ConfigError: The given id cannot be the name of a folder.
    """
    wanted = given or os.environ.get(RUN_ID_VARIABLE)
    if wanted:
        if not _RUN_ID.match(wanted):
            raise ConfigError([
                f"run_id is {wanted!r}; allowed are letters, digits, `.`, `_` and `-`, at most 200"
            ])  # fmt: skip
        return wanted
    if may_resume and artifacts.is_dir():
        for folder in sorted(artifacts.iterdir(), key=lambda path: path.name, reverse=True):
            if _is_broken_off(folder, name, shape):
                return folder.name
    fresh = new_run_id(name)
    number, run_id = 1, fresh
    while (artifacts / run_id).exists():
        number += 1
        run_id = f"{fresh}-{number}"
    return run_id


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, so that no other process works in it.

    Raises:
        ConfigError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "a") as lock:
        if not _try_lock(lock.fileno()):
            raise ConfigError([f"another process works on the run {folder}; give another run_id"])
        yield


def read_run(folder: Path) -> dict[str, Any] | None:
    """Read `run.json`; None where there is none.

    Raises:
        UnreadableFileError: It is not as it was written.
    """
    try:
        return read_sealed(folder / RUN_FILE)
    except FileNotFoundError:
        return None


def write_run(folder: Path, told: Mapping[str, Any]) -> None:
    """Write `run.json`; `created_at` stays what it was."""
    now = datetime.now(UTC).isoformat()
    try:
        created = (read_run(folder) or {}).get("created_at", now)
    except DataError:
        created = now
    write_sealed(folder / RUN_FILE, {**told, "created_at": created, "updated_at": now})


def _is_broken_off(folder: Path, name: str, shape: object) -> bool:
    try:
        run = read_run(folder) if folder.is_dir() else None
    except DataError:
        return False
    if run is None or run["status"] == "complete":
        return False
    if (run["pipeline"], run["shape"]) != (name, shape):
        return False
    with open(folder / LOCK_FILE, "a") as lock:
        return _try_lock(lock.fileno())


def _try_lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
