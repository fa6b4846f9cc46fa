"""What reading a dataset gives, whatever its format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.units import plural
from ltx_wizard.media.video import IMAGE_SUFFIXES

CAPTION_COLUMNS = (
    "caption",
    "text",
    "prompt",
    "description",
    "captions",
    "prompts",
    "long_caption",
    "detailed_caption",
    "video_caption",
    "image_caption",
    "caption_text",
    "short_caption",
)
MEDIA_COLUMNS = (
    "video",
    "media_path",
    "video_path",
    "image_path",
    "file_name",
    "path",
    "image",
    "file",
    "filename",
    "file_path",
    "video_file",
    "image_file",
    "media",
    "filepath",
    "video_name",
    "image_name",
    "clip_path",
    "videoid",
    "video_id",
)
"""Names by which the trainers call them, the usual first. Upper and lower case are alike."""


@dataclass(frozen=True)
class Packed:
    """A file inside an archive: size bytes from offset on."""

    member: str
    offset: int
    size: int


@dataclass(frozen=True)
class Entry:
    """One training example. named: as the dataset calls the file. caption: on one line; may be empty.

    packed: where in `file` it lies, if that is an archive.
    """

    named: str
    file: Path
    caption: str
    packed: Packed | None = None

    @property
    def file_name(self) -> str:
        """Of the video or image itself."""
        return PurePosixPath(self.packed.member).name if self.packed else self.file.name


@dataclass(frozen=True)
class FoundDataset:
    """What lies there. title: the format in words. unused: columns and settings that have no place here."""

    title: str
    place: Path
    entries: tuple[Entry, ...]
    left_out: tuple[Rejected, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def captions(self) -> int:
        """How many examples have one."""
        return sum(bool(entry.caption) for entry in self.entries)

    @property
    def summary(self) -> str:
        """'finetrainers pair: 24 videos, 24 captions'."""
        images = sum(entry.file_name.lower().endswith(IMAGE_SUFFIXES) for entry in self.entries)
        videos = len(self.entries) - images
        parts = [plural(videos, "video")] if videos or not images else []
        parts += [plural(images, "image")] if images else []
        parts.append(plural(self.captions, "caption"))
        return f"{self.title}: {', '.join(parts)}"


def one_line(text: str) -> str:
    """A caption as it is kept: on one line, and only what can be written as UTF-8."""
    return storable(" ".join(text.split()))


def caption_of(text: str) -> str:
    """The caption in a JSON object such as {"caption": ...}, or in a JSON string; empty without one."""
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(content, dict):
        row = {str(key).lower(): value for key, value in cast("dict[object, object]", content).items()}
        content = next((row[column] for column in CAPTION_COLUMNS if isinstance(row.get(column), str)), "")
    return one_line(content) if isinstance(content, str) else ""


def left_out(name: str, error: WizardError) -> Rejected:
    return Rejected(name=storable(name), problem=storable(error.problem), remedy=storable(error.remedy))
