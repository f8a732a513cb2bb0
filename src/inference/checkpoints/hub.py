"""Downloading models of the Hugging Face hub into its cache.

Only needed files are fetched. `folder_checks` then checks the snapshot like any other folder, and
allows its symbolic links into `blobs/`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from ...errors import CheckpointError, ModelNotFoundError

_FILES = (
    "config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors",
    "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer_check.json", "chat_template.jinja", "adapter_config.json", "run.json",
)  # fmt: skip
_NETWORK = frozenset({
    "ConnectError", "ConnectTimeout", "ReadTimeout", "ProxyError", "ConnectionError", "gaierror",
    "OfflineModeIsEnabled", "LocalEntryNotFoundError", "TimeoutError",
})  # fmt: skip


def fetch_from_hub(name: str) -> Path:
    """Download a model of the hub into its local cache, or find it there if the hub is unreachable.

    Args:
        name: Hub name such as `Qwen/Qwen2.5-0.5B-Instruct`.

    Returns:
        The folder of the snapshot, unchecked.

    Raises:
        ModelNotFoundError: The hub does not know the name, or is out of reach and the cache does
            not hold it.
        CheckpointError: The files could not be fetched for another reason.
    """
    from huggingface_hub import snapshot_download

    # Without this check huggingface_hub retries for 23 s and logs each attempt.
    reachable = _hub_is_reachable()
    try:
        return Path(
            snapshot_download(name, allow_patterns=list(_FILES), local_files_only=not reachable)
        )
    except Exception as fault:  # huggingface_hub and its HTTP client raise many types
        raise _translate(name, fault, reachable) from fault


def hub_has(name: str) -> bool | None:
    """Ask the hub whether it has a model, without fetching it.

    Args:
        name: Hub name, perhaps malformed.

    Returns:
        False for an unknown or malformed name; None if the hub is unreachable and the local cache
        does not hold the model.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError
    from huggingface_hub.utils._validators import validate_repo_id

    looks_like_path = name.startswith((".", "/", "~")) or "\\" in name
    try:
        validate_repo_id(name)
    except ValueError:
        return False
    if looks_like_path:
        return False
    try:
        if _hub_is_reachable():
            HfApi().model_info(name)
        else:
            snapshot_download(name, allow_patterns=["config.json"], local_files_only=True)
    except GatedRepoError:
        return True
    except Exception as fault:  # noqa: BLE001 - each of its libraries has errors of its own
        unknown = {type(link).__name__ for link in _chain(fault)} & {"RepositoryNotFoundError"}
        return False if unknown else None
    return True


def _translate(
    name: str, fault: BaseException, reachable: bool
) -> ModelNotFoundError | CheckpointError:
    kinds = {type(link).__name__ for link in _chain(fault)}
    start = f"{name!r} is no folder here"
    if kinds & {"GatedRepoError"}:
        return ModelNotFoundError(
            f"{start}; the hub has it, but only for users who accepted its terms: accept them on "
            "its page, then run: hf auth login"
        )
    if kinds & {"RepositoryNotFoundError", "HFValidationError"}:
        return ModelNotFoundError(
            f"{start}, and the Hugging Face hub knows no such model (or it is private: run hf auth "
            "login). Check the spelling, or give the folder that holds config.json and "
            "model.safetensors"
        )
    if not reachable or kinds & _NETWORK:
        return ModelNotFoundError(
            f"{start}; whether the Hugging Face hub knows it could not be asked (no network, or "
            "HF_HUB_OFFLINE is set) and its local cache does not hold it. Connect once to download "
            "it, or give the folder that holds config.json and model.safetensors"
        )
    return CheckpointError(f"{name!r} from the Hugging Face hub does not load: {fault}")


def _hub_is_reachable() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if getproxies().get(endpoint.scheme or "https") or endpoint.hostname is None:
        return True  # the proxy resolves names; huggingface_hub will say what is wrong
    try:
        socket.getaddrinfo(endpoint.hostname, endpoint.port or 443)
    except OSError:
        return False
    return True


def _chain(fault: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while fault is not None and id(fault) not in seen:
        seen.add(id(fault))
        yield fault
        fault = fault.__cause__ or fault.__context__
