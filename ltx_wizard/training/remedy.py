"""Which settings would make a recipe fit a card. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ltx_wizard.core.recipe import Recipe, bucket_text, parse_bucket, with_settings
from ltx_wizard.core.recipe_groups import OFFLOADABLE
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.training.budget import DESKTOP_GIB, buckets_of, phases_of, tokens
from ltx_wizard.training.memory_model import MemoryModel, read_memory_model

Changes = dict[str, object]
_Need = Callable[[Changes], float]

_SMALLER = (0.8, 0.64, 0.5, 0.36, 0.25)
"""Areas that a smaller size is tried at, of the present one."""

_SMALLER_RANKS = (64, 32)
_SMALLEST_SIDE_PX = 256


@dataclass(frozen=True)
class Remedy:
    """Settings to change, what each does in words, and the card's memory that is then needed, in GiB."""

    changes: Changes
    words: tuple[str, ...]
    card: float

    @property
    def text(self) -> str:
        """'turn on tiling of the video encoder and use ...'."""
        *first, last = self.words
        return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class _Rung:
    changes: Changes
    words: str


def card_needed(
    recipe: Recipe, spec: ModelSpec, buckets: Mapping[str, int], memory: MemoryModel | None = None
) -> float:
    """The memory that a card must have, in GiB; 0 for a model that trains on the processor."""
    memory = memory or read_memory_model()
    phases = phases_of(recipe, spec, buckets_of(recipe, spec, buckets), memory.coefficients)
    if not phases:
        return 0.0
    return max(phase.total for phase in phases) + memory.coefficients.context_gib + DESKTOP_GIB


def remedy(
    recipe: Recipe,
    spec: ModelSpec,
    buckets: Mapping[str, int],
    card_gib: float,
    memory: MemoryModel | None = None,
) -> Remedy | None:
    """The first single setting of the ladder that makes it fit, else the first steps down the ladder that do.

    None where it fits as it is, or where nothing here makes it fit.
    """
    memory = memory or read_memory_model()
    sizes = buckets_of(recipe, spec, buckets)

    def need(changes: Changes) -> float:
        changed = with_settings(recipe, changes)
        return card_needed(changed, spec, _changed_sizes(sizes, changed, changes), memory)

    if need({}) <= card_gib:
        return None
    rungs = list(_ladder(recipe, spec, sizes))
    for rung in rungs:
        if need(rung.changes) <= card_gib:
            return Remedy(rung.changes, (rung.words,), need(rung.changes))
    taken: list[_Rung] = []
    for rung in rungs:
        taken.append(rung)
        if need(_merged(taken)) <= card_gib:
            return _without_what_is_not_needed(taken, need, card_gib)
    return None


def _ladder(recipe: Recipe, spec: ModelSpec, sizes: Mapping[str, int]) -> Iterator[_Rung]:
    """From what costs least to what costs most."""
    memory, data = recipe.memory, recipe.data
    if not memory.vae_tiling:
        yield _Rung({"memory.vae_tiling": True}, "turn on tiling of the video encoder")
    if not memory.gradient_checkpointing:
        yield _Rung({"memory.gradient_checkpointing": True}, "turn on gradient checkpointing")
    if recipe.optimizer.name == "adamw":
        yield _Rung({"optimizer.name": "adamw8bit"}, "use the 8-bit optimizer")
    if not memory.text_encoder_8bit:
        yield _Rung({"memory.text_encoder_8bit": True}, "load the text encoder in 8 bits")
    if memory.quantization == "none":
        yield _Rung({"memory.quantization": "fp8-quanto"}, "keep the frozen model in fp8")
    if memory.quantization not in ("nf4-bnb", "int4-quanto") and memory.offload == "none":
        yield _Rung({"memory.quantization": "nf4-bnb"}, "keep the frozen model in 4 bits (nf4)")
    if data.batch_size > 1:
        accumulation = data.batch_size * data.gradient_accumulation_steps
        yield _Rung(
            {"data.batch_size": 1, "data.gradient_accumulation_steps": min(accumulation, 256)},
            "train one clip at a time",
        )
    for smaller in _smaller_sizes(sizes, spec):
        changes: Changes = {"data.buckets": smaller, **_sample_size(recipe, smaller, spec)}
        yield _Rung(changes, f"train at {' and '.join(smaller)}")
    if memory.offload == "none":
        waiting: Changes = {"memory.offload": "blocks"}
        if not memory.gradient_checkpointing:
            waiting["memory.gradient_checkpointing"] = True
        if memory.quantization not in OFFLOADABLE:
            waiting["memory.quantization"] = "fp8-quanto"
        yield _Rung(waiting, "keep the frozen model in main memory (much slower)")
    for rank in _SMALLER_RANKS:
        if rank < recipe.lora.rank:
            alpha = recipe.lora.alpha * rank / recipe.lora.rank
            yield _Rung({"lora.rank": rank, "lora.alpha": alpha}, f"use a LoRA of rank {rank}")


def _smaller_sizes(sizes: Mapping[str, int], spec: ModelSpec) -> Iterator[tuple[str, ...]]:
    """The same shapes and lengths with less and less area, on the model's grid."""
    seen: set[tuple[str, ...]] = {tuple(sizes)}
    for area in _SMALLER:
        smaller = tuple(dict.fromkeys(_scaled(bucket, area**0.5, spec) for bucket in sizes))
        if smaller not in seen:
            seen.add(smaller)
            yield smaller


def _scaled(bucket: str, factor: float, spec: ModelSpec) -> str:
    width, height, frames = parse_bucket(bucket)

    def side(pixels: int) -> int:
        return min(pixels, max(_SMALLEST_SIDE_PX, spec.size_grid.round_down(int(pixels * factor))))

    return bucket_text(side(width), side(height), frames)


def _sample_size(recipe: Recipe, smaller: tuple[str, ...], spec: ModelSpec) -> Changes:
    """Samples of a size of their own shrink as well, where they are larger than what is trained."""
    v = recipe.validation
    if not (v.width and v.height):
        return {}
    width, height, _ = parse_bucket(max(smaller, key=lambda bucket: tokens(bucket, spec)))
    if v.width * v.height <= width * height:
        return {}
    return {"validation.width": width, "validation.height": height}


def _changed_sizes(sizes: Mapping[str, int], recipe: Recipe, changes: Changes) -> dict[str, int]:
    if "data.buckets" not in changes:
        return dict(sizes)
    clips = sum(sizes.values()) // len(recipe.data.buckets)
    return dict.fromkeys(recipe.data.buckets, clips)


def _merged(rungs: list[_Rung]) -> Changes:
    merged: Changes = {}
    for rung in rungs:
        merged.update(rung.changes)
    if merged.get("memory.offload") == "blocks" and merged.get("memory.quantization") not in (
        None,
        *OFFLOADABLE,
    ):
        merged["memory.quantization"] = "fp8-quanto"
    return merged


def _without_what_is_not_needed(rungs: list[_Rung], need: _Need, card_gib: float) -> Remedy:
    """Gives back what costs most first, as far as it still fits."""
    kept = list(rungs)
    for rung in reversed(rungs):
        rest = [item for item in kept if item is not rung]
        if rest and need(_merged(rest)) <= card_gib:
            kept = rest
    return Remedy(_merged(kept), tuple(rung.words for rung in kept), need(_merged(kept)))
