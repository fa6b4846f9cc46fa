"""Why a worker died without telling its end: from its exit code, its log and its last event."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.run import JobFolder, JobStatus

_START_MARK = "--- started "
_LONGEST_LINE = 200
_TAIL_BYTES = 64_000
"""What faulthandler writes of many threads and modules is long, and its first line says most."""
_LAST_WORDS = 4_000
_KILLED = -9
"""Exit code of a process that got SIGKILL: from Linux where memory is full, or from a person."""
_CRASHES = {
    -4: "illegal instruction",
    -6: "aborted",
    -7: "bus error",
    -8: "floating point exception",
    -11: "segmentation fault",
    0xC0000005: "access violation",
    0xC0000374: "heap corruption",
    0xC00000FD: "stack overflow",
    0xC000001D: "illegal instruction",
}
"""Exit codes of a crash in a library: signals, and the codes of Windows."""
_FATAL = re.compile(r"^(?:Fatal Python error|Windows fatal exception): (.+)$", re.MULTILINE)
"""How Python's faulthandler, which every worker has, begins when a library crashes."""
_FRAME = re.compile(r'^  File "(.+)", line \d+ in (\S+)$', re.MULTILINE)
_BARE = re.compile(
    r"^(segmentation fault|bus error|illegal instruction|aborted)\b", re.IGNORECASE | re.MULTILINE
)


def start_mark() -> bytes:
    """The line in a log that begins a start: what an earlier worker died of explains no later death."""
    return f"{_START_MARK}{time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode()


def explain_death(folder: JobFolder, status: JobStatus, exit_code: int | None) -> tuple[str, str]:
    """(problem, remedy). exit_code: None where this app did not start the worker, as after its restart."""
    tail = _log_of_last_start(folder.log_file)
    smaller, kept = _words_for(folder)
    ending = tail[-_LAST_WORDS:]  # what was survived long before is not what it died of
    if "out of memory" in ending.lower():
        return "The worker ran out of memory.", f"Close other programs, or {smaller}. {kept}"
    if "No space left" in ending:
        return "The disk is full.", f"Free some space. {kept}"
    last = tail.strip().splitlines()[-1][:_LONGEST_LINE] if tail.strip() else "it left no message"
    if exit_code == _KILLED:
        problem = f"The worker was ended from outside, most often because memory is full ({last})."
        return problem, f"Close other programs, or {smaller}. {kept}"
    crash = _crash(tail, exit_code)
    if crash:
        problem = f"A library of the worker crashed{_when(status)}: {crash}."
        return problem, f"{kept} If it crashes there again, please report it with the last lines of the log."
    return f"The worker ended without a word{_when(status)} ({last}).", kept


def _crash(tail: str, exit_code: int | None) -> str:
    """'segmentation fault in conv3d (torch/nn/modules/conv.py)', or empty where nothing speaks of one."""
    fatal = _FATAL.search(tail)
    if fatal is not None:
        kind = fatal.group(1).strip()
        frame = _FRAME.search(tail, fatal.end())
        place = f" in {frame.group(2)} ({_short(frame.group(1))})" if frame else ""
        return f"{kind[:1].lower()}{kind[1:]}"[:_LONGEST_LINE] + place
    if exit_code is not None and exit_code in _CRASHES:
        return _CRASHES[exit_code]
    bare = _BARE.search(tail[-_LAST_WORDS:])
    return bare.group(1).lower() if bare else ""


def _short(path: str) -> str:
    """Its last three parts: where a library lies on this computer tells nothing."""
    return "/".join(path.replace("\\", "/").split("/")[-3:])


def _when(status: JobStatus) -> str:
    """What it was at: ' at step 37', ' at Encoding clips 12 of 40'; empty before its first word."""
    at = status.progress
    if at is not None:
        return f" at '{at.stage}'" + (f", {at.done:,} of {at.total:,}" if at.total > 1 else "")
    return f" after step {status.step:,}" if status.step else ""


def _words_for(folder: JobFolder) -> tuple[str, str]:
    """(how it needs less memory, what is kept and what to do), by kind of job."""
    try:
        kind = folder.read_job().settings.kind
    except WizardError:
        kind = ""
    if kind == "caption":
        return "choose a smaller captioner", "Captions that are written are kept. Start it again to go on."
    if kind == "lab":
        return "choose a smaller size", "Every video that was made is kept. Press 'Go on' to make the rest."
    if kind == "train":
        return "choose a smaller preset or size", _kept_of_training(folder)
    return "choose a smaller size", "What was done until then is kept. Start it again to go on."


def _kept_of_training(folder: JobFolder) -> str:
    saved = folder.saved_steps()
    if saved:
        return (
            f"Everything up to the checkpoint of step {saved[-1]:,} is kept. Press Resume to go on from it."
        )
    return "It had no checkpoint yet; what was encoded is kept. Press Resume to begin again."


def _log_of_last_start(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    before, mark, after = text.rpartition(_START_MARK)
    return after.partition("\n")[2] if mark else before + after
