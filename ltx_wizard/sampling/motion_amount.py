"""How much a clip moves: dense optical flow, counted only where it explains what changes.

Flow alone invents motion where nothing can be seen: in noise on an even ground it found a fifth of the width
a second. So each pixel's flow is weighted by how much better the later picture fits after it is moved back.
Two time steps are tried, and the larger amount counts: a long one sees slow motion through noise, a short one
follows fast motion. All constants were chosen on the footage 'tuning' of benchmarks/measures.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ltx_wizard.sampling.frames import Frames

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]

_WIDTH_PX = 192
"""All clips are measured at this width, whatever their own."""

_SMOOTHING_PX = 0.8
_STEPS_S = (1 / 8, 1 / 2)
_NEIGHBOURHOOD_PX = 4.0
_NOTHING, _ALL = 0.25, 0.6
"""Share of the change that moving must explain before it counts at all, and from which it counts fully."""

_QUANTISATION = 1.0
"""Squared levels: what 8 bits leave of a change."""


def motion_amount(frames: Frames, fps: float) -> float | None:
    """Mean length of the flow over all pixels and time, in frame widths a second; None for one frame.

    frames: uint8 [F, H, W, 3]. A camera that pans by its whole width in ten seconds gives 0.1; an object on a
    tenth of the picture at that speed about 0.01. It does not depend on resolution or frame rate.
    """
    if len(frames) < 2:
        return None
    height = max(32, round(frames.shape[1] * _WIDTH_PX / frames.shape[2]))
    pictures = [_small(frame, height) for frame in frames]
    strides = {min(len(frames) - 1, max(1, round(step * fps))) for step in _STEPS_S}
    return max(_amount(pictures, stride) * fps / stride for stride in strides)


def _amount(pictures: Sequence[Picture], stride: int) -> float:
    """Mean over pairs that lie a stride apart, in frame widths."""
    every = max(1, stride // 2)
    starts = range(0, len(pictures) - stride, every)
    return float(np.mean([_moved_px(pictures[at], pictures[at + stride]) for at in starts])) / _WIDTH_PX


def _moved_px(before: Picture, after: Picture) -> float:
    """Mean length of the flow that explains the change."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(before, after, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
    columns, rows = _grid(*before.shape)
    moved_back = cv2.remap(
        after, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    start = before.astype(np.float32)
    unmoved, left = _around((start - after) ** 2), _around((start - moved_back) ** 2)
    explained = 1 - (left + _QUANTISATION) / (unmoved + _QUANTISATION)
    weight = np.clip((explained - _NOTHING) / (_ALL - _NOTHING), 0, 1)
    return float((np.hypot(flow[..., 0], flow[..., 1]) * weight).mean())


def _around(values: Field) -> Field:
    return cv2.GaussianBlur(values, (0, 0), _NEIGHBOURHOOD_PX)  # pyright: ignore[reportReturnType]


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[Field, Field]:
    """The column and the row of each pixel."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns, rows


def _small(frame: Picture, height: int) -> Picture:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if frame.shape[1] > _WIDTH_PX else cv2.INTER_CUBIC
    resized = cv2.resize(grey, (_WIDTH_PX, height), interpolation=method)
    return np.asarray(cv2.GaussianBlur(resized, (0, 0), _SMOOTHING_PX), dtype=np.uint8)
