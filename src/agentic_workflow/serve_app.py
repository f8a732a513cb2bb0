"""The whole server: every API and the chat page over one service.

stillroom serve outputs/elements/student
"""

from __future__ import annotations

from fastapi import FastAPI

from .http.app import build_app
from .http.service import Service
from .http.settings import ServerSettings
from .openai_api.routes import openai_routes


def server_app(service: Service, settings: ServerSettings | None = None) -> FastAPI:
    """Build the app with all APIs and the chat page.

    Args:
        service: Runs the turns.
        settings: Limits; those of the service by default.

    Raises:
        ConfigError: The file of keys cannot be used.
    """
    return build_app(service, settings, routers=[openai_routes(service)])
