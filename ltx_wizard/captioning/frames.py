"""Pictures out of a clip for captioners: evenly over time, with their times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.media.video import Frame, decode, is_image, read_image, shown_size, to_rgb

_KEPT_AT_MOST = 64
"""Decoded pictures held at once, whatever the length of the clip; more than any captioner asks for."""


@dataclass(frozen=True)
class Still:
    """One picture of a clip. time_s: since its first frame."""

    time_s: float
    picture: Frame


def sample_stills(path: Path, count: int, long_side_px: int) -> list[Still]:
    """At most `count` pictures, the first and the last among them, evenly over time; an image gives one.

    Decodes once. Larger pictures are reduced to long_side_px. Raises BadMediaFile.
    """
    if is_image(path):
        return [Still(0.0, _reduced(read_image(path), long_side_px))]
    kept, last = _spread(path, long_side_px)
    stills = [*kept, last] if last.time_s > kept[-1].time_s else kept
    if len(stills) <= count:
        return stills
    wanted = np.linspace(stills[0].time_s, stills[-1].time_s, count)
    times = np.array([still.time_s for still in stills])
    chosen = sorted({int(np.abs(times - time_s).argmin()) for time_s in wanted})
    return [stills[index] for index in chosen]


def frames_for(duration_s: float, at_least: int, at_most: int) -> int:
    """About two pictures a second: enough to see what happens, and an even number, as models pair them."""
    return min(max(2 * round(duration_s), at_least), at_most)


def jpeg(picture: Frame, quality: int = 85) -> bytes:
    """A picture as a JPEG file."""
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert done
    return encoded.tobytes()


def _spread(path: Path, long_side_px: int) -> tuple[list[Still], Still]:
    """Every so many frames one, fewer and fewer of a long clip, and its last frame."""
    kept: list[Still] = []
    every, height_px = 1, 0
    last = None
    for frame in decode(path):
        if not height_px:
            width, height = shown_size(frame)
            height_px = max(16, round(height * min(1.0, long_side_px / max(width, height))))
        last = frame
        if frame.index % every:
            continue
        kept.append(Still(frame.time_s, to_rgb(frame, height_px)))
        if len(kept) == 2 * _KEPT_AT_MOST:
            kept, every = kept[::2], 2 * every
    if last is None:
        raise BadMediaFile(
            problem=f"No picture of {path.name} can be read.", remedy="Cut this clip again, or leave it out."
        )
    return kept, Still(last.time_s, to_rgb(last, height_px))


def _reduced(picture: Frame, long_side_px: int) -> Frame:
    scale = long_side_px / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
