"""Health and readiness, for probes; neither needs a key nor tells more than a word."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from .service import Service


def health_routes(service: Service) -> APIRouter:
    """Make the routes `/health` (is the process of use?) and `/ready` (send turns now?)."""
    router = APIRouter(tags=["health"])

    @router.get("/health", responses={503: {"description": "The process must be restarted."}})
    async def health() -> JSONResponse:
        """Tell whether the process works; 503 where only a restart helps."""
        if service.must_restart:
            return JSONResponse({"status": "hung"}, 503)
        return JSONResponse({"status": "ok"})

    @router.get("/ready", responses={503: {"description": "Send turns elsewhere for now."}})
    async def ready() -> JSONResponse:
        """Tell whether a turn would be served now."""
        if service.ready():
            return JSONResponse({"status": "ready"})
        status = "draining" if service.draining else "hung" if service.hung else "busy"
        return JSONResponse({"status": status}, 503, headers={"retry-after": "2"})

    return router
