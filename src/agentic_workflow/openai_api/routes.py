"""The routes of OpenAI's API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..http.service import Service


def openai_routes(service: Service) -> APIRouter:
    """Make the routes below `/v1`."""
    router = APIRouter(prefix="/v1", tags=["openai"])

    @router.get("/models")
    async def models() -> dict[str, Any]:
        """List the student and the workflows."""
        return {"object": "list", "data": [_model(service, name) for name in service.model_names]}

    return router


def _model(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "stillroom"}
