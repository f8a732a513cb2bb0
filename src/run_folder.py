"""A run's folder: whose it is, and which stages are done, so that an interrupted run goes on and a
finished one starts anew.

A stage is skipped only within one interrupted run, and only while settings, data, prompts and
versions are the same. A folder that holds another run, or other files, is never written into.
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

from .errors import ConfigError
from .files import read_json, write_json

PROGRESS_FILE = "progress.json"
STALE = ("controls", "metrics.json", "report.html", "scores.png")
"""What is about the models of an earlier run, and is not written again by every run."""


class RunFolder:
    """Remembers the finished stages of a run.

    Args:
        path: The run's folder; made when the run begins.
        identity: Hash of everything that decides the result.
        owner: What the run was made from and how, in plain JSON values: `source` and `settings`.
            Another run is told by it.
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
        """Say whether the folder holds an interrupted run with the same identity."""
        earlier = _progress(self.path) or {}
        return earlier.get("identity") == self.identity and earlier.get("status") == "running"

    def begin(self) -> bool:
        """Start or go on; True when an interrupted run with the same identity is continued.

        A run that starts removes what an earlier one measured and its controls, so that no number
        in the folder is of other models than those in it.
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
        """Say whether a stage was finished in this run, before an interruption."""
        return stage in self._done

    def done(self, stage: str) -> None:
        """Mark a stage as finished; its files are whole by now."""
        self._done[stage] = True
        self._write("running")

    def finish(self) -> None:
        """Mark the run as complete: the same command starts anew from here."""
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


def owned_folder(wanted: Path, identity: str, owner: Mapping[str, Any]) -> tuple[Path, str | None]:
    """Choose the folder of a run whose user named none: the wanted one, or `<wanted>-2` and so on.

    Args:
        wanted: Folder to take where nothing else is in it.
        identity: As in `RunFolder`.
        owner: As in `RunFolder`.

    Returns:
        The folder; and, where it is not the wanted one, why.
    """
    places = [wanted, *_numbered(wanted)]
    others = {place: foreign(place, identity, owner) for place in places}
    own = [place for place in places if others[place] is None and not _is_free(place)]
    chosen = own[0] if own else next(place for place in places if _is_free(place))
    other = others[wanted]
    return chosen, None if chosen == wanted or other is None else f"{wanted} {other}"


def require_owned(folder: Path, identity: str, owner: Mapping[str, Any]) -> None:
    """Refuse a folder that a user named where something else is in it.

    Raises:
        ConfigError: It holds another run, or files that no run wrote.
    """
    reason = foreign(folder, identity, owner)
    if reason is not None:
        raise ConfigError([
            f"{folder} {reason}, and is not written over; name another folder with --output-dir "
            "(output_dir=), or delete this one"
        ])  # fmt: skip


def foreign(folder: Path, identity: str, owner: Mapping[str, Any]) -> str | None:
    """Say what else a folder holds; None where it is empty, not there, or of the same run."""
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
        changed = _changes(theirs.get("source"), owner.get("source"))
        return f"holds a run of {data}" + (f" ({changed})" if "data:" not in changed else "")
    changed = _changes(theirs.get("settings"), owner.get("settings"))
    return f"holds a run with other settings ({changed})"


def source_of(data: str, beside: Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe what a run reads, free of passwords and the same after all folders were moved.

    Args:
        data: Path or URL.
        beside: Folder from which paths are written.
        **more: Table, query and the like; None is left out.
    """
    if "://" in data:
        address = urlsplit(data)
        host = address.netloc.rpartition("@")[2]
        place = f"{address.scheme}://{host}{address.path}"
    else:
        place = os.path.abspath(os.path.realpath(data))
        with suppress(ValueError):  # on another drive there is no way from here to there
            place = Path(os.path.relpath(place, os.path.realpath(beside))).as_posix()
    return {"data": place, **{name: value for name, value in more.items() if value is not None}}


def _progress(folder: Path) -> dict[str, Any] | None:
    try:
        found = read_json(folder / PROGRESS_FILE)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_free(folder: Path) -> bool:
    """Say whether a folder is not there, or holds nothing but hidden files."""
    if not os.path.lexists(folder):
        return True
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def _numbered(wanted: Path) -> Iterator[Path]:
    """Give `<wanted>-2` and so on: all that are there, and the first that is not."""
    pattern = re.compile(re.escape(wanted.name) + r"-(\d+)")
    there = wanted.parent.iterdir() if wanted.parent.is_dir() else iter(())
    taken = {int(found[1]) for path in there if (found := pattern.fullmatch(path.name))}
    first = next(number for number in range(2, len(taken) + 3) if number not in taken)
    for number in sorted({*taken, first}):
        yield wanted.with_name(f"{wanted.name}-{number}")


def _changes(theirs: Any, ours: Any, place: str = "") -> str:  # noqa: ANN401 - JSON values
    """Write the first few values that differ."""
    if not isinstance(theirs, Mapping) or not isinstance(ours, Mapping):
        return f"{place}: {_shown(theirs)} there, {_shown(ours)} here"
    found = [
        _changes(theirs.get(name), ours.get(name), f"{place}.{name}" if place else name)
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
