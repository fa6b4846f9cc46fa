from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from ltx_wizard.core.errors import Busy, NoPermission, WizardError
from ltx_wizard.core.places import ROOT
from ltx_wizard.ui import server
from ltx_wizard.ui.guard import Credentials
from ltx_wizard.ui.server import Options, build_app, open_port

BOUND_S = 8.0
"""Of a processor's time, so that what a test machine does besides does not count; 3 s were measured."""


@contextmanager
def taken_port() -> Iterator[int]:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with taken_port() as port, pytest.raises(Busy) as caught:
        open_port("127.0.0.1", port)
    assert f"Port {port} is in use" in caught.value.problem
    assert "--port" in caught.value.remedy


def test_without_a_wish_the_next_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as port:
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        with closing(open_port("127.0.0.1", None)) as listener:
            assert port < listener.getsockname()[1] < port + 50


def test_no_free_port_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as port:
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        monkeypatch.setattr(server, "_PORTS_TRIED", 1)
        with pytest.raises(Busy, match="No port"):
            open_port("127.0.0.1", None)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_number_that_is_no_port_is_said(port: int) -> None:
    with pytest.raises(WizardError) as caught:
        open_port("127.0.0.1", port)
    assert str(port) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "host.invalid", "a" * 300 + ".example"])
def test_an_address_that_is_not_here_is_said(host: str) -> None:
    with pytest.raises(WizardError) as caught:
        open_port(host, 0)
    assert host[:20] in caught.value.problem
    assert "--host" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "local"),
    [
        (Options(), True),
        (Options(host="localhost"), True),
        (Options(host="::1"), True),
        (Options(listen=True), False),
        (Options(share=True), False),
        (Options(host="0.0.0.0"), False),
        (Options(host="192.168.1.5"), False),
        (Options(listen=True, host="127.0.0.1", share=True), False),
    ],
)
def test_whatever_others_can_reach_has_a_login(options: Options, local: bool) -> None:
    assert options.is_local is local


def test_a_home_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WizardError) as caught:
        build_app()
    assert not isinstance(caught.value, NoPermission)
    assert "home" in caught.value.problem
    assert caught.value.remedy


def run_app(*arguments: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "app.py", "--no-browser", *arguments],
        cwd=ROOT,
        env={**os.environ, "LTX_WIZARD_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_with(text: str, process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    assert process.stderr is not None
    raise AssertionError(f"it ended without '{text}': {process.stderr.read()}")


def test_who_listens_is_told_the_addresses_for_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server.system, "network_addresses", lambda: ["192.168.1.7"])
    login = Credentials("wizard", "secret")
    server._tell_login(login, Options(listen=True), 7861)
    assert "http://192.168.1.7:7861" in capsys.readouterr().out
    server._tell_login(login, Options(share=True), 7861)
    assert "192.168" not in capsys.readouterr().out


def free_port() -> int:
    with taken_port() as port:
        return port


def test_the_window_is_ready_in_seconds_and_ends_cleanly(home: Path) -> None:
    port = free_port()
    process = run_app("--port", str(port), home=home)
    try:
        found = re.search(r"Ready at (\S+) after ([\d.]+) s", line_with("Ready", process))
        assert found
        assert found[1] == f"http://127.0.0.1:{port}"
        spent = psutil.Process(process.pid).cpu_times()
        print(f"the window was ready after {found[2]} s, {spent.user + spent.system:.1f} s of a processor")
        assert spent.user + spent.system < BOUND_S, "the window's start takes longer, whatever runs beside"
        with urllib.request.urlopen(found[1], timeout=20) as page:
            assert b"LTX Wizard" in page.read()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_window_for_others_prints_a_strong_password_once_and_asks_for_it(home: Path) -> None:
    port = free_port()
    process = run_app("--listen", "--host", "127.0.0.2", "--port", str(port), home=home)
    try:
        line_with("Ready", process)
        told = line_with("password", process)
        password = told.split()[-1]
        assert re.fullmatch(r"([A-Za-z2-9]{5}-){3}[A-Za-z2-9]{5}", password)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.2:{port}/config", timeout=20)
        assert caught.value.code == 401
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert password not in rest


def test_a_port_in_use_ends_the_app_with_the_remedy_and_no_traceback(home: Path) -> None:
    with taken_port() as port:
        process = run_app("--port", str(port), home=home)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Port {port} is in use" in errors
    assert "--port" in errors
    assert "Traceback" not in errors


def test_a_project_that_does_not_exist_is_said_in_the_window(window: object) -> None:
    """The page opens without it and shows why."""
    from fastapi.testclient import TestClient

    client = TestClient(window, base_url="http://127.0.0.1")  # pyright: ignore[reportArgumentType]
    for path in ("/does/not/exist", "~nobody-of-this-name", "a\0b", "x" * 5000):
        answer = client.get("/wizard/live/status", params={"project": path})
        assert answer.status_code == 422
        assert answer.json()["problem"]
        assert answer.json()["remedy"]
