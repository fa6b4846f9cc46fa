"""Clips that show the same as another, or nearly."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltx_wizard.core.clip import Clip
from ltx_wizard.dataset.dataset import read_scenes
from ltx_wizard.dataset.finding import Dataset
from ltx_wizard.dataset.quality import ClipQuality, tiny_pictures

SAME_BITS = 24
"""Of 192: the same clip encoded again was at most 21 apart, other clips at least 33. Measured."""

_SAME_LEVELS = 24
"""The same moment in the same clip differs less than this anywhere in a picture of 20 x 12."""

_FEW_SECONDS = 2.0
"""Between two clips of one shot. A guess: a picture changes little in that time."""

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


def related(dataset: Dataset) -> list[set[str]]:
    """Ids of clips that tell of one another, by groups: they look alike, or come from the same few seconds.

    A validation loss on one of them says nothing while another is trained. Reads no video.
    """
    pairs = [(double.kept.id, double.other.id) for double in find_doubles(dataset)]
    group_of: dict[str, set[str]] = {}
    for one, other in [*pairs, *_same_seconds(dataset)]:
        joined = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in group_of.values()}.values())


def _same_seconds(dataset: Dataset) -> list[tuple[str, str]]:
    """Clips of one source that overlap, or follow one another in one scene: there is no cut between."""
    scenes = read_scenes(dataset.project) if dataset.project is not None else {}
    starts = {name: [scene.start_frame for scene in found.scenes] for name, found in scenes.items()}
    by_source: dict[str, list[Clip]] = {}
    for clip in sorted(dataset.clips, key=lambda clip: clip.start_frame):
        if clip.end_frame - clip.start_frame > 1:  # an image is no stretch of its source
            by_source.setdefault(clip.source_id, []).append(clip)
    pairs: list[tuple[str, str]] = []
    for source_id, stretches in by_source.items():
        last = stretches[0]
        for clip in stretches[1:]:
            edges = starts.get(source_id, [])
            same_scene = bool(edges) and bisect(edges, last.start_frame) == bisect(edges, clip.start_frame)
            apart_s = clip.start_s - last.start_s - last.duration_s
            if clip.start_frame < last.end_frame or (same_scene and apart_s <= _FEW_SECONDS):
                pairs.append((last.id, clip.id))
            last = max(last, clip, key=lambda clip: clip.end_frame)
    return pairs


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
