"""The folder of a run: which run it belongs to and which of its stages are done.

An interrupted run resumes after its finished stages where settings, data, prompts and versions are
the same; a finished run starts again from the beginning. A folder with another run or with other
files is never written into.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .console import Console
from .errors import ConfigError
from .files import read_json, write_json
from .run_identity import changed_values

PROGRESS_FILE = "progress.json"
STALE = (
    "controls", "predictions", "metrics.json", "calibration.json", "int8.json",
    "public_tasks.json", "report.html", "report.json", "report.md", "scores.png",
)  # fmt: skip
"""Results of an earlier run that a new run does not always write again, so they are removed."""


class RunFolder:
    """Records the finished stages of a run.

    Args:
        path: The run's folder; created when the run begins.
        identity: Hash of everything that decides the result.
        owner: `source` and `settings` of the run in plain JSON values, to tell it from other runs.
    """

    def __init__(
        self, path: str | Path, identity: str, owner: Mapping[str, Any] | None = None
    ) -> None:
        """Read what an earlier run left."""
        self.path = Path(path)
        self.identity = identity
        self.owner = dict(owner or {})
        self._done: dict[str, Any] = {}
        self.resumed = False

    def is_broken_off(self) -> bool:
        """Tell whether the folder holds an interrupted run with the same identity."""
        earlier = _progress(self.path) or {}
        return earlier.get("identity") == self.identity and earlier.get("status") == "running"

    def begin(self) -> bool:
        """Start or resume; True where an interrupted run with the same identity is resumed.

        A start removes the metrics and controls of an earlier run, so that every number in the
        folder is about the models in it.
        """
        self.resumed = self.is_broken_off()
        self._done = dict((_progress(self.path) or {})["done"]) if self.resumed else {}
        if not self.resumed and (self.path / PROGRESS_FILE).is_file():
            for name in STALE:
                shutil.rmtree(self.path / name, ignore_errors=True)
                with suppress(FileNotFoundError, NotADirectoryError):
                    (self.path / name).unlink()
        self._write("running")
        return self.resumed

    def is_done(self, stage: str) -> bool:
        """Say whether a stage was finished before the interruption."""
        return stage in self._done

    def done(self, stage: str) -> None:
        """Mark a stage as finished; its files must be complete."""
        self._done[stage] = True
        self._write("running")

    def finish(self) -> None:
        """Mark the run as complete; the same command then starts a new run."""
        self._write("complete")

    def _write(self, status: str) -> None:
        write_json(
            self.path / PROGRESS_FILE,
            {
                "schema_version": 1,
                "status": status,
                "identity": self.identity,
                "owner": self.owner,
                "updated_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
                "done": self._done,
            },
        )


def open_run_folder(
    wanted: Path, identity: str, owner: Mapping[str, Any], console: Console, *, is_named: bool
) -> RunFolder:
    """Open the folder of a run; print why it is not the wanted one.

    Args:
        wanted: The folder to take where nothing else is in it.
        identity: As in `RunFolder`.
        owner: As in `RunFolder`.
        console: Prints why another folder is taken.
        is_named: Whether the user named the folder; another one is not taken then.

    Raises:
        ConfigError: The named folder holds another run, or files that no run wrote.
    """
    reason = foreign(wanted, identity, owner) if is_named else None
    if reason is not None:
        raise ConfigError([
            f"{wanted} {reason}, and is not written over; name another folder with --output-dir "
            "(output_dir=), or delete this one"
        ])  # fmt: skip
    folder, why = (wanted, None) if is_named else owned_folder(wanted, identity, owner)
    if why is not None:
        console.line("folder", f"{why}; this one is written to {folder}")
    return RunFolder(folder, identity, owner)


def owned_folder(wanted: Path, identity: str, owner: Mapping[str, Any]) -> tuple[Path, str | None]:
    """Choose the wanted folder, or `<wanted>-2` and so on where another run has it.

    Returns:
        The folder, and why it is not the wanted one; None where it is.
    """
    places = [wanted, *_numbered(wanted)]
    others = {place: foreign(place, identity, owner) for place in places}
    own = [place for place in places if others[place] is None and not _is_free(place)]
    chosen = own[0] if own else next(place for place in places if _is_free(place))
    other = others[wanted]
    return chosen, None if chosen == wanted or other is None else f"{wanted} {other}"


def foreign(folder: Path, identity: str, owner: Mapping[str, Any]) -> str | None:
    """Say what else a folder holds; None where it is empty, missing, or of the same run."""
    if not folder.is_dir():
        return "is a file" if os.path.lexists(folder) else None
    if _is_free(folder):
        return None
    found = _progress(folder)
    if found is None:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        return f"holds files that no run wrote ({', '.join(names[:3])})"
    theirs = found.get("owner")
    if found.get("identity") == identity or theirs == owner:
        return None
    if not isinstance(theirs, Mapping) or not theirs:
        return "holds the run of an earlier version, of another table or with other settings"
    if theirs.get("source") != owner.get("source"):
        source = theirs.get("source")
        data = source.get("data") if isinstance(source, Mapping) else source
        changed = changed_values(theirs.get("source"), owner.get("source"))
        return f"holds a run of {data}" + (f" ({changed})" if "data:" not in changed else "")
    changed = changed_values(theirs.get("settings"), owner.get("settings"))
    return f"holds a run with other settings ({changed})"


def source_of(data: str, beside: Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe the input of a run, without passwords and independent of where folders are moved.

    Args:
        data: Path or URL.
        beside: Folder that paths are relative to.
        **more: Table, query and the like; values of None are left out.
    """
    if "://" in data:
        address = urlsplit(data)
        host = address.netloc.rpartition("@")[2]
        place = f"{address.scheme}://{host}{address.path}"
    else:
        place = os.path.abspath(os.path.realpath(data))
        with suppress(ValueError):  # on another drive there is no relative path
            place = Path(os.path.relpath(place, os.path.realpath(beside))).as_posix()
    return {"data": place, **{name: value for name, value in more.items() if value is not None}}


def _progress(folder: Path) -> dict[str, Any] | None:
    try:
        found = read_json(folder / PROGRESS_FILE)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_free(folder: Path) -> bool:
    """Say whether a folder is missing, or holds nothing but hidden files."""
    if not os.path.lexists(folder):
        return True
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def _numbered(wanted: Path) -> Iterator[Path]:
    """Yield `<wanted>-2` and so on: all that exist, and the first that does not."""
    pattern = re.compile(re.escape(wanted.name) + r"-(\d+)")
    there = wanted.parent.iterdir() if wanted.parent.is_dir() else iter(())
    taken = {int(found[1]) for path in there if (found := pattern.fullmatch(path.name))}
    first = next(number for number in range(2, len(taken) + 3) if number not in taken)
    for number in sorted({*taken, first}):
        yield wanted.with_name(f"{wanted.name}-{number}")
