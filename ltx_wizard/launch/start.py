"""The entry point of both launch files.

check-python     0: the Python that runs this will do; 3: it will not, and the reason is printed
run [WORD ...]   set up what is missing, then run what the words ask for
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from ltx_wizard.launch.commands import say, shell_line
from ltx_wizard.launch.environment import Environment, missing_parts
from ltx_wizard.launch.failures import SetupFailed
from ltx_wizard.launch.installation import project_command, set_up, torch_command, venv_command
from ltx_wizard.launch.interpreter import Interpreter, unfit_reason
from ltx_wizard.launch.programs import commands_for, run, run_tests
from ltx_wizard.launch.torch_builds import read_driver, torch_sources

STATUS_UNFIT_PYTHON = 3
STATUS_INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["check-python"]:
        return check_python()
    if arguments[:1] != ["run"]:
        say("Use launch.sh or launch.bat.")
        return 2
    try:
        return launch(Environment(Path(__file__).resolve().parents[2]), arguments[1:])
    except SetupFailed as failure:
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        return STATUS_INTERRUPTED


def check_python() -> int:
    reason = unfit_reason(Interpreter.this())
    if reason is None:
        return 0
    sys.stdout.write(reason + "\n")
    return STATUS_UNFIT_PYTHON


def launch(environment: Environment, words: list[str]) -> int:
    """Set up what is missing, then run. The status is that of the program."""
    testing = words[:1] == ["test"]
    extras = ("dev",) if testing else ()
    if os.environ.get("LTX_WIZARD_DRY_RUN"):
        print_plan(environment, words, extras)
        return 0
    if missing_parts(environment, extras):
        set_up(environment, extras)
    if testing:
        return run_tests(environment, words[1:])
    return run(environment, commands_for(environment, words)[-1])


def print_plan(environment: Environment, words: list[str], extras: tuple[str, ...]) -> None:
    """Print the commands that this start would run. Of several for torch, it runs the first that works."""
    missing = missing_parts(environment, extras)
    plan: list[list[str]] = []
    if missing.environment:
        plan.append(venv_command(environment))
    if missing.torch:
        sources = torch_sources(platform.system(), read_driver())
        plan += [torch_command(environment, source) for source in sources if source.pinned]
    if missing.project:
        plan.append(project_command(environment, extras))
    plan += commands_for(environment, words)
    sys.stdout.writelines(shell_line(command) + "\n" for command in plan)
