"""Files on disk, written atomically: into `<name>.tmp-<pid>` beside them, flushed, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LONGEST_NAME = 255
"""Bytes of one name in the usual file systems."""
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")
_TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container")


@contextmanager
def naming_disk_faults(path: str | Path) -> Iterator[None]:
    """Turn the disk errors of any writer into an `OSError` that names the path.

    Python's own error has no path when a write fails; safetensors and torch raise other types.

    Args:
        path: File being written.

    Raises:
        OSError: The disk is full, the file exceeds a limit, and so on.
    """
    try:
        yield
    except OSError as fault:
        if fault.errno is not None and fault.filename is None:
            fault.filename = str(path)
        raise
    except Exception as fault:
        rust = _RUST_ERROR.search(str(fault))
        number = int(rust[1]) if rust else errno.ENOSPC
        if rust is None and not _TORCH_WRITER.search(str(fault)):
            raise
        raise OSError(number, os.strerror(number), str(path)) from fault


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Args:
        path: Final file; its folder is created.

    Yields:
        A path in the same folder for the caller to write to.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{final.name}.tmp-{os.getpid()}")
    try:
        with naming_disk_faults(final):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, final)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; replace `path` by it when the block succeeds."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{final.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with naming_disk_faults(final):
            yield temporary
        old = final.with_name(f"{final.name}.old-{os.getpid()}")
        if final.exists():
            os.replace(final, old)
        os.replace(temporary, final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def folder_fault(path: str | Path) -> str | None:
    """Say why a folder cannot be created or written to; None where it can.

    A few bytes are written into it (or its nearest existing parent) and deleted, since only a write
    shows missing rights, a read-only disk and a full one.
    """
    folder = Path(path)
    if not str(path).strip() or "\0" in str(path):
        return "is empty; give the name of a folder"
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in folder.parts):
        return f"cannot be made: a name has more than {LONGEST_NAME} bytes"
    above = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not above.exists():
        return f"cannot be made: {above} is a link that leads nowhere"
    if not above.is_dir():
        return f"cannot be made: {above} is a file"
    try:
        with tempfile.NamedTemporaryFile(dir=above, prefix=".stillroom-") as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as fault:
        return f"cannot be written to: {fault.strerror or fault}"
    return None


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text with LF line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:  # noqa: ANN401 - any JSON value
    """Write JSON, atomically: UTF-8, indent 2, no NaN.

    Raises:
        ValueError: A number is NaN or infinite; the message names its place.
    """
    place = _not_finite_place(value)
    if place is not None:
        raise ValueError(f"{path}: {place} is not a finite number; write null instead")
    return write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a UTF-8 JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json_lines(path: str | Path, records: list[dict[str, Any]]) -> Path:
    """Write one JSON object per line."""
    lines = [json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records]
    return write_text(path, "".join(lines))


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """Read a file that holds one JSON object per line."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def file_sha256(path: str | Path) -> str:
    """Hash a file's bytes; hex, 64 digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_bytes(path: str | Path) -> int:
    """Add up the sizes of all files below a folder, in bytes."""
    return sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file())


def _not_finite_place(value: Any, place: str = "$") -> str | None:  # noqa: ANN401
    if isinstance(value, float) and not math.isfinite(value):
        return place
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        children = [(f"{place}.{key}", child) for key, child in value.items()]
    elif isinstance(value, (list, tuple)):
        children = [(f"{place}[{i}]", child) for i, child in enumerate(value)]
    for child_place, child in children:
        found = _not_finite_place(child, child_place)
        if found is not None:
            return found
    return None
