"""What a run gives up, and in which order, when the card runs out of memory. Pure: no torch here.

Tiling, then gradient checkpointing, then fewer bits for the frozen model, then the frozen model in main
memory. A setting that cannot help the stage that ran out is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ltx_wizard.core.errors import OutOfGpuMemory
from ltx_wizard.core.events import SettingChanged, setting_words
from ltx_wizard.core.recipe import MemorySettings, Recipe
from ltx_wizard.core.recipe_groups import OFFLOADABLE, Offload, Quantization

Stage = Literal["text", "clips", "load", "train", "validation", "samples"]
"""What the card was busy with. text, clips: encoding. load: bringing the model to the card."""

STAGE_WORDS: dict[Stage, str] = {
    "text": "encoding the captions",
    "clips": "encoding the clips",
    "load": "loading the model",
    "train": "training",
    "validation": "measuring the validation loss",
    "samples": "making samples",
}

_FEWER_BITS: dict[Quantization, Quantization] = {
    "none": "fp8-quanto",
    "fp8-quanto": "nf4-bnb",
    "int8-quanto": "nf4-bnb",
    "int8-bnb": "nf4-bnb",
}
_FEWER_BITS_OFFLOADED: dict[Quantization, Quantization] = {"none": "fp8-quanto"}

_VAE_STAGES: tuple[Stage, ...] = ("clips", "samples")
_BASE_STAGES: tuple[Stage, ...] = ("load", "train", "validation", "samples")
_PREFIX = "memory."


@dataclass(frozen=True)
class Rung:
    """One step down. settings: all of them, after it. setting, value: what changed, as events name it."""

    settings: MemorySettings
    setting: str
    value: str
    reason: str


def next_rung(memory: MemorySettings, stage: Stage) -> Rung | None:
    """The next setting that lets this stage need less; None where nothing is left."""
    before = f"The card ran out of memory while {STAGE_WORDS[stage]};"
    for name, value, reason in _rungs(memory, stage):
        after = with_change(memory, name, value)
        return Rung(after, f"{_PREFIX}{name}", value, f"{before} {reason}")
    return None


def with_change(memory: MemorySettings, name: str, value: str) -> MemorySettings:
    """One setting changed, as its event names it, and what offloading blocks needs beside: a form that it
    knows, and gradient checkpointing.

    Raises ValueError for a name or value that there is not.
    """
    changed = MemorySettings.model_validate({**memory.model_dump(), name: value})
    if changed.offload != "blocks":
        return changed
    known = changed.quantization if changed.quantization in OFFLOADABLE else "fp8-quanto"
    return changed.model_copy(update={"quantization": known, "gradient_checkpointing": True})


def stepped_down(memory: MemorySettings, changes: Iterable[SettingChanged]) -> MemorySettings:
    """The memory settings that a run has come to: those of its recipe, and what its events changed since.

    Changes of other settings, or of another version's, are passed over.
    """
    for change in changes:
        name = change.setting.removeprefix(_PREFIX)
        if name == change.setting:
            continue
        try:
            memory = with_change(memory, name, change.value)
        except ValueError:
            continue
    return memory


def does_not_fit(recipe: Recipe, stage: Stage) -> OutOfGpuMemory:
    """The end of a run that went down as far as it may: what happened, and what is cheapest to give up now.

    recipe: with the memory settings that ran out.
    """
    words = STAGE_WORDS[stage]
    rung = next_rung(recipe.memory, stage)
    if rung is not None:
        name = setting_words(rung.setting)
        return OutOfGpuMemory(
            problem=f"The graphics card ran out of memory while {words}. "
            "The recipe forbids changing its settings.",
            remedy=f"Set '{name}' to {rung.value} in the recipe, or switch 'Step down' on, and train again. "
            "Your checkpoints are kept.",
        )
    return OutOfGpuMemory(
        problem=f"The graphics card ran out of memory while {words}. "
        "Every setting that needs less memory is in use already.",
        remedy=f"{_cheapest(recipe, stage)}, or close other programs that use the card, and train again. "
        "Your checkpoints are kept.",
    )


def _rungs(memory: MemorySettings, stage: Stage) -> Iterable[tuple[str, str, str]]:
    """Setting, value and reason of every step down that is left, the cheapest first."""
    if stage == "text" and not memory.text_encoder_8bit:
        yield "text_encoder_8bit", "on", "in 8 bits the text encoder needs about half."
    if stage in _VAE_STAGES and not memory.vae_tiling:
        yield "vae_tiling", "on", "in tiles a picture needs less at a time."
    if stage == "train" and not memory.gradient_checkpointing:
        yield "gradient_checkpointing", "on", "activations are now computed twice instead of kept."
    if stage not in _BASE_STAGES:
        return
    offloaded = memory.offload == "blocks"
    fewer = (_FEWER_BITS_OFFLOADED if offloaded else _FEWER_BITS).get(memory.quantization)
    if fewer:
        bits = "4 bits" if fewer == "nf4-bnb" else "8 bits"
        yield "quantization", fewer, f"the frozen model is now stored in {bits}."
    if not offloaded:
        target: Offload = "blocks"
        yield "offload", target, _offload_reason(memory.quantization)


def _offload_reason(quantization: Quantization) -> str:
    reason = "the frozen model now waits in main memory and comes block by block, which takes longer"
    return f"{reason}." if quantization in OFFLOADABLE else f"{reason}; its blocks are stored in fp8-quanto."


def _cheapest(recipe: Recipe, stage: Stage) -> str:
    """What else needs memory in this stage, the smallest loss first."""
    if stage == "text":
        return "Use a computer with a larger card for this model"
    if stage == "clips":
        return "Choose a smaller size or fewer frames under 'Buckets'"
    if stage == "load":
        return "Choose a smaller model"
    if stage == "samples":
        return "Choose a smaller width and height or fewer frames for the samples"
    if stage == "train" and recipe.data.batch_size > 1:
        return "Set the batch size to 1 and accumulate gradients instead"
    if stage == "train" and recipe.optimizer.name == "adamw":
        return "Choose the optimizer paged-adamw8bit, a smaller size or fewer frames"
    return "Choose a smaller size, fewer frames or a smaller model"
