"""Starting workers and following them.

The worker belongs to itself: it outlives the app and is found again by worker.json. A background thread
follows the events of every job that this app started or reattached to, so that a page that asks has to read
only the newest of them.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from ltx_wizard.app.deaths import explain_death, start_mark
from ltx_wizard.core.documents import read_document
from ltx_wizard.core.errors import WizardError, explain_os_error
from ltx_wizard.core.events import Event, EventReader
from ltx_wizard.core.places import ROOT
from ltx_wizard.core.run import JobFolder, JobState, JobStatus, WorkerIdentity, fold

_LOG = logging.getLogger("ltx_wizard")

POLL_S = 0.25
STARTING_GRACE_S = 30.0
"""A worker writes worker.json as its first act; a slow disk and a cold Python may take this long."""
KILL_GRACE_S = 90.0
"""Stop means: finish the step, save, exit. On a slow card a step of a large model takes half a minute."""
_START_TIME_TOLERANCE_S = 2.0
_SPIN_COUNT = "1000"
"""Threads that wait spin only briefly, then sleep. Spinning as long as GNU OpenMP likes is fastest alone, but
where another process wants the same cores a step takes many times longer; never spinning doubles the time
alone. Measured on 2 cores, a step of the practice model: .16 s alone, .35 s beside another
(benchmarks/RESULTS.md).
"""


def launch_worker(folder: JobFolder) -> subprocess.Popen[bytes]:
    """Start `python -m ltx_wizard.worker` in a process group of its own. Raises WizardError."""
    for leftover in (folder.stop_file, folder.pause_file, folder.worker_file):
        leftover.unlink(missing_ok=True)
    environment = {
        "GOMP_SPINCOUNT": _SPIN_COUNT,
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",  # a library that crashes leaves in the log where it did
        "PYTHONPATH": _python_path(),
    }
    try:
        with folder.log_file.open("ab") as log:
            log.write(start_mark())  # also: a resumed job is as fresh as a new one for others who look
            log.flush()
            return subprocess.Popen(
                [sys.executable, "-m", "ltx_wizard.worker", str(folder.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=os.name != "nt",
                creationflags=_windows_flags(),
            )
    except OSError as error:
        raise explain_os_error(error, folder.log_file) from error


def worker_process(folder: JobFolder) -> psutil.Process | None:
    """The living process of a job: this very one, not another that was given the same number."""
    try:
        identity = read_document(folder.worker_file, WorkerIdentity)
    except WizardError:
        return None
    if identity.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.process_start_time) < _START_TIME_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def is_starting_or_alive(folder: JobFolder) -> bool:
    if folder.worker_file.exists():
        return worker_process(folder) is not None
    newest = max((_modified(path) for path in (folder.job_file, folder.log_file)), default=0.0)
    return time.time() - newest < STARTING_GRACE_S


def last_sign(folder: JobFolder) -> float:
    """When a job was written, started or heard of last, in seconds since 1970."""
    return max(map(_modified, (folder.job_file, folder.log_file, folder.events_file)))


def request_stop(folder: JobFolder) -> None:
    """Ask the worker to finish its step, save and exit."""
    _touch(folder.stop_file)


def request_pause(folder: JobFolder, paused: bool) -> None:
    if paused:
        _touch(folder.pause_file)
    else:
        folder.pause_file.unlink(missing_ok=True)


def kill(folder: JobFolder) -> None:
    """End a worker that does not stop. Its last checkpoint stays."""
    process = worker_process(folder)
    if process:
        process.kill()
        process.wait(timeout=10)


class Supervisor:
    """One background thread that follows jobs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[Path, _Watched] = {}
        self._thread: threading.Thread | None = None

    def start(self, folder: JobFolder) -> None:
        """Launch the worker of a job and follow it."""
        child = launch_worker(folder)
        with self._lock:
            self._watched[folder.folder] = _Watched(folder, child)
        self._ensure_thread()

    def status(self, folder: JobFolder) -> JobStatus:
        """The status at this very moment; reattaches to a job that this app did not start."""
        with self._lock:
            watched = self._watched.setdefault(folder.folder, _Watched(folder, None))
        watched.look()
        self._ensure_thread()
        return watched.status

    def every(self, seconds: float, chore: Callable[[], None]) -> None:
        """Do something again and again, in a thread of its own, for as long as this process lives."""

        def work() -> None:
            while True:
                _attempt(chore, lambda error: _LOG.error("A chore failed", exc_info=error))
                time.sleep(seconds)

        threading.Thread(target=work, name="chores", daemon=True).start()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._follow, name="job supervisor", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        while True:
            with self._lock:
                watched = list(self._watched.values())
            for job in watched:
                job.look()
            time.sleep(POLL_S)


def _attempt(act: Callable[[], None], give_up: Callable[[Exception], None]) -> None:
    """A thread of the app must outlive one unreadable folder."""
    try:
        act()
    except Exception as error:
        give_up(error)


class _Watched:
    """A job and what is known of it. Thread-safe."""

    def __init__(self, folder: JobFolder, child: subprocess.Popen[bytes] | None) -> None:
        self.folder = folder
        self.status = JobStatus()
        self._lock = threading.Lock()
        self._child = child
        self._reader = EventReader(folder.events_file)
        self._folded = JobStatus()
        self._settled_at: float | None = None

    def look(self) -> None:
        """Take in what the worker wrote since the last look, and whether it lives."""
        with self._lock:
            if self._settled_at is not None:
                if self._settled_at == _last_start(self.folder):
                    return
                self._settled_at, self._child = None, None  # somebody else resumed it
            _attempt(self._update, self._give_up)

    def _update(self) -> None:
        alive = self._is_alive()  # before the read, else the last events of a dying worker are missed
        news = self._reader.read_new()
        self._folded = fold(news, self._folded) if news else self._folded
        code = self._child.returncode if self._child is not None else None
        self.status = _judge(self._folded, alive, self.folder, code)
        if self.status.is_over and not alive:
            self._settle()

    def _settle(self) -> None:
        self._settled_at = _last_start(self.folder)

    def _give_up(self, error: Exception) -> None:
        self._settle()
        self.status = replace(
            self.status,
            state=JobState.FAILED,
            problem=f"The folder of this job cannot be read: {error}",
            remedy="Check the disk, then open the project again.",
        )

    def _is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return is_starting_or_alive(self.folder)


def follow(folder: JobFolder, on_event: Callable[[Event], None]) -> JobStatus:
    """Start a job's worker and report its events until it ends. Ctrl+C asks it to stop."""
    reader = EventReader(folder.events_file)
    reader.read_new()
    child = launch_worker(folder)
    stop_asked = False
    while True:
        try:
            over = child.poll() is not None
            for event in reader.read_new():
                on_event(event)
            if over:
                return _judge(folder.status(), False, folder, child.returncode)
            time.sleep(POLL_S / 2)
        except KeyboardInterrupt:
            if stop_asked:
                kill(folder)
            stop_asked = True
            request_stop(folder)


def _judge(status: JobStatus, alive: bool, folder: JobFolder, exit_code: int | None = None) -> JobStatus:
    """A job without an end whose worker is gone has failed; the end of an earlier worker is none."""
    if alive:
        is_old = status.is_over and status.updated_at < _last_start(folder)
        return replace(status, state=JobState.WAITING, problem="", remedy="") if is_old else status
    if status.is_over:
        return status
    problem, remedy = explain_death(folder, status, exit_code)
    return replace(status, state=JobState.FAILED, progress=None, problem=problem, remedy=remedy)


def _touch(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        raise explain_os_error(error, path) from error


def _last_start(folder: JobFolder) -> float:
    """When its newest worker was started: until it has written its name, the log tells."""
    return _modified(folder.worker_file) or _modified(folder.log_file)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(part for part in (str(ROOT), inherited) if part)


def _windows_flags() -> int:
    """A process group of its own, so that closing the console does not end a night's training."""
    if os.name != "nt":
        return 0
    return getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
