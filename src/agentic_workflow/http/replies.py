"""Error answers: OpenAI's shape below `/v1`, FastAPI's shape elsewhere; never a traceback.

/v1/...     {"error": {"message", "type", "param", "code"}}
elsewhere   {"detail": message, "code": code}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from ...errors import (
    AnswerMismatchError,
    ConfigError,
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    EngineFailedError,
    GenerationError,
    LeaseLostError,
    QueryLimitError,
    QueryRefusedError,
    RemoteError,
    StillroomError,
    StoredStateError,
    ThreadBusyError,
    TruncatedAnswerError,
)
from ..workflow_input import whole_characters
from .streams import ClientGoneError

_log = logging.getLogger(__name__)
RETRY_AFTER_S = 2
"""What `Retry-After` says where the wait is not known."""


@dataclass(frozen=True)
class Fault:
    """An error as the client sees it."""

    status: int
    message: str
    code: str
    param: str | None = None
    """The field of the request at fault."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """OpenAI's `type` of the error."""
        kinds = {
            401: "authentication_error", 403: "permission_error", 404: "not_found_error",
            409: "conflict_error", 429: "rate_limit_error",
        }  # fmt: skip
        return kinds.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )

    def body(self, path: str) -> dict[str, Any]:
        """Write the error in the shape of a path's API."""
        message = whole_characters(self.message)
        param = None if self.param is None else whole_characters(self.param)
        if path.startswith("/v1/") or path == "/v1":
            return {
                "error": {"message": message, "type": self.kind, "param": param, "code": self.code}
            }
        return {"detail": message, "code": self.code}

    def response(self, path: str) -> JSONResponse:
        """Make the response for a path."""
        return JSONResponse(self.body(path), self.status, headers=dict(self.headers))


class FaultBody(BaseModel):
    """An error in FastAPI's shape, for the OpenAPI document."""

    detail: str
    code: str


class FaultError(Exception):
    """Ends a request with a fault; raised by routes, answered by `add_error_handlers`."""

    def __init__(self, fault: Fault) -> None:
        """Keep the fault."""
        self.fault = fault
        super().__init__(fault.message)


def refuse(
    status: int,
    message: str,
    code: str,
    param: str | None = None,
    *,
    retry_after_s: float | None = None,
) -> FaultError:
    """Make the error that ends a request: `raise refuse(404, "...", "thread_not_found")`."""
    headers = (
        {} if retry_after_s is None else {"retry-after": str(max(1, math.ceil(retry_after_s)))}
    )
    return FaultError(Fault(status, message, code, param, headers))


_CLASSES: tuple[tuple[type[StillroomError], int, str], ...] = (
    (EngineBusyError, 429, "overloaded"),
    (DeadlineError, 504, "deadline_exceeded"),
    (EngineClosedError, 503, "engine_closed"),
    (EngineFailedError, 503, "engine_failed"),
    (TruncatedAnswerError, 422, "truncated_answer"),
    (AnswerMismatchError, 422, "answer_mismatch"),
    (RemoteError, 502, "upstream_failed"),
    (GenerationError, 400, "generation_refused"),
    (ThreadBusyError, 409, "thread_busy"),
    (LeaseLostError, 409, "thread_taken_over"),
    (ConfigError, 400, "invalid_value"),
    (QueryRefusedError, 400, "query_refused"),
    (QueryLimitError, 422, "query_limit"),
    (StoredStateError, 422, "stored_state"),
)
"""Class -> status and code; the first that fits."""


def fault_of(error: BaseException) -> Fault:
    """Describe an error to the client; unknown ones are logged and told as an internal error."""
    if isinstance(error, FaultError):
        return error.fault
    for kind, status, code in _CLASSES:
        if isinstance(error, kind):
            headers = {"retry-after": str(RETRY_AFTER_S)} if status in (429, 503) else {}
            return Fault(status, str(error), code, headers=headers)
    _log.error("a request failed", exc_info=error)
    return Fault(500, "an internal error; the server's log has its reason", "internal_error")


def fault_of_validation(error: RequestValidationError) -> Fault:
    """Describe a body or parameter that does not fit; each fault names its field, never a value."""
    parts, param = [], None
    for one in error.errors()[:10]:
        place = ".".join(str(step) for step in one["loc"][1:]) or str(one["loc"][0])
        unknown = one["type"] == "extra_forbidden"
        parts.append(f"{place}: {'is not supported here' if unknown else one['msg']}")
        param = param or place
    code = "unsupported_field" if "is not supported here" in parts[0] else "invalid_value"
    return Fault(422, "; ".join(parts), code, param)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the shape of its path's API."""

    async def on_fault(request: Request, error: Exception) -> JSONResponse:
        return fault_of(error).response(request.url.path)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fault = fault_of_validation(error)
        if request.url.path.startswith("/v1/"):  # OpenAI answers 400
            fault = Fault(400, fault.message, fault.code, fault.param)
        return fault.response(request.url.path)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        names = {404: "not_found", 405: "method_not_allowed"}
        code = names.get(error.status_code, f"http_{error.status_code}")
        fault = Fault(error.status_code, str(error.detail), code, headers=error.headers or {})
        return fault.response(request.url.path)

    async def on_gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    app.add_exception_handler(ClientGoneError, on_gone)
    app.add_exception_handler(FaultError, on_fault)
    app.add_exception_handler(StillroomError, on_fault)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_fault)


def fault_response(scope: Scope, fault: Fault) -> JSONResponse:
    """Make the response of a middleware that refuses a request."""
    return fault.response(scope["path"])
