"""Fades, dissolves and flashes: what a detector of hard cuts misses, or takes for a cut.

All is measured on tiny grey pictures, one for each frame. A fade is a run of black frames with the slopes
on both sides of it. A dissolve is a stretch whose middle is the mean of its ends, with less fine detail
than either of them, while the ends have nothing in common: a moving camera has as much detail in the middle,
and a changing light leaves the ends alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

TINY_PX = (48, 27)
"""Width and height of a tiny picture: 1.3 kB for each frame, 117 MB for an hour at 25 frames a second."""

Tiny = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_BLACK_MEAN, _BLACK_BRIGHTEST = 10.0, 30
_BLACK_FRAMES = 3
"""Fewer black frames than this are a fade only where the light goes away or comes back slowly."""

_SLOPE_FRAMES = 75
_SLOPE_LEVELS, _SLOPE_SHARE = 0.25, 0.4
"""A slope ends where a frame is less than this brighter than the next: levels of 255, and share of the mean
step so far."""

_HALF_WINDOWS = (4, 6, 8, 11, 15, 20)
"""Half the length of a dissolve, in frames, that is looked for."""

_UNLIKE, _MEAN_ERROR, _DETAIL_DIP = 0.7, 0.45, (0.3, 0.75)
_LEAST_DETAIL = 4.0
_JUMP_SHARE = 0.4
_LENGTH_COST = 0.015
_TOUCH_FRAMES = 6
_DISSOLVE_FRAMES = 7
_CHUNK = 1024

_FLASH_FRAMES = 6
_FLASH_RETURN = 0.3
"""It was a flash where, this many frames later, less than this share of the change is left."""


@dataclass(frozen=True)
class Transition:
    """Frames start (included) to end (excluded) belong to no scene."""

    start: int
    end: int


def tiny_picture(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> Tiny:
    """What is kept of a frame: red green blue [H, W, 3] to grey [27, 48]."""
    small = cv2.resize(picture, TINY_PX, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def find_transitions(pictures: Sequence[Tiny]) -> tuple[Transition, ...]:
    """Fades through black, black stretches, and dissolves, in order; they do not overlap."""
    if len(pictures) < 2 * _HALF_WINDOWS[0] + 1:
        return ()
    fades = _fades(pictures)
    found = list(fades)
    for dissolve in _dissolves(pictures):
        if not any(_touch(dissolve, fade) for fade in fades):
            found.append(dissolve)
    return tuple(sorted(found, key=lambda item: item.start))


def without_flashes(cuts: Iterable[int], pictures: Sequence[Tiny]) -> set[int]:
    """The cuts that are none of a flash: after one, the picture is soon what it was before."""
    return {cut for cut in cuts if not _is_flash(cut, pictures)}


def _is_flash(cut: int, pictures: Sequence[Tiny]) -> bool:
    if not 0 < cut < len(pictures):
        return False
    change = _distance(pictures[cut - 1], pictures[cut])
    later = range(cut + 1, min(cut + 1 + _FLASH_FRAMES, len(pictures)))
    earlier = range(max(0, cut - 1 - _FLASH_FRAMES), cut - 1)
    back = [_distance(pictures[cut - 1], pictures[index]) for index in later]
    back += [_distance(pictures[cut], pictures[index]) for index in earlier]
    return bool(back) and min(back) < _FLASH_RETURN * change


def _distance(first: Tiny, second: Tiny) -> float:
    return float(cv2.norm(first, second, cv2.NORM_L1))


def _fades(pictures: Sequence[Tiny]) -> list[Transition]:
    light = [float(cv2.norm(picture, cv2.NORM_L2)) / picture.size**0.5 for picture in pictures]
    black = [
        level < 2 * _BLACK_MEAN and float(picture.mean()) < _BLACK_MEAN and picture.max() < _BLACK_BRIGHTEST
        for level, picture in zip(light, pictures, strict=True)
    ]
    found: list[Transition] = []
    for first, last in _runs(black):
        start = first - _slope([*reversed(light[max(0, first - _SLOPE_FRAMES) : first + 1])])
        end = last + _slope(light[last : last + _SLOPE_FRAMES + 1])
        if found:
            start = max(start, found[-1].end)
        if end - start > last - first or last + 1 - first >= _BLACK_FRAMES:
            found.append(Transition(start, end + 1))
    return found


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last index of every run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=np.int8), [0]])))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]


def _slope(light: Sequence[float]) -> int:
    """How many frames after the first it keeps getting brighter, seen from the black."""
    count = 0
    for index in range(1, len(light)):
        mean = (light[index - 1] - light[0]) / max(index - 1, 1)
        if light[index] - light[index - 1] < max(_SLOPE_LEVELS, _SLOPE_SHARE * mean):
            break
        # A jump is the shot itself, cut hard to black.
        if index > 1 and light[index] - light[index - 1] > 4 * mean + 8:
            break
        count = index
    return 0 if count == 1 else count


def _dissolves(pictures: Sequence[Tiny]) -> list[Transition]:
    overlap = 3 * _HALF_WINDOWS[-1]
    candidates: list[tuple[float, Transition]] = []
    for start in range(0, len(pictures), _CHUNK):
        first = max(0, start - overlap)
        detail = _detail(pictures[first : start + _CHUNK + overlap])
        candidates += [
            (score, Transition(item.start + first, item.end + first)) for score, item in _candidates(detail)
        ]
    found: list[Transition] = []
    for _, item in sorted(candidates, key=lambda candidate: candidate[0]):
        if item.end - item.start >= _DISSOLVE_FRAMES and not any(_touch(item, other) for other in found):
            found.append(item)
    return found


def _touch(first: Transition, second: Transition) -> bool:
    return first.start <= second.end + _TOUCH_FRAMES and first.end >= second.start - _TOUCH_FRAMES


def _detail(pictures: Sequence[Tiny]) -> Floats:
    """Fine detail of each picture, [N, 27 * 48]: what is left without its blurred version."""
    fine = [
        (grey - cv2.blur(grey, (7, 7))).ravel()
        for grey in (picture.astype(np.float32) for picture in pictures)
    ]
    return np.stack(fine)


def _candidates(detail: Floats) -> list[tuple[float, Transition]]:
    """Stretches that look like a dissolve, each with how far it is from the ideal one."""
    energy = np.einsum("np,np->n", detail, detail) / detail.shape[1]
    best = np.full(len(detail), np.inf)
    half = np.zeros(len(detail), dtype=int)
    for k in _HALF_WINDOWS:
        if len(detail) <= 2 * k:
            break
        before, middle, after = detail[: -2 * k], detail[k:-k], detail[2 * k :]
        ends = (energy[: -2 * k] + energy[2 * k :]) / 2
        shared = np.einsum("np,np->n", before, after) / detail.shape[1]
        unlike = (ends - shared) / np.maximum(ends, 1e-6)
        rest = middle - (before + after) / 2
        error = np.einsum("np,np->n", rest, rest) / detail.shape[1] / np.maximum(ends, 1e-6)
        dip = energy[k:-k] / np.maximum(ends, 1e-6)
        hit = (
            (unlike > _UNLIKE)
            & (error < _MEAN_ERROR)
            & (dip > _DETAIL_DIP[0])
            & (dip < _DETAIL_DIP[1])
            & (ends > _LEAST_DETAIL)
        )
        score = np.where(hit, error + dip + _LENGTH_COST * k, np.inf)
        better = score < best[k:-k]
        best[k:-k][better] = score[better]
        half[k:-k][better] = k
    found: list[tuple[float, Transition]] = []
    for first, last in _runs((best < np.inf).tolist()):
        middle = first + int(np.argmin(best[first : last + 1]))
        item = _with_edges(detail, middle, int(half[middle]))
        if item:
            found.append((float(best[middle]), item))
    return found


def _with_edges(detail: Floats, middle: int, half: int) -> Transition | None:
    """From the last frame that is all of the first shot to the first that is all of the second.

    Both shots may move meanwhile, which looks like more of the change at its ends. So the edges are where a
    line through a quarter and three quarters of the change leads. None where it comes in one jump: a cut.
    """
    start, end = max(0, middle - half - 2), min(len(detail) - 1, middle + half + 2)
    change = detail[end] - detail[start]
    share = (detail[start : end + 1] - detail[start]) @ change / max(float(change @ change), 1e-6)
    if float(np.diff(share).max()) > _JUMP_SHARE:
        return None
    first, last = _crossing(share, 0.25), _crossing(share, 0.75)
    reach = (last - first) / 2
    return Transition(max(start, round(start + first - reach)), min(end, round(start + last + reach)))


def _crossing(share: Floats, level: float) -> float:
    """Where the share of the change first stays above a level, between frames."""
    below = np.flatnonzero(share < level)
    index = int(below[-1])
    return index + float((level - share[index]) / max(share[index + 1] - share[index], 1e-6))
