"""Folders of calls below a cache folder, one per model, shared by all steps of a process.

    <cache>/teacher/<model>-<hash>/calls.jsonl    calls of `TextGeneration`
    <cache>/judge/<model>-<hash>/calls.jsonl      calls of judges, with a budget of their own

Every run with the same cache folder finds the answers of those before. Several processes take
turns, batch by batch.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ....labeling.batch.open_folder import OpenFolder
from ....records import sha256_text

CACHE_ENV: Final = "FASTDISTILL_CACHE_DIR"


@dataclass
class _Shared:
    folder: OpenFolder
    users: int


_OPEN: dict[Path, _Shared] = {}
_LOCK = threading.Lock()


def cache_root(given: str | Path | None, of_run: Path | None) -> Path:
    """Choose the cache folder: given, of the run, of the environment, or the user's own."""
    if given is not None:
        return Path(given).expanduser()
    if of_run is not None:
        return of_run
    named = os.environ.get(CACHE_ENV, "").strip()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{base}/stillroom/pipelines").expanduser()


def call_folder(root: Path, role: str, model: str) -> Path:
    """Name the folder of a model's calls.

    >>> call_folder(Path("cache"), "teacher", "Qwen/Qwen3-32B").as_posix()
    'cache/teacher/qwen-qwen3-32b-27a75aed'
    """
    slug = re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-.")[-60:]
    return root / role / f"{slug}-{sha256_text(model)[:8]}"


def open_shared(path: Path) -> OpenFolder:
    """Open a folder, or share it with the steps of this process that have it open."""
    path = path.absolute()
    with _LOCK:
        if path not in _OPEN:
            _OPEN[path] = _Shared(OpenFolder(path), 0)
        _OPEN[path].users += 1
        return _OPEN[path].folder


def close_shared(folder: OpenFolder) -> None:
    """Close a folder when its last user has done so."""
    path = folder.path
    with _LOCK:
        shared = _OPEN[path]
        shared.users -= 1
        if not shared.users:
            del _OPEN[path]
            shared.folder.close()
