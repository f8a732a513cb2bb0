"""Which teacher a source names: an address, a provider, a folder, a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from ..errors import ConfigError, RemoteError
from ..inference.servers import Server
from .remote_teacher import RemoteTeacher
from .teachers import Teacher

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.language_models.chat_models import BaseChatModel

    from ..inference.checkpoints import Checkpoint

_LIST_S = 10.0


@dataclass(frozen=True)
class Provider:
    """Where a provider's address, key and model stand in the environment."""

    url_env: str
    """Variable with the address of the server, with its version."""
    key_env: str | None
    """Variable with the key; None for servers that want none."""
    model_env: str
    """Variable with the model's name."""
    url: str | None = None
    """Address on this machine where the variable is not set. Others have none: nothing is sent to
    another machine that the user did not name."""


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_MODEL"),
    "deepseek": Provider("DEEPSEEK_BASE_URL", "DEEPSEEK_API_KEY", "DEEPSEEK_MODEL"),
    "gemini": Provider("GEMINI_BASE_URL", "GEMINI_API_KEY", "GEMINI_MODEL"),
    "llama-server": Provider(
        "LLAMA_SERVER_BASE_URL", None, "LLAMA_SERVER_MODEL", "http://127.0.0.1:8080/v1"
    ),
    "ollama": Provider("OLLAMA_HOST", None, "OLLAMA_MODEL", "http://127.0.0.1:11434/v1"),
    "openai": Provider("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"),
    "openrouter": Provider("OPENROUTER_BASE_URL", "OPENROUTER_API_KEY", "OPENROUTER_MODEL"),
    "sglang": Provider(
        "SGLANG_BASE_URL", "SGLANG_API_KEY", "SGLANG_MODEL", "http://127.0.0.1:30000/v1"
    ),
    "vllm": Provider("VLLM_BASE_URL", "VLLM_API_KEY", "VLLM_MODEL", "http://127.0.0.1:8000/v1"),
}


def open_by_source(
    source: str | Path | Checkpoint | BaseChatModel | Teacher,
    *,
    model: str | None,
    api_key_env: str | None,
    api_key: str | None,
    endpoint: str,
    timeout_s: float,
    honours_idempotency: bool,
    bits: int | None,
    device: str | None,
) -> Teacher:
    """Open a teacher: see `teachers.open_teacher`."""
    remote: dict[str, Any] = {
        "model": model, "api_key_env": api_key_env, "api_key": api_key,
        "honours_idempotency": honours_idempotency or None,
    }  # fmt: skip
    url = server_address(source)
    if url is not None:
        _refuse({"bits": bits, "device": device}, "a server decides about its own precision")
        provider = PROVIDERS.get(str(source))
        return _open_server(url, provider, endpoint=endpoint, timeout_s=timeout_s, **remote)
    if isinstance(source, Teacher):
        _refuse({**remote, "bits": bits, "device": device}, "the teacher is open already")
        return source
    _refuse(remote, f"{source!r} is no server; give an address or one of {sorted(PROVIDERS)}")
    from langchain_core.language_models.chat_models import BaseChatModel

    if isinstance(source, BaseChatModel):
        _refuse({"bits": bits, "device": device}, "the chat model decides about it")
        from .langchain_teacher import LangChainTeacher

        return LangChainTeacher(source)
    from .local_teacher import load_local_teacher

    return load_local_teacher(source, bits=bits, device=device)


def server_address(source: object) -> str | None:
    """Give the address of the server that a source names; None where it names no server.

    Raises:
        ConfigError: It is a provider whose address is not known.

    >>> server_address("http://127.0.0.1:8000/v1"), server_address("outputs/teacher")
    ('http://127.0.0.1:8000/v1', None)
    """
    if not isinstance(source, str):
        return None
    if source.startswith(("http://", "https://")):
        return source
    provider = PROVIDERS.get(source)
    if provider is None:
        return None
    url = os.environ.get(provider.url_env, "").strip() or provider.url
    if url is None:
        raise ConfigError(
            [f"the address of {source} is not known; set {provider.url_env} to it, with its "
             "version, such as https://.../v1"]
        )  # fmt: skip
    # OLLAMA_HOST is written as Ollama's own client has it: without scheme and version.
    url = url if url.startswith(("http://", "https://")) else f"http://{url}"
    bare = source == "ollama" and not url.rstrip("/").endswith("/v1")
    return f"{url.rstrip('/')}/v1" if bare else url


def _open_server(
    url: str,
    provider: Provider | None,
    *,
    model: str | None,
    api_key_env: str | None,
    api_key: str | None,
    endpoint: str,
    timeout_s: float,
    honours_idempotency: bool | None,
) -> RemoteTeacher:
    if provider is not None:
        named = os.environ.get(provider.key_env or "", "").strip()
        if api_key_env is None and api_key is None and (named or provider.url is None):
            api_key_env = provider.key_env
        model = model or os.environ.get(provider.model_env, "").strip() or None
    if model is None:
        model = only_model(Server("?", url, endpoint, api_key_env, 0, timeout_s, 0.0, api_key))
    return RemoteTeacher(
        model,
        base_url=url,
        endpoint=endpoint,
        api_key_env=api_key_env,
        api_key=api_key,
        timeout_s=timeout_s,
        honours_idempotency=bool(honours_idempotency),
    )


def only_model(server: Server) -> str:
    """Ask a server which model it serves.

    Raises:
        ConfigError: It lists none or several.
        RemoteError: It does not tell.
    """
    key = server.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = str(server.base_url).rstrip("/") + "/models"
    try:
        with httpx.Client(timeout=_LIST_S, trust_env=not server.is_local) as client:
            response = client.get(url, headers=headers)
        names = [str(one["id"]) for one in response.raise_for_status().json()["data"]]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as fault:
        reason = str(fault).replace(key, "***") if key else str(fault)
        raise RemoteError(
            f"{url} does not list the server's models ({reason}); name the model"
        ) from None
    if len(names) != 1:
        shown = ", ".join(names[:10]) or "none"
        raise ConfigError([f"the server lists {len(names)} models ({shown}); name one"])
    return names[0]


def _refuse(settings: Mapping[str, Any], reason: str) -> None:
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise ConfigError([f"{', '.join(given)}: {reason}"])
