"""The MCP server over a service, by the protocol's official SDK.

    asyncio.run(serve_stdio(service))                              # a client starts the process
    build_app(service, settings, routers=[mcp_routes(service)])    # HTTP, at /mcp

Over HTTP requests are independent of each other, so that any process answers any of them, and each
belongs to the owner of its key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ... import __version__
from ...errors import MissingDependencyError, StillroomError
from ..http.replies import FaultError
from ..http.service import Service
from ..http.settings import LOCAL_OWNER
from .served_tools import served_tools

if TYPE_CHECKING:
    from mcp.server import Server

_LOG = logging.getLogger(__name__)
PATH = "/mcp"
_METHODS = ["GET", "POST", "DELETE"]


def mcp_is_installed() -> bool:
    """Tell whether the protocol's SDK is installed."""
    return find_spec("mcp") is not None


def mcp_server(service: Service) -> Server[Any]:
    """Make the server.

    Raises:
        MissingDependencyError: The protocol's SDK is not installed.
    """
    if not mcp_is_installed():
        raise MissingDependencyError("mcp", "mcp")
    import mcp_types as types
    from mcp.server import Server
    from mcp.shared.exceptions import MCPError

    tools = {tool.name: tool for tool in served_tools(service)}
    reads = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    listed = [
        types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=tool.arguments.model_json_schema(),
            output_schema=None if tool.result is None else tool.result.model_json_schema(),
            annotations=reads,
        )
        for tool in tools.values()
    ]

    async def list_tools(context: Any, page: Any) -> Any:  # noqa: ANN401 - the SDK's own types
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, asked: Any) -> Any:  # noqa: ANN401
        tool = tools.get(asked.name)
        if tool is None:
            message = f"there is no tool {asked.name[:100]!r}; there are {sorted(tools)}"
            raise MCPError(types.INVALID_PARAMS, message)
        owner = LOCAL_OWNER if context.request is None else context.request.state.owner
        try:
            given = tool.arguments.model_validate(asked.arguments or {}).model_dump()
            told = await tool.call(owner, given)
        except Exception as fault:  # noqa: BLE001 - edge of a call; the client is told
            text = types.TextContent(type="text", text=_told(asked.name, fault))
            return types.CallToolResult(content=[text], is_error=True)
        whole = told if isinstance(told, dict) else None
        shown = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=shown)], structured_content=whole
        )

    return Server(
        "stillroom",
        version=__version__,
        instructions="Ask questions about a table; answers cite the cells that support them.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_stdio(service: Service) -> None:
    """Serve the client that started this process, until it closes the standard input."""
    server = mcp_server(service)
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def mcp_routes(service: Service) -> APIRouter:
    """Make the route `/mcp` of the streamable HTTP transport.

    Raises:
        MissingDependencyError: The protocol's SDK is not installed.
    """
    server = mcp_server(service)
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:  # noqa: ANN401 - the app
        # A manager runs once, and an app may be started again, in tests.
        manager = _Passed.manager = StreamableHTTPSessionManager(
            app=server, json_response=True, stateless=True
        )
        async with manager.run():
            yield

    class _Passed(Response):
        """Gives the request to the SDK, which answers it."""

        manager: StreamableHTTPSessionManager

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.manager.handle_request(scope, receive, send)

    router = APIRouter(tags=["mcp"], lifespan=lifespan)

    @router.api_route(PATH, methods=_METHODS, response_class=Response, include_in_schema=False)
    async def mcp(request: Request) -> Response:
        """Answer a message of the Model Context Protocol."""
        return _Passed()

    return router


def _told(name: str, fault: Exception) -> str:
    """Tell what was wrong with a call; errors of other kinds are for the log."""
    if isinstance(fault, ValidationError):
        first = fault.errors()[0]
        return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    if isinstance(fault, (StillroomError, FaultError, ValueError)):
        return str(fault)
    _LOG.error("tool %s failed", name, exc_info=fault)
    return "an internal error; the server's log has its reason"
