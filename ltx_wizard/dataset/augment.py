"""Extra copies of clips for training: mirrored, or with other light and colour. Chosen by the seed alone.

What the guide calls safe is offered: mirroring, brightness and contrast within 10 %, small shifts of
saturation. What it calls risky is not, for the reasons in NOT_OFFERED.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.recipe import DataSettings
from ltx_wizard.media.video import Frame, read_image

NOT_OFFERED: tuple[tuple[str, str], ...] = (
    ("Other speeds", "the model would learn motion at the wrong pace"),
    ("Hard crops", "they change what the picture is composed of, and the caption no longer fits"),
    ("Other colour spaces", "they leave colours and edges that no camera makes"),
)
"""What, and why not. Source: the guide, data augmentation strategies."""

_SIDES = {
    "left": "right",
    "right": "left",
    "clockwise": "counter-clockwise",
}
"""What is not here, such as 'anti-clockwise', becomes 'clockwise'."""

_SIDE = re.compile(
    r"\b(?P<same>(?:he|she|it|they|who|has|have|had|having|been|be|being|gets?|got|nothing|is|are|was|were)"
    r" left"
    r"(?! (?:of|side|hand|half|corner|edge)\b)"
    r"|left (?:behind|over|alone|open|out|untouched)\b"
    r"|right (?:now|away|after|before|angles?|next to|beside|behind|above|below|through|up to)\b"
    r"|all right\b)"
    r"|\b(?P<side>(?:counter|anti)[- ]?clockwise|clockwise|left|right)"
    r"(?P<end>-?most|wards?|-hand(?:ed)?|-to-(?:left|right))?\b",
    re.IGNORECASE,
)
"""`same` is left as it is: the person who has left, the car right behind."""

_TEXT = re.compile(
    r"\b(?:texts?|letters?|lettering|words?|writing|written|captions?|subtitles?|titles?|logos?|signs?|signage"
    r"|labels?|posters?|billboards?|banners?|watermarks?|headlines?|newspapers?|number ?plates?"
    r"|licen[cs]e plates?|graffiti|reads|inscriptions?|digits?|clocks?)\b|[\"“”]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Change:
    """What is done to every frame of a clip alike. The three factors are 1 for no change."""

    mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    @property
    def key(self) -> str:
        """The same text for the same change: part of the name under which its latents are kept."""
        colour = f"{self.brightness:.4f} {self.contrast:.4f} {self.saturation:.4f}"
        return f"{'mirrored ' if self.mirrored else ''}{colour}"


@dataclass(frozen=True)
class Copy:
    """One more training example made of a clip."""

    clip_id: str
    name: str
    change: Change

    @property
    def id(self) -> str:
        return f"{self.clip_id}~{self.name}"


def plan_copies(
    clips: Sequence[Clip], data: DataSettings, seed: int, held_out: Collection[str] = ()
) -> list[Copy]:
    """Every copy, in the order of the clips. The same for the same clips, settings and seed.

    Clips kept out of training have none, and regularisation clips stay as they are.
    """
    copies: list[Copy] = []
    for clip in clips:
        if clip.regularisation or clip.id in held_out:
            continue
        if is_mirrored(clip.caption, data):
            copies.append(Copy(clip.id, "mirrored", Change(mirrored=True)))
        copies += [
            Copy(clip.id, f"colour-{number}", _colour_change(clip.id, number, data, seed))
            for number in range(1, data.colour_copies + 1)
        ]
    return copies


def is_mirrored(caption: str, data: DataSettings) -> bool:
    """Whether the settings mirror a clip with this caption."""
    if data.mirror == "safe":
        return not names_side(caption) and not names_text(caption)
    return data.mirror == "all"


def names_side(caption: str) -> bool:
    """Whether a caption says left, right or clockwise."""
    return any(match["side"] for match in _SIDE.finditer(caption))


def names_text(caption: str) -> bool:
    """Whether a caption says that letters may be in the picture; mirrored, they would be learnt reversed."""
    return _TEXT.search(caption) is not None


def mirrored_caption(caption: str, trigger_word: str = "") -> str:
    """The caption of the mirrored clip: left and right exchanged, the trigger word as it is."""
    trigger = trigger_word.strip()
    if trigger:
        parts = re.split(rf"((?<!\w){re.escape(trigger)}(?!\w))", caption, flags=re.IGNORECASE)
        return "".join(part if index % 2 else mirrored_caption(part) for index, part in enumerate(parts))
    return _SIDE.sub(_other_side, caption)


def changed(frames: Frame, change: Change) -> Frame:
    """A clip with a change: uint8 [F, H, W, 3] in and out. The given frames are not touched."""
    shown = frames[:, :, ::-1] if change.mirrored else frames
    factors = (change.brightness, change.contrast, change.saturation)
    if factors == (1.0, 1.0, 1.0):
        return np.ascontiguousarray(shown)
    mean = float(shown.mean())
    recoloured = [_recoloured(picture, change, mean) for picture in shown]
    return np.stack(recoloured)


def copy_picture(file: Path, change: Change) -> bytes:
    """A picture of a clip with a change, as JPEG. Raises BadMediaFile."""
    picture = changed(read_image(file)[None], change)[0]
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes()


def blurred(picture: Frame, radius_px: float) -> Frame:
    """A picture [H, W, 3] with a Gaussian blur of this standard deviation."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), radius_px), dtype=np.uint8)


def _recoloured(picture: Frame, change: Change, mean: float) -> Frame:
    """Contrast around the mean of the whole clip, so that its frames stay alike."""
    colours = picture.astype(np.float32)
    grey = colours @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    colours = grey[..., None] + change.saturation * (colours - grey[..., None])
    colours = (mean + change.contrast * (colours - mean)) * change.brightness
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def _colour_change(clip_id: str, number: int, data: DataSettings, seed: int) -> Change:
    digest = hashlib.sha256(f"{seed} colour {clip_id} {number}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    brightness, contrast, saturation = (
        round(1 + float(random.uniform(-most, most)), 4)
        for most in (data.brightness, data.contrast, data.saturation)
    )
    return Change(brightness=brightness, contrast=contrast, saturation=saturation)


def _other_side(match: re.Match[str]) -> str:
    if match["same"]:
        return match[0]
    side, end = match["side"], match["end"] or ""
    other = _SIDES.get(side.lower(), "clockwise")
    if side[:1].isupper():
        other = other.upper() if side.isupper() else other.capitalize()
    if end.lower() in ("-to-left", "-to-right"):
        end = f"-to-{_SIDES[end.lower().removeprefix('-to-')]}"
    return other + end
