"""The versions of a served student: exchanged in one step, and brought back byte by byte.

    renewals/0001/version.json    status, lineage, hashes
    renewals/0001/data/           the data of the version, with its manifest
    renewals/0001/seeds/0/        the students that were trained; the first is the candidate
    renewals/0001/before/         the student that it replaced, as it was

A process that is killed between two steps leaves a status from which `settle` finishes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from ...errors import ConfigError
from ...files import file_sha256, read_json, write_json
from ...records import sha256_text

VERSIONS: Final = "renewals"
VERSION_FILE: Final = "version.json"
MARK_FILE: Final = "renewal.json"
"""File in the folder of a renewed student that tells its version."""
CANDIDATE: Final = "candidate"
BEFORE: Final = "before"
_AT_CWD: Final = -100
_EXCHANGE: Final = 2

Status = Literal["training", "refused", "ready", "promoting", "served", "going_back", "taken_back"]


@dataclass(frozen=True)
class Version:
    """One renewal of a student."""

    folder: Path

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return int(self.folder.name)

    @property
    def state(self) -> dict[str, Any]:
        """What is stored about it."""
        found: dict[str, Any] = read_json(self.folder / VERSION_FILE)
        return found

    @property
    def status(self) -> Status:
        """How far it is."""
        status: Status = self.state["status"]
        return status

    def store(self, **changes: Any) -> None:  # noqa: ANN401 - any JSON values
        """Change what is stored about it."""
        place = self.folder / VERSION_FILE
        state = read_json(place) if place.is_file() else {"schema_version": 1}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(place, {**state, "version": self.number, **changes, "updated_at": now})


def versions_of(run: Path) -> list[Version]:
    """List the versions of a run's student, the oldest first."""
    folder = run / VERSIONS
    found = sorted(folder.glob("[0-9]*")) if folder.is_dir() else []
    return [Version(one) for one in found if (one / VERSION_FILE).is_file()]


def next_version(run: Path) -> Version:
    """Name the next version; nothing is written."""
    numbers = [int(one.name) for one in (run / VERSIONS).glob("[0-9]*")]
    return Version(run / VERSIONS / f"{max(numbers, default=0) + 1:04d}")


def served_version(run: Path) -> Version | None:
    """Return the version that is served; None for the student of the run itself."""
    return next((one for one in reversed(versions_of(run)) if one.status == "served"), None)


def promote(student: Path, version: Version) -> None:
    """Serve a version's candidate in place of the student, which is kept in `before`.

    Args:
        student: Folder of the served student.
        version: Its `candidate` is complete.
    """
    write_json(version.folder / CANDIDATE / MARK_FILE, {"version": version.number})
    version.store(status="promoting", before_sha256=folder_sha256(student))
    settle(student, version)


def go_back(student: Path, version: Version) -> None:
    """Serve the student that a version has replaced, byte by byte.

    Raises:
        ConfigError: The version is not served, or the kept student was changed.
    """
    if version.status != "served":
        raise ConfigError([f"version {version.number} is not served"])
    kept = version.folder / BEFORE
    if folder_sha256(kept) != version.state["before_sha256"]:
        raise ConfigError([f"{kept} was changed since it was replaced, so it is not brought back; "
                           "restore it from a backup"])  # fmt: skip
    version.store(status="going_back")
    settle(student, version)


def settle(student: Path, version: Version) -> None:
    """Finish an exchange that was begun; no-op where none was."""
    status, folder = version.status, version.folder
    kept = folder / (CANDIDATE if status == "promoting" else BEFORE)
    _finish_renames(student, kept)
    if status == "promoting":
        if _number_in(student) != version.number:
            exchange(student, folder / CANDIDATE)
        if (folder / CANDIDATE).is_dir():
            os.replace(folder / CANDIDATE, folder / BEFORE)
        version.store(status="served")
    elif status == "going_back":
        if _number_in(student) == version.number:
            exchange(student, folder / BEFORE)
        if (folder / BEFORE).is_dir():
            os.replace(folder / BEFORE, folder / CANDIDATE)
        version.store(status="taken_back")


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders on one disk: in one step on Linux, by three renames elsewhere.

    Where renames are used and the process is killed between them, `settle` finishes them.
    """
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None, use_errno=True)
        call = getattr(library, "renameat2", None)
        names = os.fsencode(one), os.fsencode(other)
        if call is not None and call(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0:
            return
    aside = _aside(one)
    os.replace(one, aside)
    os.replace(other, one)
    os.replace(aside, other)


def folder_sha256(folder: Path) -> str:
    """Hash the names and bytes of all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder).as_posix()} {file_sha256(path)}" for path in files]
    return sha256_text("\n".join(lines))


def _finish_renames(student: Path, other: Path) -> None:
    """Finish an exchange by renames whose process was killed."""
    aside = _aside(student)
    if aside.is_dir():
        os.replace(aside, other if student.is_dir() else student)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.exchanged")


def _number_in(student: Path) -> int | None:
    mark = student / MARK_FILE
    return int(read_json(mark)["version"]) if mark.is_file() else None
