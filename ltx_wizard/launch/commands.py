"""Asking other programs something, writing their command lines for people, and talking to the user."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys


def output_of(
    command: list[str], patience_s: float = 20.0, variables: dict[str, str] | None = None
) -> str | None:
    """What a command prints on stdout; None if it is not there, fails or takes longer than the patience."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience_s,
            env=variables,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def shell_line(command: list[str]) -> str:
    return subprocess.list2cmdline(command) if os.name == "nt" else " ".join(map(shlex.quote, command))


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
