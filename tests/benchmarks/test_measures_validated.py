"""The figures of benchmarks/measures.py, on few enough clips for every run of the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from known_samples import (
    DEGRADATIONS,
    neon_clips,
    noisy,
    real_scenes,
    shapes_clip,
    window_clip,
)
from measures import auc, rank_correlation

from ltx_wizard.core.measures import COPIED
from ltx_wizard.media.video import cover
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import Shown, TrainingIndex, index_of
from ltx_wizard.sampling.motion_amount import motion_amount
from ltx_wizard.sampling.sharpness import sharpness

SPEEDS = (0.0, 0.01, 0.03, 0.1, 0.3)
SMALL, OTHER = (192, 128), (320, 200)


@pytest.fixture(scope="module")
def street() -> Frames:
    """A picture of a real street."""
    return real_scenes(["street"])[0].trained[0]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def test_motion_ranks_clips_of_known_speed(street: Frames) -> None:
    draw = np.random.default_rng(6)  # discs that differ from the ground in brightness: others are not seen
    truth: list[float] = []
    found: list[float | None] = []
    for place, speed in enumerate(SPEEDS):
        size, fps = (SMALL, 8.0) if place % 2 else (OTHER, 24.0)
        window = noisy(window_clip(street, size, fps, speed, 0.5, seconds=1.0), 2.0 * (place % 3), draw)
        shapes, amount = shapes_clip(size, fps, speed, draw, pattern=True)
        truth += [speed, amount]
        found += [motion_amount(window, fps), motion_amount(shapes, fps)]
    assert rank_correlation(np.array(truth), np.array(found, dtype=float)) >= 0.95


@pytest.mark.parametrize(("size", "fps"), [(SMALL, 8.0), (SMALL, 30.0), (OTHER, 24.0)])
def test_motion_depends_on_neither_size_nor_frame_rate(
    street: Frames, size: tuple[int, int], fps: float
) -> None:
    found = motion_amount(window_clip(street, size, fps, 0.1, 0.0, seconds=1.0), fps)
    assert found == pytest.approx(0.1, rel=0.25)


def test_noise_is_no_motion(street: Frames) -> None:
    """Plain optical flow finds a fifth of the width a second here."""
    even = np.full((9, 128, 192, 3), 120, np.uint8)
    still = np.repeat(cover(street, *SMALL)[None], 9, axis=0)
    for clip in (even, still):
        found = motion_amount(noisy(clip, 4.0, np.random.default_rng(1)), 8.0)
        assert found is not None
        assert found < 0.003


def test_a_single_picture_has_no_motion(street: Frames) -> None:
    assert motion_amount(street[None], 8.0) is None


def test_likeness_tells_copies_from_other_clips_of_the_concept() -> None:
    trained, fresh = neon_clips(4, 4001), neon_clips(8, 4002)
    index = _index({str(number): clip for number, clip in enumerate(trained)})
    copies = _degraded(index, [clip[7] for clip in trained])
    assert auc(copies, [_likeness(index, clip[7]) for clip in fresh]) >= 0.95


def test_likeness_tells_copies_from_the_same_film_a_second_later() -> None:
    scenes = real_scenes(["cyclist", "street", "man in a car"])
    index = _index({scene.name: scene.trained[::3] for scene in scenes})
    copies = _degraded(index, [scene.trained[4] for scene in scenes])
    assert auc(copies, [_likeness(index, frame) for scene in scenes for frame in scene.fresh[::8]]) >= 0.95


def test_a_training_frame_between_those_of_the_index_is_a_copy(street: Frames) -> None:
    clip = window_clip(street, SMALL, 24.0, 0.1, 0.0, seconds=1.0)
    index = _index({"clip": clip[::3]})
    near = index.nearest(clip[10:11])
    assert near is not None
    assert near.likeness >= COPIED
    assert near.clip_id == "clip"
    assert near.time_s in (3, 4)


def test_sharpness_falls_with_every_blur_and_not_with_noise(street: Frames) -> None:
    found = [sharpness(_blurred(street, px)[None]) for px in (0.0, 0.5, 0.8, 1.2, 1.7, 2.4, 3.5)]
    assert all(after < before for before, after in pairwise(found))
    assert found[3] / found[0] == pytest.approx(0.78, abs=0.06)
    for px in (0.0, 1.7):
        soft = _blurred(street, px)
        assert sharpness(noisy(soft, 4.0, np.random.default_rng(2))[None]) == pytest.approx(
            sharpness(soft[None]), rel=0.04
        )


def _blurred(picture: Frames, px: float) -> Frames:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), px), np.uint8) if px else picture


def _index(clips: dict[str, Frames]) -> TrainingIndex:
    shown = [Shown(name, float(at), frame) for name, clip in clips.items() for at, frame in enumerate(clip)]
    index = index_of(shown)
    assert index is not None
    return index


def _degraded(index: TrainingIndex, frames: list[Frames]) -> list[float]:
    draw = np.random.default_rng(9)
    names = [name for name in DEGRADATIONS if name != "as it is"]
    return [_likeness(index, DEGRADATIONS[name](frame, draw)) for frame in frames for name in names]


def _likeness(index: TrainingIndex, frame: Frames) -> float:
    near = index.nearest(frame[None])
    assert near is not None
    return near.likeness
