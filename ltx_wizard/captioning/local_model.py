"""What captioners with a model of their own have in common: device, failures, batches. Worker-side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from ltx_wizard.core.errors import CaptionerFailed, OutOfGpuMemory
from ltx_wizard.core.units import GIB
from ltx_wizard.models.captioner_models import DRIVER_GIB, CaptionerModel, Precision
from ltx_wizard.models.damage import damage_text, is_damage, is_memory_full
from ltx_wizard.models.precision import training_device
from ltx_wizard.models.weights import find_parts

Item = TypeVar("Item")

_MODEL_TYPES = {"florence2": "florence2", "qwen3vl": "qwen3_vl"}
"""What config.json calls them."""


class LocalCaptioner:
    """A captioner with a model of its own. vram_gib: as on a card of this size; 0: the card that is there."""

    parallel = 1
    remote = False

    def __init__(self, model: CaptionerModel, vram_gib: float = 0.0) -> None:
        self.name = model.id
        self.title = model.title
        self.batch = 1
        self._spec = model
        self._vram_gib = vram_gib
        self._model: Any = None

    def close(self) -> None:
        self._model = None
        free_memory()


def folder_of(model: CaptionerModel) -> Path:
    """Where it lies in the hub's cache. Raises NotFound, saying how to download it."""
    return find_parts(model)["model"]


def device_and_precision(model: CaptionerModel, vram_gib: float = 0.0) -> tuple[torch.device, Precision]:
    """How this computer holds the model. vram_gib: as on a card of this size; 0: the card that is there.

    Raises OutOfGpuMemory or CaptionerFailed where it does not.
    """
    device = training_device()
    if device.type == "cpu":
        need, free = model.need_gib("float32"), psutil.virtual_memory().available / GIB
        if need > free:
            raise CaptionerFailed(
                problem=f"{model.title} needs about {need:.0f} GB of memory; {free:.0f} are free.",
                remedy="Close other programs, or choose a smaller captioner.",
            )
        return device, "float32"
    size = vram_gib or torch.cuda.get_device_properties(device).total_memory / GIB
    precision = model.precision_for(size)
    if precision is None:
        raise OutOfGpuMemory(
            problem=f"{model.title} does not fit on a card of {size:.0f} GB.",
            remedy="Choose a smaller captioner, or a model on a server.",
        )
    return device, precision


@contextmanager
def loading(model: CaptionerModel, part: str) -> Iterator[None]:
    """What goes wrong while a part of a model is loaded, in words that help."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise out_of_memory(model) from error
    except Exception as error:
        if is_memory_full(error):
            raise memory_full(model) from error
        if is_damage(error):
            raise damaged(model, part, damage_text(error)) from error
        raise


def refuse_another_model(model: CaptionerModel, folder: Path) -> None:
    """Raises CaptionerFailed where the configuration is of no such model: transformers takes what is missing
    from its defaults, and builds a model that may be far larger than the memory.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = found.get("model_type", "missing") if isinstance(found, dict) else "missing"
    except (OSError, ValueError) as error:
        raise damaged(model, "configuration", damage_text(error)) from error
    if kind != _MODEL_TYPES[model.family]:
        raise damaged(model, "configuration", f"its kind of model is {kind}"[:160])


def in_batches(
    items: Sequence[Item], ask: Callable[[Sequence[Item]], list[str]], model: CaptionerModel
) -> list[str]:
    """Answers for all items at once, or in halves where the memory cannot hold them. Raises OutOfGpuMemory or
    CaptionerFailed where it cannot hold a single one.
    """
    try:
        return ask(items)
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            raise out_of_memory(model) from error
    except (RuntimeError, MemoryError) as error:
        if not is_memory_full(error):
            raise
        if len(items) == 1:
            raise memory_full(model) from error
    free_memory()  # outside the handler: the error holds on to what it was made with
    half = len(items) // 2
    return [*in_batches(items[:half], ask, model), *in_batches(items[half:], ask, model)]


def batch_for(model: CaptionerModel, device: torch.device, vram_gib: float = 0.0) -> int:
    """So many clips fit at once into what the card has free now; one without a card. vram_gib: as on a card
    of this size.
    """
    if device.type == "cpu":
        return 1
    free = torch.cuda.mem_get_info(device)[0] / GIB
    if vram_gib:
        free = min(free, vram_gib - DRIVER_GIB - torch.cuda.memory_allocated(device) / GIB)
    return model.clips_at_once(free)


def free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(model: CaptionerModel) -> OutOfGpuMemory:
    return OutOfGpuMemory(
        problem=f"The card has too little free memory for {model.title}.",
        remedy="Close other programs that use the card, or choose a smaller captioner.",
    )


def memory_full(model: CaptionerModel) -> CaptionerFailed:
    return CaptionerFailed(
        problem=f"This computer has too little free memory for {model.title}.",
        remedy="Close other programs, or choose a smaller captioner.",
    )


def damaged(model: CaptionerModel, part: str, said: str) -> CaptionerFailed:
    return CaptionerFailed(
        problem=f"The {part} of {model.title} cannot be loaded: {said}.",
        remedy="Its files may be damaged. Under Captioner, delete its files, then download them again.",
    )
