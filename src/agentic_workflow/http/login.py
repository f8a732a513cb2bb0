"""The login page, for browsers: it keeps a key in a cookie that scripts cannot read.

The cookie is of one site (`SameSite=Strict`) and ends with the browser session. It holds the key
itself, so a key that is removed from the file ends its sessions, too.
"""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from .authentication import COOKIE
from .keys import KeyFile

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stillroom: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{{color-scheme:light dark}}
body{{font:1rem/1.5 system-ui,sans-serif;max-width:22rem;margin:15vh auto;padding:0 1rem}}
input,button{{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 .75rem}}
</style></head><body><main><h1>stillroom</h1>
<form method="post" action="/login?next={next}"><label for="key">Your key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></form><p role="alert">{told}</p></main></body></html>"""
_MOST_BYTES = 4096


def login_routes(keys: KeyFile | None) -> APIRouter:
    """Make the routes `/login` and `/logout`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def login_page(next: str = "/") -> Response:
        if keys is None:
            return RedirectResponse(_own_path(next), 303)
        return _page(next, "")

    @router.post("/login")
    async def login(request: Request, next: str = "/") -> Response:
        body = (await request.body())[:_MOST_BYTES].decode("utf-8", "replace")
        key = parse_qs(body).get("key", [""])[0].strip()
        if keys is None or keys.owner_of(key) is None:
            request.scope["state"]["wrong_key"] = True
            return _page(next, "This key is not known.", 401)
        response = RedirectResponse(_own_path(next), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)
        return response

    @router.post("/logout")
    async def logout() -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router


def _page(next_path: str, told: str, status: int = 200) -> HTMLResponse:
    page = _PAGE.format(next=escape(_own_path(next_path), quote=True), told=escape(told))
    return HTMLResponse(page, status)


def _own_path(path: str) -> str:
    """Return a path of this server; anything else becomes `/`.

    >>> _own_path("/chat"), _own_path("//evil.example"), _own_path("https://evil.example")
    ('/chat', '/', '/')
    """
    plain = path.isprintable() and path.isascii() and "\\" not in path and "?" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"
