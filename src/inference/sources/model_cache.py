"""The model cache: one folder per converted model, which is written atomically."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ...errors import ModelNotFoundError
from ...files import atomic_folder, write_json

SOURCE_FILE: Final = "source.json"
"""File beside the weights with their origin, licence and hashes."""
FORMAT: Final = 1
"""Version of the conversion; a folder of another version is converted again."""


def model_cache() -> Path:
    """Return the folder of the model cache, which may not exist yet.

    It is `$STILLROOM_MODELS`, else `stillroom/models` in the user's cache folder.
    """
    given = os.environ.get("STILLROOM_MODELS")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "stillroom" / "models"


def read_source(folder: Path) -> dict[str, Any] | None:
    """Read `source.json` in a folder of the cache.

    Returns:
        Its content; None if it is missing or damaged, or has another format.
    """
    try:
        found = json.loads((folder / SOURCE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def cached_model(name: str, sha256: str) -> Path | None:
    """Find a model in the cache.

    Args:
        name: Folder in the cache.
        sha256: Hash of the wheel or file that the model must have been made from.

    Returns:
        The folder; None if it is not there, or was made from another file.
    """
    folder = model_cache() / name
    source = read_source(folder)
    return folder if source is not None and source.get("sha256") == sha256 else None


@contextmanager
def filling(name: str) -> Iterator[Path]:
    """Yield a temporary folder that becomes the folder `name` of the cache when the block succeeds.

    Call it inside of `locked(name)`.
    """
    final = model_cache() / name
    for leftover in final.parent.glob(f"{name}.*-*"):  # of processes that were killed
        shutil.rmtree(leftover, ignore_errors=True)
    with atomic_folder(final) as temporary:
        yield temporary


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Lock a folder of the cache for one process; other processes wait until the block ends."""
    root = model_cache()
    root.mkdir(parents=True, exist_ok=True)
    with open(root / f".{name}.lock", "a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file ends the lock


def write_source(folder: Path, source: dict[str, Any]) -> None:
    """Write `source.json`."""
    write_json(folder / SOURCE_FILE, {"format": FORMAT, **source})


def cached_names() -> list[str]:
    """List the folders of the cache that hold a model, sorted."""
    root = model_cache()
    if not root.is_dir():
        return []
    return sorted(f.name for f in root.iterdir() if f.is_dir() and read_source(f) is not None)


def remove_model(name: str) -> Path:
    """Delete a model from the cache.

    Args:
        name: Folder in the cache: an alias, or `gguf-...`.

    Returns:
        The folder, which no longer exists.

    Raises:
        ModelNotFoundError: The cache has no such model.
    """
    folder = model_cache() / name
    if name not in cached_names():
        there = ", ".join(cached_names()) or "nothing"
        raise ModelNotFoundError(f"{name!r} is not in the model cache, which holds {there}")
    with locked(name):
        gone = folder.with_name(f"{name}.old-{os.getpid()}")
        os.replace(folder, gone)  # readers must not see a partly deleted model
        shutil.rmtree(gone)
    return folder
