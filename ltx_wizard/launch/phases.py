"""Running the commands of a set-up one by one: a line each for the reader, all their output for the log."""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ltx_wizard.launch.commands import say, shell_line
from ltx_wizard.launch.environment import Environment, pip_version
from ltx_wizard.launch.failures import SetupFailed, cause_of

LINES_KEPT = 400  # of the output, to find the cause of a failure in
LINES_SHOWN = 12  # of these to the reader
REPORT_EVERY_S = 30.0  # where no terminal shows a running clock


class Phases:
    def __init__(self, environment: Environment, total: int) -> None:
        self.environment = environment
        self.total = total
        self.number = 0

    def begin(self) -> None:
        """The next phase; it may run several commands."""
        self.number += 1

    def run(self, title: str, command: list[str]) -> None:
        """Run to the end. Raises SetupFailed if the command fails."""
        line = ProgressLine(f"[{self.number}/{self.total}] {title}")
        kept: deque[str] = deque(maxlen=LINES_KEPT)
        with self.environment.log.open("a", encoding="utf-8") as log:
            write_if_there_is_space(log, f"$ {shell_line(command)}\n")
            with self.start(command) as process:
                for output in lines_or_pauses(process):
                    line.update(output)
                    if output.strip() and not output.startswith("Progress "):
                        kept.append(output.rstrip())
                        write_if_there_is_space(log, output)
        line.finish("failed" if process.returncode else "done")
        if process.returncode:
            raise SetupFailed(cause_of("\n".join(kept)), list(kept)[-LINES_SHOWN:], self.environment.log)

    @contextmanager
    def start(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A process with stdout and stderr in one, which does not outlive the block."""
        with subprocess.Popen(
            command,
            cwd=self.environment.root,
            env=pip_variables(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise


def pip_variables(environment: Environment) -> dict[str, str]:
    variables = {**environment.variables(), "PIP_USER": "0"}  # a user's "install for me only" fails in here
    if pip_version(environment) >= (24, 1):
        variables["PIP_PROGRESS_BAR"] = "raw"  # "Progress 512 of 1024" on a line of its own
    return variables


def write_if_there_is_space(log: TextIO, text: str) -> None:
    with suppress(OSError):
        log.write(text)
        log.flush()


def lines_or_pauses(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The output line by line, and an empty string for each half second without any: a clock can run on."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or []:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line.decode("utf-8", "replace")


class ProgressLine:
    """One phase: in a terminal one line with a running clock, elsewhere a line now and then."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.activity = ""
        self.started = self.shown = time.monotonic()
        self.in_terminal = sys.stderr.isatty()
        self.width = 0
        self.show(f"{title} ...")

    def update(self, output: str) -> None:
        self.activity = activity_after(output, self.activity)
        now = time.monotonic()
        if now - self.shown >= (0.2 if self.in_terminal else REPORT_EVERY_S):
            self.shown = now
            self.show(f"{self.title} ... {now - self.started:.0f} s  {self.activity}".rstrip())

    def finish(self, result: str) -> None:
        self.show(f"{self.title}: {result}, {time.monotonic() - self.started:.0f} s")
        if self.in_terminal:
            say("")

    def show(self, text: str) -> None:
        if not self.in_terminal:
            say(text)
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)


def activity_after(output: str, before: str) -> str:
    """What pip is doing after it printed this line."""
    download = re.match(r"\s*Downloading (\S+?)-\d\S* \((.*)\)", output)
    if download:
        return f"downloading {download[1]}, {download[2]}"
    progress = re.match(r"Progress (\d+) of (\d+)", output)
    if progress and int(progress[2]):
        percent = 100 * int(progress[1]) // int(progress[2])
        return f"{before.partition(':')[0]}: {percent} %"
    looking = re.match(r"Collecting ([\w.-]+)", output)
    if looking:
        return f"looking for {looking[1]}"
    if output.startswith("Installing collected packages"):
        return "unpacking"
    return before
