"""launch.bat in a real command interpreter, where wine brings one: which Python it takes, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ltx_wizard.core.places import ROOT

_WINE = shutil.which("wine") or shutil.which("wine-stable")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_WINE is None and os.name != "nt", reason="needs Windows, or wine's cmd"),
]

FAKE_PYTHON = """@echo off
if "%~3"=="check-python" exit /b {status}
echo RUNS %*
exit /b 7
"""


@pytest.fixture
def cmd(tmp_path: Path) -> Path:
    """A folder on the interpreter's PATH, for Pythons."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def _launch(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    drive = "" if os.name == "nt" else "Z:"
    path = f"{drive}{folder}".replace("/", "\\")
    launcher = ROOT / "launch.bat" if os.name == "nt" else "launch.bat"
    line = f"set PATH={path};%PATH%&& {launcher} {arguments}"
    command = ["cmd", "/c", line] if os.name == "nt" else [str(_WINE), "cmd", "/c", line]
    prefix = folder.parent / "wine"
    quiet = {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "LTX_WIZARD_DRY_RUN": "1"}
    environment = {**os.environ, **quiet}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=240,
    )  # fmt: skip


def test_it_hands_every_word_to_the_first_python_that_will_do(cmd: Path) -> None:
    (cmd / "python3.bat").write_text(FAKE_PYTHON.format(status=3), newline="\r\n")
    (cmd / "python.bat").write_text(FAKE_PYTHON.format(status=0), newline="\r\n")
    ended = _launch(cmd, "demo --out folder --json")
    assert ended.returncode == 7
    assert "RUNS -I" in ended.stdout
    assert 'launch" run demo --out folder --json' in ended.stdout


def test_without_a_python_it_says_what_to_do(cmd: Path) -> None:
    ended = _launch(cmd, "test")
    assert ended.returncode == 1
    assert "needs a 64-bit Python 3.10, 3.11, 3.12 or 3.13" in ended.stderr
    assert "install Python 3.12" in ended.stderr
