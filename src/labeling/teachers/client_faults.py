"""Translate the errors of providers' packages, and describe where they were raised.

Each package has its own error classes, and most contain an HTTP status. An error without one is a
fault of the client: it concerns one answer, and is described by its type and place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

import httpx

from ...errors import DeadlineError, GenerationError, RemoteError
from ...inference.remote.backoff import retry_after_of

_CODES: Final = {
    "resource_exhausted": 429, "unavailable": 503, "deadline_exceeded": 504, "internal": 500,
    "unauthenticated": 401, "permission_denied": 403, "not_found": 404, "invalid_argument": 400,
    "throttlingexception": 429, "throttling": 429, "toomanyrequestsexception": 429,
    "serviceunavailableexception": 503, "internalserverexception": 500,
    "accessdeniedexception": 403,
}  # fmt: skip
"""Error codes of gRPC and Amazon -> HTTP status."""
_MOST_TEXT: Final = 300


def translate_fault(fault: BaseException) -> GenerationError | None:
    """Translate an error of a provider's package to ours; None if it does not describe the call.

    >>> translate_fault(ConnectionResetError("gone"))
    RemoteError('ConnectionResetError: gone')
    """
    name = type(fault).__name__
    message = f"{name}: {fault_text(fault)}"
    late = TimeoutError | asyncio.TimeoutError | httpx.TimeoutException
    if "timeout" in name.lower() or isinstance(fault, late):
        return DeadlineError(message)
    status = _status(fault)
    if status is not None:
        return RemoteError(message, status=status, retry_after=_retry_after(fault))
    broken = OSError | httpx.TransportError | httpx.InvalidURL
    if isinstance(fault, broken) or "connect" in name.lower():
        return RemoteError(message)
    return None


def fault_place(fault: BaseException) -> str:
    """Return type and place of an error: `KeyError at openai/client.py:12`.

    >>> fault_place(KeyError("choices"))
    'KeyError'
    """
    name, trace = type(fault).__name__, fault.__traceback__
    if trace is None:
        return name
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = "/".join(PurePath(trace.tb_frame.f_code.co_filename).parts[-2:])
    return f"{name} at {file}:{trace.tb_lineno}"


def fault_text(fault: BaseException) -> str:
    """Return the message of an error as one short line.

    >>> fault_text(ValueError("one\\n  two"))
    'one two'
    """
    try:
        words = " ".join(str(fault).split())
    except Exception:  # noqa: BLE001 - the error's own __str__ fails
        words = ""
    return words[:_MOST_TEXT] or type(fault).__name__


def first_fault(fault: BaseException) -> BaseException:
    """Return the first error of a group, and any other error as it is."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


def _status(fault: BaseException) -> int | None:
    """Find the HTTP status under the attribute names that packages use."""
    return next((code for value in _statuses(fault) if (code := _as_status(value))), None)


def _statuses(fault: BaseException) -> Iterator[object]:
    response = _get(fault, "response")
    for name in ("status_code", "http_status", "status"):
        yield _get(fault, name)
        yield _get(response, name)
    meta = _get(response, "ResponseMetadata")
    yield _get(meta, "HTTPStatusCode")
    yield _get(_get(response, "Error"), "Code")
    yield _get(fault, "code")


def _as_status(value: object) -> int | None:
    """Read a status, a word in `_CODES`, or a method that returns one of these."""
    if callable(value) and not isinstance(value, type):
        value = _quietly(value)
    if isinstance(value, bool):
        return None
    word = str(getattr(value, "name", value)).lower()
    number = int(value) if isinstance(value, int) else _CODES.get(word)
    if number is None and word.isdecimal() and len(word) == 3:
        number = int(word)
    return number if number is not None and 400 <= number < 600 else None


def _retry_after(fault: BaseException) -> str | None:
    """Find the Retry-After header."""
    response = _get(fault, "response")
    meta = _get(response, "ResponseMetadata")
    for headers in (_get(response, "headers"), _get(fault, "headers"), _get(meta, "HTTPHeaders")):
        pairs = _get(headers, "items")
        listed = _quietly(pairs) if callable(pairs) else headers
        try:
            told = {_text(name).lower(): _text(value) for name, value in listed}
        except Exception:  # noqa: BLE001 - these are no headers
            continue
        wait = retry_after_of(told)
        if wait is not None:
            return wait
    return None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _get(thing: object, name: str) -> Any:  # noqa: ANN401 - of any package
    if isinstance(thing, Mapping):
        return thing.get(name, getattr(thing, name, None))
    return _quietly(lambda: getattr(thing, name, None))


def _quietly(read: Callable[[], Any]) -> Any:  # noqa: ANN401 - of any package
    try:
        return read()
    except Exception:  # noqa: BLE001 - properties of errors may fail, too
        return None
