"""What a dataset is made of: sources, scenes and clips.

A Source is a video or an image as it was imported. A Scene is a stretch of a video source between two cuts. A
Clip is one training example: a file of its own, with a caption.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from enum import Enum

from pydantic import Field

from ltx_wizard.core.documents import Settings
from ltx_wizard.core.errors import BadInput

LONGEST_TAG, MOST_TAGS = 24, 12
FOLDERS_KEPT = 4
"""So many of the folders that a file lay in are remembered, to tell files of one name apart."""


class MediaKind(str, Enum):
    """What a file shows."""

    VIDEO = "video"
    IMAGE = "image"


class Source(Settings):
    """One imported file. Width and height are as shown, after rotation."""

    id: str
    file: str = Field(description="Path relative to the project folder, with forward slashes.")
    original_name: str
    original_folder: str = Field(
        default="", description="The last folders that it lay in, as '2025/Paris'; empty where nobody knows."
    )
    kind: MediaKind
    width: int
    height: int
    fps: float = Field(description="Average frames per second; 0 for an image.")
    frames: int = Field(description="Frames that really decode; 1 for an image.")
    duration_s: float
    rotation: int = Field(
        default=0, description="Degrees that the player turns the picture by; already applied to the size."
    )
    has_audio: bool = False
    variable_frame_rate: bool = False
    regularisation: bool = Field(default=False, description="Ordinary material without the trigger word.")
    whole: bool = Field(
        default=False, description="A clip as it is: it came in a dataset, with its caption, and is not cut."
    )
    warnings: tuple[str, ...] = ()


def told_apart(sources: Iterable[Source]) -> dict[str, str]:
    """What each source is called where it is shown, by id; see distinct_names."""
    listed = list(sources)
    names = distinct_names([(source.original_name, source.original_folder) for source in listed])
    return {source.id: name for source, name in zip(listed, names, strict=True)}


def distinct_names(files: Sequence[tuple[str, str]]) -> list[str]:
    """The names of files, given with the last folders that they lie in, such as ('a.mp4', '2025/Paris').

    Files of one name get the folders in front that tell them apart; those that no folder does, a number.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, (name, _) in enumerate(files):
        alike[name].append(index)
    shown = [name for name, _ in files]
    for group in alike.values():
        if len(group) > 1:
            for index, name in zip(group, _longer([files[index] for index in group]), strict=True):
                shown[index] = name
    return shown


def _longer(alike: Sequence[tuple[str, str]]) -> list[str]:
    """Each with the fewest folders that leave the fewest others of that name."""
    ways = [[_within(name, folder, depth) for depth in range(FOLDERS_KEPT + 1)] for name, folder in alike]
    counts = [Counter(way[depth] for way in ways) for depth in range(FOLDERS_KEPT + 1)]
    names = [min((counts[depth][name], depth, name) for depth, name in enumerate(way))[2] for way in ways]
    used: Counter[str] = Counter()
    numbered: list[str] = []
    for name in names:
        used[name] += 1
        numbered.append(name if used[name] == 1 else f"{name} ({used[name]})")
    return numbered


def _within(name: str, folder: str, depth: int) -> str:
    """The name with so many of its folders in front."""
    return "/".join([*filter(None, folder.split("/")[-depth:] if depth else []), name])


class Rejected(Settings):
    """A file that was offered and cannot be used."""

    name: str
    problem: str
    remedy: str


class Scene(Settings):
    """A stretch of a source: frames start_frame (included) to end_frame (excluded), counted as decoded."""

    start_frame: int = Field(ge=0)
    end_frame: int = Field(gt=0)
    start_s: float
    end_s: float
    keep: bool = True

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class SourceScenes(Settings):
    """The cut list of one source: consecutive, ordered, together covering the whole source."""

    source_id: str
    scenes: tuple[Scene, ...]
    detector: str = Field(
        default="",
        description="What proposed the cuts, e.g. 'adaptive 3.0'; 'edited' after a change by hand.",
    )


class CaptionState(str, Enum):
    """How far a caption is."""

    MISSING = "missing"
    DRAFT = "draft"
    WRITTEN = "written"


class Clip(Settings):
    """One training example. The caption does not hold the trigger word: that is added when it is used."""

    id: str
    source_id: str
    file: str = Field(description="Path relative to the project folder, with forward slashes.")
    kind: MediaKind
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    start_frame: int = 0
    end_frame: int = 1
    start_s: float = 0.0
    has_audio: bool = False
    caption: str = ""
    caption_state: CaptionState = CaptionState.MISSING
    caption_source: str = Field(
        default="", description="Who wrote it: 'you', 'imported' or the name of a captioner."
    )
    tags: tuple[str, ...] = Field(
        default=(), description="Words of the user to find clips by. They are no part of what is trained."
    )
    regularisation: bool = False
    held_out: bool = Field(default=False, description="Kept out of training, for the validation loss.")
    conformed_file: str = Field(
        default="", description="The same clip at the size, length and fps of its bucket; empty before."
    )
    crop: tuple[int, int, int, int] | None = Field(
        default=None, description="What is shown of the source: left, top, width, height; None: all."
    )
    bucket: str = Field(default="", description="Bucket of the conformed file as WxHxF, e.g. '768x512x49'.")

    @property
    def training_file(self) -> str:
        """The file that training reads: the conformed one where there is one."""
        return self.conformed_file or self.file


def tags_in(text: str) -> tuple[str, ...]:
    """The tags that somebody typed, with commas or spaces between them: short words in small letters.

    Raises BadInput for one that is too long, and where there is none.
    """
    words = [word.strip("#.;:") for word in re.split(r"[,\s]+", text.lower()) if word.isprintable()]
    found = tuple(dict.fromkeys(word for word in words if word))
    if not found:
        raise BadInput(problem="There is no tag to add or remove.", remedy="Type a word, such as 'night'.")
    for word in found:
        if len(word) > LONGEST_TAG:
            raise BadInput(
                problem=f"'{word}' is too long for a tag.",
                remedy=f"A tag is one word of at most {LONGEST_TAG} characters.",
            )
    return found


def tagged(tags: Iterable[str], add: Iterable[str], remove: Iterable[str]) -> tuple[str, ...]:
    """The tags of a clip after some come and some go, in the order in which they came. Raises BadInput."""
    gone = set(remove)
    kept = tuple(dict.fromkeys(tag for tag in (*tags, *add) if tag not in gone))
    if len(kept) > MOST_TAGS:
        raise BadInput(
            problem=f"A clip has at most {MOST_TAGS} tags.", remedy="Take some away before you add others."
        )
    return kept
