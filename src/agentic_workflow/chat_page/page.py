"""The chat page: conversations with a student that show the cells behind each answer.

    python examples/chat_ui.py outputs/elements/student

The page calls a `ChatService` and nothing else. It is served on 127.0.0.1 by `launch`, or as a part
of a FastAPI app by `mount_chat_page`. It loads nothing from other hosts: no analytics, no web
fonts, no share link, and a Content-Security-Policy that forbids other sources.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final, TypeVar

from ...errors import ModelNotFoundError
from ..conversations.chat_service import ChatService
from .chat_tab import add_chat_tab
from .compare_tab import add_compare_tab
from .css import STYLE
from .encode import encode
from .gradio_module import Gradio, import_gradio
from .review_tab import add_review_tab
from .table_tab import add_table_tab

FIRST_PORT: Final = 7860
MAX_UPLOAD: Final = "10mb"
"""Largest table that a user can bring."""

POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; frame-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Content-Security-Policy of every page; Gradio needs its inline scripts and styles."""

OwnerOf = Callable[[Gradio], str]
"""Tells from Gradio's request whose it is."""


def build_chat_page(service: ChatService, owner_of: OwnerOf | None = None) -> Gradio:
    """Build the page over a service; `launch` or `mount_chat_page` serves it.

    Args:
        service: Answers the questions and keeps the conversations.
        owner_of: Tells from a `gradio.Request` whose it is; by default its `state.owner`, else who
            logged in, else `local`.

    Returns:
        A `gradio.Blocks`.

    Raises:
        MissingDependencyError: Gradio is not installed.
    """
    gr = import_gradio()
    owner_of = owner_of or _owner
    report = service.report_html()
    with gr.Blocks(title="stillroom", analytics_enabled=False) as page:
        gr.HTML(_head(service), elem_id="head")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Chat", id="chat"):
                chat = add_chat_tab(gr, page, service, owner_of)
            if service.comparison is not None and service.comparison.models:
                with gr.Tab("Compare", id="compare"):
                    add_compare_tab(gr, service)
            with gr.Tab("Table", id="table") as table_tab:
                add_table_tab(gr, service, owner_of, chat, tabs, table_tab)
            if service.review is not None:
                with gr.Tab("Review", id="review") as review_tab:
                    add_review_tab(gr, service, owner_of, review_tab)
            if report is not None:
                with gr.Tab("Report", id="report"):
                    gr.HTML(_framed(report), elem_id="report")
    # The service refuses what is too much; Gradio's queue must not, since its refusals hang the
    # page (https://github.com/gradio-app/gradio/issues/6776).
    page.queue(max_size=None, default_concurrency_limit=None, api_open=False)
    return page


def page_options() -> dict[str, Any]:
    """Give the options that the page needs where it is served, `launch` and mounted alike."""
    gr = import_gradio()
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    return {
        "show_error": False,
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "css": STYLE,
        "theme": gr.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"]),
    }


App = TypeVar("App")
"""A `fastapi.FastAPI`, which this module does not import."""


def mount_chat_page(
    app: App,
    service: ChatService,
    path: str = "/chat",
    owner_of: OwnerOf | None = None,
    **options: Gradio,
) -> App:
    """Mount the page into a FastAPI app.

    Args:
        app: The app; it sets the security headers (`PageHeaders` has those of the page).
        service: As in `build_chat_page`.
        path: Where the page is.
        owner_of: As in `build_chat_page`.
        **options: Further options of `gradio.mount_gradio_app`, such as `auth_dependency`.
    """
    page = build_chat_page(service, owner_of)
    import_gradio().mount_gradio_app(app, page, path=path, **page_options(), **options)
    return app


def launch(
    service: ChatService,
    *,
    port: int | None = None,
    block: bool = True,
    tell: Callable[[str], object] | None = None,
) -> str:
    """Serve the chat page on 127.0.0.1 and print its address.

    Args:
        service: Answers the questions and keeps the conversations.
        port: TCP port; None takes the first free one from 7860.
        block: Serve until Ctrl-C; False returns immediately, for tests and notebooks.
        tell: Called with the address when the page is there; None prints it.

    Returns:
        The address.
    """
    from starlette.middleware import Middleware

    page = build_chat_page(service)
    _, address, _ = page.launch(
        server_name="127.0.0.1",
        server_port=port or free_port(),
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(PageHeaders)]},
        **page_options(),
    )
    if tell is None:
        print(f"stillroom chat: {address}  (press Ctrl-C to stop)", flush=True)
    else:
        tell(str(address))
    if block:
        page.block_thread()
    return str(address)


def free_port(first: int = FIRST_PORT) -> int:
    """Find the first free TCP port on 127.0.0.1 from `first`.

    Raises:
        OSError: A hundred ports in a row are taken.
    """
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"ports {first} to {first + 99} are all taken; pass --port (port=...)")


def newest_student(outputs: str | Path = "outputs") -> Path:
    """Find the most recently written student.

    Args:
        outputs: Folder with one folder per run.

    Raises:
        ModelNotFoundError: There is none.
    """
    found = [path for path in Path(outputs).glob("*/student") if (path / "config.json").is_file()]
    if not found:
        raise ModelNotFoundError(
            f"no student below {str(outputs)!r}; make one with `make demo`, or name its folder"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


class PageHeaders:
    """Add security headers to every page; plain ASGI middleware, which does not buffer streams."""

    def __init__(self, app: Gradio) -> None:
        """Wrap an ASGI app."""
        self.app = app

    async def __call__(self, scope: Gradio, receive: Gradio, send: Gradio) -> None:
        """Serve one request."""

        async def with_headers(message: Gradio) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def _owner(request: Gradio) -> str:
    """Tell whose request it is: the app's `request.state.owner`, else Gradio's own login."""
    owner = getattr(getattr(request, "state", None), "owner", None)
    return str(owner or getattr(request, "username", None) or "local")


def _head(service: ChatService) -> str:
    table = service.default_table
    if table is None:
        about = "A distilled student without a table: its answers are not checked."
    else:
        records = f"{len(table.rows):,} records"
        about = f"{table.source} · {records} · every answer is checked against its row"
    return f"<h1>stillroom</h1><p>{encode(about)}</p>"


def _framed(report: str) -> str:
    """Show a whole HTML page inside the page, without scripts and with its own style."""
    return (
        f'<iframe title="Report of the run" sandbox srcdoc="{escape(report, quote=True)}"></iframe>'
    )
