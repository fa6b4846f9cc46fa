"""A project: a folder that can be copied to another machine."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

from pydantic import Field

from ltx_wizard.core.documents import Document, Settings, is_file, read_document, write_document
from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.core.places import whole_path

PROJECT_FILE = "project.json"
MAX_NAME_CHARACTERS = 80
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
)
"""Names that Windows keeps for devices, with any ending."""


class Goal(str, Enum):
    """What the user wants the LoRA to do."""

    STYLE = "style"
    CHARACTER = "character"
    MOTION = "motion"
    CONTROL = "control"
    DETAIL = "detail"


class TriggerPlacement(str, Enum):
    """Where the trigger word goes when a caption is used."""

    FIRST = "first"
    LAST = "last"
    TEMPLATE = "template"
    CLASS = "class"
    NONE = "none"


class SceneSettings(Settings):
    """How a video is cut into scenes."""

    detector: str = Field(
        default="adaptive",
        pattern="^(adaptive|content)$",
        description="How cuts are found. Adaptive copes with moving cameras; content compares neighbouring frames.",
    )
    adaptive_threshold: float = Field(default=3.0, ge=0.5, le=20, description="Lower finds more cuts.")
    content_threshold: float = Field(default=27.0, ge=1, le=100, description="Lower finds more cuts.")
    min_scene_s: float = Field(default=0.6, ge=0.1, le=30, description="Shortest scene, in seconds.")
    min_clip_s: float = Field(
        default=2.0, ge=0.2, le=30, description="Scenes shorter than this are left out."
    )
    max_clip_s: float = Field(
        default=8.0, ge=0.5, le=60, description="Scenes longer than this are split evenly."
    )


class ProjectSettings(Document):
    """The content of project.json."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    goal: Goal = Goal.STYLE
    trigger_word: str = Field(default="", max_length=100)
    trigger_placement: TriggerPlacement = TriggerPlacement.FIRST
    trigger_pattern: str = Field(
        default="",
        max_length=300,
        description="For the placement 'template': text with {trigger} and {caption}. For 'class': the word that the trigger word replaces.",
    )
    model: str = Field(
        default="", description="Catalog id of the base model, or a folder or file; empty: not chosen yet."
    )
    scenes: SceneSettings = SceneSettings()
    caption_instruction: str = Field(
        default="",
        max_length=8000,
        description="What vision models are asked for; empty: LTX Wizard's own instruction. {facts} is where the measured motion goes.",
    )
    recipe: str = Field(default="", description="Name of the preset that the recipe started from.")
    validation_prompts: tuple[str, ...] = ()
    created: str = Field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))


class Project:
    """A project folder. Holds the path only: every read goes to disk, so nothing here can be stale."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Raises NotFound if the folder is not a project, BadDocument or NoPermission if it cannot be read."""
        project = cls(whole_path(folder))
        if not is_file(project.settings_file):
            raise NotFound(
                problem=f"{folder} is not an LTX Wizard project: it has no {PROJECT_FILE}.",
                remedy="Choose a project folder, or make a new project.",
            )
        project.read_settings()
        return project

    @classmethod
    def create(cls, folder: Path, settings: ProjectSettings) -> Project:
        """Make the folder and project.json. Raises BadInput if a project is already there."""
        project = cls(whole_path(folder))
        if is_file(project.settings_file):
            raise BadInput(
                problem=f"There is already a project in {folder}.",
                remedy="Open it, or choose another name.",
            )
        was_there = project.folder.exists()
        try:
            project.write_settings(settings)
        except WizardError:
            if not was_there:
                with suppress(OSError):  # nothing is in it, or it was never made
                    project.folder.rmdir()
            raise
        return project

    def read_settings(self) -> ProjectSettings:
        return read_document(self.settings_file, ProjectSettings)

    def write_settings(self, settings: ProjectSettings) -> None:
        write_document(self.settings_file, settings)

    def change_settings(self, **changes: object) -> ProjectSettings:
        """Write the settings with some fields changed, checked as a whole. Raises BadDocument."""
        from ltx_wizard.core.documents import validate_document  # noqa: PLC0415

        merged = {**self.read_settings().model_dump(), **changes}
        settings = validate_document(merged, ProjectSettings, PROJECT_FILE)
        self.write_settings(settings)
        return settings

    @property
    def settings_file(self) -> Path:
        return self.folder / PROJECT_FILE

    @property
    def sources_file(self) -> Path:
        return self.folder / "sources.jsonl"

    @property
    def rejected_file(self) -> Path:
        return self.folder / "rejected.jsonl"

    @property
    def scenes_file(self) -> Path:
        return self.folder / "scenes.jsonl"

    @property
    def clips_file(self) -> Path:
        return self.folder / "clips.jsonl"

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.json"

    def recipe_file_of(self, model: str) -> Path:
        """Where the recipe for a model waits while the project trains another one."""
        name = f"{safe_file_stem(Path(model).name)}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        return self.folder / "recipes" / f"{name}.json"

    @property
    def lock_file(self) -> Path:
        return self.folder / ".lock"

    @property
    def sources_folder(self) -> Path:
        return self.folder / "sources"

    @property
    def clips_folder(self) -> Path:
        return self.folder / "clips"

    @property
    def cache_folder(self) -> Path:
        return self.folder / "cache"

    @property
    def thumbnails_folder(self) -> Path:
        return self.folder / "cache" / "thumbnails"

    @property
    def runs_folder(self) -> Path:
        return self.folder / "runs"

    @property
    def jobs_folder(self) -> Path:
        """Short jobs: finding scenes, cutting, captioning, conforming, sampling."""
        return self.folder / "jobs"

    @property
    def exports_folder(self) -> Path:
        return self.folder / "exports"

    def path(self, relative: str) -> Path:
        """The file that a document names. Raises BadInput for a path that leads out of the project."""
        path = whole_path(self.folder / relative)
        if not path.is_relative_to(self.folder):
            raise BadInput(
                problem=f"A file of this project points outside its folder: {relative}.",
                remedy="Import that file again.",
            )
        return path

    def relative(self, path: Path) -> str:
        return path.resolve().relative_to(self.folder).as_posix()


def safe_file_stem(name: str, longest: int = 60) -> str:
    """A name that every file system takes: letters, digits, '-', '_' and '.'; never empty."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:longest].strip("-.")
    return f"_{cleaned}" if cleaned.split(".")[0].upper() in _DEVICES else cleaned or "unnamed"


def trained_caption(caption: str, trigger_word: str, placement: TriggerPlacement, pattern: str = "") -> str:
    """The caption as the model sees it: with the trigger word in its place, once, on one line.

    pattern: the template, or the class word. A caption without the class word gets the trigger word in front,
    so that none is trained without it.
    """
    text = " ".join(caption.split())
    trigger = trigger_word.strip()
    if not trigger or placement is TriggerPlacement.NONE or has_trigger(text, trigger):
        return text
    if placement is TriggerPlacement.LAST:
        return f"{text} {trigger}".strip()
    if placement is TriggerPlacement.TEMPLATE and TRIGGER_PLACE in pattern and CAPTION_PLACE in pattern:
        return " ".join(pattern.replace(TRIGGER_PLACE, trigger).replace(CAPTION_PLACE, text).split())
    if placement is TriggerPlacement.CLASS and has_trigger(text, pattern):
        word = re.escape(pattern.strip())
        return re.sub(rf"(?<!\w){word}(?!\w)", lambda _match: trigger, text, count=1, flags=re.IGNORECASE)
    return f"{trigger} {text}".strip()


TRIGGER_PLACE = "{trigger}"
"""Stands in a prompt or template where the trigger word goes."""

CAPTION_PLACE = "{caption}"
"""Stands in a template where the caption goes."""


def filled_prompt(prompt: str, trigger_word: str) -> str:
    """The prompt with the trigger word in its place, on one line."""
    return " ".join(prompt.replace(TRIGGER_PLACE, trigger_word).split())


def has_trigger(caption: str, trigger_word: str) -> bool:
    """Whether the trigger word stands in the caption as a word, in any case."""
    trigger = trigger_word.strip().rstrip(".,;:!").lower()
    return bool(trigger) and re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption.lower()) is not None
