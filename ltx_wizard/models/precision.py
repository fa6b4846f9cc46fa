"""In which number format the frozen model is kept and calculated with, and on which device. Worker-side."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import cast

import torch

from ltx_wizard.core.recipe import MemorySettings

GIB = 1024**3
KIB, MIB = 1024, 1024**2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Source: glibc, malloc.h."""

_FP16_LOSS_SCALE = 2.0**14
"""The loss is a mean over some 2^18 numbers, so the gradient of each is near the smallest that fp16 has. With
the embedded model at 1,536 tokens, gradients of the LoRA were 2.7 % off without it, and 0.16 % off with
anything from 2^8 to 2^18 (fp16 on a CPU, 2026-12-01). bf16 has the range of fp32 and needs none.
"""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def training_device() -> torch.device:
    """The first NVIDIA card, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def storage_dtype(memory: MemorySettings, device: torch.device) -> torch.dtype:
    """What the frozen model is kept in. A CPU keeps fp32: its bf16 arithmetic is slower, and tests want
    exactness.
    """
    return torch.float32 if device.type == "cpu" else _DTYPES[memory.precision]


def loss_scale(memory: MemorySettings, device: torch.device) -> float:
    """What the loss is multiplied by before the backward pass, and gradients are divided by after it."""
    return _FP16_LOSS_SCALE if storage_dtype(memory, device) is torch.float16 else 1.0


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


@contextmanager
def tensors_given_back() -> Iterator[None]:
    """Main memory of every tensor goes back to the system as soon as it is freed; without that, a model of
    8 bits took 2.3 times its files while it was made (measured with glibc 2.36).

    glibc learns to keep up to 32 MiB in its heap, where small things that stay break the room up. What it
    would have learnt holds again afterwards. Other systems need nothing.
    """
    _set_heap(largest=128 * KIB, kept=128 * KIB)
    try:
        yield
    finally:
        _set_heap(largest=32 * MIB, kept=64 * MIB)


def _set_heap(largest: int, kept: int) -> None:
    """largest: bytes of what still goes to glibc's heap. kept: free bytes at its end that stay."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # a system with another library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, largest)
        library.mallopt(_M_TRIM_THRESHOLD, kept)
