"""How like a picture is to the nearest training frame, without a model.

Every picture is a thumbnail. A description of it (light, colour, directions of edges) finds candidates
among all training frames; they are laid over the picture as well as a small shift and zoom allow, the light
is fitted, and then what differs locally is counted, the worst quarter only: a copy agrees everywhere, another
moment of the same scene does not where something moved. benchmarks/measures.py measures how well that tells
training frames from fresh ones.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.sampling.frames import Frames, spread

Numbers = NDArray[Any]
"""float32."""

VERSION = 2
"""Of thumbnails and descriptions: an index of another version is made again."""

LONG_SIDE_PX = 96
_MOST_QUERIES = 8
_CANDIDATES = 8
_MOST_COMPARED = 24
"""Pairs of a sample's frame and a training frame: those with the nearest descriptions. One takes 6 ms."""

_SMOOTHING_PX = 0.8

_EVEN_LEVELS = 4.0
"""Pictures with less contrast than that show nothing to compare. Not measured."""

_LARGEST_SHIFT, _LARGEST_ZOOM, _LARGEST_SHEAR = 0.065, 0.1, 0.035
"""How far two pictures may be moved onto each other: shares of the width, of the size, and of a turn. More
would make any star a copy of any other star.
"""

_ZOOMS = (1.0, 1.07, 0.935)
_FIT = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)

_LIGHT_BINS, _LARGEST_LIGHT, _LARGEST_BEND = 10, 20.0, 6.0
_LARGEST_CHROMA = 1.25
_LOCAL_PX = 3.0
_WHOLE_SHARE = 0.15
_SMALL_DIFFERENCE = 4.0
_WORST = 0.25


class Nearest(NamedTuple):
    """likeness: 0 to 1. clip_id, time_s: where the nearest training frame is."""

    likeness: float
    clip_id: str
    time_s: float


class Shown(NamedTuple):
    """A training frame. picture: uint8 [H, W, 3], of any size, in the samples' shape."""

    clip_id: str
    time_s: float
    picture: Frames


@dataclass(frozen=True)
class TrainingIndex:
    """The training frames as samples are compared with them. N: frames; all thumbnails have one size.

    thumbnails: uint8 [N, h, w, 3]. descriptions: [N, D]. clip_ids, times_s: N each. of_clips: how like the
    frames of one clip are to those of all others, the highest of some; None with one clip. sharpness: of the
    clips at the samples' size, the median.
    mirrored: whether clips were trained mirrored as well.
    """

    thumbnails: Frames
    descriptions: Numbers
    clip_ids: tuple[str, ...]
    times_s: tuple[float, ...]
    of_clips: float | None = None
    sharpness: float | None = None
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.clip_ids)

    def nearest(self, frames: Frames, leave_out: str = "") -> Nearest | None:
        """The training frame that some frame of a sample is most like; None where nothing can be compared.

        frames: uint8 [F, H, W, 3]. leave_out: a clip that does not count.
        """
        counts = np.array([clip_id != leave_out for clip_id in self.clip_ids], dtype=bool)
        views = [view for at in spread(len(frames), _MOST_QUERIES) for view in self._views(frames[at])]
        return self.nearest_of(views, counts)

    def nearest_of(self, thumbnails: Sequence[Frames], counts: NDArray[np.bool_]) -> Nearest | None:
        """For thumbnails of this index's size. counts: which of the frames do, [N]."""
        pairs: list[tuple[float, int, int]] = []
        for query, thumbnail in enumerate(thumbnails):
            distances = ((self.descriptions - _description(thumbnail)) ** 2).sum(axis=1)
            near = np.argsort(np.where(counts, distances, np.inf))[:_CANDIDATES]
            pairs += [(float(distances[at]), query, int(at)) for at in near if counts[at]]
        return max(
            (self._compared(thumbnails[query], at) for _, query, at in sorted(pairs)[:_MOST_COMPARED]),
            default=None,
        )

    def _compared(self, thumbnail: Frames, at: int) -> Nearest:
        likeness = agreement(_lab(thumbnail), _lab(self.thumbnails[at]))
        return Nearest(likeness, self.clip_ids[at], self.times_s[at])

    def _views(self, frame: Frames) -> Iterator[Frames]:
        thumbnail = _thumbnail(frame, (self.thumbnails.shape[2], self.thumbnails.shape[1]))
        if _is_even(thumbnail):
            return
        yield thumbnail
        if self.mirrored:
            yield np.ascontiguousarray(thumbnail[:, ::-1])

    def with_sharpness(self, sharpness: float) -> TrainingIndex:
        return replace(self, sharpness=sharpness)

    def save(self, path: Path) -> None:
        """Raises NoSpace or NoPermission."""
        facts = {
            "version": VERSION,
            "clip_ids": self.clip_ids,
            "times_s": self.times_s,
            "of_clips": self.of_clips,
            "sharpness": self.sharpness,
            "mirrored": self.mirrored,
        }
        content = BytesIO()
        np.savez(
            content,
            thumbnails=self.thumbnails,
            descriptions=self.descriptions,
            facts=np.frombuffer(json.dumps(facts).encode("utf-8"), dtype=np.uint8),
        )
        write_bytes_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> TrainingIndex | None:
        """None for a file that is not there, damaged or of another version."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                facts = json.loads(stored["facts"].tobytes().decode("utf-8"))
                if facts["version"] != VERSION:
                    return None
                return cls(
                    stored["thumbnails"],
                    stored["descriptions"],
                    tuple(facts["clip_ids"]),
                    tuple(facts["times_s"]),
                    facts["of_clips"],
                    facts["sharpness"],
                    facts["mirrored"],
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def index_of(shown: Iterable[Shown], mirrored: bool = False) -> TrainingIndex | None:
    """The index of these frames; None without any. They are read one after the other; black and other even
    ones are left out, as every two of them are alike.
    """
    thumbnails: list[Frames] = []
    clip_ids: list[str] = []
    times: list[float] = []
    for clip_id, time_s, picture in shown:
        size = (thumbnails[0].shape[1], thumbnails[0].shape[0]) if thumbnails else thumbnail_size(picture)
        thumbnail = _thumbnail(picture, size)
        if _is_even(thumbnail):
            continue
        thumbnails.append(thumbnail)
        clip_ids.append(clip_id)
        times.append(round(time_s, 3))
    if not thumbnails:
        return None
    descriptions = np.stack([_description(thumbnail) for thumbnail in thumbnails])
    made = TrainingIndex(np.stack(thumbnails), descriptions, tuple(clip_ids), tuple(times), mirrored=mirrored)
    return replace(made, of_clips=_likeness_of_clips(made))


def thumbnail_size(picture: Frames) -> tuple[int, int]:
    """Width and height of the thumbnail."""
    scale = LONG_SIDE_PX / max(picture.shape[:2])
    return max(16, round(picture.shape[1] * scale)), max(16, round(picture.shape[0] * scale))


_CLIPS_COMPARED = 24


def _likeness_of_clips(index: TrainingIndex) -> float | None:
    """The highest likeness of the middle frames of some clips to any other clip."""
    places: dict[str, list[int]] = {}
    for place, clip_id in enumerate(index.clip_ids):
        places.setdefault(clip_id, []).append(place)
    if len(places) < 2:
        return None
    names = list(places)
    found: list[float] = []
    for name in (names[at] for at in spread(len(names), _CLIPS_COMPARED)):
        others = np.array([clip_id != name for clip_id in index.clip_ids], dtype=bool)
        near = index.nearest_of([index.thumbnails[places[name][len(places[name]) // 2]]], others)
        found += [near.likeness] if near is not None else []
    return max(found)


def agreement(picture: Numbers, other: Numbers) -> float:
    """How far a picture is the other one, 0 to 1: 1 minus the share of the local contrast that differs, over
    the worst quarter of the picture. Both: L*a*b* [h, w, 3] of one size.
    """
    laid_over, seen = _laid_over(picture, other)
    fitted = _in_its_light(laid_over, other, seen)
    difference = _local(((fitted - other) ** 2).sum(axis=2))
    contrast = np.maximum(_local_variance(fitted), _local_variance(other))
    whole = float(other.reshape(-1, 3).var(axis=0).sum())
    differs = difference / (difference + contrast + _WHOLE_SHARE * whole + _SMALL_DIFFERENCE)
    matters = contrast + 0.3 * _WHOLE_SHARE * whole + _SMALL_DIFFERENCE
    return 1.0 - _worst_part(differs[seen], matters[seen])


def _worst_part(differs: Numbers, matters: Numbers) -> float:
    """Weighted mean of what differs most, over a quarter of all weight."""
    order = np.argsort(-differs)
    weights = matters[order]
    count = int(np.searchsorted(np.cumsum(weights), _WORST * weights.sum())) + 1
    return float((differs[order][:count] * weights[:count]).sum() / weights[:count].sum())


def _laid_over(picture: Numbers, other: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """The picture moved onto the other, [h, w, 3], and where it has anything to show, [h, w]."""
    height, width = other.shape[:2]
    light, wanted = picture[..., 0], other[..., 0]
    matrix, likeness = _best_start(light, wanted)
    try:
        _, refined = cv2.findTransformECC(wanted, light, matrix.copy(), cv2.MOTION_AFFINE, _FIT, None, 3)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except cv2.error:  # it did not converge: two even pictures, or too far apart
        refined = matrix
    if _is_small(refined, width, height) and _correlation(_moved(light, refined), wanted) >= likeness - 0.01:
        matrix = refined
    whole = cv2.warpAffine(
        np.ones((height, width), np.float32),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return _moved(picture, matrix), whole > 0.99


def _best_start(light: Numbers, wanted: Numbers) -> tuple[Numbers, float]:
    """The best of a few zooms, each with and without the shift that the phases tell."""
    height, width = wanted.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_64F)
    found: list[tuple[float, int, Numbers]] = []
    for zoom in _ZOOMS:
        zoomed = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, zoom).astype(np.float32)
        seen = _moved(light, zoomed)
        shift, _ = cv2.phaseCorrelate(wanted.astype(np.float64), seen.astype(np.float64), window)
        for offset in ((0.0, 0.0), shift):
            if not max(map(abs, offset)) <= _LARGEST_SHIFT * width:  # even pictures give no number
                continue
            matrix = zoomed.copy()
            matrix[:, 2] += zoomed[:, :2] @ np.array(offset, dtype=np.float32)
            found.append((_correlation(_moved(light, matrix), wanted), -len(found), matrix))
    likeness, _, matrix = max(found, key=lambda item: item[:2])
    return matrix, likeness


def _is_small(matrix: Numbers, width: int, height: int) -> bool:
    """Whether this moves a picture by no more than a copy may be off."""
    centre = np.array([width / 2, height / 2])
    turn, moved = matrix[:, :2], matrix[:, :2] @ centre + matrix[:, 2] - centre
    return (
        float(np.abs(np.diag(turn) - 1).max()) < _LARGEST_ZOOM
        and float(max(abs(turn[0, 1]), abs(turn[1, 0]))) < _LARGEST_SHEAR
        and float(np.abs(moved).max()) < _LARGEST_SHIFT * width
    )


def _moved(picture: Numbers, matrix: Numbers) -> Numbers:
    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _correlation(one: Numbers, other: Numbers) -> float:
    a, b = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-3 else 0.0


def _in_its_light(picture: Numbers, other: Numbers, seen: NDArray[np.bool_]) -> Numbers:
    """The picture with brightness, contrast and strength of colour of the other, as far as a copy may differ
    in them.
    """
    fitted = picture.copy()
    for channel in (1, 2):
        mine, theirs = picture[..., channel][seen], other[..., channel][seen]
        gain = float(((mine * theirs).mean() + 4) / ((mine * mine).mean() + 4))
        fitted[..., channel] *= np.clip(gain, 1 / _LARGEST_CHROMA, _LARGEST_CHROMA)
    mine, theirs = picture[..., 0][seen], other[..., 0][seen]
    mean, wanted = float(mine.mean()), float(theirs.mean())
    gain = float(((mine - mean) * (theirs - wanted)).mean()) / (float(mine.var()) + 1e-3)
    shift = mean + float(np.clip(wanted - mean, -_LARGEST_LIGHT, _LARGEST_LIGHT))
    fitted[..., 0] = (picture[..., 0] - mean) * np.clip(gain, 0.65, 1.5) + shift
    fitted[..., 0] = _bent(fitted[..., 0], other[..., 0], seen)
    return fitted


def _bent(light: Numbers, other: Numbers, seen: NDArray[np.bool_]) -> Numbers:
    """The light with a rising curve of the other: highlights and shadows that were cut off."""
    mine, theirs = light[seen], other[seen]
    rising = np.argsort(mine, kind="stable")[: len(mine) // _LIGHT_BINS * _LIGHT_BINS]
    mine, theirs = mine[rising].reshape(_LIGHT_BINS, -1), theirs[rising].reshape(_LIGHT_BINS, -1)
    offsets = np.clip(np.median(theirs - mine, axis=1), -_LARGEST_BEND, _LARGEST_BEND)
    centres: list[float] = []
    values: list[float] = []
    for centre, offset in zip(mine.mean(axis=1).tolist(), offsets.tolist(), strict=True):
        if not centres or centre > centres[-1] + 1e-3:
            centres.append(centre)
            values.append(max(centre + offset, values[-1]) if values else centre + offset)
    if len(centres) < 2:
        return light
    bends = np.array(values) - np.array(centres)
    return (light + np.interp(light, centres, bends)).astype(np.float32)


def _local(values: Numbers) -> Numbers:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _LOCAL_PX))


def _local_variance(picture: Numbers) -> Numbers:
    """Of all three channels together, [h, w]."""
    mean = _local(picture)
    return np.maximum(_local(picture * picture) - mean * mean, 0).sum(axis=2)


def _thumbnail(picture: Frames, size: tuple[int, int]) -> Frames:
    method = cv2.INTER_AREA if picture.shape[1] > size[0] else cv2.INTER_CUBIC
    small = cv2.resize(picture, size, interpolation=method)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _SMOOTHING_PX), dtype=np.uint8)


def _is_even(thumbnail: Frames) -> bool:
    return bool(thumbnail.reshape(-1, 3).std(axis=0).max() < _EVEN_LEVELS)


def _lab(thumbnail: Frames) -> Numbers:
    return np.asarray(cv2.cvtColor(thumbnail.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


_GRID = 12
_COLOUR_GRID = 6
_EDGE_GRID, _DIRECTIONS = 4, 8


def _description(thumbnail: Frames) -> Numbers:
    """What finds candidates: light on a grid of 12 x 12 without its mean and contrast, colour on 6 x 6, and
    the directions of edges on 4 x 4, [344].
    """
    picture = _lab(thumbnail)
    light = cv2.resize(_local(picture)[..., 0], (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    light = (light - light.mean()) / (light.std() + 4) / _GRID
    colour = cv2.resize(picture, (_COLOUR_GRID, _COLOUR_GRID), interpolation=cv2.INTER_AREA)[..., 1:]
    edges = _edge_directions(picture[..., 0])
    edges = edges / (np.linalg.norm(edges) + 20)
    return np.concatenate([light.ravel(), colour.ravel() / 240, edges.ravel()]).astype(np.float32)


def _edge_directions(light: Numbers) -> Numbers:
    """Strength of edges by cell and direction, [4, 4, 8]; a direction and its opposite are one."""
    across, down = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    strength, angle = cv2.cartToPolar(across, down)
    direction = (angle % np.pi / np.pi * _DIRECTIONS).astype(np.intp) % _DIRECTIONS
    rows = np.arange(light.shape[0]) * _EDGE_GRID // light.shape[0]
    columns = np.arange(light.shape[1]) * _EDGE_GRID // light.shape[1]
    cell = rows[:, None] * _EDGE_GRID + columns[None]
    found = np.bincount(
        (cell * _DIRECTIONS + direction).ravel(), strength.ravel(), _EDGE_GRID**2 * _DIRECTIONS
    )
    return found.astype(np.float32)
