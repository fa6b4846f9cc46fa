"""The clips that motion and scene detection are measured on are what they claim to be."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import filmed
import joined
import scene_detection

from ltx_wizard.core.clip import Scene
from ltx_wizard.media.video import read_frames


def test_each_part_has_sixty_windows_and_twelve_by_hand_over_footage_of_its_own() -> None:
    footage: dict[str, set[str]] = {}
    for part in ("tuning", "test"):
        windows = filmed.windows(part)
        assert sum(window.move != "handheld" for window in windows) == 60
        assert sum(window.move == "handheld" for window in windows) == 12
        assert {window.move for window in windows} == {*filmed.MOVES, "handheld"}
        assert len({window.name for window in windows}) == 72
        footage[part] = {window.footage.name for window in windows}
    assert not footage["tuning"] & footage["test"]


@pytest.mark.parametrize(("move", "axis", "sign"), [("pans right", 1, -1), ("tilts down", 0, -1)])
def test_a_window_moves_as_its_label_says(real_videos: Path, move: str, axis: int, sign: int) -> None:
    assert real_videos.is_dir()
    window = next(
        item for item in filmed.windows("test") if item.move == move and "meadow" in item.footage.name
    )
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in _some(window, (50, 54))]
    small = [cv2.resize(frame, (320, 180)).astype(np.float32) for frame in frames]
    (dx, dy), _ = cv2.phaseCorrelate(small[0], small[1])
    moved, other = (dx, dy) if axis == 1 else (dy, dx)
    assert sign * moved > 0.3
    assert abs(other) < 0.3 * abs(moved)


def test_a_zoom_in_is_a_window_that_shrinks(real_videos: Path) -> None:
    assert real_videos.is_dir()
    window = next(
        item for item in filmed.windows("test") if item.move == "zooms in" and "meadow" in item.footage.name
    )
    first, last = _some(window, (0, 124))
    shrunk = cv2.resize(first, None, fx=1.4, fy=1.4)
    middle = cv2.cvtColor(last, cv2.COLOR_RGB2GRAY)[260:460, 500:780]
    grey = cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY)
    assert _detail(middle) < _detail(grey[364:644, 700:1092])


def _some(window: filmed.Window, numbers: tuple[int, int]) -> list[np.ndarray]:
    return list(filmed.film(window, numbers))


def _detail(grey: np.ndarray) -> float:
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def test_a_joined_video_has_the_joins_it_names(
    real_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert real_videos.is_dir()
    monkeypatch.setattr(joined, "SIZE", (160, 90))
    monkeypatch.setattr(joined, "SHOT_FRAMES", (36, 38))
    monkeypatch.setattr(joined, "DISSOLVE_FRAMES", (10, 12))
    video = joined.write_joined("test", 3, 5, tmp_path)
    frames = [frame.astype(int) for frame in read_frames(video.path)]
    assert len(frames) == video.frames
    assert len(video.joins) == 4
    for join in video.joins:
        assert join.kind in ("cut", "fade", "dissolve")
        if join.kind == "cut":
            assert np.abs(frames[join.start] - frames[join.start - 1]).mean() > 10
        elif join.kind == "fade":
            assert min(frame.mean() for frame in frames[join.start : join.end]) < 2
        else:
            assert 7 < join.end - join.start <= joined.DISSOLVE_FRAMES[1]


def scene(start: int, end: int, keep: bool = True) -> Scene:
    return Scene(start_frame=start, end_frame=end, start_s=start / 25, end_s=end / 25, keep=keep)


def test_cuts_are_counted_as_the_table_says() -> None:
    joins = (joined.Join("cut", 50, 50), joined.Join("fade", 100, 140), joined.Join("dissolve", 200, 210))
    video = joined.Joined(Path("v.mp4"), joins, (), 300)
    tally = scene_detection.Tally(joins={}, found={})
    scenes = [scene(0, 51), scene(51, 80), scene(80, 98), scene(98, 141, keep=False), scene(141, 300)]
    scene_detection.count(tally, video, scenes)
    assert tally.found == {"cut": 1, "fade": 1, "dissolve": 0}
    assert (tally.cuts, tally.false, tally.left_frames) == (4, 1, 10)
    assert tally.recall == pytest.approx(2 / 3)
    assert tally.precision == pytest.approx(3 / 4)


def test_a_third_cut_in_a_fade_and_a_late_hard_cut_are_false() -> None:
    joins = (joined.Join("fade", 100, 140), joined.Join("cut", 200, 200))
    video = joined.Joined(Path("v.mp4"), joins, (), 300)
    tally = scene_detection.Tally(joins={}, found={})
    scene_detection.count(
        tally, video, [scene(0, 100), scene(100, 120), scene(120, 140), scene(140, 202), scene(202, 300)]
    )
    assert tally.found == {"fade": 1, "cut": 0}
    assert tally.false == 2
