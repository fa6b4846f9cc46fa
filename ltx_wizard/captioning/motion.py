"""What moves in a clip, measured without a model: camera, subject, light, cuts. Good for a draft caption.

Method: corners spread over a grid are followed from frame to frame (Lucas-Kanade, checked backwards), a
similarity transform fitted to them by RANSAC is the camera, and what moves otherwise is the subject. The
camera is only believed where the points that agree lie all around the picture.
Limits: a dolly cannot be told from a zoom; before a plain ground nothing shows what the camera does, so that
it counts as static and `camera_sure` is False. How often it is right: benchmarks/camera_motion.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.core.units import plural
from ltx_wizard.media.video import Frame, TimedFrame, decode, is_image, measured_height, read_image, to_rgb

Picture = np.ndarray[Any, Any]
"""Grey or colour picture, or a field of flow vectors."""

_LONG_SIDE_PX = 320
_STEPS_PER_S = 8.0
_LONGEST_STEP_S = 0.25
"""Where reading in a hurry leaves longer steps than this on average, all frames are read."""

_GRID_ROWS, _GRID_COLUMNS, _CORNERS_PER_CELL = 4, 6, 6
_WINDOW_PX = (17, 17)
_LEVELS = 3
_ENOUGH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03)
_MIN_POINTS = 12
_BORDER_SHARE = 0.15

# Shares of the width or height; chosen before the first measurement, not tuned on it.
_PAN_PER_S, _PAN_TRAVEL = 0.02, 0.035
_ZOOM_PER_S, _ZOOM_TRAVEL = 0.015, 0.04
_ROLL_DEGREES_PER_S, _ROLL_TRAVEL_DEGREES = 1.5, 4.0
_CONSISTENCY = 0.6
_HANDHELD_JITTER = 0.0035
_SURE_BORDER_INLIERS = 0.4
_SECOND_TRY_SHARE = 0.25
_KNOWN_BORDER_INLIERS, _KNOWN_TIME_SHARE = 0.25, 0.3
"""A step counts for the camera where this share of the border agrees; this much of the clip must count."""

_STILL_BORDER_SHARE = 0.15
"""Share of the border that changes: below, and with too few points to tell, the camera counts as still."""

_STAYED_PX = 0.5
_SAME_BORDER_SHARE = 0.02
"""Below, the camera stands still whatever moves inside: a globe that turns before a black sky."""

_CHANGED_LEVELS = 6
_MIN_CELLS = 8
"""Of 24: fewer cells with points that agree are one object, not the background."""

_FIRM = 1e-4
"""Smaller eigenvalue of a point that a picture has for sure (OpenCV's scale). On six glowing shapes before
plain grounds, such points lie in at most 3 of the 16 cells at the border, for the glow has weaker ones; on
the benchmark's tuning part in 8 to 16.
"""

_FIRM_BORDER_CELLS, _WEAK_BORDER_CELLS = 6, 14
"""Of 16, with points that agree: so many firm ones, on opposite sides, or so many of any strength."""

_MOVING_TIME_SHARE = 0.15
"""A move fills at least so much of a clip: a ring that grows into the border does so for a moment."""

_SEEN_TIME_SHARE = 0.5
"""For so much of a clip the background must be seen before the camera is sure."""

_SLOW_PER_S, _FAST_PER_S = 0.05, 0.2
_CUT_HISTOGRAM_DISTANCE = 0.4
"""The five true cuts of a test video (bikes.mp4) lie at 0.45 to 0.85; between them it stays below 0.3."""
_CUT_TRACKED_SHARE = 0.3
_SUBJECT_PX = 0.8
_EVERY_PX = 2
"""The subject is measured in every second row and column: as good, and four times as fast."""

_SUBJECT_SHARE = 0.002
_LETTERBOX_LEVEL = 24
_LIGHT_CHANGE = 0.12


@dataclass(frozen=True)
class MotionFacts:
    """What moves, and in what light. All text is ready for a caption.

    camera: e.g. ('pans left', 'zooms in'), ('static',) or empty. subject_share: mean share of the picture
    that moves by itself. subject_speed: shares of the width per second. cuts_s: cuts left inside the clip.
    bars: share of the height that is black above and below. sharpness: variance of the Laplacian, to rank
    within a dataset.
    """

    kind: MediaKind
    duration_s: float
    camera: tuple[str, ...] = ()
    camera_speed: str = ""
    camera_sure: bool = False
    subject_share: float = 0.0
    subject_direction: str = ""
    subject_place: str = ""
    subject_speed: float = 0.0
    subject_trend: str = ""
    light: tuple[str, ...] = ()
    light_change: str = ""
    cuts_s: tuple[float, ...] = ()
    bars: float = 0.0
    sharpness: float = 0.0

    @property
    def subject_moves(self) -> bool:
        return self.subject_share >= _SUBJECT_SHARE


@dataclass(frozen=True)
class _Step:
    """From one sampled frame to the next: how the picture's content moves, in shares of its size.

    seen: whether a background shows it, all around the picture.
    """

    time_s: float = 0.0
    seconds: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    zoom: float = 0.0
    roll_degrees: float = 0.0
    border_inliers: float = 0.0
    border_change: float = 0.0
    tracked: float = 0.0
    points: int = 0
    seen: bool = False
    histogram_distance: float = 0.0
    subject_share: float = 0.0
    subject_dx: float = 0.0
    subject_dy: float = 0.0
    subject_x: float = 0.5
    subject_y: float = 0.5

    @property
    def is_cut(self) -> bool:
        lost = self.points < _MIN_POINTS or self.tracked < _CUT_TRACKED_SHARE
        return lost and self.histogram_distance > _CUT_HISTOGRAM_DISTANCE


def measure_motion(path: Path) -> MotionFacts:
    """Measure one clip; a clip of five seconds in 720p takes about 0.35 s. Raises BadMediaFile."""
    if is_image(path):
        picture = _shrink(read_image(path))
        return MotionFacts(
            kind=MediaKind.IMAGE,
            duration_s=0.0,
            light=_light_words([picture]),
            bars=_bars([picture]),
            sharpness=_sharpness([picture]),
        )
    pictures, times = _sampled(path)
    steps = _steps(pictures, times)
    moving = [step for step in steps if not step.is_cut]
    light_change = _light_change(pictures) if len(moving) == len(steps) else ""
    camera, speed, sure = _camera(moving)
    facts = MotionFacts(
        kind=MediaKind.VIDEO,
        duration_s=times[-1] + (times[-1] / max(len(times) - 1, 1)),
        camera=camera,
        camera_speed=speed,
        camera_sure=sure,
        light=_light_words(pictures),
        light_change=light_change,
        cuts_s=tuple(round(step.time_s - step.seconds / 2, 2) for step in steps if step.is_cut),
        bars=_bars(pictures),
        sharpness=_sharpness(pictures),
    )
    return facts if light_change else _with_subject(facts, moving)


def draft_caption(facts: MotionFacts) -> str:
    """A caption with [subject] and [setting] left to fill in: action, place, camera, light, changes."""
    sentences = [_subject_sentence(facts), _camera_sentence(facts), _light_sentence(facts)]
    if facts.cuts_s:
        sentences.append("The view cuts to [subject] from another angle.")
    return " ".join(sentence for sentence in sentences if sentence)


def facts_sentence(facts: MotionFacts) -> str:
    """What a vision model may rely on, in one line; uncertain items are left out."""
    items: list[str] = []
    if facts.camera and facts.camera_sure:
        items.append(f"camera {', '.join(facts.camera)}")
    if facts.subject_moves and facts.subject_direction:
        items.append(f"something moves {facts.subject_direction}")
    if facts.light_change:
        items.append(f"the picture {facts.light_change}")
    if facts.kind is MediaKind.VIDEO:
        items.append(f"{plural(len(facts.cuts_s), 'cut')} inside" if facts.cuts_s else "no cuts")
        items.append(f"{facts.duration_s:.1f} s long")
    return f"Measured: {', '.join(items)}." if items else ""


def _subject_sentence(facts: MotionFacts) -> str:
    if facts.kind is MediaKind.IMAGE or facts.light_change:
        return "[subject] in [setting]."
    if not facts.subject_moves:
        return "[subject] stays almost still in [setting]."
    how = {"slow": " slowly", "fast": " quickly"}.get(_speed_word(facts.subject_speed), "")
    where = f" {facts.subject_direction}" if facts.subject_direction else ""
    place = f" in the {facts.subject_place} of the frame" if facts.subject_place and not where else ""
    trend = {"grows": ", getting faster", "fades": ", then slows down"}.get(facts.subject_trend, "")
    return f"[subject] moves{how}{where}{place} in [setting]{trend}."


def _camera_sentence(facts: MotionFacts) -> str:
    if facts.camera == ("static",):  # before a plain ground, too: somebody reads the draft
        return "The camera is static."
    if not facts.camera or not facts.camera_sure:
        return ""
    moves = [move for move in facts.camera if move != "handheld"]
    if not moves:
        return "The handheld camera shakes slightly."
    subject = "The handheld camera" if "handheld" in facts.camera else "The camera"
    speed = f"{facts.camera_speed} " if facts.camera_speed else ""
    return f"{subject} {speed}{_joined(moves)}."


def _light_sentence(facts: MotionFacts) -> str:
    if not facts.light:
        return f"The picture {facts.light_change}." if facts.light_change else ""
    change = f", and the picture {facts.light_change}" if facts.light_change else ""
    if "black and white" in facts.light:
        others = [word for word in facts.light if word != "black and white"]
        also = f", the light {_joined(others)}" if others else ""
        return f"The picture is black and white{also}{change}."
    return f"The light is {_joined(facts.light)}{change}."


def _joined(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _sampled(path: Path) -> tuple[list[Frame], list[float]]:
    """Small frames, up to _STEPS_PER_S a second, and their times."""
    pictures, times = _sampled_from(decode(path, hurry=True))
    if len(pictures) < 2 or times[-1] / (len(times) - 1) > _LONGEST_STEP_S:
        pictures, times = _sampled_from(decode(path))
    if len(pictures) < 2:
        raise BadMediaFile(
            problem=f"{path.name} is too short to measure motion in.", remedy="Write its caption by hand."
        )
    return pictures, times


def _sampled_from(frames: Iterable[TimedFrame]) -> tuple[list[Frame], list[float]]:
    pictures: list[Frame] = []
    times: list[float] = []
    height_px = 0
    for frame in frames:
        if not height_px:
            height_px = measured_height(frame, _LONG_SIDE_PX)
        if times and frame.time_s - times[-1] < 0.9 / _STEPS_PER_S:
            continue
        pictures.append(to_rgb(frame, height_px))
        times.append(frame.time_s)
    return pictures, times


def _shrink(picture: Frame) -> Frame:
    scale = _LONG_SIDE_PX / max(picture.shape[:2])
    size = (max(16, round(picture.shape[1] * scale)), max(16, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _steps(pictures: Sequence[Frame], times: Sequence[float]) -> list[_Step]:
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    histograms = [_histogram(picture) for picture in pictures]
    subject = _Subject(*greys[0].shape)
    steps: list[_Step] = []
    for index in range(1, len(pictures)):
        distance = cv2.compareHist(histograms[index - 1], histograms[index], cv2.HISTCMP_BHATTACHARYYA)
        step = _step(greys[index - 1], greys[index], float(distance), subject)
        steps.append(replace(step, time_s=times[index], seconds=times[index] - times[index - 1]))
    return steps


def _step(before: Picture, after: Picture, distance: float, subject: _Subject) -> _Step:
    """One step, without its time."""
    height, width = before.shape
    points = _corners(before)
    start, end = _followed(before, after, points)
    tracked = len(start) / len(points) if len(points) else 0.0
    change = _border_change(before, after)
    still = change < _STILL_BORDER_SHARE
    matrix, border_inliers, agree = _camera_matrix(start, end, width, height)
    seen = matrix is not None and _all_around(start[agree], before)
    plain = not seen and not _all_around(points.reshape(-1, 2), before)
    if matrix is None or change < _SAME_BORDER_SHARE or plain or (still and not seen):
        matrix, border_inliers = np.array([[1.0, 0, 0], [0, 1.0, 0]]), 1.0 if still or plain else 0.0
        seen = still and _all_around(start[_stayed(start, end)], before)
    centre = np.array([width / 2, height / 2, 1.0])
    moved = matrix @ centre - centre[:2]
    share, subject_dx, subject_dy, x, y = subject.measure(before, after, matrix)
    return _Step(
        dx=moved[0] / width,
        dy=moved[1] / width,
        zoom=math.log(max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-3)),
        roll_degrees=math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])),
        border_inliers=border_inliers,
        border_change=change,
        tracked=tracked,
        points=len(points),
        seen=seen,
        histogram_distance=distance,
        subject_share=share,
        subject_dx=subject_dx / width,
        subject_dy=subject_dy / width,
        subject_x=x,
        subject_y=y,
    )


def _corners(grey: Picture) -> Picture:
    """Corners in every cell of a grid, so that one textured subject cannot outvote the background. [N, 1,
    2].
    """
    height, width = grey.shape
    found: list[Picture] = []
    for row in range(_GRID_ROWS):
        for column in range(_GRID_COLUMNS):
            top, bottom = row * height // _GRID_ROWS, (row + 1) * height // _GRID_ROWS
            left, right = column * width // _GRID_COLUMNS, (column + 1) * width // _GRID_COLUMNS
            cell = grey[top:bottom, left:right]
            if cv2.meanStdDev(cell)[1].item() < 1.5:
                continue
            corners = cv2.goodFeaturesToTrack(cell, _CORNERS_PER_CELL, 0.02, 5)
            if corners is not None:
                found.append(corners.reshape(-1, 1, 2) + np.array([left, top], dtype=np.float32))
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, 1, 2), np.float32)


def _followed(before: Picture, after: Picture, points: Picture) -> tuple[Picture, Picture]:
    """The points that are found again, also when followed backwards. [N, 2] each."""
    if len(points) == 0:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    end, forward = _flow(before, after, points)
    back, backward = _flow(after, before, end)
    error = np.linalg.norm((back - points).reshape(-1, 2), axis=1)
    good = (forward.ravel() == 1) & (backward.ravel() == 1) & (error < 1.0)
    return points.reshape(-1, 2)[good], end.reshape(-1, 2)[good]


def _flow(before: Picture, after: Picture, points: Picture) -> tuple[Picture, Picture]:
    """Where the points are in the later picture [N, 1, 2], and 1 where they were found."""
    end, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.zeros_like(points), winSize=_WINDOW_PX, maxLevel=_LEVELS, criteria=_ENOUGH
    )
    return end, found


def _camera_matrix(
    start: Picture, end: Picture, width: int, height: int
) -> tuple[Picture | None, float, Picture]:
    """The similarity transform of the background, the share of points near the border that agree with it,
    and which points do.

    Two are tried, the second on what does not follow the first, because a large subject has the most
    points. The background is the one that more of the border follows.
    """
    edge_x, edge_y = _BORDER_SHARE * width, _BORDER_SHARE * height
    x, y = start[:, 0], start[:, 1]
    near = (x < edge_x) | (x > width - edge_x) | (y < edge_y) | (y > height - edge_y)
    best: Picture | None = None
    best_share, best_agree = 0.0, np.zeros(0, int)
    left = np.arange(len(start))
    while len(left) >= _MIN_POINTS and near.sum() >= 4:
        matrix, inliers = cv2.estimateAffinePartial2D(
            start[left], end[left], method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=500
        )
        if matrix is None or len(left) < len(start) * _SECOND_TRY_SHARE:
            break
        agree = left[inliers.ravel() > 0]
        share = float(near[agree].sum() / near.sum())
        if share > best_share and len(_cells(start[agree], width, height)) >= _MIN_CELLS:
            best, best_share, best_agree = matrix, share, agree
        if len(left) < len(start):
            break
        left = left[inliers.ravel() == 0]
    return best, best_share, best_agree


def _all_around(points: Picture, grey: Picture) -> bool:
    """Whether points that move alike can be the background's: a shape's own lie together, with its glow."""
    height, width = grey.shape
    cells = _at_border(_cells(points, width, height))
    if len(cells) < _FIRM_BORDER_CELLS or len(cells) >= _WEAK_BORDER_CELLS:
        return len(cells) >= _WEAK_BORDER_CELLS
    strength = cv2.cornerMinEigenVal(grey, 3)
    is_firm = strength[points[:, 1].astype(int), points[:, 0].astype(int)] > _FIRM
    firm = _at_border(_cells(points[is_firm], width, height))
    rows, columns = {row for row, _ in firm}, {column for _, column in firm}
    crosses = {0, _GRID_ROWS - 1} <= rows or {0, _GRID_COLUMNS - 1} <= columns
    return len(firm) >= _FIRM_BORDER_CELLS and crosses


def _stayed(start: Picture, end: Picture) -> Picture:
    """Which points are where they were."""
    return np.linalg.norm(end - start, axis=1) < _STAYED_PX


def _cells(points: Picture, width: int, height: int) -> set[tuple[int, int]]:
    """The cells of the grid in which these points lie, as (row, column)."""
    rows = (points[:, 1] * _GRID_ROWS / height).astype(int)
    columns = (points[:, 0] * _GRID_COLUMNS / width).astype(int)
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


def _at_border(cells: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {
        (row, column)
        for row, column in cells
        if row in (0, _GRID_ROWS - 1) or column in (0, _GRID_COLUMNS - 1)
    }


def _border_change(before: Picture, after: Picture) -> float:
    """Share of the border that is not as it was."""
    height, width = before.shape
    rows, columns = round(height * _BORDER_SHARE), round(width * _BORDER_SHARE)
    changed = cv2.threshold(cv2.absdiff(before, after), _CHANGED_LEVELS, 1, cv2.THRESH_BINARY)[1]
    inside = changed[rows : height - rows, columns : width - columns]
    border = cv2.countNonZero(changed) - cv2.countNonZero(inside)
    return border / (changed.size - inside.size)


class _Subject:
    """What moves against the camera: dense flow less the camera's own. Holds what all steps share."""

    def __init__(self, height: int, width: int) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        rows, columns = np.mgrid[0:height:_EVERY_PX, 0:width:_EVERY_PX].astype(np.float32)
        self._rows, self._columns = rows, columns
        margin = max(2, width // 40 // _EVERY_PX)
        self._inside = np.zeros(rows.shape, dtype=bool)
        self._inside[margin:-margin, margin:-margin] = True

    def measure(
        self, before: Picture, after: Picture, matrix: Picture
    ) -> tuple[float, float, float, float, float]:
        """Share of the picture that moves by itself, its mean motion in pixels, and its centre (0 to 1)."""
        height, width = before.shape
        field = self._flow.calc(before, after, np.zeros((height, width, 2), np.float32))
        field = field[::_EVERY_PX, ::_EVERY_PX]
        rows, columns = self._rows, self._columns
        a, b, c = (np.float32(value) for value in matrix[0])
        d, e, f = (np.float32(value) for value in matrix[1])
        own_x = field[..., 0] - ((a - 1) * columns + b * rows + c)
        own_y = field[..., 1] - (d * columns + (e - 1) * rows + f)
        changed = cv2.absdiff(before, after)[::_EVERY_PX, ::_EVERY_PX] > 4
        moving = (own_x * own_x + own_y * own_y > _SUBJECT_PX**2) & changed & self._inside
        moving = cv2.erode(moving.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
        count = int(np.count_nonzero(moving))
        if count == 0:
            return 0.0, 0.0, 0.0, 0.5, 0.5
        return (
            count / moving.size,
            float(own_x[moving].mean()),
            float(own_y[moving].mean()),
            float(columns[moving].mean() / width),
            float(rows[moving].mean() / height),
        )


def _camera(steps: Sequence[_Step]) -> tuple[tuple[str, ...], str, bool]:
    """Moves, speed word, and whether to believe it."""
    known = [step for step in steps if step.border_inliers >= _KNOWN_BORDER_INLIERS]
    whole_s, known_s = sum(step.seconds for step in steps), sum(step.seconds for step in known)
    if not known or known_s < _KNOWN_TIME_SHARE * whole_s:
        return (), "", False
    agreed = float(np.median([step.border_inliers for step in steps])) >= _SURE_BORDER_INLIERS
    seen_s = sum(step.seconds for step in steps if step.seen)
    seconds = [step.seconds for step in known]
    pan, tilt, zoom, roll = (
        _move(values, seconds, whole_s, thresholds, names)
        for values, thresholds, names in (
            ([step.dx for step in known], (_PAN_PER_S, _PAN_TRAVEL), ("pans left", "pans right")),
            ([step.dy for step in known], (_PAN_PER_S, _PAN_TRAVEL), ("tilts up", "tilts down")),
            ([step.zoom for step in known], (_ZOOM_PER_S, _ZOOM_TRAVEL), ("zooms in", "zooms out")),
            (
                [step.roll_degrees for step in known],
                (_ROLL_DEGREES_PER_S, _ROLL_TRAVEL_DEGREES),
                ("rolls counter-clockwise", "rolls clockwise"),
            ),
        )
    )
    named = [move.name for move in (pan, tilt, zoom, roll) if move.name]
    if _jitter([step for step in known if step.seen or step.dx or step.dy]) > _HANDHELD_JITTER:
        named.append("handheld")
    speed = max(abs(move.per_s) for move in (pan, tilt, zoom))
    word = {"slow": "slowly", "fast": "quickly"}.get(_speed_word(speed), "") if speed else ""
    clear = bool(named) or not any(move.nearly for move in (pan, tilt, zoom, roll))
    return tuple(named) or ("static",), word, agreed and clear and seen_s >= _SEEN_TIME_SHARE * whole_s


@dataclass(frozen=True)
class _Move:
    """One way to move. name, per_s: empty and 0 where the camera does not. nearly: with half the limits it
    would.
    """

    name: str
    per_s: float
    nearly: bool


def _move(
    values: Sequence[float],
    seconds: Sequence[float],
    whole_s: float,
    limits: tuple[float, float],
    names: tuple[str, str],
) -> _Move:
    """values: of each step, which took so many seconds. whole_s: how long the clip is. limits: speed per
    second and way in all. names: for a positive and a negative speed.
    """
    per_s, travel = limits
    known_s = max(sum(seconds), 1e-6)
    speed = sum(values) / known_s
    one_way = abs(sum(values)) > _CONSISTENCY * sum(abs(value) for value in values)
    moving_s = sum(
        took
        for value, took in zip(values, seconds, strict=True)
        if value * speed > 0 and abs(value) > per_s / 2 * took
    )
    least = min(abs(speed) / per_s, abs(speed) * whole_s / travel) if one_way else 0.0
    if least > 1 and moving_s >= _MOVING_TIME_SHARE * known_s:
        return _Move(names[0] if speed > 0 else names[1], speed, nearly=False)
    return _Move("", 0.0, nearly=least > 0.5)


def _jitter(steps: Sequence[_Step]) -> float:
    """What is left of the camera's path after smoothing over five steps, in shares of the width. steps: those
    that were seen to move or to stand; one that stands for want of anything to see would be a jerk.

    As a standard deviation would be, but from mean distances: one bad step does not shake a camera.
    """
    if len(steps) < 5:
        return 0.0
    seconds = np.array([step.seconds for step in steps])
    even = seconds.mean() / seconds
    kernel = np.ones(5) / 5
    rest = [
        values[2:-2] - np.convolve(values, kernel, "valid")
        for values in (even * [step.dx for step in steps], even * [step.dy for step in steps])
    ]
    return float(np.hypot(*(1.25 * np.abs(values).mean() for values in rest)))


def _with_subject(facts: MotionFacts, steps: Sequence[_Step]) -> MotionFacts:
    """Add what moves by itself. Not on a clip whose brightness changes much: the flow then follows the
    light.
    """
    weights = np.array([step.subject_share * step.seconds for step in steps])
    if not len(weights) or weights.sum() <= 0:
        return facts
    seconds = sum(step.seconds for step in steps)
    share = float(weights.sum() / seconds)
    dx = float(sum(step.subject_dx * step.subject_share for step in steps))
    dy = float(sum(step.subject_dy * step.subject_share for step in steps))
    path = float(sum(math.hypot(step.subject_dx, step.subject_dy) * step.subject_share for step in steps))
    steady = math.hypot(dx, dy) > 0.5 * path
    x = float(np.average([step.subject_x for step in steps], weights=weights))
    y = float(np.average([step.subject_y for step in steps], weights=weights))
    return replace(
        facts,
        subject_share=share,
        subject_direction=_direction(dx, dy) if steady else "",
        subject_place=_place(x, y),
        subject_speed=path / max(float(sum(step.subject_share * step.seconds for step in steps)), 1e-9),
        subject_trend=_trend(
            [step.subject_share * math.hypot(step.subject_dx, step.subject_dy) for step in steps]
        ),
    )


def _direction(dx: float, dy: float) -> str:
    if abs(dx) >= abs(dy):
        return "to the right" if dx > 0 else "to the left"
    return "downwards" if dy > 0 else "upwards"


def _place(x: float, y: float) -> str:
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    row = "upper" if y < 0.36 else "lower" if y > 0.64 else ""
    if not column and not row:
        return "centre"
    if not column:
        return f"{row} part"
    return f"{row} {column}".strip() if row else f"{column} part"


def _trend(amounts: Sequence[float]) -> str:
    third = len(amounts) // 3
    if third < 2:
        return ""
    first, last = float(np.mean(amounts[:third])), float(np.mean(amounts[-third:]))
    if last > 1.8 * first and last > 0:
        return "grows"
    return "fades" if first > 1.8 * last and first > 0 else ""


def _speed_word(per_s: float) -> str:
    return "slow" if per_s < _SLOW_PER_S else "fast" if per_s > _FAST_PER_S else ""


def _histogram(picture: Frame) -> Picture:
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hsv], [0, 1, 2], None, [12, 6, 6], [0, 180, 0, 256, 0, 256])
    return cv2.normalize(histogram, histogram, 1.0, 0.0, cv2.NORM_L1)


def _light_words(pictures: Sequence[Frame]) -> tuple[str, ...]:
    chosen = [pictures[index] for index in sorted({0, len(pictures) // 2, len(pictures) - 1})]
    lab = np.concatenate(
        [cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).reshape(-1, 3) for picture in chosen]
    ).astype(np.float32)
    luma = lab[:, 0] / 255
    red_green, yellow_blue = lab[:, 1] - 128, lab[:, 2] - 128
    words: list[str] = []
    mean = float(luma.mean())
    if mean < 0.2:
        words.append("dark")
    elif mean < 0.34:
        words.append("dim")
    elif mean > 0.78:
        words.append("bright")
    if float(luma.std()) > 0.28:
        words.append("high in contrast")
    chroma = float(np.hypot(red_green, yellow_blue).mean())
    if chroma < 3.0:
        words.append("black and white")
    elif float(yellow_blue.mean()) > 9 and float(red_green.mean()) > -3:  # grass is yellow, too, but green
        words.append("warm")
    elif float(yellow_blue.mean()) < -7:
        words.append("cool")
    return tuple(words)


def _light_change(pictures: Sequence[Frame]) -> str:
    levels = [sum(cv2.mean(picture)) / 3 / 255 for picture in pictures]
    fifth = max(1, len(levels) // 5)
    change = float(np.mean(levels[-fifth:]) - np.mean(levels[:fifth]))
    if abs(change) < _LIGHT_CHANGE:
        return ""
    return "grows brighter" if change > 0 else "grows darker"


def _bars(pictures: Sequence[Frame]) -> float:
    """Share of the height that stays black above and below. One black line is not a bar."""
    brightest = reduce(cv2.max, pictures).max(axis=2).max(axis=1)
    lit = np.flatnonzero(brightest > _LETTERBOX_LEVEL)
    if len(lit) == 0:
        return 0.0
    above, below = int(lit[0]), len(brightest) - 1 - int(lit[-1])
    return (above + below) / len(brightest) if min(above, below) >= 2 else 0.0


def _sharpness(pictures: Sequence[Frame]) -> float:
    grey = cv2.cvtColor(pictures[len(pictures) // 2], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
