"""Buckets: the sizes (width x height x frames) at which clips are trained, and which clip goes into which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ltx_wizard.core.bucket_size import bucket_text, parse_bucket
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.recipe_groups import LARGEST_SIDE_PX, MOST_FRAMES
from ltx_wizard.media.timing import frames_at
from ltx_wizard.models.spec import ModelSpec

Bucket = tuple[int, int, int]
"""Width, height, frames."""

_ASPECTS = (1 / 1, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9, 9 / 16, 21 / 9, 9 / 21)
"""What cameras, phones and cinemas use."""

_FPS_TOLERANCE = 0.01
_LARGEST_AREA_SHARE = 1.12
"""A proposed bucket may have this much more area than the default one: memory stays about the same."""


@dataclass(frozen=True)
class BucketBox:
    """A bucket and the clips in it."""

    bucket: str
    width: int
    height: int
    frames: int
    clip_ids: tuple[str, ...]

    @property
    def clips(self) -> int:
        return len(self.clip_ids)


@dataclass(frozen=True)
class BucketPlan:
    """assignment: clip id -> bucket. unfit: clip id -> why not. invalid: wanted bucket -> what is wrong."""

    assignment: dict[str, str] = field(default_factory=dict[str, str])
    unfit: dict[str, str] = field(default_factory=dict[str, str])
    invalid: dict[str, str] = field(default_factory=dict[str, str])
    boxes: tuple[BucketBox, ...] = ()


def plan_buckets(clips: Sequence[Clip], spec: ModelSpec, wanted: Sequence[str] = ()) -> BucketPlan:
    """Give every clip a bucket: nearest shape, then most frames, then largest area (the official rule).

    wanted empty: sizes with the area of the model's default bucket, in the shapes that the clips have, and
    for each clip the most frames that it fills, up to the default. An image takes one frame.
    """
    invalid: dict[str, str] = {}
    buckets: list[Bucket] = []
    for text in wanted:
        try:
            buckets.append(valid_bucket(text, spec))
        except BadSetting as error:
            invalid[text] = f"{error.problem} {error.remedy}"
    assignment: dict[str, str] = {}
    unfit: dict[str, str] = {}
    for clip in clips:
        candidates = _with_images(buckets) if wanted else proposed_buckets(clip, spec)
        chosen = _choose(clip, candidates, spec)
        if chosen is None:
            unfit[clip.id] = _why_unfit(clip, candidates, spec)
        else:
            assignment[clip.id] = bucket_text(*chosen)
    return BucketPlan(assignment, unfit, invalid, _boxes(assignment))


def valid_bucket(bucket: str, spec: ModelSpec) -> Bucket:
    """Parse a bucket and check it against the model's grid and the largest size. Raises BadSetting with the
    nearest valid one.
    """
    try:
        width, height, frames = parse_bucket(bucket)
    except ValueError as error:
        raise BadSetting(problem=f"{error}.", remedy=f"Write it as {spec.default_bucket}.") from error
    nearest = bucket_text(
        spec.size_grid.nearest(min(width, spec.size_grid.round_down(LARGEST_SIDE_PX))),
        spec.size_grid.nearest(min(height, spec.size_grid.round_down(LARGEST_SIDE_PX))),
        spec.frame_grid.nearest(min(frames, spec.frame_grid.round_down(MOST_FRAMES))),
    )
    if bucket_text(width, height, frames) == nearest:
        return width, height, frames
    if max(width, height) > LARGEST_SIDE_PX or frames > MOST_FRAMES:
        raise BadSetting(
            problem=f"{bucket} is larger than any video that is trained: {LARGEST_SIDE_PX} pixels and "
            f"{MOST_FRAMES} frames are the most.",
            remedy=f"Use {nearest} or less.",
        )
    raise BadSetting(
        problem=f"{bucket} does not fit {spec.title}: width and height must be {grid_words(spec)}.",
        remedy=f"Use {nearest}.",
    )


def grid_words(spec: ModelSpec) -> str:
    """'multiples of 32, and frames 8n + 1'."""
    size, frames = spec.size_grid, spec.frame_grid
    sizes = f"multiples of {size.step}" if size.first == size.step else f"{size.step}n + {size.first}"
    return f"{sizes}, and frames {frames.step}n + {frames.first}"


def proposed_buckets(clip: Clip, spec: ModelSpec) -> list[Bucket]:
    """Buckets for one clip in every usual shape, with the most frames that it fills; empty if too short."""
    frames = _frames_filled(clip, spec)
    return [(width, height, frames) for width, height in _proposed_sizes(spec)] if frames else []


def available_frames(clip: Clip, spec: ModelSpec) -> int:
    """Frames of a clip at the model's frame rate; 1 for an image."""
    return 1 if clip.kind is MediaKind.IMAGE else frames_at(clip.duration_s, spec.fps)


def needs_conforming(clip: Clip, bucket: str, spec: ModelSpec) -> bool:
    """Whether a clip is not yet at exactly its bucket's size, length and frame rate."""
    if clip.conformed_file and clip.bucket == bucket:
        return False
    width, height, frames = parse_bucket(bucket)
    if (clip.width, clip.height, clip.frames) != (width, height, frames):
        return True
    return clip.kind is MediaKind.VIDEO and abs(clip.fps - spec.fps) > _FPS_TOLERANCE


def used_s(clip: Clip, bucket: str, spec: ModelSpec) -> float:
    """How much of a clip training sees, in seconds."""
    return min(parse_bucket(bucket)[2] / spec.fps, clip.duration_s)


def _frames_filled(clip: Clip, spec: ModelSpec) -> int:
    if clip.kind is MediaKind.IMAGE:
        return 1
    available = available_frames(clip, spec)
    if available < _shortest_video(spec):
        return 0
    default_frames = parse_bucket(spec.default_bucket)[2]
    return min(spec.frame_grid.round_down(available), max(default_frames, _shortest_video(spec)))


def _shortest_video(spec: ModelSpec) -> int:
    """One frame is an image; the next number on the grid is the shortest video."""
    return spec.frame_grid.first + spec.frame_grid.step


def _proposed_sizes(spec: ModelSpec) -> list[tuple[int, int]]:
    width, height, _ = parse_bucket(spec.default_bucket)
    sizes = [(width, height), (height, width)]
    limit = min(width * height * _LARGEST_AREA_SHARE, spec.max_area_px)
    sizes += [_size_with_aspect(aspect, width * height, limit, spec) for aspect in _ASPECTS]
    return list(dict.fromkeys(sizes))


def _size_with_aspect(aspect: float, area: int, limit: float, spec: ModelSpec) -> tuple[int, int]:
    grid = spec.size_grid
    ideal_width = math.sqrt(area * aspect)
    options = [
        (width, height)
        for width in _neighbours(ideal_width, grid.first, grid.step)
        for height in _neighbours(ideal_width / aspect, grid.first, grid.step)
        if width * height <= limit
    ]
    return min(
        options or [(grid.round_down(int(ideal_width)), grid.round_down(int(ideal_width / aspect)))],
        key=lambda size: (
            _distance(size[0] / size[1], aspect) + 0.5 * _distance(size[0] * size[1], area),
            size,
        ),
    )


def _neighbours(ideal: float, first: int, step: int) -> list[int]:
    below = first + max(0, math.floor((ideal - first) / step)) * step
    return [below, below + step]


def _choose(clip: Clip, candidates: Iterable[Bucket], spec: ModelSpec) -> Bucket | None:
    available = available_frames(clip, spec)
    is_image = clip.kind is MediaKind.IMAGE
    fitting = [item for item in candidates if item[2] <= available and (item[2] == 1) == is_image]
    return min(fitting, key=lambda item: _order(clip, item), default=None)


def _order(clip: Clip, bucket: Bucket) -> tuple[float, int, int]:
    width, height, frames = bucket
    shape = round(_distance(width / height, clip.width / max(clip.height, 1)), 4)
    return shape, -frames, -width * height


def _distance(one: float, other: float) -> float:
    return abs(math.log(one / other))


def _with_images(buckets: Sequence[Bucket]) -> list[Bucket]:
    """Images go along at the same sizes with one frame, unless a bucket of one frame is named."""
    if any(frames == 1 for _, _, frames in buckets):
        return list(buckets)
    return [*buckets, *dict.fromkeys((width, height, 1) for width, height, _ in buckets)]


def _why_unfit(clip: Clip, candidates: Sequence[Bucket], spec: ModelSpec) -> str:
    if clip.kind is MediaKind.IMAGE:
        return "No bucket takes an image."
    shortest = min((frames for _, _, frames in candidates if frames > 1), default=_shortest_video(spec))
    return (
        f"It gives {available_frames(clip, spec)} frames at {spec.fps:g} fps; "
        f"the shortest bucket has {shortest}."
    )


def _boxes(assignment: dict[str, str]) -> tuple[BucketBox, ...]:
    members: dict[str, list[str]] = {}
    for clip_id, bucket in assignment.items():
        members.setdefault(bucket, []).append(clip_id)
    boxes = [BucketBox(bucket, *parse_bucket(bucket), tuple(ids)) for bucket, ids in members.items()]
    return tuple(sorted(boxes, key=lambda box: (-box.clips, box.bucket)))
