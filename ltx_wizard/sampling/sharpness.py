"""How sharp a clip is: the share of its contrast that lies in fine detail, less its noise."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ltx_wizard.sampling.frames import Frames, spread

_MOST_FRAMES = 8
_FINE_PX, _MIDDLE_PX, _COARSE_PX = 0.8, 2.0, 6.0
_EVEN = 0.1
"""The noise is read off the evenest tenth of the picture."""

_BLOCK_PX = 8
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
"""Blind to edges, so that noise is left: Immerkaer, Fast Noise Variance Estimation, 1996."""

_NOISE_IN_FINE = (1 / _FINE_PX**2 + 1 / _MIDDLE_PX**2) / (4 * math.pi) - 1 / (
    math.pi * (_FINE_PX**2 + _MIDDLE_PX**2)
)
"""Of white noise's variance, what the band between the two Gaussians lets through."""


def sharpness(frames: Frames) -> float:
    """sqrt(fine / (fine + coarse)), 0 to 1: energies between Gaussians of 0.8, 2 and 6 pixels; the noise is
    taken off the fine one. frames: uint8 [F, H, W, 3].

    To compare clips of one size and of like content. A Gaussian of 1.2 pixels takes 13 to 28 % off; noise
    of 4 levels adds 5 % at most (benchmarks/measures.py).
    """
    return float(np.mean([_of_picture(frames[index]) for index in spread(len(frames), _MOST_FRAMES)]))


def _of_picture(frame: Frames) -> float:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, middle, coarse = (cv2.GaussianBlur(grey, (0, 0), s) for s in (_FINE_PX, _MIDDLE_PX, _COARSE_PX))
    detail = float(((fine - middle) ** 2).mean()) - _noise_variance(grey) * _NOISE_IN_FINE
    structure = float(((middle - coarse) ** 2).mean())
    return math.sqrt(max(0.0, detail) / (max(0.0, detail) + structure + 1e-3))


def _noise_variance(grey: NDArray[np.float32]) -> float:
    """Of the evenest blocks."""
    found = cv2.filter2D(grey, cv2.CV_32F, _NOISE_MASK)[1:-1, 1:-1]
    rows, columns = (size // _BLOCK_PX for size in found.shape)
    if not rows or not columns:
        return 0.0
    blocks = found[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    variances = (blocks**2).mean(axis=(1, 3)) / float((_NOISE_MASK**2).sum())
    return float(np.quantile(variances, _EVEN))
