"""Which build of torch fits this computer, and where to take it from."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass

from ltx_wizard.launch.commands import output_of

TORCH_VERSION = "2.13.0"  # the one that everything is tested with; pyproject.toml has the range
TORCH_INDEXES = "https://download.pytorch.org/whl/"


@dataclass(frozen=True)
class Driver:
    """An NVIDIA driver that answered: the newest CUDA it can run, and the compute capability of each card."""

    cuda: tuple[int, int] | None  # None where it does not say
    cards: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class CudaBuild:
    index: str
    driver_cuda: tuple[int, int]  # the least that the driver must report
    oldest_card: tuple[int, int]
    newest_card: tuple[int, int]

    def fits(self, driver: Driver) -> bool:
        cards_fit = all(self.oldest_card <= card <= self.newest_card for card in driver.cards)
        return cards_fit and (driver.cuda is None or driver.cuda >= self.driver_cuda)


# The stable CUDA builds of torch 2.13, newest first: support matrix in PyTorch's RELEASE.md (its pull request
# 187075). There is none for CUDA 12.8 since 2.12. The one for 12.6 runs on every driver for CUDA 12 (NVIDIA's
# minor version compatibility), but has no code for Blackwell cards (10.0 and up).
CUDA_BUILDS = (
    CudaBuild("cu130", driver_cuda=(13, 0), oldest_card=(7, 5), newest_card=(12, 9)),
    CudaBuild("cu126", driver_cuda=(12, 0), oldest_card=(5, 0), newest_card=(9, 0)),
)
LINUX_DEFAULT_BUILD = "cu130"  # what the ordinary index holds for Linux; for Windows it holds the CPU build


@dataclass(frozen=True)
class TorchSource:
    name: str
    label: str
    index: str = ""  # below TORCH_INDEXES; empty: the ordinary index, as the user's pip is set up
    pinned: bool = True


CPU = TorchSource("cpu", f"PyTorch {TORCH_VERSION} for the CPU", index="cpu")
ORDINARY = TorchSource("ordinary", f"PyTorch {TORCH_VERSION}")
UNPINNED = TorchSource("unpinned", "the newest PyTorch that fits", pinned=False)


def torch_sources(system: str, driver: Driver | None) -> list[TorchSource]:
    """Where to take torch from, best first. system: as platform.system() says it."""
    build = build_for(driver) if driver else None
    if system == "Linux" and driver is None:
        return [CPU, ORDINARY, UNPINNED]
    if build and (system == "Windows" or (system == "Linux" and build.index != LINUX_DEFAULT_BUILD)):
        label = f"PyTorch {TORCH_VERSION} for CUDA ({build.index})"
        return [TorchSource(build.index, label, index=build.index), ORDINARY, UNPINNED]
    return [ORDINARY, UNPINNED]


def build_for(driver: Driver) -> CudaBuild | None:
    return next((build for build in CUDA_BUILDS if build.fits(driver)), None)


def torch_warning(system: str, driver: Driver | None, source: TorchSource) -> str | None:
    """What to tell the user where this torch cannot use the graphics card; None where all is well."""
    if driver is None:
        return None
    if build_for(driver) is None:
        return (
            f"No build of PyTorch {TORCH_VERSION} fits this graphics card with its driver. Update the NVIDIA "
            "driver to version 580 or newer, delete the folder .venv and start again."
        )
    wanted = torch_sources(system, driver)[0]
    if source != wanted:
        return (
            f"{wanted.label} could not be had, so the graphics card may stay unused. Where the network "
            "reaches pytorch.org, delete the folder .venv and start again."
        )
    return None


def read_driver() -> Driver | None:
    """The NVIDIA driver of this computer; None where nvidia-smi is missing or fails."""
    nvidia_smi = shutil.which("nvidia-smi")
    banner = output_of([nvidia_smi]) if nvidia_smi else None
    if nvidia_smi is None or banner is None:
        return None
    capabilities = output_of([nvidia_smi, "--query-gpu=compute_cap", "--format=csv,noheader"]) or ""
    # Drivers from 610 on write "CUDA UMD Version", older ones "CUDA Version".
    cuda = re.search(r"CUDA(?: UMD)? Version\s*:\s*(\d+)\.(\d+)", banner)
    return Driver(
        cuda=(int(cuda[1]), int(cuda[2])) if cuda else None,
        cards=tuple((int(major), int(minor)) for major, minor in re.findall(r"(\d+)\.(\d+)", capabilities)),
    )
