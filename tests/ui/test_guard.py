"""Who gets an answer. Every route of the real app is asked, so a new one cannot be forgotten."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from ltx_wizard.core.project import Project
from ltx_wizard.ui import guard, media
from ltx_wizard.ui.guard import COOKIE, Credentials, LocalGuard, LoginGuard, new_password
from ltx_wizard.ui.server import guarded

REAL_DELAY_S = guard._WRONG_PASSWORD_DELAY_S
LOGIN = Credentials("wizard", "correct horse")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
KNOWN = (
    "/",
    "/config",
    "/gradio_api/info",
    "/gradio_api/upload",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/file={path_or_url:path}",
    "/gradio_api/run/{api_name}",
    "/gradio_api/call/{api_name}",
    "/wizard/media/{token}/{relative:path}",
    "/wizard/live/caption",
)
"""Routes that must be among those found: a list that came out short would prove nothing."""
UNREGISTERED = (
    "/gradio_api/mcp/sse",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/nothing",
    "/login/x",
    "/LOGIN",
    "//login",
)


def paths_of(app: object, prefix: str = "") -> Iterator[str]:
    """Every path of an app, of what is mounted in it and of included routers, parameters as they stand."""
    included = getattr(app, "original_router", None)
    if included is not None:
        yield from paths_of(included, prefix + getattr(getattr(app, "include_context", None), "prefix", ""))
        return
    for route in getattr(app, "routes", None) or []:
        path = prefix + getattr(route, "path", "")
        if getattr(route, "original_router", None) is not None or getattr(route, "routes", None):
            yield from paths_of(route, path)
        elif path:
            yield path


def asked(path: str) -> str:
    """A path that can be asked for: parameters filled in."""
    return re.sub(r"\{[^}]*\}", "x", path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_WRONG_PASSWORD_DELAY_S", 0.0)


@pytest.fixture
def stranger(window: FastAPI) -> TestClient:
    return TestClient(guarded(window, LOGIN), follow_redirects=False, raise_server_exceptions=False)


def log_in(client: TestClient, user: str = LOGIN.user, password: str = LOGIN.password) -> httpx.Response:
    return client.post("/login", data={"username": user, "password": password})


def test_the_routes_that_matter_are_among_those_that_are_asked(window: FastAPI) -> None:
    found = set(paths_of(window))
    assert not set(KNOWN) - found
    assert len(found) > 50


def test_without_the_login_nothing_answers_but_the_login_page(window: FastAPI, stranger: TestClient) -> None:
    for path in {*map(asked, paths_of(window)), *UNREGISTERED}:
        for method in METHODS:
            answer = stranger.request(
                method, path, json={"fn_index": 0, "data": []} if method == "POST" else None
            )
            if path == "/login" and method == "GET":
                assert "password" in answer.text
                continue
            assert answer.status_code in (401, 413), f"{method} {path} gave {answer.status_code}"
            assert len(answer.content) < 5000
            assert "gradio" not in answer.text.lower()


def test_a_browser_without_the_login_is_sent_to_it(window: FastAPI, stranger: TestClient) -> None:
    for path in map(asked, paths_of(window)):
        if path != "/login":
            answer = stranger.get(path, headers={"accept": "text/html,*/*"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_without_the_login_no_websocket_opens(window: FastAPI, stranger: TestClient) -> None:
    for path in {*map(asked, paths_of(window)), "/queue/join"}:
        with pytest.raises(WebSocketDisconnect) as caught, stranger.websocket_connect(path):
            pass
        assert caught.value.code == 1008


def test_without_the_login_no_file_of_a_project_is_served(
    window: FastAPI, stranger: TestClient, project: Project
) -> None:
    (project.folder / "a.mp4").write_bytes(b"private")
    address = media.file_url(project, "a.mp4")
    for cookie in ("", f"{COOKIE}=", f"{COOKIE}=x", f"{COOKIE}; {COOKIE}=1", "{{{", f'{COOKIE}="\\'):
        answer = stranger.get(address, headers={"cookie": cookie})
        assert answer.status_code == 401
        assert b"private" not in answer.content
    log_in(stranger)
    assert stranger.get(address).content == b"private"


def test_after_the_login_the_page_its_files_and_the_api_answer(stranger: TestClient) -> None:
    answer = log_in(stranger)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    page = stranger.get("/")
    assert page.status_code == 200
    assert "LTX Wizard" in page.text
    assert stranger.get("/config").status_code == 200
    assert stranger.get("/wizard/live/status").status_code == 200
    assert stranger.get("/wizard/assets/js/wizard.js").status_code == 200


def test_the_login_is_for_one_browser_only(window: FastAPI) -> None:
    app = guarded(window, LOGIN)
    mine, other = (TestClient(app, follow_redirects=False) for _ in range(2))
    log_in(mine)
    assert mine.get("/config").status_code == 200
    assert other.get("/config").status_code == 401


def test_a_new_start_asks_again(window: FastAPI, stranger: TestClient) -> None:
    log_in(stranger)
    restarted = TestClient(guarded(window, LOGIN), cookies=dict(stranger.cookies), follow_redirects=False)
    assert restarted.get("/config").status_code == 401


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("wizard", "wrong"),
        ("wizard", ""),
        ("", ""),
        ("Wizard", "correct horse"),
        ("wizard", "correct horse\0"),
        ("wizard", "correct  horse"),
        ("wïzard", "päßwörd 🎬"),
    ],
)
def test_a_wrong_name_or_password_gets_no_session(stranger: TestClient, user: str, password: str) -> None:
    answer = log_in(stranger, user, password)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "not right" in answer.text
    assert stranger.get("/config").status_code == 401


def test_a_password_with_any_characters_works(window: FastAPI) -> None:
    login = Credentials("Ünser Name", "p&=+% ä🎬\"'<")
    client = TestClient(guarded(window, login), follow_redirects=False)
    assert log_in(client, login.user, login.password).status_code == 303


def test_spaces_pasted_around_a_password_do_not_matter(window: FastAPI) -> None:
    client = TestClient(guarded(window, Credentials("wizard", " spaced ")), follow_redirects=False)
    assert log_in(client, "wizard", " spaced ").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "99999999"},
        {"content-length": "-5"},
        {"content-length": "many"},
        {"transfer-encoding": "chunked"},
    ],
)
def test_a_login_that_is_no_form_is_refused(stranger: TestClient, headers: dict[str, str]) -> None:
    answer = stranger.post("/login", content=b"x" * 10, headers=headers)
    assert answer.status_code in (400, 401, 413)
    assert "set-cookie" not in answer.headers


def test_a_wrong_password_is_slow_however_many_try_at_once(
    window: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_WRONG_PASSWORD_DELAY_S", 0.2)
    app = guarded(window, LOGIN)

    async def guess(count: int) -> float:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://remote") as client:
            began = time.monotonic()
            form = {"username": "wizard", "password": "wrong"}
            await asyncio.gather(*(client.post("/login", data=form) for _ in range(count)))
            return time.monotonic() - began

    assert asyncio.run(guess(4)) >= 0.8


def test_the_delay_of_a_wrong_password_is_a_second() -> None:
    assert REAL_DELAY_S >= 1.0


def test_passwords_are_long_random_and_readable() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: new_password(), range(200)))
    assert len(made) == 200
    assert all(re.fullmatch(r"([A-Za-z2-9]{5}-){3}[A-Za-z2-9]{5}", password) for password in made)
    assert not set("lIO01o") & set("".join(made))


def test_without_a_login_the_window_is_for_this_computer(window: FastAPI) -> None:
    assert isinstance(guarded(window, None), LocalGuard)
    assert isinstance(guarded(window, LOGIN), LoginGuard)


@pytest.fixture
def local(window: FastAPI) -> ASGIApp:
    return guarded(window, None)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:7860", "http://localhost:7861", "http://[::1]:7860", "http://127.0.0.1"]
)
def test_pages_of_this_computer_are_answered(local: ASGIApp, address: str) -> None:
    client = TestClient(local, base_url=address)
    assert client.get("/").status_code == 200
    assert client.get("/config", headers={"origin": address}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7860",
        "evil.example:7860",
        "127.0.0.1@evil.example",
        "",
        "[",
        "0.0.0.0",
    ],
)
def test_a_name_that_was_pointed_at_this_computer_is_refused(
    window: FastAPI, local: ASGIApp, host: str
) -> None:
    client = TestClient(local, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)
    for path in map(asked, paths_of(window)):
        assert client.get(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost:7860",
        "null",
        "http://evil.example:7860",
        "file://",
        "",
        "http://[",
    ],
)
def test_a_page_from_elsewhere_is_refused_everywhere(window: FastAPI, local: ASGIApp, origin: str) -> None:
    client = TestClient(local, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)
    for path in map(asked, paths_of(window)):
        for method in ("GET", "POST"):
            answer = client.request(method, path, headers={"origin": origin})
            assert answer.status_code == 403, f"{method} {path}"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/queue/join", headers={"origin": origin}),
    ):
        pass


def test_a_request_without_origin_that_a_browser_marks_as_from_elsewhere_is_refused(local: ASGIApp) -> None:
    """Images and scripts of another site carry no Origin, but the browser says where they come from."""
    client = TestClient(local, base_url="http://127.0.0.1:7860")
    for site in ("cross-site", "same-site"):
        for path in ("/config", "/wizard/live/status?project=/x", "/gradio_api/info"):
            headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}
            assert client.get(path, headers=headers).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=link).status_code == 200  # a link to the window may stand anywhere
    own = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    assert client.get("/config", headers=own).status_code == 200
