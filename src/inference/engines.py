"""Opening engines: by the name of a checkpoint, one for all who ask for the same.

    engine = open_engine("outputs/elements/student")

The weights of a model are in memory once per process, however many chat models speak with it, and
go when the last of them goes.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ..errors import ConfigError
from .batch_engine import BatchEngine
from .checkpoints import Checkpoint, choose_device, load_checkpoint
from .transformers_engine import serve_checkpoint

ENGINES = ("auto", "transformers")

_Key = tuple[object, ...]
_shared: WeakValueDictionary[_Key, BatchEngine] = WeakValueDictionary()
_guard = threading.Lock()
_opening: defaultdict[_Key, threading.Lock] = defaultdict(threading.Lock)


def open_engine(
    model: str | Path | Checkpoint, *, engine: str = "auto", device: str | None = None
) -> BatchEngine:
    """Open the engine of a model, or give the one that is open.

    Args:
        model: A checkpoint folder, a hub name, or a loaded checkpoint.
        engine: `transformers`, or `auto` for the best there is, which is the same so far.
        device: Torch device; None chooses. A loaded checkpoint stays where it is.

    Raises:
        CheckpointError: The folder lacks a part or is not safe to load.
        ModelNotFoundError: There is no such folder or model.
        ConfigError: There is no such engine.
    """
    if engine not in ENGINES:
        raise ConfigError([f"engine is {engine!r}; allowed are {list(ENGINES)}"])
    key = _key(model, device)
    with _guard:
        opening = _opening[key]
    # Two who ask for one folder load it once; others need not wait for them.
    with opening:
        found = _shared.get(key)
        if found is None or found.closed:
            checkpoint = model if isinstance(model, Checkpoint) else _load(model, device)
            found = _shared[key] = serve_checkpoint(checkpoint)
    with _guard:
        _opening.pop(key, None)
    return found


def _load(model: str | Path, device: str | None) -> Checkpoint:
    return load_checkpoint(model, device=device)


def _key(model: str | Path | Checkpoint, device: str | None) -> _Key:
    if isinstance(model, Checkpoint):
        # The engine keeps the model, so its id is not given to another while the key counts.
        return (id(model.model), id(model.tokenizer), model.name)
    place = str(choose_device(device))
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return (str(model), place)
    return (str(folder.resolve()), place, *_fingerprint(folder))


def _fingerprint(folder: Path) -> list[tuple[Any, ...]]:
    """Tell a folder from what another training run leaves under the same name."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    states = ((path.name, path.stat()) for path in files)
    return [(name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in states]
