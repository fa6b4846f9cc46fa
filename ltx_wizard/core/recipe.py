"""A recipe: every setting of a training, typed, with its range and the sentence that the app shows.

A preset is a YAML file that names only what differs from these defaults.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import Field, ValidationError, field_validator

from ltx_wizard.core.documents import (
    Document,
    Settings,
    read_document,
    read_text,
    validate_document,
    write_document,
)
from ltx_wizard.core.errors import BadDocument, BadSetting, NotFound

ATTENTION_MODULES = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD_MODULES = ("ff.net.0.proj", "ff.net.2")

LARGEST_SEED = 2**32 - 1
"""The largest that every random generator takes."""

Precision = Literal["bf16", "fp16", "fp32"]
Quantization = Literal["none", "fp8-quanto", "int8-quanto", "int4-quanto", "int8-bnb", "nf4-bnb"]
Offload = Literal["none", "blocks"]
OptimizerName = Literal["adamw", "adamw8bit", "paged-adamw8bit"]
ScheduleName = Literal["linear", "cosine", "constant"]
SigmaSampling = Literal["shifted_logit_normal", "stretched_logit_normal", "uniform"]
Mirroring = Literal["off", "safe", "all"]


class LoraSettings(Settings):
    """The LoRA itself."""

    rank: int = Field(
        default=128,
        ge=1,
        le=512,
        description="Size of the LoRA. Higher learns more detail and needs more memory and more clips.",
    )
    alpha: float = Field(
        default=128,
        gt=0,
        le=1024,
        description="Scale: the update is multiplied by alpha / rank. Keep it equal to the rank unless you know why not.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of LoRA inputs dropped in training. Rarely needed for video.",
    )
    target_modules: tuple[str, ...] = Field(
        default=ATTENTION_MODULES,
        min_length=1,
        description="The layers that get a LoRA: attention only, or attention and feed-forward for stronger changes.",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """The guide's files write the modules as one string with spaces."""
        return tuple(value.split()) if isinstance(value, str) else value


class OptimizerSettings(Settings):
    """How the weights move."""

    name: OptimizerName = Field(
        default="adamw",
        description="adamw, or adamw8bit, which keeps its state in 8 bits (NVIDIA cards only); the paged form moves that state to main memory when the card is full.",
    )
    lr: float = Field(
        default=2e-4,
        gt=0,
        le=0.1,
        description="Learning rate: how far one step goes. Lower with more steps is safer than higher with fewer.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Memory of the direction.")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="Memory of the size of gradients.")
    epsilon: float = Field(default=1e-8, gt=0, le=1e-2, description="Keeps the division safe.")
    weight_decay: float = Field(
        default=0.001, ge=0, le=1, description="Pulls weights towards zero, a little."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, le=100, description="Longer gradients are shortened to this length."
    )


class ScheduleSettings(Settings):
    """How the learning rate changes over the run."""

    name: ScheduleName = Field(
        default="linear",
        description="After warm-up the learning rate falls in a line, falls in a cosine, or stays.",
    )
    warmup_steps: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Steps in which the learning rate rises from zero: 5 to 10 % of all steps.",
    )
    cycles: int = Field(default=1, ge=1, le=20, description="How often a cosine schedule starts again.")


class DataSettings(Settings):
    """What a step sees."""

    buckets: tuple[str, ...] = Field(
        default=(),
        description="Sizes to train at, as width x height x frames, e.g. 768x512x49. Empty: the model's own default.",
    )
    batch_size: int = Field(default=1, ge=1, le=64, description="Clips in one forward pass.")
    gradient_accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Forward passes before one step. Gives the effect of a larger batch without its memory.",
    )
    caption_dropout: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of clips trained with an empty caption, so that guidance keeps working.",
    )
    regularisation_share: float = Field(
        default=0.4,
        ge=0,
        lt=1,
        description="Share of draws that come from regularisation clips, where the dataset has any.",
    )
    first_frame_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of clips whose first frame is given, so that image-to-video works.",
    )
    held_out_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of clips kept out of training to measure the validation loss.",
    )
    mirror: Mirroring = Field(
        default="off",
        description="Train each clip mirrored, too. safe: not those whose caption names left, right or something written. all: these too, with left and right exchanged in the caption; writing will be reversed.",
    )
    colour_copies: int = Field(
        default=0,
        ge=0,
        le=4,
        description="Extra copies of each clip with a little other light and colour. Other speeds, hard crops and other colour spaces are not offered: they teach wrong motion, pictures that the caption does not fit, and false colours.",
    )
    brightness: float = Field(
        default=0.1, ge=0, le=0.1, description="Most change of brightness in such a copy: 0.1 is 10 %."
    )
    contrast: float = Field(
        default=0.1, ge=0, le=0.1, description="Most change of contrast in such a copy: 0.1 is 10 %."
    )
    saturation: float = Field(
        default=0.05, ge=0, le=0.1, description="Most change of saturation in such a copy: 0.05 is 5 %."
    )
    first_frame_blur: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="Blur of a first frame that is given, in pixels: a remedy where videos made from an image barely move. Try 1; 0: none.",
    )

    @field_validator("buckets")
    @classmethod
    def _bucket_shapes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for bucket in value:
            parse_bucket(bucket)
        return value


class NoiseSettings(Settings):
    """Which noise levels (sigma, 0 to 1) training visits."""

    sampling: SigmaSampling = Field(
        default="stretched_logit_normal",
        description="stretched covers all noise levels at every size; shifted_logit_normal is what the official trainer does.",
    )
    clamp_shift: bool = Field(
        default=False,
        description="Keep the shift within the range of the model's own schedule (official-compatible: off).",
    )
    uniform_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of draws from all noise levels alike."
    )
    high_sigma_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Extra share of draws from very noisy levels, where words decide: helps a trigger word to take hold.",
    )
    high_sigma_min: float = Field(default=0.85, ge=0, lt=1, description="Lowest sigma of those extra draws.")


class MemorySettings(Settings):
    """What is given up to fit on the card."""

    precision: Precision = Field(
        default="bf16",
        description="Number format of the frozen model. A computer without a GPU calculates in fp32 whatever this says.",
    )
    quantization: Quantization = Field(
        default="none", description="Store the frozen model in fewer bits. Saves memory, costs some speed."
    )
    offload: Offload = Field(
        default="none",
        description="blocks: keep the frozen model in main memory and bring one block at a time to the card (NVIDIA cards only). Needs little graphics memory and much more time.",
    )
    text_encoder_8bit: bool = Field(
        default=False, description="Load the text encoder in 8 bits (NVIDIA cards only)."
    )
    gradient_checkpointing: bool = Field(
        default=True,
        description="Compute activations twice instead of keeping them. Saves much memory, costs about a third more time.",
    )
    vae_slicing: bool = Field(default=True, description="Encode and decode one clip at a time.")
    vae_tiling: bool = Field(default=True, description="Encode and decode large pictures in tiles.")
    step_down: bool = Field(
        default=True,
        description="When the card runs out of memory, switch to the next setting that needs less and go on from the last step. Off: the run stops.",
    )


OFFLOADABLE: tuple[Quantization, ...] = ("none", "fp8-quanto", "int8-quanto")
"""How the frozen model may be stored where its blocks wait in main memory."""


def check_offload(memory: MemorySettings) -> None:
    """Raises BadSetting where blocks cannot wait in main memory: in this format, or without recompute, for
    then the backward pass would meet the weights of another block.
    """
    if memory.offload != "blocks":
        return
    if memory.quantization not in OFFLOADABLE:
        raise BadSetting(
            problem=f"Offloading works with {', '.join(OFFLOADABLE)}, not with {memory.quantization}.",
            remedy="Set 'Quantization' to fp8-quanto, or 'Offload' to none.",
        )
    if not memory.gradient_checkpointing:
        raise BadSetting(
            problem="Offloading works only together with gradient checkpointing.",
            remedy="Switch 'Gradient checkpointing' on, or set 'Offload' to none.",
        )


class CheckpointSettings(Settings):
    """What is kept on disk."""

    every: int = Field(default=200, ge=1, le=100_000, description="Save a checkpoint every so many steps.")
    keep: int = Field(
        default=10, ge=1, le=1000, description="Keep the newest checkpoints, delete older ones."
    )


class ValidationSettings(Settings):
    """Sample videos and the loss on held-out clips, during training."""

    prompts: tuple[str, ...] = Field(
        default=(), description="What the sample videos show. Write {trigger} where the trigger word goes."
    )
    negative_prompt: str = Field(
        default="worst quality, inconsistent motion, blurry, jittery, distorted",
        description="What the sample videos should not look like.",
    )
    every: int = Field(default=200, ge=1, le=100_000, description="Make sample videos every so many steps.")
    sampling_steps: int = Field(
        default=40, ge=2, le=200, description="Steps of one sample video. 40 to 50 for judging quality."
    )
    guidance: float = Field(
        default=3.5,
        ge=1,
        le=20,
        description="How strongly the prompt counts. 3.0 to 3.5 for standard models, 1 for distilled ones.",
    )
    first_frame: bool = Field(
        default=False,
        description="Also make each sample from the first frame of a clip (image-to-video), beside the one from words alone.",
    )
    first_frame_guidance: float = Field(
        default=4.5, ge=1, le=20, description="How strongly the prompt counts in image-to-video: 4 to 5."
    )
    width: int = Field(default=0, ge=0, le=4096, description="Width of sample videos; 0: as in training.")
    height: int = Field(default=0, ge=0, le=4096, description="Height of sample videos; 0: as in training.")
    frames: int = Field(default=0, ge=0, le=1024, description="Frames of sample videos; 0: as in training.")
    seed: int = Field(
        default=42,
        ge=0,
        le=LARGEST_SEED,
        description="The same seed every time, so that only the training differs.",
    )
    loss_every: int = Field(
        default=50, ge=1, le=100_000, description="Measure the loss on held-out clips every so many steps."
    )

    loss_clips: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Measure it on at most so many held-out clips. More is steadier and takes longer.",
    )

    def size_for(self, bucket: str) -> tuple[int, int, int]:
        """Width, height, frames of the samples where clips are trained in this bucket."""
        width, height, frames = parse_bucket(bucket)
        return self.width or width, self.height or height, self.frames or frames


class HealthSettings(Settings):
    """What happens when a training goes wrong, or has gone on for too long."""

    bad_steps: int = Field(
        default=3,
        ge=1,
        le=100,
        description="A step whose loss or gradient is not a number changes nothing. After so many in a row the run goes back to its last good checkpoint.",
    )
    watch_divergence: bool = Field(
        default=True,
        description="Go back as well when the loss has climbed far above where it was and stays there.",
    )
    go_backs: int = Field(
        default=1,
        ge=0,
        le=10,
        description="How often the run may go back before it stops with an explanation.",
    )
    go_back_lr: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The learning rate is multiplied by this each time the run goes back: the same rate would break it again.",
    )
    keep_best: bool = Field(
        default=True,
        description="Keep the checkpoint with the lowest validation loss on disk, too, and offer it first.",
    )
    early_stop: bool = Field(
        default=False,
        description="End the run once the validation loss has clearly risen while the training loss falls. Quality may fall and rise again between checkpoints: leave it off if you want to compare them all.",
    )


class TrackerSettings(Settings):
    """Where the numbers of a run go besides LTX Wizard's own plots."""

    tensorboard: bool = Field(
        default=False,
        description="Also write the numbers for TensorBoard, into the folder of the run. Look at them with: tensorboard --logdir, and the project's folder runs.",
    )
    wandb: bool = Field(
        default=False,
        description="Also write the numbers for Weights & Biases, into the folder of the run.",
    )
    wandb_mode: Literal["offline", "online"] = Field(
        default="offline",
        description="offline: nothing leaves this computer; 'wandb sync' uploads the run later. online: numbers and settings go to wandb.ai while it trains; run 'wandb login' first.",
    )
    trackio: bool = Field(
        default=False,
        description="Also write the numbers for trackio, on this computer. Look at them with: trackio show.",
    )
    project: str = Field(
        default="ltx-wizard",
        pattern=r"^[A-Za-z0-9._-]{1,80}$",
        description="Name under which W&B and trackio collect the runs.",
    )


class Recipe(Document):
    """One way to train."""

    name: str = Field(default="custom", min_length=1, max_length=80)
    title: str = ""
    for_whom: str = ""
    model: str = Field(default="", description="The base model. Empty: the project's.")
    steps: int = Field(default=1500, ge=1, le=200_000, description="Optimizer steps in all.")
    seed: int = Field(
        default=42, ge=0, le=LARGEST_SEED, description="Same seed, same clips, same machine: same LoRA."
    )
    lora: LoraSettings = LoraSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    data: DataSettings = DataSettings()
    noise: NoiseSettings = NoiseSettings()
    memory: MemorySettings = MemorySettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    validation: ValidationSettings = ValidationSettings()
    health: HealthSettings = HealthSettings()
    trackers: TrackerSettings = TrackerSettings()


RECIPE_GROUPS: dict[str, str] = {
    "lora": "LoRA",
    "optimizer": "Optimizer",
    "schedule": "Learning rate schedule",
    "data": "Data",
    "noise": "Noise levels",
    "memory": "Memory",
    "checkpoints": "Checkpoints",
    "validation": "Samples and validation",
    "health": "When it goes wrong",
    "trackers": "Trackers",
}


class MeasuredPeak(Settings):
    """A preset trained on a real card, encoding and samples included."""

    peak_gib: float = Field(gt=0, description="The most that torch's allocator held at once.")
    limit_gib: float = Field(ge=0, description="What it was allowed to hold; 0: no limit.")
    card: str
    date: str
    step_s: float | None = Field(
        default=None,
        gt=0,
        description="Median seconds of an optimizer step, where nothing else ran on that card.",
    )

    @property
    def text(self) -> str:
        """'measured 13.2 GB on an NVIDIA H100 limited to 15 GB, 2026-11-25'."""
        limit = f" limited to {self.limit_gib:g} GB" if self.limit_gib else ""
        return f"measured {self.peak_gib:.1f} GB on an {self.card}{limit}, {self.date}"


class Preset(Document):
    """A preset file: for whom it is, and a recipe of which it names only what differs from the defaults."""

    name: str = Field(min_length=1, max_length=80)
    title: str
    for_whom: str
    level: Literal["draft", "balanced", "best"]
    models: tuple[str, ...] = Field(min_length=1, description="Catalog ids that it is for.")
    min_vram_gib: float = Field(ge=0, description="Smallest card that it is for; 0: works without a GPU.")
    vram_source: str = Field(
        description="Where the memory figure comes from: measured (card, date), or the guide's table."
    )
    measured: MeasuredPeak | None = Field(
        default=None, description="The measurement of its settings, where there is one."
    )
    limits: str = Field(default="", description="What it cannot do yet, such as 'not yet on 8 GB'.")
    follow_dataset: bool = Field(
        default=True,
        description="Whether rank, learning rate, steps and intervals are adapted to goal and dataset size.",
    )
    recipe: Recipe


def read_preset(path: Path) -> Preset:
    """Read one YAML preset. Raises BadDocument naming every unknown key and wrong value at once."""
    try:
        raw = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise BadDocument(
            problem=f"The preset {path.name} is not valid YAML: {error}.",
            remedy="Correct it, or remove it from the presets folder.",
        ) from error
    return validate_document(raw, Preset, f"The preset {path.name}")


def read_recipe(path: Path) -> Recipe:
    return read_document(path, Recipe)


def write_recipe(path: Path, recipe: Recipe) -> None:
    write_document(path, recipe)


@dataclass(frozen=True)
class SettingInfo:
    """What the app needs to show one setting. key: 'lora.rank', or 'steps' at the top."""

    key: str
    group: str
    name: str
    kind: Literal["integer", "number", "switch", "choice", "text", "list"]
    default: object
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    description: str


def recipe_settings() -> list[SettingInfo]:
    """Every setting of a recipe, in the order in which the app shows them."""
    infos = [
        _setting_info("", name, field)
        for name, field in Recipe.model_fields.items()
        if name in ("steps", "seed")
    ]
    for group in RECIPE_GROUPS:
        settings: Settings = Recipe.model_fields[group].default
        infos += [_setting_info(group, name, field) for name, field in type(settings).model_fields.items()]
    return infos


def setting_value(recipe: Recipe, key: str) -> object:
    """The value behind 'lora.rank' or 'steps'."""
    value: object = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def with_settings(recipe: Recipe, changes: dict[str, object]) -> Recipe:
    """A recipe with some settings changed, checked as a whole. Raises BadSetting naming all problems."""
    raw = recipe.model_dump()
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        target = raw[group] if group in RECIPE_GROUPS else raw
        if group not in ("", *RECIPE_GROUPS) or name not in target:
            raise BadSetting(problem=f"There is no setting called {key}.", remedy="Check its spelling.")
        target[name] = value
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        wrong = {".".join(str(part) for part in item["loc"][:2]): item["msg"] for item in error.errors()}
        mine = {key: message for key, message in wrong.items() if key in changes} or wrong
        raise BadSetting(
            problem="; ".join(_wrong_text(key, message) for key, message in mine.items()) + ".",
            remedy="Give another value. Nothing was changed.",
        ) from error


def typed_setting(key: str, text: str) -> bool | int | float | str | tuple[str, ...]:
    """The value of a setting as a person types it: 16, 0.0002, on, '768x512x49, 512x512x49'. Prompts stand on
    lines of their own; every list may be JSON. Ranges are for with_settings. Raises BadSetting.
    """
    kinds = {info.key: info.kind for info in recipe_settings()}
    if key not in kinds:
        raise BadSetting(
            problem=f"There is no setting called {key}.", remedy=f"The settings are: {', '.join(kinds)}."
        )
    kind, clean = kinds[key], text.strip()
    if kind in ("integer", "number"):
        return _typed_number(key, clean, whole=kind == "integer")
    if kind == "switch":
        if clean.lower() not in _SWITCHES:
            raise BadSetting(problem=f"{key}: '{clean}' is neither on nor off.", remedy="Write: on, or off.")
        return _SWITCHES[clean.lower()]
    if kind != "list":
        return text
    if clean.startswith("["):
        return _json_list(clean)
    if key.endswith("prompts"):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if key == "data.buckets":
        clean = re.sub(r"\s*[x×]\s*", "x", clean.lower())
    return tuple(clean.replace(",", " ").split())


_SWITCHES = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def _typed_number(key: str, text: str, whole: bool) -> int | float:
    """'1,500' is a whole number, '1.5' and '1e400' are none."""
    plain = text.replace(",", "") if whole and re.fullmatch(r"\d{1,3}(,\d{3})+", text) else text
    try:
        value = float(plain)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadSetting(
            problem=f"{key}: '{text}' is not a number." if text else f"{key} has no value.",
            remedy=f"Type a number, such as {'32' if whole else '0.0002'}.",
        )
    if whole and not value.is_integer():
        raise BadSetting(
            problem=f"{key}: {text} is not a whole number.", remedy="Type one without a fraction."
        )
    return int(value) if whole else value


def _json_list(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(item) for item in json.loads(text))
    except (ValueError, RecursionError) as error:
        raise BadSetting(
            problem=f"{text} is not a JSON list: {error}.", remedy='Write it as ["one", "two"].'
        ) from error


def _wrong_text(key: str, message: str) -> str:
    """What is wrong with a value, from the words of pydantic."""
    if message.startswith("Input should"):
        return f"{key} must {message.removeprefix('Input should ')}"
    return f"{key}: {message.removeprefix('Value error, ')}"


def parse_bucket(text: str) -> tuple[int, int, int]:
    """'768x512x49' -> (768, 512, 49), as width, height, frames. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})x([0-9]{1,5})", text.strip().lower())
    if not match or not all(int(part) for part in match.groups()):
        raise ValueError(f"'{text}' is not a size like 768x512x49 (width x height x frames)")
    width, height, frames = (int(part) for part in match.groups())
    return width, height, frames


def bucket_text(width: int, height: int, frames: int) -> str:
    return f"{width}x{height}x{frames}"


def find_preset(presets: list[Preset], name: str) -> Preset:
    """Raises NotFound naming the presets there are."""
    for preset in presets:
        if preset.name == name:
            return preset
    known = ", ".join(preset.name for preset in presets)
    raise NotFound(problem=f"There is no preset called {name}.", remedy=f"Choose one of: {known}.")


def _setting_info(group: str, name: str, field: object) -> SettingInfo:
    annotation = getattr(field, "annotation", None)
    bounds = {type(item).__name__.lower(): item for item in getattr(field, "metadata", ())}
    minimum = next((float(getattr(bounds[key], key)) for key in ("ge", "gt") if key in bounds), None)
    maximum = next((float(getattr(bounds[key], key)) for key in ("le", "lt") if key in bounds), None)
    choices = tuple(str(item) for item in get_args(annotation)) if annotation not in (tuple,) else ()
    kind: Literal["integer", "number", "switch", "choice", "text", "list"]
    if annotation is bool:
        kind, choices = "switch", ()
    elif annotation is int:
        kind, choices = "integer", ()
    elif annotation is float:
        kind, choices = "number", ()
    elif annotation is str:
        kind, choices = "text", ()
    elif str(annotation).startswith("tuple"):
        kind, choices = "list", ()
    else:
        kind = "choice"
    return SettingInfo(
        key=f"{group}.{name}" if group else name,
        group=group,
        name=name,
        kind=kind,
        default=getattr(field, "default", None),
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        description=str(getattr(field, "description", "") or ""),
    )
