"""Clips that show the same as another, or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltx_wizard.core.clip import Clip
from ltx_wizard.dataset.finding import Dataset
from ltx_wizard.dataset.quality import ClipQuality, tiny_pictures

SAME_BITS = 24
"""Of 192: the same clip encoded again was at most 21 apart, other clips at least 33. Measured."""

_SAME_LEVELS = 24
"""The same moment in the same clip differs less than this anywhere in a picture of 20 x 12."""

_DARK = 16 / 255
_PLAIN_LEVELS = 4.0
_ROWS_AT_ONCE = 256
"""Every clip is compared with every other; so many at once, so that thousands need little memory."""


@dataclass(frozen=True)
class Double:
    """Two clips that show the same. kept: the larger."""

    kept: Clip
    other: Clip


def find_doubles(dataset: Dataset) -> list[Double]:
    """Each clip that looks like a larger one; the largest of its group is the one that is kept."""
    clips = _with_detail(dataset)
    if len(clips) < 2:
        return []
    bits = _bits([dataset.measured[clip.id] for clip in clips])
    ones = bits.sum(axis=1)
    doubles: list[Double] = []
    gone = np.zeros(len(clips), bool)
    for start in range(0, len(clips), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        apart = ones[rows, None] + ones - 2 * (bits[rows] @ bits.T)
        for index, row in enumerate(apart <= SAME_BITS, start=start):
            if gone[index]:
                continue
            for other in np.flatnonzero(row & ~gone):
                if other > index and clips[other].kind is clips[index].kind:
                    gone[other] = True
                    doubles.append(Double(clips[index], clips[other]))
    return doubles


@dataclass(frozen=True)
class Group:
    """Clips that look like one of them: kept, the largest. same: those that show the very same; near: those
    that show the same place at another moment.
    """

    kept: Clip
    same: tuple[Clip, ...]
    near: tuple[Clip, ...]

    @property
    def clips(self) -> tuple[Clip, ...]:
        return (self.kept, *self.same, *self.near)


def groups_of(dataset: Dataset) -> list[Group]:
    """All doubles by the clip that is kept, the largest group first."""
    by_kept: dict[str, list[Double]] = {}
    for double in find_doubles(dataset):
        by_kept.setdefault(double.kept.id, []).append(double)
    groups = [
        Group(
            doubles[0].kept,
            tuple(double.other for double in doubles if is_same(dataset, double)),
            tuple(double.other for double in doubles if not is_same(dataset, double)),
        )
        for doubles in by_kept.values()
    ]
    return sorted(groups, key=lambda group: len(group.clips), reverse=True)


def is_same(dataset: Dataset, double: Double) -> bool:
    """Not only the same place: every moment is the same one."""
    one, other = (tiny_pictures(dataset.measured[clip.id]) for clip in (double.kept, double.other))
    shift = (one - other).mean(axis=(1, 2), keepdims=True)  # a little brighter or darker is still the same
    return float(np.abs(one - other - shift).max()) < _SAME_LEVELS


def _with_detail(dataset: Dataset) -> list[Clip]:
    """The clips that can be compared, the largest first: a dark or plain picture looks like every other."""
    clips = [
        clip
        for clip in dataset.seen
        if dataset.measured[clip.id].brightness > _DARK and dataset.measured[clip.id].tiny
    ]
    if not clips:
        return []
    spread = np.stack([tiny_pictures(dataset.measured[clip.id]).ravel() for clip in clips]).std(axis=1)
    detailed = [clip for clip, levels in zip(clips, spread, strict=True) if levels > _PLAIN_LEVELS]
    return sorted(detailed, key=_rank, reverse=True)


def _bits(rows: Sequence[ClipQuality]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The hashes as [clips, 192], 0 or 1."""
    packed = b"".join(bytes.fromhex("".join(row.hashes)) for row in rows)
    return np.unpackbits(np.frombuffer(packed, np.uint8).reshape(len(rows), -1), axis=1).astype(np.float32)


def _rank(clip: Clip) -> tuple[int, int, bool]:
    return clip.width * clip.height, clip.frames, bool(clip.caption.strip())
