"""Open a teacher by its source: an address, a provider's name, a folder or a model.

open_teacher("http://127.0.0.1:8000/v1", model="Qwen/Qwen2.5-7B-Instruct")
open_teacher("openrouter", model="qwen/qwen3-32b")       # key in OPENROUTER_API_KEY
open_teacher("outputs/elements/teacher", bits=4)         # a folder, or a hub name
open_teacher(ScriptedModel(["Au"]))                      # any LangChain chat model
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from ...errors import ConfigError, RemoteError
from ...inference.remote.server_address import Server
from .openai_http import RemoteTeacher
from .protocol import Teacher
from .stored_keys import key_variable, stored_key

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from ...inference.checkpoints.load_student import Checkpoint

_LIST_S = httpx.Timeout(10.0, connect=5.0)


@dataclass(frozen=True)
class Provider:
    """Environment variables and defaults of a provider."""

    url_env: str
    """Environment variable with the server's address, including the version."""
    key_env: str | None
    """Environment variable with the API key; None for servers without keys."""
    model_env: str
    """Environment variable with the model's name."""
    url: str | None = None
    """Address on this machine that is used if the variable is not set. Remote providers have none,
    so that nothing is sent to a machine that the user did not name."""
    start: str | None = None
    """Command that starts the server on this machine."""
    get: str | None = None
    """Command that installs the model whose name follows it, for servers that serve only the models
    they list."""


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_MODEL"),
    "deepseek": Provider("DEEPSEEK_BASE_URL", "DEEPSEEK_API_KEY", "DEEPSEEK_MODEL"),
    "gemini": Provider("GEMINI_BASE_URL", "GEMINI_API_KEY", "GEMINI_MODEL"),
    "llama-server": Provider(
        "LLAMA_SERVER_BASE_URL", None, "LLAMA_SERVER_MODEL", "http://127.0.0.1:8080/v1",
        "llama-server -m MODEL.gguf",
    ),
    "ollama": Provider(
        "OLLAMA_HOST", None, "OLLAMA_MODEL", "http://127.0.0.1:11434/v1", "ollama serve",
        "ollama pull",
    ),
    "openai": Provider("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"),
    "openrouter": Provider("OPENROUTER_BASE_URL", "OPENROUTER_API_KEY", "OPENROUTER_MODEL"),
    "sglang": Provider(
        "SGLANG_BASE_URL", "SGLANG_API_KEY", "SGLANG_MODEL", "http://127.0.0.1:30000/v1",
        "python -m sglang.launch_server --model-path MODEL",
    ),
    "vllm": Provider(
        "VLLM_BASE_URL", "VLLM_API_KEY", "VLLM_MODEL", "http://127.0.0.1:8000/v1",
        "vllm serve MODEL", "vllm serve",
    ),
}  # fmt: skip


def open_teacher(
    source: str | Path | Checkpoint | BaseChatModel | Teacher,
    *,
    model: str | None = None,
    api_key_env: str | None = None,
    api_key: str | None = None,
    endpoint: str = "chat",
    timeout_s: float = 120.0,
    honours_idempotency: bool = False,
    bits: int | None = None,
    device: str | None = None,
) -> Teacher:
    """Open a teacher.

    Args:
        source: One of
            - an address, `http://` or `https://`, of a server that speaks OpenAI's HTTP;
            - the name of a provider in `PROVIDERS`, such as `ollama` or `openrouter`;
            - a checkpoint folder, a hub name, or a loaded checkpoint, which run in this process;
            - a LangChain chat model, `ScriptedModel` included;
            - a teacher, which is returned as it is.
        model: Name of the model on a server; None takes it from the provider's variable, or takes
            the only model that the server lists.
        api_key_env: Environment variable that holds the server's key; None takes the provider's.
        api_key: The key itself, kept in memory only; prefer `api_key_env`.
        endpoint: `chat`, or `completions` for servers that take rendered prompts.
        timeout_s: Timeout of a server's whole answer in seconds.
        honours_idempotency: Whether the server charges calls with the same `Idempotency-Key` only
            once.
        bits: 8 or 4 quantises a local teacher; None takes its export or its own weights. See
            `load_local_teacher`.
        device: Torch device of a local teacher; None chooses.

    Raises:
        ConfigError: The settings do not fit the source.
        ModelNotFoundError: There is no such folder or model.
        CheckpointError: The folder lacks a part or is not safe to load.
        MissingDependencyError: `bits` are asked for and bitsandbytes is not installed.
        RemoteError: No model is named, and the server's list of models could not be read.
    """
    remote: dict[str, Any] = {
        "model": model, "api_key_env": api_key_env, "api_key": api_key,
        "honours_idempotency": honours_idempotency or None,
    }  # fmt: skip
    local: dict[str, Any] = {"bits": bits, "device": device}
    url = server_address(source)
    if url is not None:
        _refuse(local, "a server decides about its own precision")
        return _open_server(
            url,
            PROVIDERS.get(str(source)),
            **{**remote, "honours_idempotency": honours_idempotency},
            endpoint=endpoint,
            timeout_s=timeout_s,
        )
    if isinstance(source, Teacher):
        _refuse({**remote, **local}, "the teacher is open already")
        return source
    _refuse(remote, f"{source!r} is no server; give an address or one of {sorted(PROVIDERS)}")
    if isinstance(source, str | Path):  # check the name before torch is loaded
        if not Path(source).expanduser().exists():
            from ...inference.checkpoints.hub import fetch_from_hub, hub_has

            if hub_has(str(source)) is not True:
                fetch_from_hub(str(source))  # raises an error that says why
    else:
        from langchain_core.language_models.chat_models import BaseChatModel

        if isinstance(source, BaseChatModel):
            _refuse(local, "the chat model decides about it")
            from .langchain_model import LangChainTeacher

            return LangChainTeacher(source)
    from .local_model import load_local_teacher

    return load_local_teacher(source, **local)


def server_address(source: object) -> str | None:
    """Return the address of the server that a source names; None if it names no server.

    Raises:
        ConfigError: The provider's address is not known.

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
    return ollama_address(url) if source == "ollama" else _with_scheme(url)


def _with_scheme(url: str) -> str:
    return url if url.startswith(("http://", "https://")) else f"http://{url}"


def ollama_address(told: str) -> str:
    """Read OLLAMA_HOST like Ollama's own client: scheme, port and version are optional.

    >>> ollama_address("0.0.0.0"), ollama_address("http://box:80/")
    ('http://127.0.0.1:11434/v1', 'http://box:80/v1')
    """
    url = _with_scheme(told).rstrip("/").removesuffix("/v1")
    parts = urlsplit(url)
    if "://" not in told and parts.port is None:
        url = f"{url}:11434"
    # 0.0.0.0 is an address to listen on, not one to connect to.
    return url.replace("//0.0.0.0", "//127.0.0.1", 1) + "/v1"


def _open_server(
    url: str,
    provider: Provider | None,
    *,
    model: str | None,
    **settings: Any,  # noqa: ANN401 - those of RemoteTeacher
) -> RemoteTeacher:
    if provider is not None:
        without_key = settings["api_key_env"] is None and settings["api_key"] is None
        if without_key and provider.key_env is not None:
            named, stored = key_variable(provider.key_env), None
            if named is None:
                settings["api_key"] = stored = stored_key(provider.key_env)
            if named is not None or (stored is None and provider.url is None):
                settings["api_key_env"] = named or provider.key_env
        model = model or os.environ.get(provider.model_env, "").strip() or None
    if model is None:
        asked = RemoteTeacher("?", base_url=url, **settings)
        model = only_model(asked.server, provider)
    return RemoteTeacher(model, base_url=url, **settings)


def require_server(teacher: Teacher, source: object) -> None:
    """Check once, before a run, that a teacher's server is reachable and has the model.

    Args:
        teacher: Any; teachers in this process always pass.
        source: What it was opened by; for a provider's name the error says what starts it.

    Raises:
        RemoteError: No server was reached.
        ConfigError: The server lacks this model, or the key is missing.
    """
    if not isinstance(teacher, RemoteTeacher):
        return
    provider = PROVIDERS.get(str(source))
    names = _listed_models(teacher.server, provider)
    if names is None or provider is None or provider.get is None:
        return
    if teacher.name not in names and f"{teacher.name}:latest" not in names:
        shown = ", ".join(names[:10]) or "none"
        raise ConfigError([
            f"{source} has no model {teacher.name!r}; it lists {shown}. Name one of these, or "
            f"bring it there: {provider.get} {teacher.name}"
        ])  # fmt: skip


def only_model(server: Server, provider: Provider | None = None) -> str:
    """Ask a server which model it serves.

    Raises:
        ConfigError: It lists none or several, or the key is missing.
        RemoteError: It was not reached, or does not list its models.
    """
    names = _listed_models(server, provider)
    if names is None:
        raise RemoteError(
            f"{server.base_url} does not list its models; name the model (--model)", status=404
        )
    if len(names) != 1:
        shown = ", ".join(names[:10]) or "none"
        raise ConfigError([f"the server lists {len(names)} models ({shown}); name one (--model)"])
    return names[0]


def _listed_models(server: Server, provider: Provider | None) -> list[str] | None:
    """Ask a server for its models; None if it answers something else, or too slowly.

    Raises:
        RemoteError: The server could not be reached.
        ConfigError: The API key is missing, or the address lacks the version.
    """
    key = server.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    base = str(server.base_url).rstrip("/")
    try:
        with httpx.Client(timeout=_LIST_S, trust_env=not server.is_local) as client:
            response = client.get(f"{base}/models", headers=headers)
            if response.status_code == 404 and not urlsplit(base).path:
                deeper = client.get(f"{base}/v1/models", headers=headers)
                if deeper.is_success:
                    raise ConfigError([f"the server answers below /v1: --teacher {base}/v1"])
        return [str(one["id"]) for one in response.raise_for_status().json()["data"]]
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as fault:
        reason = str(fault).replace(key, "***") if key else str(fault)
        start = "" if provider is None or provider.start is None else f" ({provider.start})"
        raise RemoteError(
            f"no server was reached at {server.base_url} ({reason}); start it{start}, or give "
            "another address: --teacher http://HOST:PORT/v1"
        ) from None
    except ConfigError:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None


def _refuse(settings: Mapping[str, Any], reason: str) -> None:
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise ConfigError([f"{', '.join(given)}: {reason}"])
