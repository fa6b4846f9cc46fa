"""Serving the window: the address, the login, the routes, and the first line that says it is ready."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ltx_wizard.app import system
from ltx_wizard.core import places
from ltx_wizard.core.errors import BadInput, Busy, WizardError, explain_os_error

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from ltx_wizard.ui.guard import Credentials

DEFAULT_PORT = 7860
_PORTS_TRIED = 50
_LARGEST_PORT = 65535
_HEAD = """
<meta name="referrer" content="no-referrer">
<link rel="icon" type="image/svg+xml" href="/wizard/assets/icon/icon.svg">
<link rel="stylesheet" href="/wizard/assets/css/base.css">
<link rel="stylesheet" href="/wizard/assets/css/parts.css">
<link rel="stylesheet" href="/wizard/assets/css/steps.css">
<link rel="stylesheet" href="/wizard/assets/css/captions.css">
<link rel="stylesheet" href="/wizard/assets/css/captioner.css">
<link rel="stylesheet" href="/wizard/assets/css/check.css">
<link rel="stylesheet" href="/wizard/assets/css/lab.css">
<link rel="stylesheet" href="/wizard/assets/css/train.css">
<script src="/wizard/assets/js/wizard.js"></script>
"""

# Gradio is imported where it is used: it takes seconds, and a port in use should be said at once.
# ruff: noqa: PLC0415, T201


@dataclass(frozen=True)
class Options:
    """How to serve. port None: the usual one, or the next that is free. host empty: this computer only."""

    listen: bool = False
    share: bool = False
    host: str = ""
    port: int | None = None
    user: str = "wizard"
    password: str = ""
    browser: bool = True
    project: Path | None = None

    @property
    def address(self) -> str:
        return self.host or ("0.0.0.0" if self.listen else "127.0.0.1")

    @property
    def is_local(self) -> bool:
        """Only this computer can reach the window."""
        return not self.share and self.address in ("127.0.0.1", "localhost", "::1")


def serve(options: Options, started: float | None = None) -> None:
    """Open the port, build the window, say where it is, and serve until Ctrl+C. Raises WizardError."""
    began = started or time.monotonic()
    listener = open_port(options.address, options.port)
    port = int(listener.getsockname()[1])
    if options.port is None and port != DEFAULT_PORT:
        print(f"Port {DEFAULT_PORT} is in use, so this window uses {port}.")
    _quieten()
    from ltx_wizard.app import sweeps
    from ltx_wizard.ui.guard import Credentials, new_password

    login = None if options.is_local else Credentials(options.user, options.password or new_password())
    app = guarded(build_app(port), login)
    sweeps.keep_going()

    def ready() -> None:
        took_s = time.monotonic() - began
        print(f"Ready at {_page_address(options, port)} after {took_s:.1f} s. Ctrl+C ends it.", flush=True)
        _tell_login(login, options, port)
        if options.share:
            _open_tunnel(port)
        if options.browser and not options.share:
            threading.Thread(
                target=webbrowser.open, args=(_page_address(options, port),), daemon=True
            ).start()

    _run(app, listener, ready)


def build_app(port: int = DEFAULT_PORT) -> FastAPI:
    """Everything that answers: Gradio's page and queue, our files and live data. Not yet guarded."""
    _quieten()
    import gradio as gr
    from fastapi import FastAPI

    from ltx_wizard.ui.live import live_routes
    from ltx_wizard.ui.media import media_routes
    from ltx_wizard.ui.theme import wizard_theme
    from ltx_wizard.ui.wizard import build

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=[*media_routes(), *live_routes()])
    return gr.mount_gradio_app(
        app,
        build(),
        path="/",
        server_name="127.0.0.1",
        server_port=port,
        theme=wizard_theme(),
        head=_HEAD,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        allowed_paths=[],
        blocked_paths=[str(places.home() / "projects")],
    )


def guarded(app: ASGIApp, login: Credentials | None) -> ASGIApp:
    """The app behind its login, or, without one, for pages of this computer only."""
    from ltx_wizard.ui.guard import LocalGuard, LoginGuard

    return LoginGuard(app, login) if login else LocalGuard(app)


def open_port(host: str, port: int | None) -> socket.socket:
    """Take the port that was asked for, or the first free one from the usual on. Raises Busy or BadInput."""
    if port is not None and not 0 <= port <= _LARGEST_PORT:
        raise BadInput(
            problem=f"{port} is not a port.", remedy=f"Choose one from 1024 to {_LARGEST_PORT} with --port."
        )
    candidates = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    for candidate in candidates:
        try:
            return _listen(host, candidate)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, getattr(errno, "WSAEADDRINUSE", -1)):
                raise _explain(error, host) from error
    if port is None:
        raise Busy(
            problem=f"No port from {DEFAULT_PORT} to {DEFAULT_PORT + _PORTS_TRIED - 1} is free.",
            remedy="Close another window of LTX Wizard, or choose a port with --port.",
        )
    raise Busy(
        problem=f"Port {port} is in use by another program, or not allowed.",
        remedy=f"Choose another with --port {port + 1}, or leave --port out to take a free one.",
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # on Windows this would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _explain(error: OSError, host: str) -> WizardError:
    return WizardError(
        problem=f"The window cannot open at the address {host}: {error.strerror or error}.",
        remedy="Leave --host out, or give an address of this computer.",
    )


def _quieten() -> None:
    """No telemetry, no version checks, uploads where the user's data is. Before Gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    uploads = places.home() / "uploads"
    try:
        uploads.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, uploads) from error
    os.environ.setdefault("GRADIO_TEMP_DIR", str(uploads))


def _page_address(options: Options, port: int) -> str:
    host = "127.0.0.1" if options.address in ("0.0.0.0", "::") else options.address
    shown = f"[{host}]" if ":" in host else host
    query = f"/?project={quote(str(options.project.expanduser().resolve()))}" if options.project else ""
    return f"http://{shown}:{port}{query}"


def _tell_login(login: Credentials | None, options: Options, port: int) -> None:
    if login is None:
        return
    print(f"Others can reach this window. They need the name {login.user}", end="")
    print(
        " and the password that you gave." if options.password else f" and the password {login.password}",
        flush=True,
    )
    if options.address in ("0.0.0.0", "::"):
        for address in system.network_addresses():
            print(f"In your network: http://{address}:{port}", flush=True)


def _open_tunnel(port: int) -> None:
    """A public address through Gradio's tunnel. Raises WizardError where it cannot be reached."""
    from gradio import networking

    try:
        import secrets

        address = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except (OSError, RuntimeError, ValueError) as error:
        print(
            f"No public address: {error}. Check the connection; the window works on this computer.",
            file=sys.stderr,
        )
        return
    print(f"Public address: {address}", flush=True)


def _run(app: ASGIApp, listener: socket.socket, ready: object) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()  # pyright: ignore[reportCallIssue]

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=2
    )
    Server(config).run(sockets=[listener])
