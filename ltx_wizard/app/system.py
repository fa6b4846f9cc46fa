"""The computer: graphics card, memory, disk. Read from the driver's own tool, so that no torch is needed."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import psutil

from ltx_wizard.core import places
from ltx_wizard.core.units import GIB, bytes_text


@dataclass(frozen=True)
class Gpu:
    """One graphics card, as nvidia-smi reports it. Memory in GiB."""

    name: str
    vram_gib: float
    used_gib: float
    temperature_c: int
    driver: str


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    good: bool
    text: str
    remedy: str = ""


def gpus() -> list[Gpu]:
    """The NVIDIA cards now; empty where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = "name,memory.total,memory.used,temperature.gpu,driver_version"
    try:
        answer = subprocess.run(
            [tool, f"--query-gpu={query}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [card for line in answer.stdout.splitlines() if (card := _parse_gpu(line))]


@functools.cache
def first_gpu() -> Gpu | None:
    """The card that training will use, asked once: its name and size do not change."""
    found = gpus()
    return found[0] if found else None


def memory_gib() -> tuple[float, float]:
    """(used, total) main memory."""
    memory = psutil.virtual_memory()
    return (memory.total - memory.available) / GIB, memory.total / GIB


def free_disk_gib(folder: Path) -> float:
    """Free space where this folder is, or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free / GIB


def network_addresses() -> list[str]:
    """IPv4 addresses under which other computers may reach this one."""
    found = [
        item.address
        for items in psutil.net_if_addrs().values()
        for item in items
        if item.family is socket.AddressFamily.AF_INET
    ]
    return [address for address in found if not address.startswith(("127.", "169.254."))]


def machine_text() -> str:
    """One line for the side of the window."""
    card = first_gpu()
    if card:
        return f"{card.name}, {card.vram_gib:.0f} GB"
    return f"No NVIDIA card: {os.cpu_count() or 1} processor cores"


def doctor() -> list[Finding]:
    """What this computer has and lacks, each with what to do about it."""
    card = first_gpu()
    free = free_disk_gib(places.home())
    used, total = memory_gib()
    findings = [
        Finding("Python", sys.version_info >= (3, 10), platform.python_version()),
        Finding("Operating system", True, platform.platform()),
        Finding(
            "Graphics card",
            card is not None,
            f"{card.name}, {card.vram_gib:.1f} GB, driver {card.driver}" if card else "no NVIDIA card found",
            "" if card else "The practice model trains without one. The large models need an NVIDIA card.",
        ),
        Finding(
            "Memory",
            total >= 8,
            f"{total:.0f} GB, {used:.0f} GB in use",
            "Close other programs." if total < 8 else "",
        ),
        Finding(
            "Free disk",
            free >= 10,
            f"{free:.0f} GB at {places.home()}",
            "" if free >= 10 else "Free some space, or set LTX_WIZARD_HOME to a folder on a larger disk.",
        ),
        Finding(
            "Practice model",
            (places.EMBEDDED_MODEL / "model_index.json").is_file(),
            str(places.EMBEDDED_MODEL),
            ""
            if places.EMBEDDED_MODEL.is_dir()
            else "Get LTX Wizard again: its assets folder is incomplete.",
        ),
        Finding("Quantised models kept", True, _kept_text(places.quantized_models())),
    ]
    return findings + [
        _package(name) for name in ("torch", "diffusers", "transformers", "peft", "gradio", "av")
    ]


def versions() -> dict[str, str]:
    """Versions that a run depends on, for its job file."""
    names = ("ltx-wizard", "torch", "diffusers", "transformers", "peft", "accelerate", "safetensors")
    found = {name: _version(name) for name in names}
    return {"python": platform.python_version(), **{name: text for name, text in found.items() if text}}


def doctor_json() -> dict[str, object]:
    findings = doctor()
    return {
        "good": all(item.good or item.name == "Graphics card" for item in findings),
        "findings": [asdict(f) for f in findings],
    }


def _kept_text(folder: Path) -> str:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{bytes_text(sum(sizes))} in {folder}: for faster starts, may be deleted" if sizes else "none"


def _package(name: str) -> Finding:
    version = _version(name)
    return Finding(
        name,
        bool(version),
        version or "not installed",
        "" if version else "Start LTX Wizard with launch.sh or launch.bat again.",
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _parse_gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    try:
        name, total, used, temperature, driver = parts
        return Gpu(name, float(total) / 1024, float(used) / 1024, int(float(temperature)), driver)
    except ValueError:
        return None
