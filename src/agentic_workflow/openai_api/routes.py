"""The routes of OpenAI's API.

Answers, and the last event of a stream, carry the field `stillroom` (`answers`); OpenAI's clients
keep it as an extra field.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from ..http.replies import refuse
from ..http.service import Service
from .chat import chat_completion
from .chat_requests import ChatRequest
from .embeddings import EmbeddingRequest, create_embeddings
from .response_requests import ResponseRequest
from .responses import create_response


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorDetail


_TOLD = {
    400: "A field is unknown, not supported, or out of range; `param` names it.",
    401: "There is no key, or it is wrong.",
    403: "Web pages of this origin may not call the server.",
    404: "There is no such model.",
    408: "The body was not complete in time.",
    409: "Another turn of the thread is running.",
    413: "The body is too large.",
    421: "The Host header names another machine.",
    422: "The model gave no answer of the form that was asked for.",
    429: "Too many requests or turns; see Retry-After.",
    431: "The headers are too large.",
    500: "An internal error; the server's log has its reason.",
    502: "The student's own server failed.",
    503: "The engine failed, or the server goes down.",
    504: "There was no answer in time.",
}


def _answers(*required: str, streamed: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe what a route answers: an object with some fields, or a stream of events."""
    schema = {"type": "object", "required": [*required, "stillroom"]}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if streamed:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {200: {"description": "The answer.", "content": content}}


_COMPLETION = _answers("id", "object", "created", "model", "choices", "usage")
_RESPONSE = _answers("id", "object", "created_at", "model", "status", "output", "usage")
_EMBEDDINGS = _answers("object", "model", "data", "usage", streamed=False)


def openai_routes(service: Service) -> APIRouter:
    """Make the routes below `/v1`."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": told} for status, told in _TOLD.items()
    }
    router = APIRouter(prefix="/v1", tags=["openai"], responses=errors)

    @router.get("/models")
    async def list_models() -> dict[str, Any]:
        """List the student and the workflows."""
        return {"object": "list", "data": [_model(service, name) for name in service.model_names]}

    @router.get("/models/{model}")
    async def get_model(model: str) -> dict[str, Any]:
        """Describe a model or workflow."""
        if model not in service.model_names:
            told = f"there is no model {model!r}; there are {service.model_names}"
            raise refuse(404, told, "model_not_found", "model")
        return _model(service, model)

    @router.post("/chat/completions", response_class=Response, responses=_COMPLETION)
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """Answer messages, whole or as a stream."""
        return await chat_completion(service, request, body)

    @router.post("/responses", response_class=Response, responses=_RESPONSE)
    async def responses(request: Request, body: ResponseRequest) -> Response:
        """Answer items, whole or as a stream; nothing is stored."""
        return await create_response(service, request, body)

    @router.post("/embeddings", response_class=Response, responses=_EMBEDDINGS)
    async def embeddings(request: Request, body: EmbeddingRequest) -> Response:
        """Embed texts."""
        return await create_embeddings(service, request, body)

    return router


def _model(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "stillroom"}
