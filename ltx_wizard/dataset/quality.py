"""What the pictures of a clip are like, measured once for each file: sharpness, light, bars, motion, cuts.

A clip is decoded once at a small size, and three of its frames at full size. What was measured is kept in
cache/quality.jsonl and found again by the file's size and time, or by its content where a project was moved.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import JsonValue

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.documents import Settings, read_lines, write_lines
from ltx_wizard.core.errors import BadDocument, BadMediaFile
from ltx_wizard.core.lint import MEASURED_METHOD
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import CheckClipsJob
from ltx_wizard.dataset.clip_cuts import cuts_inside
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.importing import content_hash
from ltx_wizard.media.video import Frame, decode, measured_height, read_image, to_rgb

STAGE = "Looking at clips"

Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""

MeasureCamera = Callable[[Project, Clip], tuple[str, ...]]
"""Gives the moves of the camera, such as ('pans left',) or ('static',); empty: not sure."""

Grey = np.ndarray[Any, np.dtype[np.uint8]]

_METHOD = 10 * MEASURED_METHOD + 2
"""The last digit is raised when something is measured otherwise here: what was measured before is then
measured again, as it is when the camera is.
"""

_LONG_SIDE_PX = 192
_STEPS_PER_S = 8.0
_SHARES = (0.1, 0.5, 0.9)
_HASH_PX = (9, 8)
_TINY_PX = (20, 12)
_BLACK_MEAN, _BLACK_BRIGHTEST = 16, 40
_BAR_LEVEL, _BAR_SMALL_LEVEL, _BAR_LEAST, _BAR_MOST = 24, 36, 0.02, 0.35
_BAR_STEP = 10
_CHANGED_LEVELS = 10
_APART_S = 0.5
_FLAT_DETAIL = 20.0
_MOST_THREADS = 4
_SAVE_EVERY_S = 5.0
"""Each time all rows are written again: by the clock, so that many clips do not make it slower."""


class ClipQuality(Settings):
    """What was measured of one file.

    hashes: of three frames, 64 bits each, in hex. tiny: the same frames as 20 x 12 grey pictures, base64.
    brightness: 0 to 1. black: share of the frames that are black. sharpness: fine detail by coarse detail;
    0 where the picture is too flat to say. changing: share of the picture that changes within half a second,
    at its liveliest. motion: how far the picture moves in a second, in shares of its width. picture: what is
    left without black bars; None: there are none. cuts: first frames of new shots; blends: those of the cuts
    where a fade or dissolve begins.
    """

    method: int = _METHOD
    file: str
    size_bytes: int
    modified_ns: int
    content: str
    problem: str = ""
    hashes: tuple[str, ...] = ()
    tiny: str = ""
    brightness: float = 0.0
    black: float = 0.0
    sharpness: float = 0.0
    changing: float = 0.0
    motion: float = 0.0
    camera: tuple[str, ...] = ()
    picture: Box | None = None
    cuts: tuple[int, ...] = ()
    blends: tuple[int, ...] = ()


def quality_file(project: Project) -> Path:
    return project.cache_folder / "quality.jsonl"


def measured_clips(project: Project, clips: Sequence[Clip]) -> dict[str, ClipQuality]:
    """What is known, by clip id. A clip whose file has changed since is left out. Reads no video."""
    known = {row.file: row for row in _read_rows(project)}
    found: dict[str, ClipQuality] = {}
    for clip in clips:
        row = known.get(clip.file)
        if row is not None and _stamp(project.path(clip.file)) == (row.size_bytes, row.modified_ns):
            found[clip.id] = row
    return found


def run_check_clips(
    project: Project, job: CheckClipsJob, report: Report, camera: MeasureCamera
) -> dict[str, JsonValue]:
    """Measure every clip that is not known yet, several at a time. Raises Cancelled; what is done is kept."""
    clips = read_clips(project)
    known = measured_clips(project, clips)
    rows = {row.file: row for row in known.values()}
    by_content = {row.content: row for row in _read_rows(project)}
    missing = [clip for clip in clips if clip.id not in known and _stamp(project.path(clip.file)) is not None]
    done, saved_at = 0, time.monotonic()
    threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1))
    progress(report, STAGE, 0, len(missing))
    with ThreadPoolExecutor(threads, thread_name_prefix="look") as pool:
        futures = [pool.submit(_row, project, clip, by_content, camera) for clip in missing]
        try:
            for finished in as_completed(futures):
                row = finished.result()
                rows[row.file] = row
                done += 1
                progress(report, STAGE, done, len(missing))
                if time.monotonic() - saved_at > _SAVE_EVERY_S:
                    write_lines(quality_file(project), rows.values())
                    saved_at = time.monotonic()
        except Cancelled:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            write_lines(quality_file(project), rows.values())
    return {"clips": len(clips), "measured": len(missing)}


def measure(path: Path, clip: Clip, camera: Callable[[Clip], tuple[str, ...]]) -> dict[str, Any]:
    """The measured fields of a ClipQuality. Raises BadMediaFile."""
    if clip.kind is MediaKind.IMAGE:
        picture = read_image(path)
        small = [_shrunk(picture)]
        return _of_pictures([picture] * len(_SHARES), small)
    small, times, large = _sampled(path, clip.duration_s)
    measured = _of_pictures(large, small)
    greys = [_grey(picture) for picture in small]
    measured["changing"] = _changing(greys, times)
    measured["motion"] = _motion(greys, times)
    measured["camera"] = _camera(clip, camera)
    measured["cuts"], measured["blends"] = cuts_inside(path, clip, greys, times)
    return measured


def tiny_pictures(row: ClipQuality) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The three frames as int16 [3, 12, 20]."""
    levels = np.frombuffer(base64.b64decode(row.tiny), dtype=np.uint8)
    return levels.reshape(-1, _TINY_PX[1], _TINY_PX[0]).astype(np.int16)


def find_bars(large: Sequence[Frame], small: Sequence[Frame]) -> Box | None:
    """The picture without black bars above and below, or at both sides; None where there are none.

    large: a few frames at full size, small: many. Bars are equally wide on both sides, black in every frame,
    and end at a straight line: a night sky does not.
    """
    brightest = _brightest(large)
    height, width = brightest.shape
    top, bottom = _dark_ends(np.percentile(brightest, 98, axis=1))
    inside = brightest[top : height - bottom]
    if len(inside) == 0:
        return None
    left, right = _dark_ends(np.percentile(inside, 98, axis=0))
    if not _is_pair(top, bottom, height) or not _steps_up(brightest, top, bottom):
        top = bottom = 0
    if not _is_pair(left, right, width) or not _steps_up(brightest.T, left, right):
        left = right = 0
    if not (top or left) or not _stays_black(small, top / height, left / width):
        return None
    left, top = left + left % 2, top + top % 2
    right, bottom = width - right, height - bottom
    return left, top, (right - left) // 2 * 2, (bottom - top) // 2 * 2


def _row(project: Project, clip: Clip, known: dict[str, ClipQuality], camera: MeasureCamera) -> ClipQuality:
    path = project.path(clip.file)
    size_bytes, modified_ns = _stamp(path) or (0, 0)
    content = content_hash(path)
    place = {"file": clip.file, "size_bytes": size_bytes, "modified_ns": modified_ns, "content": content}
    if content in known:
        return known[content].model_copy(update=place)
    try:
        return ClipQuality.model_validate({**place, **measure(path, clip, partial(camera, project))})
    except BadMediaFile as error:
        return ClipQuality.model_validate({**place, "problem": error.problem})


def _read_rows(project: Project) -> list[ClipQuality]:
    """A damaged file of measurements is no loss: they are made again."""
    try:
        rows = read_lines(quality_file(project), ClipQuality)
    except BadDocument:
        return []
    return [row for row in rows if row.method == _METHOD]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _sampled(path: Path, duration_s: float) -> tuple[list[Frame], list[float], list[Frame]]:
    """Small frames with their times, and three frames at full size."""
    small: list[Frame] = []
    times: list[float] = []
    large: list[Frame] = []
    wanted = [share * duration_s for share in _SHARES]
    height_px, last = 0, None
    for frame in decode(path):
        last = frame
        if not height_px:
            height_px = measured_height(frame, _LONG_SIDE_PX)
        if len(large) < len(wanted) and frame.time_s >= wanted[len(large)] - 1e-3:
            large.append(to_rgb(frame))
        if not times or frame.time_s - times[-1] >= 0.9 / _STEPS_PER_S:
            small.append(to_rgb(frame, height_px))
            times.append(frame.time_s)
    if last is None:
        raise BadMediaFile(problem=f"{path.name} has no frame that can be read.", remedy="Cut it again.")
    large += [to_rgb(last)] * (len(wanted) - len(large))
    return small, times, large


def _of_pictures(large: Sequence[Frame], small: Sequence[Frame]) -> dict[str, Any]:
    """What needs no motion."""
    picture = find_bars(large, small)
    shown = [_grey(_inside(frame, picture)) for frame in large]
    levels = [_grey(frame) for frame in small]
    dark = [grey.mean() < _BLACK_MEAN and np.percentile(grey, 99) < _BLACK_BRIGHTEST for grey in levels]
    tiny = np.stack([cv2.resize(grey, _TINY_PX, interpolation=cv2.INTER_AREA) for grey in shown])
    return {
        "hashes": tuple(_hash(grey) for grey in shown),
        "tiny": base64.b64encode(tiny.astype(np.uint8).tobytes()).decode(),
        "brightness": round(float(np.mean([grey.mean() for grey in levels])) / 255, 4),
        "black": round(float(np.mean(dark)), 4),
        "sharpness": round(max(_sharpness(grey) for grey in shown), 4),
        "picture": picture,
    }


def _hash(grey: Grey) -> str:
    """Which of two neighbours is brighter, 8 x 8 times: the same after scaling and compression."""
    small = cv2.resize(grey, _HASH_PX, interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def _sharpness(grey: Grey) -> float:
    """Detail at half the size by detail at an eighth: a blurred or enlarged picture has little of the first.

    Measured: 0.14 to 0.42 on six pictures of real videos, at most 0.044 on each of them with a blur of 2
    to 6 pixels; film that looks soft to the eye lies between.
    """
    height, width = grey.shape
    half, eighth = (
        cv2.resize(grey, (max(2, width // part), max(2, height // part)), interpolation=cv2.INTER_AREA)
        for part in (2, 8)
    )
    coarse = float(cv2.Laplacian(eighth, cv2.CV_32F).var())
    return float(cv2.Laplacian(half, cv2.CV_32F).var()) / coarse if coarse > _FLAT_DETAIL else 0.0


def _dark_ends(levels: np.ndarray[Any, Any]) -> tuple[int, int]:
    """How many lines are dark at both ends."""
    lit = np.flatnonzero(levels > _BAR_LEVEL)
    return (int(lit[0]), len(levels) - 1 - int(lit[-1])) if len(lit) else (len(levels), 0)


def _is_pair(one: int, other: int, size: int) -> bool:
    narrow, wide = sorted((one, other))
    return (
        narrow >= max(2, _BAR_LEAST * size) and wide <= _BAR_MOST * size and wide - narrow <= 0.02 * size + 2
    )


def _steps_up(brightest: Grey, first: int, last: int) -> bool:
    """Whether the picture begins at once behind both bars."""
    end = len(brightest) - last
    behind = (brightest[first + 1 : first + 4], brightest[end - 4 : end - 1])
    bars = (brightest[max(0, first - 4) : first - 1], brightest[end + 1 : end + 4])
    return all(
        float(inside.mean()) - float(bar.mean()) > _BAR_STEP for inside, bar in zip(behind, bars, strict=True)
    )


def _stays_black(small: Sequence[Frame], rows: float, columns: float) -> bool:
    brightest = _brightest(small)
    height, width = brightest.shape
    top, left = max(0, int(rows * height) - 1), max(0, int(columns * width) - 1)
    parts = [brightest[:top], brightest[height - top :]] if top else []
    parts += [brightest[:, :left], brightest[:, width - left :]] if left else []
    return all(float(np.percentile(part, 98)) <= _BAR_SMALL_LEVEL for part in parts if part.size)


def _changing(greys: Sequence[Grey], times: Sequence[float]) -> float:
    """Share of the picture that differs from half a second before; the tenth liveliest moment counts."""
    soft = [cv2.blur(grey, (3, 3)) for grey in greys]
    shares: list[float] = []
    for index, time_s in enumerate(times):
        earlier = next((i for i in range(index, -1, -1) if time_s - times[i] >= _APART_S * 0.9), 0)
        if earlier < index:
            changed = cv2.absdiff(soft[earlier], soft[index]) > _CHANGED_LEVELS
            shares.append(float(np.count_nonzero(changed)) / changed.size)
    return round(float(np.percentile(shares, 90)), 5) if shares else 0.0


def _motion(greys: Sequence[Grey], times: Sequence[float]) -> float:
    """Mean length of the optical flow per second; the liveliest tenth is left out, for it may be cuts."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    speeds: list[float] = []
    for (before, after), (start, end) in zip(pairwise(greys), pairwise(times), strict=True):
        height, width = before.shape
        field = flow.calc(before, after, np.zeros((height, width, 2), np.float32))
        length = cv2.magnitude(field[..., 0], field[..., 1])
        speeds.append(float(length.mean()) / width / max(end - start, 1e-6))
    kept = sorted(speeds)[: max(1, round(0.9 * len(speeds)))]
    return round(float(np.mean(kept)), 5) if kept else 0.0


def _camera(clip: Clip, camera: Callable[[Clip], tuple[str, ...]]) -> tuple[str, ...]:
    try:
        return camera(clip)
    except BadMediaFile:  # too short to say
        return ()


def _inside(picture: Frame, box: Box | None) -> Frame:
    if box is None:
        return picture
    left, top, width, height = box
    return picture[top : top + height, left : left + width]


def _shrunk(picture: Frame) -> Frame:
    scale = min(1.0, _LONG_SIDE_PX / max(picture.shape[:2]))
    size = (max(16, round(picture.shape[1] * scale)), max(16, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _brightest(pictures: Sequence[Frame]) -> Grey:
    """Each pixel at its brightest."""
    return reduce(np.maximum, [_grey(picture) for picture in pictures])


def _grey(picture: Frame) -> Grey:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
