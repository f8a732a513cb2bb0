"""Models of the Hugging Face hub: safetensors and transformers' own code only, and plain words when
it fails."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch

from ..errors import CheckpointError, ModelNotFoundError

_NETWORK = frozenset({
    "ConnectError", "ConnectTimeout", "ReadTimeout", "ProxyError", "ConnectionError", "gaierror",
    "OfflineModeIsEnabled", "LocalEntryNotFoundError", "TimeoutError",
})  # fmt: skip


def load_from_hub(name: str, dtype: torch.dtype | None) -> tuple[Any, Any]:
    """Load model and tokenizer from the hub, or from its local cache where the hub is out of reach.

    Args:
        name: Hub name such as `Qwen/Qwen2.5-0.5B-Instruct`.
        dtype: Type of the weights; None keeps the stored type.

    Raises:
        ModelNotFoundError: The hub does not know the name, or is out of reach and the cache does
            not hold it.
        CheckpointError: The model is there but cannot be loaded safely.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Without this look-up huggingface_hub tries for 23 s and fills the screen.
    reachable = _hub_is_reachable()
    options = {"trust_remote_code": False, "local_files_only": not reachable}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype="auto" if dtype is None else dtype, use_safetensors=True, **options
        )
    except Exception as fault:  # each of its libraries has errors of its own
        raise _translate(name, fault, reachable) from fault
    return model, tokenizer


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
