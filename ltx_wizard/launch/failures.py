"""Why setting up can fail, and what the user can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LINE_WIDTH = 160  # of an excerpt; pip's can be five times as long


@dataclass(frozen=True)
class Cause:
    """A cause that is known by what pip or the system printed."""

    pattern: str
    problem: str
    remedy: str


NO_SPACE = Cause(
    r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded",
    "the disk is full.",
    "free some space, also where temporary files go (about 4 GB are needed, with an NVIDIA card 10 GB); then "
    "start again.",
)
BAD_CERTIFICATE = Cause(
    r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
    "the network's certificate is not trusted, as behind a company's proxy or a virus scanner.",
    "tell pip the certificate (pip config set global.cert FILE), then start again.",
)
NO_NETWORK = Cause(
    r"Failed to establish a new connection|Temporary failure in name resolution|getaddrinfo failed"
    r"|Name or service not known|NewConnectionError|NameResolutionError|ConnectTimeout|Read timed out"
    r"|ReadTimeoutError|ProxyError|Network is unreachable|IncompleteRead"
    r"|Connection (?:refused|reset|aborted|broken)",
    "the package index cannot be reached.",
    "check the network and, if there is one, pip's proxy setting; then start again. What is installed stays.",
)
NO_BUILD = Cause(
    r"No matching distribution found|Could not find a version that satisfies",
    "a library has no version for this Python and this system.",
    "try another Python from 3.10 to 3.13: set LTX_WIZARD_PYTHON to its path, then start again.",
)
NOT_WRITABLE = Cause(
    r"WinError (?:5|32)\b|Access is denied|Permission denied|Read-only file system",
    "a file cannot be written.",
    "close every LTX Wizard that is running, see that you may write to this folder, then start again.",
)
PATH_TOO_LONG = Cause(
    r"Windows Long Path|WinError 206",
    "the path of this folder is too long for Windows.",
    "move the folder to a short path such as C:\\LTX-Wizard, then start again.",
)
INTERRUPTED = Cause(r"(?!)", "it was interrupted.", "start again. What is installed stays.")
UNKNOWN = Cause(r"", "a step failed.", "see the lines above; the log has all of them. Then start again.")


def cause_of(output: str) -> Cause:
    causes = (NO_SPACE, PATH_TOO_LONG, BAD_CERTIFICATE, NO_NETWORK, NO_BUILD, NOT_WRITABLE, UNKNOWN)
    return next(cause for cause in causes if re.search(cause.pattern, output))


class SetupFailed(Exception):
    """The environment could not be made. Its text: the end of the output, the problem, what to do."""

    def __init__(self, cause: Cause, last_lines: list[str], log: Path) -> None:
        super().__init__(cause.problem)
        self.cause = cause
        self.last_lines = last_lines
        self.log = log

    def __str__(self) -> str:
        excerpt = [f"    {line[:LINE_WIDTH]}" for line in self.last_lines]
        if excerpt:
            excerpt = ["", f"The last lines of {self.log}:", *excerpt]
        message = f"LTX Wizard could not be set up: {self.cause.problem}"
        return "\n".join([*excerpt, "", message, f"What to do: {self.cause.remedy}"])
