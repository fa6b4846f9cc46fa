"""Which Python will do."""

from __future__ import annotations

import importlib.util
import platform
import sys
import sysconfig
from dataclasses import dataclass

OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 13)


@dataclass(frozen=True)
class Interpreter:
    """What decides whether an interpreter can carry the environment."""

    version: tuple[int, int]
    system: str = "Linux"  # as platform.system() says it
    machine: str = "x86_64"
    bits: int = 64
    has_venv: bool = True
    free_threaded: bool = False

    @classmethod
    def this(cls) -> Interpreter:
        return cls(
            version=(sys.version_info[0], sys.version_info[1]),
            system=platform.system(),
            machine=platform.machine(),
            bits=64 if sys.maxsize > 2**32 else 32,
            has_venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        )


def unfit_reason(python: Interpreter) -> str | None:
    """Why this interpreter cannot carry the environment; None if it can."""
    name = f"{python.version[0]}.{python.version[1]}"
    if not OLDEST_PYTHON <= python.version <= NEWEST_PYTHON:
        return f"this is Python {name}"
    if python.bits != 64:
        return f"this is a 32-bit Python {name}; PyTorch needs a 64-bit one"
    if python.free_threaded:
        return f"this is the free-threaded build of Python {name}, which many libraries do not support yet"
    if (python.system, python.machine) == ("Darwin", "x86_64"):
        return "this Python is built for Intel Macs, which PyTorch no longer supports"
    if not python.has_venv:
        return f"it cannot make environments; on Debian and Ubuntu: sudo apt-get install python{name}-venv"
    return None
