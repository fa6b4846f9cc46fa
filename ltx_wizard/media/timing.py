"""Frames and seconds: pure arithmetic, no media library."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

_TICK_TOLERANCE_S = 2e-3
"""Containers store times in ticks of up to a millisecond; a frame this much late still counts as on time."""

_COMMON_RATES = (
    *(float(rate) for rate in range(1, 121)),
    *(rate * 1000 / 1001 for rate in (24, 30, 48, 60, 120)),
)


def frames_at(duration_s: float, fps: float) -> int:
    """How many frames a video of this length gives at fps: one at 0, one at 1 / fps, and so on."""
    return max(0, math.ceil((duration_s - _TICK_TOLERANCE_S) * fps))


def frames_shown_at(times_s: Sequence[float], end_s: float, fps: float) -> list[int]:
    """For each tick of a steady clock, the last source frame that has begun by then.

    times_s: the start of each source frame, ascending, from 0. end_s: when the last one ends.
    """
    ticks = [index / fps for index in range(frames_at(end_s, fps))]
    return [max(0, bisect_right(times_s, tick + _TICK_TOLERANCE_S) - 1) for tick in ticks]


def average_fps(times_s: Sequence[float], declared: float) -> float:
    """Frames per second from the times of the frames, tidied to a rate that cameras use. 0 for one frame."""
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return declared if len(times_s) > 1 else 0.0
    measured = (len(times_s) - 1) / (times_s[-1] - times_s[0])
    rate = declared if declared and abs(declared / measured - 1) < 5e-3 else measured
    nearest = min(_COMMON_RATES, key=lambda common: abs(common - rate))
    return nearest if abs(nearest / rate - 1) < 2e-4 else round(rate, 4)


def usual_step_s(times_s: Sequence[float], fps: float) -> float:
    """The usual time from one frame to the next."""
    steps = [after - before for before, after in pairwise(times_s)]
    return median(steps) if steps else (1 / fps if fps else 0.0)


def is_variable(times_s: Sequence[float]) -> bool:
    """Whether the frames come at uneven times: more than one step in a hundred is off by over a quarter."""
    steps = [after - before for before, after in pairwise(times_s)]
    if len(steps) < 2:
        return False
    usual = median(steps)
    uneven = sum(abs(step - usual) > 0.25 * usual + _TICK_TOLERANCE_S for step in steps)
    return uneven > max(1, len(steps) / 100)
