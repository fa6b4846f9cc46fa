"""The private environment on disk: its paths, what has been installed into it, and what is missing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ltx_wizard.launch.commands import output_of, say
from ltx_wizard.launch.interpreter import NEWEST_PYTHON, OLDEST_PYTHON
from ltx_wizard.launch.torch_builds import TORCH_VERSION, read_driver


@dataclass(frozen=True)
class Environment:
    """The environment that belongs to one checkout."""

    root: Path  # of the checkout

    @property
    def folder(self) -> Path:
        return self.root / ".venv"

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def log(self) -> Path:
        return self.folder / "install.log"

    @property
    def stamp(self) -> Path:
        return self.folder / "ltx-wizard-setup.json"

    @property
    def lock(self) -> Path:
        return self.folder / "ltx-wizard-setup.lock"

    def fingerprint(self) -> str:
        """Of what decides which libraries are installed."""
        return hashlib.sha256((self.root / "pyproject.toml").read_bytes()).hexdigest()

    def variables(self) -> dict[str, str]:
        """What its programs run with: as after activating it, and no other library path leaks in."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        path = os.pathsep.join([str(self.scripts), kept.get("PATH", os.defpath)])
        return {**kept, "VIRTUAL_ENV": str(self.folder), "PATH": path}


@dataclass(frozen=True)
class Stamp:
    """What has been installed. Written after each phase that succeeded: a broken-off one is done again."""

    root: str  # an environment does not survive being moved
    torch: str = ""  # version, blank, name of the source
    without_driver: bool = False  # torch was chosen where no NVIDIA driver was found
    project: str = ""  # the fingerprint at the time
    extras: tuple[str, ...] = ()


def read_stamp(environment: Environment) -> Stamp | None:
    try:
        stored = json.loads(environment.stamp.read_text(encoding="utf-8"))
        return Stamp(**{**stored, "extras": tuple(stored["extras"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_stamp(environment: Environment, stamp: Stamp) -> None:
    temporary = environment.stamp.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
    temporary.replace(environment.stamp)


@dataclass(frozen=True)
class Missing:
    """What has to be made or installed before a program can run."""

    environment: bool
    torch: bool
    project: bool

    def __bool__(self) -> bool:
        return self.environment or self.torch or self.project

    def count(self) -> int:
        return sum([self.environment, self.torch, self.project])


def missing_parts(environment: Environment, extras: tuple[str, ...]) -> Missing:
    # An environment without a stamp is one that the user made: it is kept, and completed.
    stamp = read_stamp(environment) or Stamp(root=str(environment.root))
    if stamp.root != str(environment.root) or not can_be_used(environment):
        return Missing(environment=True, torch=True, project=True)
    driver_is_new = stamp.without_driver and read_driver() is not None
    torch = driver_is_new or stamp.torch.split(" ")[0] != TORCH_VERSION
    project = torch or stamp.project != environment.fingerprint() or not set(extras) <= set(stamp.extras)
    return Missing(environment=False, torch=torch, project=project)


def can_be_used(environment: Environment) -> bool:
    """Whether its Python runs, has pip, and is of the version asked for."""
    question = "import sys, pip; print(sys.version_info[0], sys.version_info[1])"
    answer = output_of([str(environment.python), "-c", question], variables=environment.variables())
    if answer is None:
        return False
    version = tuple(int(part) for part in answer.split())
    if os.environ.get("LTX_WIZARD_PYTHON"):  # the launch file runs this with the Python that was asked for
        return version == sys.version_info[:2]
    return OLDEST_PYTHON <= version <= NEWEST_PYTHON


def pip_version(environment: Environment) -> tuple[int, ...]:
    """Major and minor; empty where there is no pip."""
    answer = output_of([str(environment.python), "-c", "import pip; print(pip.__version__)"]) or ""
    return tuple(int(part) for part in re.findall(r"\d+", answer)[:2])


@contextmanager
def locked(environment: Environment) -> Iterator[None]:
    """Let two starts at the same time set up one after the other. A process that dies drops its lock."""
    environment.folder.mkdir(exist_ok=True)
    with environment.lock.open("ab") as lock:
        if not try_lock(lock.fileno()):
            say("Another start of LTX Wizard is setting up this environment. Waiting for it ...")
            while not try_lock(lock.fileno()):
                time.sleep(0.5)
        yield


def try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 (there is none on other systems)

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 (there is none on Windows)

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
