"""doctor, ui: this computer, and the window on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ltx_wizard.app import system
from ltx_wizard.commands.console import Console
from ltx_wizard.core.places import ROOT


def doctor(console: Console) -> int:
    """What this computer has and lacks. 1: something is missing that LTX Wizard needs."""
    report = system.doctor_json()
    for finding in system.doctor():
        console.say(f"{'ok ' if finding.good else '-- '} {finding.name}: {finding.text}")
        if finding.remedy:
            console.say(f"      What to do: {finding.remedy}")
    console.say("Everything that is needed is there." if report["good"] else "Something is missing.")
    console.result(report)
    return 0 if report["good"] else 1


def ui(arguments: Sequence[str]) -> int:
    """Open the window, a process of its own, and wait for its end. The options are those of app.py."""
    process = subprocess.Popen([sys.executable, str(ROOT / "app.py"), *arguments])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the window got it as well, and ends in its own way
