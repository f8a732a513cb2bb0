"""Which teacher a source names: an address, a provider, a folder, a model."""

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

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from ...inference.checkpoints.load_student import Checkpoint

_LIST_S = httpx.Timeout(10.0, connect=5.0)


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
    start: str | None = None
    """Command that starts it on this machine."""
    get: str | None = None
    """Command that brings a model to it, for a server that answers for those alone that it lists;
    the model's name stands behind it."""


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
    if isinstance(source, str | Path):  # a mistyped name is told before torch is loaded
        if not Path(source).expanduser().exists():
            _require_model(str(source))
    else:
        from langchain_core.language_models.chat_models import BaseChatModel

        if isinstance(source, BaseChatModel):
            _refuse({"bits": bits, "device": device}, "the chat model decides about it")
            from .langchain_model import LangChainTeacher

            return LangChainTeacher(source)
    from .local_model import load_local_teacher

    return load_local_teacher(source, bits=bits, device=device)


def _require_model(name: str) -> None:
    """Refuse a name that neither the hub nor its local cache has.

    Raises:
        ModelNotFoundError: It is unknown, or nobody could be asked.
    """
    from ...inference.checkpoints.hub import fetch_from_hub, hub_has

    if hub_has(name) is not True:
        fetch_from_hub(name)  # says why not


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
    return _ollama_address(url) if source == "ollama" else _with_scheme(url)


def _with_scheme(url: str) -> str:
    return url if url.startswith(("http://", "https://")) else f"http://{url}"


def _ollama_address(told: str) -> str:
    """Read OLLAMA_HOST as Ollama's own client does: scheme, port and version may be left out.

    >>> _ollama_address("0.0.0.0"), _ollama_address("http://box:80/")
    ('http://127.0.0.1:11434/v1', 'http://box:80/v1')
    """
    url = _with_scheme(told).rstrip("/").removesuffix("/v1")
    parts = urlsplit(url)
    if "://" not in told and parts.port is None:
        url = f"{url}:11434"
    # The address that a server listens on everywhere is none to connect to.
    return url.replace("//0.0.0.0", "//127.0.0.1", 1) + "/v1"


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
        asked = Server("?", url, endpoint, api_key_env, 0, timeout_s, 0.0, api_key)
        model = only_model(asked, provider)
    return RemoteTeacher(
        model,
        base_url=url,
        endpoint=endpoint,
        api_key_env=api_key_env,
        api_key=api_key,
        timeout_s=timeout_s,
        honours_idempotency=bool(honours_idempotency),
    )


def require_server(teacher: Teacher, source: object) -> None:
    """Look once whether a teacher's server is there, before a run asks it for every record.

    Args:
        teacher: Any; one in this process is there.
        source: What it was opened by; of a provider's name it is known what starts it.

    Raises:
        RemoteError: No server was reached.
        ConfigError: It lists its models, answers for those alone, and lacks this one; or the key is
            missing.
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
        RemoteError: It was not reached, or does not tell.
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
    """Ask a server for its models; None where it answers something else, or takes its time.

    Raises:
        RemoteError: It was not reached.
        ConfigError: The key is missing, or the address lacks its version.
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
    """Open a teacher by where it is.

    Args:
        source: One of
            - an address, `http://` or `https://`, of a server that speaks OpenAI's HTTP;
            - the name of a provider in `providers.PROVIDERS`, such as `ollama` or `openrouter`;
            - a checkpoint folder, a hub name, or a loaded checkpoint: it runs here;
            - a LangChain chat model, the scripted one included;
            - a teacher, which is given back.
        model: Name of the model on a server; None takes the provider's variable, or the only model
            that the server lists.
        api_key_env: Environment variable that holds the server's key; None takes the provider's.
        api_key: The key itself, for callers that were given one; kept in memory only. Better give
            `api_key_env`.
        endpoint: `chat`, or `completions` for servers that get rendered prompts.
        timeout_s: Seconds until a server's whole answer is there.
        honours_idempotency: The server is known to charge once for calls with one
            `Idempotency-Key`.
        bits: 8 or 4 for a local teacher's linear layers, by bitsandbytes; None for its own weights.
            Where this machine cannot, the teacher runs as it is and one warning says why.
        device: Torch device of a local teacher; None chooses.

    Raises:
        ConfigError: The settings do not fit the source.
        ModelNotFoundError: There is no such folder or model.
        CheckpointError: The folder lacks a part or is not safe to load.
        MissingDependencyError: `bits` are asked for and bitsandbytes is not installed.
        RemoteError: The server was asked for its models and did not tell.
    """

    return open_by_source(
        source,
        model=model,
        api_key_env=api_key_env,
        api_key=api_key,
        endpoint=endpoint,
        timeout_s=timeout_s,
        honours_idempotency=honours_idempotency,
        bits=bits,
        device=device,
    )
