"""Opening engines by the name of a checkpoint; callers of the same checkpoint share one.

    engine = open_engine("outputs/elements/student")

The weights of a model are in memory once per process, and freed with the last user of the engine.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ..errors import CheckpointError, ConfigError, ExportError, MissingDependencyError
from .checkpoints.architectures import ANSWERING
from .checkpoints.load_student import Checkpoint, choose_device, find_checkpoint, load_checkpoint
from .engine.batch_engine import BatchEngine
from .engine.transformers_engine import serve_checkpoint
from .onnx_export.engine import serve_export
from .onnx_export.folder import EXPORT_FOLDER, find_export

ENGINES = ("auto", "export", "transformers")
logger = logging.getLogger(__name__)

_Key = tuple[object, ...]
_shared: WeakValueDictionary[_Key, BatchEngine] = WeakValueDictionary()
_guard = threading.Lock()
_opening: defaultdict[_Key, threading.Lock] = defaultdict(threading.Lock)


def open_engine(
    model: str | Path | Checkpoint, *, engine: str = "auto", device: str | None = None
) -> BatchEngine:
    """Open the engine of a model, or return the one that is open.

    Args:
        model: A checkpoint folder, a hub name, or a loaded checkpoint.
        engine: `transformers`; `export` for an export by `stillroom export`, on CPUs; `auto` for
            an export of this checkpoint if there is one, else transformers.
        device: Torch device; None chooses. A loaded checkpoint stays where it is.

    Raises:
        CheckpointError: The folder lacks a part or is not safe to load.
        ModelNotFoundError: There is no such folder or model.
        ConfigError: There is no such engine, or an export is asked for on another device.
        ExportError: `export` is asked for, and there is none or it is not usable.
        MissingDependencyError: `export` is asked for, and ONNX Runtime is not installed.
    """
    if engine not in ENGINES:
        raise ConfigError([f"engine is {engine!r}; allowed are {list(ENGINES)}"])
    export = _find_export(model, engine, device)
    if export is not None:
        try:
            return _share((str(export), *_key(model, device)), partial(serve_export, export))
        except (ExportError, CheckpointError, MissingDependencyError) as fault:
            alone = find_checkpoint(Path(str(model)).expanduser()) is None
            if engine == "export" or alone:
                raise
            logger.warning("the export is not used, transformers computes instead: %s", fault)
    return _share(_key(model, device), partial(_serve, model, device))


def _share(key: _Key, serve: Callable[[], BatchEngine]) -> BatchEngine:
    """Return the open engine of a key, or open one."""
    with _guard:
        opening = _opening[key]
    # Two callers of one folder load it once; callers of other folders do not wait.
    with opening:
        found = _shared.get(key)
        if found is None or found.closed:
            found = _shared[key] = serve()
    with _guard:
        _opening.pop(key, None)
    return found


def _serve(model: str | Path | Checkpoint, device: str | None) -> BatchEngine:
    if not isinstance(model, Checkpoint):
        model = load_checkpoint(model, device=device, kinds=ANSWERING)
    return serve_checkpoint(model)


def _find_export(model: str | Path | Checkpoint, engine: str, device: str | None) -> Path | None:
    """Find the export to be served, if one is asked for or `auto` prefers it."""
    if isinstance(model, Checkpoint):
        if engine == "export":
            raise ConfigError(["engine 'export' reads its own files; give the checkpoint's folder"])
        return None
    if engine == "transformers":
        return None
    folder = Path(model).expanduser()
    found, fits = find_export(folder), choose_device(device).type == "cpu"
    if engine == "auto":
        return found if fits else None
    if not fits:
        raise ConfigError([f"device is {device!r}; engine 'export' computes on 'cpu'"])
    if found is None:
        raise ExportError(f"{folder}: holds no export; make one: stillroom export {folder}")
    return found


def _key(model: str | Path | Checkpoint, device: str | None) -> _Key:
    if isinstance(model, Checkpoint):
        # The engine keeps the model alive, so its id is not reused while the key is in use.
        return (id(model.model), id(model.tokenizer), model.name)
    place = str(choose_device(device))
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return (str(model), place)
    return (str(folder.resolve()), place, *_fingerprint(folder))


def _fingerprint(folder: Path) -> list[tuple[Any, ...]]:
    """Identify the state of a folder, which another training or export may replace."""
    places = [folder, folder / EXPORT_FOLDER]
    files = sorted(p for place in places if place.is_dir() for p in place.iterdir() if p.is_file())
    states = ((path.name, path.stat()) for path in files)
    return [(name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in states]
