"""What a recipe needs before it starts: graphics memory, main memory, disk and time. No torch here.

Memory follows from the architecture; a few coefficients come from measurements (training/memory_model.py).
Each phase finds the card empty: text encoder, video encoder, transformer. The largest phase counts. Figures
are what torch's allocator holds at its peak, in GiB; N tokens of a clip, d width, L blocks, B clips at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from ltx_wizard.core.documents import read_text
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.recipe import MemorySettings, Recipe, bucket_text, parse_bucket
from ltx_wizard.core.units import GIB
from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.training.memory_model import Coefficients, MemoryModel, StepTime, read_memory_model
from ltx_wizard.training.validation_set import losses_measured

DESKTOP_GIB = 1.0
"""Left to the desktop and to other programs. Presets are measured with as much left free."""

TEXT_ENCODER_PARAMETERS = 4_762_310_656
"""T5-XXL, the encoder alone."""

VAE_PARAMETERS = 1_246_913_522
"""The video autoencoder of 0.9.5 and later; earlier ones have a third of that. Kept in bf16."""

TILE_PX = 512
"""Side of the tiles in which the video autoencoder works when tiling is on."""

PhaseName = Literal["text", "clips", "load", "training", "samples"]
PHASE_TITLES: dict[PhaseName, str] = {
    "text": "Encoding captions",
    "clips": "Encoding clips",
    "load": "Loading the model",
    "training": "Training",
    "samples": "Making samples",
}

_FEWEST_TO_HOLD_OUT = 3
"""Of fewer clips none is kept out of training: the loss is measured on those that are learnt."""

_PICTURE_BYTES = 6
"""A pixel of three colours in bf16: the whole clip is there beside the tile in work."""

_SAMPLE_BYTES = 0.05
"""Bytes of a pixel of a frame in a written sample video. Not measured: it depends on what it shows."""

_LORA_BYTES, _GRADIENT_BYTES, _CAST_BYTES = 4, 4, 2
_STATE_BYTES = {"adamw": 8, "adamw8bit": 2, "paged-adamw8bit": 0}
"""What the optimizer remembers of each number. The paged form lives outside torch's allocator."""

_STATE_BYTES_ON_DISK = {"adamw": 8, "adamw8bit": 2, "paged-adamw8bit": 2}
_FORMAT_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
_RECOMPUTE_COST = 4 / 3
"""A step with checkpointing computes the forward pass twice: 4 parts instead of 3."""


@dataclass(frozen=True)
class Architecture:
    """The sizes of an LTX-Video transformer that memory follows from."""

    name: str
    layers: int
    width: int
    text_width: int = 4096
    channels: int = 128

    @property
    def block_parameters(self) -> int:
        """All matrices of all blocks: 4 of each attention, 8 of the feed-forward, in units of d x d."""
        return 16 * self.width**2 * self.layers

    @property
    def other_parameters(self) -> int:
        """What is never quantised: projections, time embedding, biases, norms."""
        d = self.width
        inputs = 2 * self.channels + self.text_width + 256
        return 8 * d * d + inputs * d + 23 * d * self.layers + 13 * d + self.channels

    @property
    def parameters(self) -> int:
        return self.block_parameters + self.other_parameters

    def matrices(self) -> list[tuple[str, int, int, int]]:
        """(name as in the model, inputs, outputs, how many) of everything that can carry a LoRA."""
        d, layers = self.width, self.layers
        blocks = [
            (f"{attention}.{name}", d, d, layers)
            for attention in ("attn1", "attn2")
            for name in ("to_q", "to_k", "to_v", "to_out.0")
        ]
        return [
            *blocks,
            ("ff.net.0.proj", d, 4 * d, layers),
            ("ff.net.2", 4 * d, d, layers),
            ("proj_in", self.channels, d, 1),
            ("proj_out", d, self.channels, 1),
            ("caption_projection.linear_1", self.text_width, d, 1),
            ("caption_projection.linear_2", d, d, 1),
            ("time_embed.linear", d, 6 * d, 1),
        ]


LTXV_2B = Architecture("2b", layers=28, width=2048)
LTXV_13B = Architecture("13b", layers=48, width=4096)


@dataclass(frozen=True)
class Phase:
    """Graphics memory of one phase, by what holds it, in GiB."""

    name: PhaseName
    weights: float
    lora: float
    activations: float
    reserve: float

    @property
    def title(self) -> str:
        return PHASE_TITLES[self.name]

    @property
    def total(self) -> float:
        return self.weights + self.lora + self.activations + self.reserve


@dataclass(frozen=True)
class DiskNeed:
    """What a run writes, in GiB. Samples are an estimate, the rest follows from sizes."""

    checkpoints: float
    cache: float
    quantised: float
    samples: float

    @property
    def in_project(self) -> float:
        """What cannot be done without: a model in fewer bits is kept only where there is room for it."""
        return self.checkpoints + self.cache + self.samples

    @property
    def total(self) -> float:
        return self.in_project + self.quantised


@dataclass(frozen=True)
class TimeNeed:
    """Seconds. step_s: one optimizer step. validation: measuring its loss, over the whole run. encoding: of
    the clips, with loading beside it; None where they were not measured. source: in words.
    """

    step_s: float
    training: float
    samples: float
    validation: float
    encoding: float | None
    loading: float | None
    source: str
    own: bool

    @property
    def total(self) -> float:
        return self.again + (self.encoding or 0.0)

    @property
    def again(self) -> float:
        """The same once another run has encoded the clips."""
        return self.training + self.samples + self.validation + (self.loading or 0.0)


@dataclass(frozen=True)
class Budget:
    """What a recipe needs. phases: empty for a model that trains on the processor."""

    phases: tuple[Phase, ...]
    context: float
    ram: float
    disk: DiskNeed
    time: TimeNeed | None

    @property
    def largest(self) -> Phase | None:
        return max(self.phases, key=lambda phase: phase.total, default=None)

    @property
    def vram_gib(self) -> float:
        """The most that torch's allocator holds at once, in GiB; 0 without a card."""
        return self.largest.total if self.largest else 0.0

    @property
    def card(self) -> float:
        """The memory that a card must have, in GiB: the driver's share and the desktop's included."""
        return self.vram_gib + self.context + DESKTOP_GIB if self.phases else 0.0


def predict(
    recipe: Recipe,
    spec: ModelSpec,
    buckets: Mapping[str, int] | None = None,
    memory: MemoryModel | None = None,
    own_times: Sequence[StepTime] = (),
) -> Budget:
    """What training needs. buckets: clips in each bucket; empty: the recipe's, else the model's own.

    own_times: steps of earlier runs on this very card, preferred to the measured ones.
    """
    memory = memory or read_memory_model()
    sizes = buckets_of(recipe, spec, buckets)
    shape = architecture_of(spec)
    disk = _disk(recipe, spec, shape, sizes, memory.coefficients)
    ram = _ram(recipe, spec, shape, sizes, memory.coefficients)
    time = _time(recipe, spec, shape, sizes, memory, own_times)
    phases = phases_of(recipe, spec, sizes, memory.coefficients)
    return Budget(phases, memory.coefficients.context_gib, ram, disk, time)


def buckets_of(recipe: Recipe, spec: ModelSpec, buckets: Mapping[str, int] | None) -> dict[str, int]:
    """The clips' buckets; without clips the recipe's, else the model's own."""
    return dict(buckets or {}) or dict.fromkeys(recipe.data.buckets or (spec.default_bucket,), 0)


def phases_of(
    recipe: Recipe, spec: ModelSpec, buckets: Mapping[str, int], c: Coefficients
) -> tuple[Phase, ...]:
    """Graphics memory of every phase; empty for a model that trains on the processor."""
    if spec.min_vram_gib == 0:
        return ()
    shape = architecture_of(spec)
    largest = max(buckets, key=lambda bucket: tokens(bucket, spec))
    return (
        _text(recipe.memory, c),
        _clips(recipe.memory, spec, largest, c),
        _load(recipe.memory, shape, c),
        _training(recipe, shape, tokens(largest, spec), c),
        *_samples(recipe, spec, shape, sample_bucket(recipe, buckets), c),
    )


def architecture_of(spec: ModelSpec) -> Architecture:
    """From the model's own configuration where it lies in a folder, else from the catalog's name."""
    own = _configured(Path(spec.source)) if spec.local else None
    name = (spec.architecture or spec.id).lower()
    return own or (LTXV_13B if "13b" in name else LTXV_2B)


def tokens(bucket: str, spec: ModelSpec) -> int:
    """Tokens of a clip: 768x512x49 -> 24 x 16 x 7 = 2688."""
    width, height, frames = parse_bucket(bucket)
    rows, columns = height // spec.spatial_compression, width // spec.spatial_compression
    return max(1, rows * columns * ((frames - 1) // spec.temporal_compression + 1))


def sample_bucket(recipe: Recipe, buckets: Mapping[str, int]) -> str:
    """Size of the samples: as the recipe says, else as most clips are trained."""
    common = max(buckets, key=lambda bucket: buckets[bucket])
    return bucket_text(*recipe.validation.size_for(common))


def lora_parameters(recipe: Recipe, shape: Architecture) -> int:
    """Numbers that are trained: r (inputs + outputs) of every matrix that the recipe names."""
    return recipe.lora.rank * sum((ins + outs) * count for ins, outs, count in _targets(recipe, shape))


def weights_gib(memory: MemorySettings, shape: Architecture, c: Coefficients) -> float:
    """The frozen base on the card, once it is loaded."""
    blocks = _block_bytes(memory, c) * shape.block_parameters
    if memory.offload == "blocks":
        blocks *= min(1.0, c.offload_blocks / shape.layers)
    return (blocks + _FORMAT_BYTES[memory.precision] * shape.other_parameters) / GIB


def _text(memory: MemorySettings, c: Coefficients) -> Phase:
    per_number = c.text_8bit_bytes if memory.text_encoder_8bit else c.text_bytes
    return Phase("text", TEXT_ENCODER_PARAMETERS * per_number / GIB, 0.0, 0.0, c.reserve_gib)


def _clips(memory: MemorySettings, spec: ModelSpec, bucket: str, c: Coefficients) -> Phase:
    at_once = _pixels_at_once(bucket, memory.vae_tiling)
    activations = (c.encode_bytes * at_once + _PICTURE_BYTES * _pixels(bucket)) / GIB
    return Phase("clips", vae_gib(spec), 0.0, activations, c.reserve_gib)


def vae_gib(spec: ModelSpec) -> float:
    """The video autoencoder in bf16, in GiB: as the catalog weighs it, else that of the newer models."""
    known = dict(spec.part_gib).get("vae", 0.0)
    return known or 2 * VAE_PARAMETERS / GIB


def _load(memory: MemorySettings, shape: Architecture, c: Coefficients) -> Phase:
    """Quantising happens block by block: some blocks are there in full beside the weights."""
    extra = 0.0 if memory.quantization == "none" else c.load_blocks * 2 * shape.block_parameters
    return Phase("load", weights_gib(memory, shape, c), 0.0, extra / shape.layers / GIB, c.reserve_gib)


def _training(recipe: Recipe, shape: Architecture, clip_tokens: int, c: Coefficients) -> Phase:
    """The peak is where activations are complete, or at the end of the backward pass where all gradients are
    there, whichever holds more. With accumulation, gradients of earlier passes stay while activations grow.
    """
    numbers = lora_parameters(recipe, shape) / GIB
    gradients = _GRADIENT_BYTES * numbers
    activations = _activations(recipe, shape, clip_tokens, c)
    lora = (_LORA_BYTES + _STATE_BYTES[recipe.optimizer.name]) * numbers
    held = gradients if recipe.data.gradient_accumulation_steps > 1 else 0.0
    if held + activations < gradients:
        held, activations = gradients, 0.0
    return Phase("training", weights_gib(recipe.memory, shape, c), lora + held, activations, c.reserve_gib)


def _activations(recipe: Recipe, shape: Architecture, clip_tokens: int, c: Coefficients) -> float:
    """In GiB. peft keeps a bf16 copy of the input of every layer with a LoRA: the usual six are in the
    measured units, further ones are added. Kept blocks keep the LoRA's own bf16 copies as well.
    """
    unit = 2 * clip_tokens * recipe.data.batch_size * shape.width / GIB
    more = max(0.0, _lora_inputs(recipe, shape) - 6)
    first_frame = recipe.data.first_frame_share > 0
    if recipe.memory.gradient_checkpointing:
        units = c.checkpoint_units * shape.layers + c.recompute_units + more
        units += c.first_frame_once_units if first_frame else 0.0
        copies = 0.0
    else:
        units = (c.kept_units + (c.first_frame_units if first_frame else 0.0) + more) * shape.layers
        copies = _CAST_BYTES * lora_parameters(recipe, shape) / GIB
    return units * unit + copies + _unpacked_gib(recipe.memory, shape, c)


def _unpacked_gib(memory: MemorySettings, shape: Architecture, c: Coefficients) -> float:
    return c.dequantised[memory.quantization] * 2 * 4 * shape.width**2 / GIB


def _samples(
    recipe: Recipe, spec: ModelSpec, shape: Architecture, bucket: str, c: Coefficients
) -> tuple[Phase, ...]:
    """Transformer, LoRA with its optimizer state, and VAE stay on the card; the forward passes come first,
    the decoding after them.
    """
    if not recipe.validation.prompts:
        return ()
    numbers = lora_parameters(recipe, shape) / GIB
    videos = 2 if _is_guided(recipe) else 1
    unit = 2 * tokens(bucket, spec) * videos * shape.width / GIB
    units = c.sample_units + (c.first_frame_once_units if recipe.validation.first_frame else 0.0)
    forward = units * unit + _CAST_BYTES * numbers + _unpacked_gib(recipe.memory, shape, c)
    at_once = _pixels_at_once(bucket, recipe.memory.vae_tiling)
    decoding = (c.decode_bytes * at_once + _PICTURE_BYTES * _pixels(bucket)) / GIB
    return (
        Phase(
            "samples",
            weights_gib(recipe.memory, shape, c) + vae_gib(spec),
            (_LORA_BYTES + _STATE_BYTES[recipe.optimizer.name]) * numbers,
            max(forward, decoding),
            c.reserve_gib,
        ),
    )


def _is_guided(recipe: Recipe) -> bool:
    v = recipe.validation
    return v.guidance > 1 or (v.first_frame and v.first_frame_guidance > 1)


def _pixels_at_once(bucket: str, tiling: bool) -> int:
    """Pixels times frames in one pass of the VAE. Tiles cut pictures, not time."""
    width, height, frames = parse_bucket(bucket)
    return min(width, TILE_PX) * min(height, TILE_PX) * frames if tiling else _pixels(bucket)


def _pixels(bucket: str) -> int:
    """Pixels times frames of a clip."""
    return math.prod(parse_bucket(bucket))


def _block_bytes(memory: MemorySettings, c: Coefficients) -> float:
    if memory.quantization == "none":
        return c.weight_bytes["none"] * _FORMAT_BYTES[memory.precision] / _FORMAT_BYTES["bf16"]
    return c.weight_bytes[memory.quantization]


def _targets(recipe: Recipe, shape: Architecture) -> list[tuple[int, int, int]]:
    """(inputs, outputs, how many) of the matrices that get a LoRA, found by the end of their name."""
    wanted = recipe.lora.target_modules
    return [
        (ins, outs, count)
        for name, ins, outs, count in shape.matrices()
        if any(name == target or name.endswith(f".{target}") for target in wanted)
    ]


def _lora_inputs(recipe: Recipe, shape: Architecture) -> float:
    """Inputs of a block's layers with a LoRA, in units of N x d; keys and values of the text are short."""
    targets = recipe.lora.target_modules
    return sum(
        ins / shape.width
        for name, ins, _, count in shape.matrices()
        if count > 1
        and name not in ("attn2.to_k", "attn2.to_v")
        and any(name.endswith(f".{target}") or name == target for target in targets)
    )


def _disk(
    recipe: Recipe, spec: ModelSpec, shape: Architecture, buckets: Mapping[str, int], c: Coefficients
) -> DiskNeed:
    numbers = lora_parameters(recipe, shape)
    made = math.ceil(recipe.steps / recipe.checkpoints.every)
    # A new one is there before the oldest goes, and the best stays besides the newest.
    kept = min(recipe.checkpoints.keep + 1 + recipe.health.keep_best, made)
    one = numbers * (_LORA_BYTES + _STATE_BYTES_ON_DISK[recipe.optimizer.name])
    latents = sum(
        4 * spec.latent_channels * tokens(bucket, spec) * count for bucket, count in buckets.items()
    )
    texts = sum(buckets.values()) * spec.max_caption_tokens * shape.text_width * 2
    sample_pixels = _pixels(sample_bucket(recipe, buckets))
    quantised = recipe.memory.quantization != "none" and spec.min_vram_gib > 0
    return DiskNeed(
        checkpoints=kept * one / GIB,
        cache=(latents + texts) / GIB,
        quantised=(_block_bytes(recipe.memory, c) * shape.block_parameters / GIB) if quantised else 0.0,
        samples=_sample_videos(recipe) * sample_pixels * _SAMPLE_BYTES / GIB,
    )


def _ram(
    recipe: Recipe, spec: ModelSpec, shape: Architecture, buckets: Mapping[str, int], c: Coefficients
) -> float:
    """Main memory: the program, the clips, and weights while they are loaded or kept there."""
    latents = sum(
        4 * spec.latent_channels * tokens(bucket, spec) * count for bucket, count in buckets.items()
    )
    if spec.min_vram_gib == 0:
        return c.ram_gib + latents / GIB
    offloaded = recipe.memory.offload == "blocks"
    kept = _block_bytes(recipe.memory, c) * shape.block_parameters if offloaded else 0.0
    loading = c.ram_load_share * 2 * max(shape.parameters, TEXT_ENCODER_PARAMETERS)
    return c.ram_gib + (max(kept, loading) + latents) / GIB


def _sample_videos(recipe: Recipe) -> int:
    """Over the whole run: before the first step, whenever they are due, and at the end."""
    v = recipe.validation
    rounds = 1 + math.ceil(recipe.steps / v.every)
    return rounds * len(v.prompts) * (2 if v.first_frame else 1)


def _time(
    recipe: Recipe,
    spec: ModelSpec,
    shape: Architecture,
    buckets: Mapping[str, int],
    memory: MemoryModel,
    own_times: Sequence[StepTime],
) -> TimeNeed | None:
    """From steps of this card where there are any, else from measured ones; None where neither is like it."""
    data, v = recipe.data, recipe.validation
    clips = sum(buckets.values())
    weights = {bucket: count / clips if clips else 1 / len(buckets) for bucket, count in buckets.items()}
    batch_tokens = data.batch_size * sum(tokens(bucket, spec) * share for bucket, share in weights.items())
    own = _pass_time(recipe.memory, shape, batch_tokens, own_times, exact=True)
    found = own or _pass_time(recipe.memory, shape, batch_tokens, memory.step_times, exact=False)
    if found is None:
        return None
    pass_s, card = found
    step_s = pass_s * data.gradient_accumulation_steps
    forward = 1 / 4 if recipe.memory.gradient_checkpointing else 1 / 3
    per_token = pass_s * forward / batch_tokens
    one_sample = per_token * tokens(sample_bucket(recipe, buckets), spec) * v.sampling_steps
    loading, encoding = _start_times(shape, buckets, memory)
    return TimeNeed(
        step_s=step_s,
        training=step_s * recipe.steps,
        samples=one_sample * (2 if _is_guided(recipe) else 1) * _sample_videos(recipe),
        validation=per_token * batch_tokens / data.batch_size * _validation_passes(recipe, clips),
        encoding=encoding,
        loading=loading,
        source=card,
        own=own is not None,
    )


def _pass_time(
    memory: MemorySettings, shape: Architecture, batch_tokens: float, times: Sequence[StepTime], exact: bool
) -> tuple[float, str] | None:
    """(seconds of one forward and backward pass, card). Not exact: another quantisation or checkpointing of
    the same model will do, corrected for the recomputing.
    """
    alike = [item for item in times if item.architecture == shape.name and item.offload == memory.offload]

    def strangeness(item: StepTime) -> tuple[bool, bool]:
        checkpointing = item.gradient_checkpointing != memory.gradient_checkpointing
        return checkpointing, item.quantization != memory.quantization

    if not alike:
        return None
    nearest = min(strangeness(item) for item in alike)
    if exact and any(nearest):
        return None
    chosen = [item for item in alike if strangeness(item) == nearest]
    seconds = _at_tokens(chosen, batch_tokens)
    if nearest[0]:
        seconds *= _RECOMPUTE_COST if memory.gradient_checkpointing else 1 / _RECOMPUTE_COST
    return seconds, chosen[-1].card


def _at_tokens(times: Sequence[StepTime], wanted: float) -> float:
    """Between two measured sizes in a line; beyond them in proportion to the tokens."""
    points: dict[int, list[float]] = {}
    for item in times:
        points.setdefault(item.tokens, []).append(item.step_s)
    line = sorted((size, sum(values) / len(values)) for size, values in points.items())
    below = [point for point in line if point[0] <= wanted]
    above = [point for point in line if point[0] >= wanted]
    if not below or not above:
        size, seconds = line[0] if not below else line[-1]
        return seconds * wanted / size
    (small, fast), (large, slow) = below[-1], above[0]
    share = (wanted - small) / (large - small) if large > small else 0.0
    return fast + share * (slow - fast)


def _validation_passes(recipe: Recipe, clips: int) -> int:
    """Forward passes over the whole run: before the first step, whenever it is due, at checkpoints and at the
    end. Without clips as many are taken as the recipe asks for.
    """
    v, steps = recipe.validation, recipe.steps
    share = recipe.data.held_out_share
    held_out = max(1, round(share * clips)) if share and clips >= _FEWEST_TO_HOLD_OUT else clips
    measured = min(v.loss_clips, held_out) if clips else v.loss_clips
    both = math.lcm(v.loss_every, recipe.checkpoints.every)
    times = 1 + steps // v.loss_every + steps // recipe.checkpoints.every - steps // both
    times += steps % v.loss_every > 0 and steps % recipe.checkpoints.every > 0
    return times * losses_measured(measured)


def _start_times(
    shape: Architecture, buckets: Mapping[str, int], memory: MemoryModel
) -> tuple[float | None, float | None]:
    """Seconds of loading as measured, and of encoding the clips in proportion to their pixels."""
    known = [item for item in memory.start_times if item.architecture == shape.name]
    if not known:
        return None, None
    loading = median(item.loading_s for item in known)
    each = median(item.clip_s / item.clip_pixels for item in known)
    return loading, each * sum(_pixels(bucket) * count for bucket, count in buckets.items())


def _configured(folder: Path) -> Architecture | None:
    """Sizes from transformer/config.json of a folder; None where there is none to read."""
    try:
        raw: object = json.loads(read_text(folder / "transformer" / "config.json"))
    except (WizardError, ValueError):
        return None
    config = raw if isinstance(raw, dict) else {}
    try:
        width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
        layers = int(config["num_layers"])
        text_width, channels = int(config.get("caption_channels", 4096)), int(config.get("in_channels", 128))
    except (KeyError, TypeError, ValueError):
        return None
    known = {(item.layers, item.width): item.name for item in (LTXV_2B, LTXV_13B)}
    return Architecture(known.get((layers, width), f"{layers}x{width}"), layers, width, text_width, channels)
