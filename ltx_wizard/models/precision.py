"""In which number format the frozen model is kept and calculated with, and on which device. Worker-side."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import nn

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.recipe import MemorySettings

GIB = 1024**3

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

KEPT_IN_FULL = ("proj_in", "proj_out", "time_embed*", "caption_projection*", "*norm*", "*scale_shift_table*")
"""Small and sensitive: never quantised. Source: the official trainer's exclusions.
"""


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
    dtype = storage_dtype(memory, device)
    if dtype is torch.float32:
        return nullcontext()
    return cast("AbstractContextManager[None]", torch.autocast(device.type, dtype))


def quantize(transformer: nn.Module, memory: MemorySettings) -> None:
    """Store the large frozen matrices in fewer bits, in place. Before a LoRA is added.

    Raises NotReady where this computer lacks the library or the kind.
    """
    if memory.quantization == "none":
        return
    try:
        from optimum import quanto
    except ImportError as error:
        raise NotReady(
            problem="Quantisation needs the package optimum-quanto, which is not installed.",
            remedy="Start LTX Wizard with launch.sh or launch.bat again, or choose quantization 'none'.",
        ) from error
    kinds = {"fp8-quanto": quanto.qfloat8, "int8-quanto": quanto.qint8, "int4-quanto": quanto.qint4}
    quanto.quantize(transformer, weights=kinds[memory.quantization], exclude=list(KEPT_IN_FULL))
    quanto.freeze(transformer)


def peak_memory_gib(device: torch.device) -> float:
    """The most that this process held on the card at once, as the allocator counts; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else 0.0


def release_memory() -> None:
    """Give back to the card what was freed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
