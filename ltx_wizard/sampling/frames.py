"""Sampled frames as arrays. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""uint8 [F, H, W, 3], red green blue."""


def spread(count: int, most: int) -> list[int]:
    """Indices of at most so many frames, evenly over the clip, in the middle of their parts."""
    wanted = min(count, most)
    return [int((index + 0.5) * count / wanted) for index in range(wanted)]
