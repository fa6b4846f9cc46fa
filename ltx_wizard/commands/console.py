"""What people and scripts see of a command: lines, one line that updates, and the result."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.events import Event, Progress
from ltx_wizard.core.units import bytes_text, duration_text, rate_text

_PLAIN_EVERY_S = 15.0
"""Without a terminal every progress is a line of its own: often enough to see life, few enough for a log."""


class Console:
    """Writes for people to one stream; with as_json the result, and nothing else, goes to stdout."""

    def __init__(self, as_json: bool = False, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stream = stream or (sys.stderr if as_json else sys.stdout)
        self._is_terminal = self._stream.isatty()
        self._updating = 0
        self._plain_stage = ""
        self._plain_at = 0.0

    def say(self, text: str = "") -> None:
        """One whole line, or several."""
        self._clear()
        self._write(text + "\n")

    def update(self, stage: str, text: str) -> None:
        """How far a stage is. In place in a terminal; else a line per stage, and now and then."""
        if self._is_terminal:
            shown = text[: shutil.get_terminal_size().columns - 1]
            self._write(f"\r{shown}{' ' * (self._updating - len(shown))}")
            self._updating = len(shown)
        elif stage != self._plain_stage or time.monotonic() - self._plain_at >= _PLAIN_EVERY_S:
            self._write(text + "\n")
            self._plain_stage, self._plain_at = stage, time.monotonic()

    def progress(self, event: Progress) -> None:
        """The end of a stage is not told: the next line says as much."""
        if event.total == 0:
            self.update(event.stage, event.stage)
        elif event.unit == "bytes":
            self.update(event.stage, _bytes_progress(event))
        elif event.done < event.total:
            message = f", {event.message}" if event.message else ""
            if event.per_second > 0:
                left = duration_text((event.total - event.done) / event.per_second)
                message += f", {rate_text(event.per_second)}, {left} left"
            self.update(event.stage, f"{event.stage}: {event.done} of {event.total}{message}")

    def result(self, result: Mapping[str, object]) -> None:
        """The result as one JSON object on the last line of stdout, where it was asked for."""
        self._clear()
        if self.as_json:
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()

    def _clear(self) -> None:
        if self._updating:
            self._write("\r" + " " * self._updating + "\r")
        self._updating = 0
        self._plain_stage = ""

    def _write(self, text: str) -> None:
        self._stream.write(printable(text, self._stream))
        self._stream.flush()


def _bytes_progress(event: Progress) -> str:
    parts = [f"{event.stage}: {bytes_text(event.done)} of {bytes_text(event.total)}"]
    if event.per_second > 0:
        left = duration_text((event.total - event.done) / event.per_second)
        parts += [f"{bytes_text(round(event.per_second))}/s", f"{left} left"]
    return ", ".join(parts)


class ConsoleReport:
    """Lets work in this process report to a console. Ctrl+C ends that work where it stands."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def emit(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._console.progress(event)

    def stop_requested(self) -> bool:
        return False


def printable(text: str, stream: TextIO) -> str:
    """The text with '?' for what the console cannot show, such as an emoji in a file name on an old one."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def show_error(error: WizardError) -> None:
    """Problem and remedy on stderr."""
    text = f"{error.problem}\nWhat to do: {error.remedy}\n" if error.remedy else f"{error.problem}\n"
    sys.stderr.write(printable(text, sys.stderr))
    sys.stderr.flush()
