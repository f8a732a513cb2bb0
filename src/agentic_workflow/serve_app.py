"""The whole server: every API and the chat page over one service.

stillroom serve outputs/elements/student
"""

from __future__ import annotations

from fastapi import FastAPI

from .chat_page.page import mount_chat_page
from .conversations.chat_service import ChatService
from .http.app import build_app
from .http.service import Service
from .http.settings import ServerSettings
from .langgraph_api.router import langgraph_routes
from .mcp_server.server import mcp_is_installed, mcp_routes
from .openai_api.routes import openai_routes
from .threads.checkpointer import ThreadSaver

CHAT_PATH = "/chat"
"""Where the chat page is."""


def server_app(
    service: Service, settings: ServerSettings | None = None, chat: ChatService | None = None
) -> FastAPI:
    """Build the app with all APIs and the chat page.

    Args:
        service: Runs the turns.
        settings: Limits; those of the service by default.
        chat: Keeps the conversations of the chat page; None for no page.

    Raises:
        ConfigError: The file of keys cannot be used.
        MissingDependencyError: There is to be a page, and Gradio is not installed.
    """
    routers = [openai_routes(service)]
    if isinstance(service.checkpointer, ThreadSaver):
        routers.append(langgraph_routes(service))
    if mcp_is_installed():
        routers.append(mcp_routes(service))

    def mount_page(app: FastAPI, _: Service) -> FastAPI:
        return app if chat is None else mount_chat_page(app, chat, CHAT_PATH)

    return build_app(service, settings, routers=routers, mount_page=mount_page)
