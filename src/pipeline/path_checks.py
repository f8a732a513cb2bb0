"""Check the files, folders and models that options name, before heavy libraries are loaded."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, ModelNotFoundError, StillroomError
from ..files import folder_fault
from ..inference.sources.find_model import find_model, is_gguf
from .options import faults_of


def require_source(source: str) -> None:
    """Refuse a file, folder or pattern without data; URLs are not checked.

    Raises:
        DataNotFoundError: There is no such file, or no file matches.
        DataError: The folder has no data, or the name cannot be looked up.
    """
    from ..data.readers.read_report import ReadReport
    from ..data.readers.sources import find_files

    if "://" in source:
        return
    try:
        find_files(source, ReadReport(quiet=True))
    except OSError as fault:
        if isinstance(fault, StillroomError):
            raise
        raise DataError(f"cannot be read: {fault.strerror}", path=source) from fault


def missing_source(source: str) -> list[str]:
    """List the faults of a file, folder or pattern of data; URLs are not checked."""
    return faults_of(lambda: require_source(source))


def model_faults(
    role: str,
    name: Any,  # noqa: ANN401
    words: Sequence[str] = (),
    *,
    hub: bool = True,
) -> list[str]:
    """List the faults in the name of a model that can be found without loading anything.

    Args:
        role: Role of the model for the message, such as `teacher`.
        name: A folder, a `.gguf` file, an alias such as `smollm2`, a name on the hub, or one of
            `words`.
        words: Further allowed words, e.g. `starter`.
        hub: Whether a name on the hub is allowed.
    """
    if not isinstance(name, str) or not name.strip():
        return [f"{role} is {name!r}; allowed is a folder or the name of a model on the hub"]
    if name in words:
        return []
    path = os.path.expanduser(name)
    if is_gguf(Path(path)):
        from ..inference.sources.convert_gguf import gguf_faults

        return [f"{role} is {name!r}: {fault}" for fault in gguf_faults(Path(path))]
    if os.path.isfile(path):
        return [f"{role} is {name!r}, which is a file; name the folder of a model or a .gguf file"]
    try:
        found = find_model(name)
    except ModelNotFoundError as fault:
        return [f"{role} is {name!r}: {fault}"]
    if isinstance(found, Path):
        return _folder_faults(role, found)
    looks_like_path = name[0] in "./~\\" or name.count("/") > 1 or name.endswith("/")
    inside = "/" in name and os.path.isdir(name.split("/")[0])
    if looks_like_path or inside or not hub:
        return [f"{role} is {name!r}; there is no such folder"]
    if not re.fullmatch(r"[\w.-]{1,96}(/[\w.-]{1,96})?", name):
        return [f"{role} is {name!r}; allowed is a folder or the name of a model on the hub"]
    return []


def _folder_faults(role: str, folder: Path) -> list[str]:
    """Report a folder without a model."""
    names = ("config.json", "adapter_config.json")
    if not any(True for name in names for place in (name, f"*/{name}") for _ in folder.glob(place)):
        return [f"{role} is {str(folder)!r}, which holds no model: there is no config.json in it"]
    config = folder / "config.json"
    if config.is_file():
        try:
            is_model = "model_type" in json.loads(config.read_bytes())
        except (OSError, ValueError, TypeError):
            is_model = False
        if not is_model:
            return [
                f"{role} is {str(folder)!r}; its config.json has no model_type, so it is no model"
            ]
    return []


def output_faults(name: str, folder: str) -> list[str]:
    """Report a folder that cannot be created or written to.

    Args:
        name: Keyword of the option that names the folder.
        folder: The folder to write.
    """
    found = folder_fault(folder)
    return [] if found is None else [f"{name} is {folder!r}, which {found}; name another folder"]
