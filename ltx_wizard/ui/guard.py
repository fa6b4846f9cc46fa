"""Who may talk to the app. Everything passes here first: pages, files, the API, uploads, the queue."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ltx_wizard.ui.login_page import login_page

COOKIE = "ltx_wizard_session"
LOGIN_PATH = "/login"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WRONG_PASSWORD_DELAY_S = 1.0
_LONGEST_FORM_BYTES = 4096


@dataclass(frozen=True)
class Credentials:
    """The login of a window that others can reach."""

    user: str
    password: str

    def match(self, user: str, password: str) -> bool:
        """In constant time. Both parts are always compared; spaces around them, as pasted, do not count."""
        good_user = secrets.compare_digest(user.strip().encode(), self.user.strip().encode())
        good_password = secrets.compare_digest(password.strip().encode(), self.password.strip().encode())
        return good_user and good_password


def new_password() -> str:
    """Strong, random, and without letters that look alike in a console."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


class LoginGuard:
    """ASGI middleware: without the login's cookie nothing answers but the login page itself.

    Sessions live in memory: a restart of the app asks for the password again.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._credentials = credentials
        self._sessions: set[str] = set()
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] in ("http", "websocket") and self._knows(scope)):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        response = await self._answer_stranger(request)
        await response(scope, receive, send)

    async def _answer_stranger(self, request: Request) -> Response:
        if request.url.path == LOGIN_PATH and request.method == "GET":
            return HTMLResponse(login_page())
        if request.url.path == LOGIN_PATH and request.method == "POST":
            return await self._log_in(request)
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(LOGIN_PATH, status_code=303)
        return JSONResponse({"detail": "Log in first."}, status_code=401)

    async def _log_in(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > _LONGEST_FORM_BYTES:
            return HTMLResponse(login_page("That is not a login."), status_code=413)
        form = parse_qs((await request.body()).decode("utf-8", errors="replace"))
        user, password = (form.get(name, [""])[0] for name in ("username", "password"))
        if not self._credentials.match(user, password):
            async with self._one_at_a_time:  # guessing is as slow with many connections as with one
                await asyncio.sleep(_WRONG_PASSWORD_DELAY_S)
            return HTMLResponse(login_page("That name or password is not right."), status_code=401)
        token = secrets.token_urlsafe(32)
        self._sessions.add(token)
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, token, httponly=True, samesite="lax", path="/")
        return response

    def _knows(self, scope: Scope) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(Headers(scope=scope).get("cookie", ""))
        except CookieError:
            return False
        morsel = cookies.get(COOKIE)
        return morsel is not None and morsel.value in self._sessions


class LocalGuard:
    """ASGI middleware for the window without a login: only this computer, and only pages of this app.

    A page elsewhere on the web can make the browser send requests to 127.0.0.1; its name in Host (a name that
    was pointed here) or in Origin, or what the browser says in Sec-Fetch-Site, gives it away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_ours(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer = JSONResponse({"detail": "This window answers to this computer only."}, status_code=403)
            await answer(scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        origin = headers.get("origin")
        try:
            is_local = urlsplit(f"//{host}").hostname in _LOCAL_NAMES
            same_origin = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # brackets that do not close
            return False
        return is_local and same_origin and not _comes_from_elsewhere(headers)


def _comes_from_elsewhere(headers: Headers) -> bool:
    """A picture, script or frame of another site. A link to the window is none: it opens its own page."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) != ("navigate", "document")
