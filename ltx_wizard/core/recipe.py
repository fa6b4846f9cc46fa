"""A recipe: every setting of a training. Its groups stand in core/recipe_groups.py; here is what is done with
it as a whole: reading, changing and typing settings.

A preset is a YAML file that names only what differs from the defaults.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import Field, ValidationError

from ltx_wizard.core.bucket_size import bucket_text as bucket_text
from ltx_wizard.core.bucket_size import parse_bucket as parse_bucket
from ltx_wizard.core.documents import (
    Document,
    Settings,
    read_document,
    read_text,
    validate_document,
    write_document,
)
from ltx_wizard.core.errors import BadDocument, BadSetting, NotFound
from ltx_wizard.core.recipe_groups import (
    LARGEST_SEED,
    CheckpointSettings,
    DataSettings,
    HealthSettings,
    LoraSettings,
    MemorySettings,
    NoiseSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrackerSettings,
    ValidationSettings,
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


def largest(key: str) -> float:
    """The most that a number among the settings may be; inf where there is no limit."""
    found = next(info.maximum for info in recipe_settings() if info.key == key)
    return math.inf if found is None else found


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
    known = {info.key: info for info in recipe_settings()}
    if key not in known:
        raise BadSetting(
            problem=f"There is no setting called {key}.", remedy=f"The settings are: {', '.join(known)}."
        )
    kind, clean = known[key].kind, text.strip()
    if kind in ("integer", "number"):
        return _typed_number(known[key], clean)
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


def _typed_number(info: SettingInfo, text: str) -> int | float:
    """'1,500' is a whole number, '1.5' and '1e400' are none."""
    whole, usual = info.kind == "integer", f"{info.default}"
    plain = text.replace(",", "") if whole and re.fullmatch(r"\d{1,3}(,\d{3})+", text) else text
    try:
        value = float(plain)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadSetting(
            problem=f"{info.key}: '{text}' is not a number." if text else f"{info.key} has no value.",
            remedy=f"Type a number, such as {usual}.",
        )
    if whole and not value.is_integer():
        raise BadSetting(
            problem=f"{info.key}: {text} is not a whole number.",
            remedy=f"Type one without a fraction, such as {usual}.",
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
