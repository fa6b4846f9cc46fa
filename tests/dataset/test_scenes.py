from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltx_wizard.core.clip import MediaKind, Scene, Source
from ltx_wizard.core.errors import BadInput, BadSetting, NotReady
from ltx_wizard.core.project import Project, SceneSettings
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import FindScenesJob
from ltx_wizard.dataset.dataset import read_scenes, read_sources, write_scenes
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.scenes import (
    find_scenes,
    frame_at,
    merge_with_next,
    plan_pieces,
    run_find_scenes,
    scene_thumbnail,
    split_at,
    toggle_keep,
)
from ltx_wizard.media.transcode import Mp4Writer
from ltx_wizard.media.video import frame_times, probe, quick_frame_times, read_frames

COLOURS = [(200, 60, 50), (40, 90, 200), (60, 170, 80), (220, 200, 60)]


def moving_dot_scenes(lengths: list[int], size: int = 96) -> np.ndarray:
    """Scenes of a flat ground with a dot that moves, as the practice videos have."""
    frames = []
    for number, length in enumerate(lengths):
        for index in range(length):
            picture = np.full((size, size, 3), COLOURS[number % 4], np.uint8)
            cv2.circle(picture, (20 + 2 * index, 40 + 8 * number), 12, COLOURS[(number + 1) % 4], -1)
            frames.append(picture)
    return np.stack(frames)


def settings(**changes: object) -> SceneSettings:
    return SceneSettings.model_validate(changes)


def even_scene(start: int, end: int, fps: float = 25, keep: bool = True) -> Scene:
    return Scene(start_frame=start, end_frame=end, start_s=start / fps, end_s=end / fps, keep=keep)


def a_source(frames: int = 1000, fps: float = 25) -> Source:
    return Source.model_validate(
        {
            "id": "v",
            "file": "sources/v.mp4",
            "original_name": "v.mp4",
            "kind": MediaKind.VIDEO,
            "width": 64,
            "height": 64,
            "fps": fps,
            "frames": frames,
            "duration_s": frames / fps,
        }
    )


@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_cuts_of_slow_short_scenes_are_found_to_the_frame(make_video: Callable, detector: str) -> None:
    lengths = [16, 24, 20, 32]
    path = make_video(frames=moving_dot_scenes(lengths), fps=8)
    scenes = find_scenes(path, probe(path), settings(detector=detector), SilentReport())
    assert [(scene.start_frame, scene.end_frame) for scene in scenes] == [
        (0, 16),
        (16, 40),
        (40, 60),
        (60, 92),
    ]
    assert [(scene.start_s, scene.end_s) for scene in scenes] == [(0, 2), (2, 5), (5, 7.5), (7.5, 11.5)]


def test_a_video_of_one_shot_is_one_scene(make_video: Callable) -> None:
    path = make_video(frames=moving_dot_scenes([30]), fps=8)
    (scene,) = find_scenes(path, probe(path), settings(), SilentReport())
    assert (scene.start_frame, scene.end_frame, scene.end_s) == (0, 30, 3.75)


def test_scenes_shorter_than_the_shortest_are_not_cut_out(make_video: Callable) -> None:
    path = make_video(frames=moving_dot_scenes([24, 4, 24]), fps=8)
    scenes = find_scenes(path, probe(path), settings(min_scene_s=1.0), SilentReport())
    assert len(scenes) == 2


def test_finding_scenes_stops_when_asked(make_video: Callable) -> None:
    class Stops(SilentReport):
        def stop_requested(self) -> bool:
            return True

    path = make_video(frames=30)
    with pytest.raises(Cancelled):
        find_scenes(path, probe(path), settings(), Stops())


def test_merging_joins_two_neighbours() -> None:
    scenes = (even_scene(0, 50), even_scene(50, 75, keep=False), even_scene(75, 100))
    merged = merge_with_next(scenes, 0)
    assert [(scene.start_frame, scene.end_frame, scene.keep) for scene in merged] == [
        (0, 75, True),
        (75, 100, True),
    ]
    assert merged[0].end_s == 3.0
    with pytest.raises(BadInput):
        merge_with_next(scenes, 2)
    with pytest.raises(BadInput):
        merge_with_next(scenes, -1)


def test_splitting_needs_a_frame_inside() -> None:
    scenes = (even_scene(0, 50), even_scene(50, 100, keep=False))
    parts = split_at(scenes, 1, 60)
    assert [(s.start_frame, s.end_frame, s.start_s, s.keep) for s in parts] == [
        (0, 50, 0.0, True),
        (50, 60, 2.0, False),
        (60, 100, 2.4, False),
    ]
    for frame in (50, 100, 10):
        with pytest.raises(BadInput):
            split_at(scenes, 1, frame)


def test_keeping_is_toggled() -> None:
    assert [s.keep for s in toggle_keep((even_scene(0, 50), even_scene(50, 100)), 1)] == [True, False]


def test_only_kept_scenes_that_are_long_enough_become_clips() -> None:
    scenes = (even_scene(0, 49), even_scene(49, 99), even_scene(99, 200, keep=False), even_scene(200, 280))
    pieces = plan_pieces(a_source(), scenes, settings())
    assert [piece.clip_id for piece in pieces] == ["v-000049-000099", "v-000200-000280"]


def test_a_scene_of_exactly_the_shortest_length_counts_in_spite_of_container_ticks() -> None:
    scene = Scene(start_frame=0, end_frame=48, start_s=0.0, end_s=1.999)
    assert len(plan_pieces(a_source(), (scene,), settings())) == 1


def test_long_scenes_are_split_evenly() -> None:
    pieces = plan_pieces(a_source(), (even_scene(10, 510),), settings(max_clip_s=8.0))
    assert [(piece.start_frame, piece.end_frame) for piece in pieces] == [(10, 177), (177, 343), (343, 510)]
    assert pieces[0].start_s == 0.4
    assert pieces[-1].end_s == 20.4


def test_parts_are_never_shorter_than_the_shortest_clip() -> None:
    pieces = plan_pieces(a_source(), (even_scene(0, 225),), settings(min_clip_s=5.0, max_clip_s=8.0))
    assert [(piece.start_frame, piece.end_frame) for piece in pieces] == [(0, 200)]


@pytest.mark.parametrize("seconds", [2.0, 7.9, 8.0, 8.02, 9.0, 15.9, 16.1, 31.3, 100.0])
def test_every_part_lies_between_the_limits(seconds: float) -> None:
    frames = round(seconds * 30)
    for piece in plan_pieces(a_source(fps=30), (even_scene(0, frames, fps=30),), settings()):
        assert 2.0 - 0.02 <= piece.end_s - piece.start_s <= 8.0 + 1.5 / 30


def test_a_shortest_clip_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(BadSetting):
        plan_pieces(a_source(), (even_scene(0, 100),), settings(min_clip_s=9.0, max_clip_s=8.0))


def test_the_job_writes_scenes_and_thumbnails(project: Project, make_video: Callable) -> None:
    import_files(project, [make_video(frames=moving_dot_scenes([16, 24]), fps=8)])
    assert run_find_scenes(project, FindScenesJob(), SilentReport()) == {"videos": 1, "scenes": 2}
    (source,) = read_sources(project)
    scenes = read_scenes(project)[source.id]
    assert scenes.detector == "adaptive 3, at least 0.6 s"
    names = sorted(path.name for path in project.thumbnails_folder.iterdir())
    assert names == [f"{source.id}-000008.jpg", f"{source.id}-000028.jpg"]
    assert scene_thumbnail(project, source.id, scenes.scenes[1]).name == names[1]


def test_the_job_goes_on_where_it_stopped_and_finds_again_after_a_change(
    project: Project, make_video: Callable, numbered: Callable
) -> None:
    import_files(project, [make_video("a.mp4", frames=moving_dot_scenes([16, 24]), fps=8)])
    run_find_scenes(project, FindScenesJob(), SilentReport())
    first = read_scenes(project)
    import_files(project, [make_video("b.mp4", frames=moving_dot_scenes([24, 24]), fps=8)])
    report = SilentReport()
    run_find_scenes(project, FindScenesJob(), report)
    assert len({getattr(event, "message", "") for event in report.events}) == 1  # only the new one was read
    assert read_scenes(project).keys() > first.keys()
    (source_id,) = first
    edited = first[source_id].model_copy(
        update={"scenes": merge_with_next(first[source_id].scenes, 0), "detector": "edited"}
    )
    write_scenes(project, edited)
    run_find_scenes(project, FindScenesJob(), SilentReport())
    assert read_scenes(project)[source_id] == first[source_id]


def test_a_source_that_has_vanished_is_a_warning(project: Project, make_video: Callable) -> None:
    import_files(project, [make_video("a.mp4", frames=20), make_video("b.mp4", frames=30)])
    project.path(read_sources(project)[0].file).unlink()
    report = SilentReport()
    run_find_scenes(project, FindScenesJob(), report)
    assert list(read_scenes(project)) == [read_sources(project)[1].id]
    warnings = [event for event in report.events if event.kind == "warned"]
    assert len(warnings) == 1
    assert "a.mp4" in warnings[0].message


def test_finding_scenes_without_videos_says_what_is_missing(project: Project) -> None:
    with pytest.raises(NotReady, match="no video"):
        run_find_scenes(project, FindScenesJob(), SilentReport())


def test_a_fade_and_a_dissolve_are_scenes_that_are_not_kept(make_video: Callable, real_videos: Path) -> None:
    first = [cv2.resize(frame, (192, 108)) for frame in read_frames(real_videos / "bigbuckbunny.mp4", 0, 40)]
    street = [cv2.resize(frame, (192, 108)) for frame in read_frames(real_videos / "bikes.mp4", 137, 187)]
    black = [np.zeros_like(first[0])] * 40
    share = np.arange(1, 11) / 11

    def mixed(a: list, b: list) -> list:
        return [(x * (1 - s) + y * s).astype(np.uint8) for x, y, s in zip(a, b, share, strict=False)]

    frames = [*first[:30], *mixed(first[30:], black), *black[:6], *mixed(black, street), *street[10:40]]
    frames += [*mixed(street[40:], first), *first[10:]]
    path = make_video(frames=np.stack(frames), fps=25)
    scenes = find_scenes(path, probe(path), settings(), SilentReport())
    assert [scene.keep for scene in scenes] == [True, False, True, False, True]
    for scene, end in zip(scenes, (30, 56, 86, 96, 126), strict=True):
        assert scene.end_frame == pytest.approx(end, abs=4)
    source = a_source(frames=126)
    pieces = plan_pieces(source, scenes, settings(min_clip_s=0.6))
    assert [piece.start_frame for piece in pieces] == [scene.start_frame for scene in scenes if scene.keep]


def test_a_flash_does_not_cut_a_scene(make_video: Callable, real_videos: Path) -> None:
    frames = [cv2.resize(frame, (192, 108)) for frame in read_frames(real_videos / "bigbuckbunny.mp4", 0, 60)]
    frames[30:32] = [np.full_like(frames[0], 250)] * 2
    path = make_video(frames=np.stack(frames), fps=25)
    for detector in ("adaptive", "content"):
        assert len(find_scenes(path, probe(path), settings(detector=detector), SilentReport())) == 1


def test_real_cuts_are_found_to_the_frame(real_videos: Path) -> None:
    path = real_videos / "bikes.mp4"
    for detector in ("adaptive", "content"):
        scenes = find_scenes(path, probe(path), settings(detector=detector), SilentReport())
        starts = [scene.start_frame for scene in scenes]
        assert starts[:5] == [0, 30, 76, 137, 187]
        assert sum(1 for _ in read_frames(path)) == scenes[-1].end_frame


UNEVEN = [*range(15), *range(30, 60, 2), 60, 90, 120]
"""Ticks of a thirtieth: 30 a second, a frame that stays for half a second, 15 a second, then one a second."""


def uneven_video(path: Path, pictures: np.ndarray, ticks: list[int]) -> tuple[Path, Source]:
    with Mp4Writer(path, Fraction(30), Fraction(1, 30)) as writer:
        for picture, tick in zip(pictures, ticks, strict=True):
            writer.add(picture, tick)
    return path, a_source(len(ticks), 30).model_copy(update={"variable_frame_rate": True})


@pytest.mark.parametrize(("at_s", "frame"), [(0.7, 14), (1.1, 16), (2.5, 30), (3.5, 31), (4.2, 32)])
def test_uneven_frames_are_cut_where_they_are_shown(
    tmp_path: Path, numbered: Callable[..., np.ndarray], at_s: float, frame: int
) -> None:
    path, source = uneven_video(tmp_path / "vfr.mp4", numbered(len(UNEVEN)), UNEVEN)
    scene = Scene(start_frame=0, end_frame=len(UNEVEN), start_s=0, end_s=5)
    found, begins_s = frame_at(path, source, scene, at_s)
    assert (found, begins_s) == (frame, pytest.approx(UNEVEN[frame] / 30, abs=1e-3))
    assert split_at([scene], 0, found, begins_s)[1].start_s == begins_s


def test_a_cut_in_the_first_long_frame_of_a_scene_falls_after_it(
    tmp_path: Path, numbered: Callable[..., np.ndarray]
) -> None:
    ticks = [0, 60, *range(61, 80)]
    path, source = uneven_video(tmp_path / "vfr.mp4", numbered(len(ticks)), ticks)
    scene = Scene(start_frame=0, end_frame=len(ticks), start_s=0, end_s=2.7)
    assert frame_at(path, source, scene, 1.0) == (1, pytest.approx(2.0))


def test_times_of_frames_are_read_without_decoding_only_where_they_are_all_there(
    tmp_path: Path, numbered: Callable[..., np.ndarray]
) -> None:
    path, _ = uneven_video(tmp_path / "vfr.mp4", numbered(len(UNEVEN)), UNEVEN)
    decoded = frame_times(path)[0]
    assert quick_frame_times(path, len(UNEVEN)) == pytest.approx(decoded)
    assert quick_frame_times(path, len(UNEVEN) - 1) == decoded
