"""In which number format the frozen model is kept and calculated with, and on which device. Worker-side."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch

from ltx_wizard.core.recipe import MemorySettings

GIB = 1024**3

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def training_device() -> torch.device:
    """The first NVIDIA card, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def storage_dtype(memory: MemorySettings, device: torch.device) -> torch.dtype:
    """What the frozen model is kept in. A CPU keeps fp32: its bf16 arithmetic is slower, and tests want
    exactness.
    """
    return torch.float32 if device.type == "cpu" else _DTYPES[memory.precision]


def autocast(memory: MemorySettings, device: torch.device) -> AbstractContextManager[None]:
    """Calculates in the storage format where that is a short one; LoRA weights themselves stay fp32."""
    return autocast_to(storage_dtype(memory, device), device)


def autocast_to(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Calculates in this format, whatever the weights are kept in; fp32 needs nothing for that."""
    if dtype is torch.float32:
        return nullcontext()
    return cast("AbstractContextManager[None]", torch.autocast(device.type, dtype))


def peak_memory_gib(device: torch.device) -> float:
    """The most that this process held on the card at once, as the allocator counts; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else 0.0


def release_memory() -> None:
    """Give back to the card what was freed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
