"""The real app in a real browser: a process that serves, a page that is clicked, what went wrong in it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 300
_PATIENCE_MS = 30_000
"""How long a test waits for what it expects, where it says nothing else: a busy computer is slow."""
_LARGE, _SMALL = {"width": 1440, "height": 900}, {"width": 1024, "height": 768}
_SHOW_USUAL_HOME = """home => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.data.includes(home)) text.data = text.data.replaceAll(home, "~/LTX-Wizard");
  }
}"""
_OUTSIDE = """() => {
  const scrolls = (box) => box && (/auto|scroll/.test(getComputedStyle(box).overflowX) ? box : scrolls(box.parentElement));
  return [...document.querySelectorAll("body *")].filter((part) => {
    const { right, width, height } = part.getBoundingClientRect();
    if (!width || !height || right <= innerWidth + 1 || getComputedStyle(part).visibility === "hidden") return false;
    const box = scrolls(part.parentElement);
    return !box || box === document.documentElement || box.getBoundingClientRect().right > innerWidth + 1;
  }).map((part) => `${part.tagName}.${part.className} ${part.textContent.trim().slice(0, 40)}`);
}"""  # noqa: E501 - a script
"""What lies right of the window, where nobody can bring it into sight."""
_LEFT_WHILE_LOADING = "AbortError: signal is aborted"
"""Gradio says so when a page is reloaded while it still waits for an answer."""
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)


@dataclass
class App:
    """`python app.py` with its own home folder. It can be killed and started again, at the same address."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once the window answers. Fails with the app's words if it ends before."""
        environment = {
            **os.environ,
            "LTX_WIZARD_HOME": str(self.home),
            "OMP_WAIT_POLICY": "PASSIVE",
            **self.environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "app.py", "--no-browser", "--port", str(self.port)],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        lines: Queue[str] = Queue()
        threading.Thread(target=_forward, args=(self.process, lines), daemon=True).start()
        said = ""
        while "Ready at" not in said:
            try:
                line = lines.get(timeout=_START_TIMEOUT_S)
            except Empty:
                pytest.fail(f"The app was not ready after {_START_TIMEOUT_S} s. It said: {said}")
            if not line:
                pytest.fail(f"The app ended before it was ready: {said}")
            said += line

    def kill(self) -> None:
        """As a crash, or the end of the console: no goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)

    def workers(self) -> list[psutil.Process]:
        """The jobs of this home folder, which live on without the app."""
        mine = str(self.home)
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(mine in part for part in process.info["cmdline"] or [])
        ]

    def files(self) -> list[Path]:
        """Everything that lies below the home folder."""
        return [path for path in self.home.rglob("*") if path.is_file()]

    def files_with(self, secret: str) -> list[Path]:
        """The files that hold these words, all of one look during which none went away."""
        while True:
            try:
                return [path for path in self.files() if secret.encode() in path.read_bytes()]
            except FileNotFoundError:  # a temporary file has just become the real one
                continue


@dataclass
class Window:
    """A page, everything that it complained about, and the pictures taken of it.

    home: the folder that pictures show as the usual one, so that they look the same wherever they are taken.
    wanted: whether LTX_WIZARD_SHOTS names a folder for pictures.
    """

    page: Any
    home: Path
    shots: Path
    wanted: bool
    complaints: list[str] = field(default_factory=list)

    def fits_small(self) -> None:
        """Fails where a small window cuts something off."""
        self.page.set_viewport_size(_SMALL)
        self.page.wait_for_timeout(150)  # a plot draws itself anew
        outside = self.page.evaluate(_OUTSIDE)
        self.page.set_viewport_size(_LARGE)
        assert outside == [], f"right of a window of {_SMALL['width']} px: {outside[:5]}"

    def shot(self, name: str, settled_ms: int = 700) -> None:
        """Where somebody wants to look: 1440 x 900 in light and dark, and small."""
        if not self.wanted:
            return
        self.page.wait_for_timeout(settled_ms)
        self.page.evaluate(_SHOW_USUAL_HOME, str(self.home))
        self.page.screenshot(path=self.shots / f"{name}.png")
        self.page.set_viewport_size(_SMALL)
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=self.shots / f"{name}-small.png", full_page=True)
        self.page.set_viewport_size(_LARGE)
        self.page.locator("[data-theme-toggle]").click()
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=self.shots / f"{name}-dark.png", full_page=True)
        self.page.locator("[data-theme-toggle]").click()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """One for all pages of a file, so that the window's own files are fetched once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    playwright.expect.set_options(timeout=_PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=_FLAGS.split())
        yield opened.new_context(viewport=_LARGE, color_scheme="light", accept_downloads=True)
        opened.close()


@pytest.fixture
def environment() -> dict[str, str]:
    """What the app finds in its environment: no hub. A test of the hub gives its own."""
    return {"HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def running_app(chromium: str) -> Callable[[Path, dict[str, str]], AbstractContextManager[App]]:
    """running_app(home, environment), for an app that the tests of a file share: it starts in 6 seconds."""
    return _running


@pytest.fixture(scope="module")
def slowed_app(
    running_app: Callable[[Path, dict[str, str]], AbstractContextManager[App]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], AbstractContextManager[App]]:
    """slowed_app(script), for an app in whose process the script runs first, to make some answers slow."""

    def start(script: str) -> AbstractContextManager[App]:
        library = tmp_path_factory.mktemp("library")
        (library / "sitecustomize.py").write_text(script, encoding="utf-8")
        paths = (str(library), os.environ.get("PYTHONPATH", ""))
        environment = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        return running_app(tmp_path_factory.mktemp("home"), environment)

    return start


@pytest.fixture
def app(tmp_path: Path, chromium: str, environment: dict[str, str]) -> Iterator[App]:
    with _running(tmp_path / "home", environment) as running:
        yield running


@pytest.fixture
def opening(app: App) -> str:
    """The address that the window opens with: the start screen, where a test gives none of its own."""
    return app.address


@pytest.fixture
def window(app: App, opening: str, browser: Any, tmp_path: Path) -> Iterator[Window]:
    """Fails the test on any error of the page or its console that the test did not clear."""
    wanted = os.environ.get("LTX_WIZARD_SHOTS", "")
    shots = Path(wanted) if wanted else tmp_path / "shots"
    shots.mkdir(parents=True, exist_ok=True)
    page = browser.new_page()
    page.set_default_timeout(60_000)
    window = Window(page, app.home, shots, wanted=bool(wanted))
    page.on("pageerror", lambda error: window.complaints.append(f"page error: {error}"))
    page.on("console", lambda message: _hear(window, message))
    page.goto(opening)
    page.locator("html[data-ready]").wait_for(state="attached")
    yield window
    page.screenshot(path=shots / "last.png", full_page=True)
    page.evaluate("localStorage.clear(); sessionStorage.clear()")
    page.close()
    assert window.complaints == []


@contextmanager
def _running(home: Path, environment: dict[str, str]) -> Iterator[App]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    running = App(home, port, environment)
    try:
        running.start()
        yield running
    finally:
        running.kill()
        for worker in running.workers():
            worker.kill()


def _forward(process: subprocess.Popen[str], lines: Queue[str]) -> None:
    """Reading on keeps the app from waiting for a full pipe; an empty line is the end."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        lines.put(line)
    lines.put("")


def _hear(window: Window, message: Any) -> None:
    if message.type == "error" and not message.text.startswith(_LEFT_WHILE_LOADING):
        window.complaints.append(f"console: {message.text} {message.location.get('url', '')}")
