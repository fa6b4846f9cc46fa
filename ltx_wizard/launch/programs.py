"""What the words after launch.sh run.

None, or an option first: the app. "test": all checks and tests. "python": a script. Others: the command line.
"""

from __future__ import annotations

import os
import subprocess

from ltx_wizard.launch.commands import output_of, say
from ltx_wizard.launch.environment import Environment


def commands_for(environment: Environment, words: list[str]) -> list[list[str]]:
    python = str(environment.python)
    if not words or words[0].startswith("-"):
        return [[python, str(environment.root / "app.py"), *words]]
    if words[0] == "python":
        return [[python, *words[1:]]]
    if words[0] == "test":
        checks = [] if words[1:] else list(check_commands(environment).values())
        return [*checks, pytest_command(environment, words[1:])]
    return [[python, "-m", "ltx_wizard.cli", *words]]


def run(environment: Environment, command: list[str]) -> int:
    """Become the program, where the system can do that; elsewhere wait for it."""
    variables = environment.variables()
    if os.name != "nt":
        os.execve(command[0], command, variables)
    process = subprocess.Popen(command, env=variables)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the program got it as well, and ends in its own way


def run_tests(environment: Environment, arguments: list[str]) -> int:
    """All checks, then the tests, whatever the checks said. With arguments for pytest, the tests only."""
    variables = {**environment.variables(), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    checks = {} if arguments else check_commands(environment)
    failed: list[str] = []
    for title, command in checks.items():
        if "pyright" in command and not pyright_starts(environment, variables):
            say("type check skipped: pyright needs Node.js, which is neither on the PATH nor to be had.")
            continue
        say(f"Checking {title} ...")
        if subprocess.call(command, cwd=environment.root, env=variables) != 0:
            failed.append(title)
    say("Running the tests ...")
    status = subprocess.call(pytest_command(environment, arguments), cwd=environment.root, env=variables)
    if failed:
        say(f"FAILED before the tests: {', '.join(failed)}")
    return status or min(len(failed), 1)


def check_commands(environment: Environment) -> dict[str, list[str]]:
    python = str(environment.python)
    return {
        "code style (ruff)": [python, "-m", "ruff", "check", "."],
        "format (ruff)": [python, "-m", "ruff", "format", "--check", "."],
        "types (pyright)": [python, "-m", "pyright", "--pythonpath", python],
    }


def pyright_starts(environment: Environment, variables: dict[str, str]) -> bool:
    question = [str(environment.python), "-m", "pyright", "--version"]
    return output_of(question, patience_s=120.0, variables=variables) is not None


def pytest_command(environment: Environment, arguments: list[str]) -> list[str]:
    """The whole suite runs in several processes, the tests of one file in the same one."""
    processes = min(max(os.cpu_count() or 1, 2), 4)
    all_at_once = [] if arguments else ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    return [str(environment.python), "-m", "pytest", *(arguments or all_at_once)]
