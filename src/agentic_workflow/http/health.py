"""Health and readiness, for probes, which need no key and tell one word; and metrics, which do."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from .metrics import Metrics
from .service import Service


def health_routes(service: Service) -> APIRouter:
    """Make the routes: is the process of use, would a turn be served, and the metrics."""
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

    metrics = Metrics(service)

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Write the metrics in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
