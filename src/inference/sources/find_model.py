"""From the name of a model, as a user gives it, to its folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...errors import ModelNotFoundError
from ...files import file_sha256
from .model_cache import cached_model
from .packaged import PACKAGED


def find_model(name: str | Path) -> Path | str:
    """Find the folder that a name stands for; nothing is fetched.

    In this order: a folder; a `.gguf` file, which is converted into the model cache once; the
    alias of a packaged model, such as `smollm2`, in the model cache.

    Returns:
        The folder, unchecked; or the name as it was given where it is none of these, so that it
        can be a model of the hub or is no model.

    Raises:
        ModelNotFoundError: An alias whose model is not in the cache.
        CheckpointError: A `.gguf` file that is damaged or not supported.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if is_gguf(path):
        return _converted(path)
    if str(name) not in PACKAGED:
        return str(name)
    found = cached_model(str(name), PACKAGED[str(name)].sha256)
    if found is None:
        raise ModelNotFoundError(missing_model(str(name)))
    return found


def missing_model(name: str) -> str:
    """Say what to do about a packaged model that is not in the cache."""
    size = PACKAGED[name].megabytes
    return (
        f"the model {name!r} is not on this machine; fetch it once ({size} MB, from your package "
        f"index) with: stillroom models add {name}"
    )


def is_gguf(path: Path) -> bool:
    """Tell whether a path is a GGUF file, by its name."""
    return path.suffix.lower() == ".gguf" and path.is_file()


def _converted(path: Path) -> Path:
    from .convert_gguf import cache_gguf

    stat = path.stat()
    sha256 = _hash_once(path.resolve(), stat.st_size, stat.st_mtime_ns)
    name = f"gguf-{sha256[:16]}"
    return cached_model(name, sha256) or cache_gguf(path, name, sha256)


@lru_cache(maxsize=8)
def _hash_once(path: Path, size: int, changed_ns: int) -> str:
    """Hash a file once per process; a file that changed is hashed again."""
    return file_sha256(path)
