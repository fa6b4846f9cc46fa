"""Cuts, fades and dissolves that were left inside a clip.

Found as in whole videos, and more strictly: to split a clip that has no cut is worse than to miss a dissolve.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltx_wizard.core.clip import Clip, Scene
from ltx_wizard.core.project import SceneSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.dataset.scenes import find_scenes
from ltx_wizard.media.video import MediaFacts

Grey = np.ndarray[Any, np.dtype[np.uint8]]

_TINY_PX = (20, 12)
_APART_S = 0.5
_SUSPECT_LEVELS = 8.0
_PARTS = (6, 4)
_PART_PX = 8
_BLACK_MEAN = 16
_CHANGED_LEVELS, _CHANGED_SHARE = 34.0, 0.36
"""A dissolve changes every part of the picture; a large subject that moves leaves many as they were. The
middle one of 24 parts, in levels or, in dark pictures, in shares of the brightness. Measured between real
shots: at least 40 levels over nine dissolves; over six others at least 43, or 34 and 0.40 of the brightness.
Seven clips that were taken for one have at most 28 levels and 0.35.
"""


def cuts_inside(
    path: Path, clip: Clip, greys: Sequence[Grey], times: Sequence[float]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First frames of new shots, and those of them where a fade or dissolve begins.

    greys, times: some of the clip's frames, in order, and when they are shown. Raises BadMediaFile.
    """
    if not _may_hold_cuts(greys, times):
        return (), ()
    found = find_scenes(path, _facts(clip), SceneSettings(), SilentReport())
    blends = [scene for scene in found if not scene.keep and _is_blend(scene, greys, times)]
    edges = {edge for scene in blends for edge in (scene.start_frame, scene.end_frame)}
    doubtful = [scene for scene in found if not scene.keep and scene not in blends]
    gone = {edge for scene in doubtful for edge in (scene.start_frame, scene.end_frame)} - edges
    cuts = tuple(scene.start_frame for scene in found[1:] if scene.start_frame not in gone)
    return cuts, tuple(scene.start_frame for scene in blends)


def _may_hold_cuts(greys: Sequence[Grey], times: Sequence[float]) -> bool:
    """A cheap look, so that quiet clips are not decoded a second time."""
    soft = [cv2.resize(grey, _TINY_PX, interpolation=cv2.INTER_AREA) for grey in greys]
    apart = max(1, round(_APART_S / max(times[-1] / max(len(times) - 1, 1), 1e-6)))
    return any(
        float(cv2.absdiff(one, other).mean()) > _SUSPECT_LEVELS
        for one, other in zip(soft, soft[apart:], strict=False)
    )


def _facts(clip: Clip) -> MediaFacts:
    return MediaFacts(
        kind=clip.kind,
        width=clip.width,
        height=clip.height,
        fps=clip.fps,
        frames=clip.frames,
        duration_s=clip.duration_s,
        rotation=0,
        has_audio=clip.has_audio,
        variable_frame_rate=False,
        codec="",
    )


def _is_blend(scene: Scene, greys: Sequence[Grey], times: Sequence[float]) -> bool:
    """Whether the whole picture is another one afterwards, or black meanwhile."""
    if any(
        grey.mean() < _BLACK_MEAN
        for grey, time_s in zip(greys, times, strict=True)
        if scene.start_s <= time_s <= scene.end_s
    ):
        return True
    first = max((index for index, time_s in enumerate(times) if time_s < scene.start_s), default=0)
    last = next((index for index, time_s in enumerate(times) if time_s >= scene.end_s), len(times) - 1)
    before, after = _parts(greys[first]), _parts(greys[last])
    middle = float(np.median(np.abs(before - after).mean(axis=(1, 3))))
    brightness = float(before.mean() + after.mean()) / 2
    return middle >= _CHANGED_LEVELS or middle >= _CHANGED_SHARE * max(brightness, 1.0)


def _parts(grey: Grey) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The picture as [4, 8, 6, 8]: rows of parts, their rows, columns of parts, their columns."""
    columns, rows = _PARTS
    small = cv2.resize(grey, (columns * _PART_PX, rows * _PART_PX), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).reshape(rows, _PART_PX, columns, _PART_PX)
