"""Making the environment and installing into it: environment, torch, the project with its libraries."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import replace

from ltx_wizard.launch.commands import output_of, say
from ltx_wizard.launch.environment import (
    Environment,
    Stamp,
    locked,
    missing_parts,
    pip_version,
    read_stamp,
    write_stamp,
)
from ltx_wizard.launch.failures import INTERRUPTED, NO_BUILD, NO_SPACE, SetupFailed, cause_of
from ltx_wizard.launch.phases import Phases
from ltx_wizard.launch.torch_builds import (
    TORCH_INDEXES,
    TORCH_VERSION,
    UNPINNED,
    TorchSource,
    read_driver,
    torch_sources,
    torch_warning,
)

INDEX_PATIENCE_S = 10.0  # what an index that does not answer may cost
OLDEST_PIP = (
    21,
    3,
)  # the first that installs a project in place by its pyproject.toml; Python 3.10.0 has an older one


def set_up(environment: Environment, extras: tuple[str, ...]) -> None:
    """Make and install what is missing. Raises SetupFailed."""
    try:
        with locked(environment):
            install_missing(environment, extras)
    except KeyboardInterrupt as interrupt:
        raise SetupFailed(INTERRUPTED, [], environment.log) from interrupt
    except OSError as error:
        raise SetupFailed(cause_of(str(error)), [str(error)], environment.log) from error


def install_missing(environment: Environment, extras: tuple[str, ...]) -> None:
    missing = missing_parts(environment, extras)  # another start may have installed it while this one waited
    if not missing:
        return
    say("Setting up LTX Wizard. This happens once, and again when an update needs other libraries.")
    started = time.monotonic()
    environment.log.unlink(missing_ok=True)
    phases = Phases(environment, total=missing.count())
    if missing.environment:
        make_environment(environment, phases)
    if missing.torch:
        install_torch(environment, phases)
    if missing.project:
        install_project(environment, phases, extras)
    say(f"Ready after {time.monotonic() - started:.0f} s.")


def make_environment(environment: Environment, phases: Phases) -> None:
    clear(environment)
    phases.begin()
    phases.run("Python environment", venv_command(environment))
    if pip_version(environment) < OLDEST_PIP:
        phases.run("A newer pip", pip(environment, "install", "--upgrade", "pip"))
    write_stamp(environment, Stamp(root=str(environment.root)))


def clear(environment: Environment) -> None:
    """Remove what is there but for the lock, which this process holds."""
    for path in environment.folder.iterdir():
        if path == environment.lock:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def install_torch(environment: Environment, phases: Phases) -> None:
    stamp = read_stamp(environment) or Stamp(root=str(environment.root))
    driver = read_driver()
    phases.begin()
    if stamp.torch:  # left in place, the old build would pass for the new one
        phases.run("Removing the old PyTorch", pip(environment, "uninstall", "--yes", "torch"))
    source = install_first_to_be_had(environment, phases, torch_sources(platform.system(), driver))
    warning = torch_warning(platform.system(), driver, source)
    if warning:
        say(f"Attention: {warning}")
    torch = f"{TORCH_VERSION} {source.name}"
    write_stamp(environment, replace(stamp, torch=torch, without_driver=driver is None, project=""))


def install_first_to_be_had(
    environment: Environment, phases: Phases, sources: list[TorchSource]
) -> TorchSource:
    for source in sources:
        if not source.pinned:
            break
        if source.index and not index_has_torch(environment, source):
            say(f"{source.label}: PyTorch's own index does not answer; trying the ordinary one.")
            continue
        try:
            phases.run(source.label, torch_command(environment, source))
            return source
        except SetupFailed as failure:
            if failure.cause is NO_SPACE or not (source.index or failure.cause is NO_BUILD):
                raise
            say(f"{source.label} is not to be had; trying the next source.")
    return UNPINNED  # nothing to do here: the project brings it


def index_has_torch(environment: Environment, source: TorchSource) -> bool:
    """Whether one of torch's own indexes answers at once and has the version for this system and Python.

    pip does the asking, because it knows the user's proxy and certificate; but no other index may answer.
    """
    url = TORCH_INDEXES + source.index
    at_once = ["--timeout", "4", "--retries", "0"]
    question = pip(environment, "index", "versions", "torch", "--index-url", url, *at_once)
    with tempfile.TemporaryDirectory() as empty:
        only_this = {"PIP_FIND_LINKS": empty, "PIP_EXTRA_INDEX_URL": url}
        answer = output_of(question, INDEX_PATIENCE_S, {**environment.variables(), **only_this})
    return bool(answer and re.search(rf"\b{re.escape(TORCH_VERSION)}(?![\d.])", answer))


def install_project(environment: Environment, phases: Phases, extras: tuple[str, ...]) -> None:
    stamp = read_stamp(environment) or Stamp(root=str(environment.root))
    extras = tuple(sorted({*extras, *stamp.extras}))
    fingerprint = environment.fingerprint()  # before: a change during the installation is for the next start
    phases.begin()
    phases.run("LTX Wizard and its libraries", project_command(environment, extras))
    write_stamp(environment, replace(stamp, project=fingerprint, extras=extras))


def venv_command(environment: Environment) -> list[str]:
    # The Python below an activated environment, which may be the very one that is made anew.
    base_python = getattr(sys, "_base_executable", None) or sys.executable
    return [base_python, "-m", "venv", str(environment.folder)]


def torch_command(environment: Environment, source: TorchSource) -> list[str]:
    # Only torch comes from its own index; what it needs comes with the project, from the user's.
    only_torch = ["--no-deps", "--index-url", TORCH_INDEXES + source.index] if source.index else []
    return pip(environment, "install", *only_torch, f"torch=={TORCH_VERSION}")


def project_command(environment: Environment, extras: tuple[str, ...]) -> list[str]:
    return pip(environment, "install", "--editable", f".[{','.join(extras)}]" if extras else ".")


def pip(environment: Environment, *arguments: str) -> list[str]:
    return [str(environment.python), "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
