"""Leaving clips out, splitting at cuts and cropping bars, on videos made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ltx_wizard.core.clip import Clip, MediaKind, Scene, SourceScenes
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import Progress
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CheckClipsJob, CropJob, CutJob
from ltx_wizard.dataset.checks import apply_fix
from ltx_wizard.dataset.contact_sheet import is_current, sheet_file, write_contact_sheet
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import (
    add_clips,
    read_clips,
    read_removed_clips,
    read_scenes,
    read_sources,
    set_caption,
    write_scenes,
)
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.quality import measured_clips, run_check_clips
from ltx_wizard.dataset.repairs import run_crop
from ltx_wizard.media.video import read_frames

FPS = 15
SOUND = np.zeros((2, 48_000 * 12), np.float32)


def shot(seed: int, count: int) -> np.ndarray:
    """Frames [count, 96, 160, 3] of a window that moves over blotches; every seed has its own colours."""
    random = np.random.default_rng(seed)
    small = random.integers(60, 250, (8, 40, 3)).astype(np.uint8)
    small[..., seed % 3] //= 3
    picture = cv2.resize(small, (400, 96), interpolation=cv2.INTER_CUBIC)
    return np.stack([picture[:, 2 * (index % 100) : 2 * (index % 100) + 160] for index in range(count)])


def look(project: Project) -> None:
    run_check_clips(project, CheckClipsJob(), SilentReport(), lambda _project, _clip: ())


def cut(project: Project) -> dict[str, Any]:
    return dict(run_cut(project, CutJob(), SilentReport()))


def spans(project: Project) -> list[tuple[int, int]]:
    return [(clip.start_frame, clip.end_frame) for clip in read_clips(project)]


@pytest.fixture
def with_shots(project: Project, make_video: Callable[..., Path]) -> Project:
    """A video of 150 frames; the first 90 are one clip with a cut at 40 inside, the rest is another."""
    frames = np.concatenate([shot(1, 40), shot(2, 50), shot(3, 60)])
    import_files(project, [make_video("v.mp4", frames=frames, fps=FPS, sound=SOUND)])
    source = read_sources(project)[0]
    scenes = tuple(
        Scene(start_frame=start, end_frame=end, start_s=start / FPS, end_s=end / FPS)
        for start, end in ((0, 90), (90, 150))
    )
    write_scenes(project, SourceScenes(source_id=source.id, scenes=scenes))
    project.change_settings(scenes={"min_clip_s": 1.0})
    cut(project)
    return project


def test_a_clip_is_split_where_a_cut_was_left_and_its_neighbour_stays(with_shots: Project) -> None:
    assert spans(with_shots) == [(0, 90), (90, 150)]
    neighbour = read_clips(with_shots)[1]
    set_caption(with_shots, neighbour.id, "The neighbour.")
    written = with_shots.path(neighbour.file).stat().st_mtime_ns
    look(with_shots)
    cut_clip = read_clips(with_shots)[0]
    assert measured_clips(with_shots, [cut_clip])[cut_clip.id].cuts == (40,)
    assert apply_fix(with_shots, "split_at_cuts", (cut_clip.id,)) == 1
    assert cut(with_shots)["cut"] == 2
    assert spans(with_shots) == [(0, 40), (40, 90), (90, 150)]
    kept = read_clips(with_shots)[2]
    assert kept.caption == "The neighbour."
    assert with_shots.path(kept.file).stat().st_mtime_ns == written
    look(with_shots)
    rows = measured_clips(with_shots, read_clips(with_shots))
    assert len(rows) == 3
    assert not any(row.cuts for row in rows.values())


def test_a_clip_that_is_a_part_of_its_scene_is_split_alone(with_shots: Project) -> None:
    source = read_sources(with_shots)[0]
    whole = (Scene(start_frame=0, end_frame=150, start_s=0, end_s=10),)
    write_scenes(with_shots, SourceScenes(source_id=source.id, scenes=whole))
    with_shots.change_settings(scenes={"min_clip_s": 1.0, "max_clip_s": 5.0})
    cut(with_shots)
    assert spans(with_shots) == [(0, 75), (75, 150)]
    look(with_shots)
    first = read_clips(with_shots)[0]
    apply_fix(with_shots, "split_at_cuts", (first.id,))
    cut(with_shots)
    assert spans(with_shots) == [(0, 40), (40, 75), (75, 150)]


def test_a_clip_that_came_whole_is_cut_from_its_source(
    project: Project, make_video: Callable[..., Path]
) -> None:
    frames = np.concatenate([shot(1, 40), shot(2, 50)])
    import_files(project, [make_video("whole.mp4", frames=frames, fps=FPS)])
    source = read_sources(project)[0].model_copy(update={"whole": True})
    write_lines(project.sources_file, [source])
    add_clips(
        project,
        [
            Clip(
                id=source.id, source_id=source.id, file=source.file, kind=MediaKind.VIDEO, width=160,
                height=96, fps=FPS, frames=90, duration_s=6, end_frame=90, caption="Both shots.",
            )
        ],
    )  # fmt: skip
    project.change_settings(scenes={"min_clip_s": 1.0})
    look(project)
    apply_fix(project, "split_at_cuts", (source.id,))
    cut(project)
    assert spans(project) == [(0, 40), (40, 90)]
    assert project.path(source.file).is_file()
    assert [clip.caption for clip in read_removed_clips(project)] == ["Both shots."]


def test_a_clip_left_out_does_not_come_back_when_cutting_again(with_shots: Project) -> None:
    first = read_clips(with_shots)[0]
    assert apply_fix(with_shots, "leave_out", (first.id,)) == 1
    assert spans(with_shots) == [(90, 150)]
    cut(with_shots)
    assert spans(with_shots) == [(90, 150)]
    (scenes,) = read_scenes(with_shots).values()
    assert [scene.keep for scene in scenes.scenes] == [False, True]  # in the step Scenes it is there to take


@pytest.fixture
def with_bars(project: Project, make_video: Callable[..., Path]) -> Project:
    frames = shot(1, 60)
    frames[:, :10], frames[:, -10:] = 0, 0
    import_files(project, [make_video("bars.mp4", frames=frames, fps=FPS, sound=SOUND)])
    source = read_sources(project)[0]
    scenes = tuple(
        Scene(start_frame=start, end_frame=end, start_s=start / FPS, end_s=end / FPS)
        for start, end in ((0, 30), (30, 60))
    )
    write_scenes(project, SourceScenes(source_id=source.id, scenes=scenes))
    cut(project)
    look(project)
    return project


def test_bars_are_cropped_from_the_original_with_sound_and_caption_kept(with_bars: Project) -> None:
    before = read_clips(with_bars)[1]
    set_caption(with_bars, before.id, "What it shows.")
    source = with_bars.path(read_sources(with_bars)[0].file)
    original = source.read_bytes()
    assert run_crop(with_bars, CropJob(clip_ids=(before.id,)), SilentReport()) == {"clips": 1}
    untouched, cropped = read_clips(with_bars)
    assert untouched.crop is None and untouched.height == 96
    assert (cropped.width, cropped.height, cropped.frames) == (160, 76, 30)
    assert cropped.crop == (0, 10, 160, 76)
    assert cropped.caption == "What it shows." and cropped.has_audio
    assert cropped.file != before.file and not with_bars.path(before.file).exists()
    assert source.read_bytes() == original
    shown = np.stack(list(read_frames(with_bars.path(cropped.file)))).astype(int)
    expected = np.stack(list(read_frames(source, 30, 60)))[:, 10:86].astype(int)
    assert np.abs(shown - expected).mean() < 3
    look(with_bars)
    assert measured_clips(with_bars, [cropped])[cropped.id].picture is None


def test_cropping_tells_after_each_clip_how_far_it_is_and_stopping_keeps_what_is_done(
    with_bars: Project,
) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            last = self.events[-1]
            return isinstance(last, Progress) and last.done == 1

    with pytest.raises(Cancelled):
        run_crop(with_bars, CropJob(), StopsAfterOne())
    assert [clip.height for clip in read_clips(with_bars)] == [76, 96]
    report = SilentReport()
    look(with_bars)
    assert run_crop(with_bars, CropJob(), report) == {"clips": 1}
    told = [(event.done, event.total) for event in report.events if isinstance(event, Progress)]
    assert told == [(0, 1), (1, 1), (1, 1)]


def test_a_cropped_clip_is_cut_again_cropped(with_bars: Project) -> None:
    run_crop(with_bars, CropJob(), SilentReport())
    first = read_clips(with_bars)[0]
    with_bars.path(first.file).unlink()
    cut(with_bars)
    again = read_clips(with_bars)[0]
    assert again.id == first.id
    assert (again.height, again.crop) == (76, first.crop)


def test_a_cropped_clip_becomes_whole_again(with_bars: Project) -> None:
    before = read_clips(with_bars)
    set_caption(with_bars, before[0].id, "What it shows.")
    run_crop(with_bars, CropJob(), SilentReport())
    cropped = read_clips(with_bars)
    assert run_crop(with_bars, CropJob(clip_ids=(before[0].id,), whole=True), SilentReport()) == {"clips": 1}
    first, second = read_clips(with_bars)
    assert (first.crop, first.width, first.height, first.frames) == (None, 160, 96, 30)
    assert (first.file, first.caption, first.has_audio) == (before[0].file, "What it shows.", True)
    assert second == cropped[1]
    shown = np.stack(list(read_frames(with_bars.path(first.file)))).astype(int)
    source = with_bars.path(read_sources(with_bars)[0].file)
    assert np.abs(shown - np.stack(list(read_frames(source, 0, 30))).astype(int)).mean() < 3
    assert not with_bars.path(cropped[0].file).exists()


def test_a_cropped_image_becomes_whole_again(project: Project, tmp_path: Path) -> None:
    picture = shot(1, 1)[0].repeat(2, axis=0).repeat(2, axis=1)
    picture[:, :30], picture[:, -30:] = 0, 0
    Image.fromarray(picture).save(tmp_path / "picture.png")
    import_files(project, [tmp_path / "picture.png"])
    (before,) = read_clips(project)
    look(project)
    run_crop(project, CropJob(), SilentReport())
    (cropped,) = read_clips(project)
    run_crop(project, CropJob(whole=True), SilentReport())
    assert read_clips(project) == [before]
    assert project.path(before.file).is_file()
    assert not project.path(cropped.file).exists()


def test_an_image_is_cropped_into_a_file_of_its_own(project: Project, tmp_path: Path) -> None:
    picture = shot(1, 1)[0].repeat(2, axis=0).repeat(2, axis=1)
    picture[:, :30], picture[:, -30:] = 0, 0
    Image.fromarray(picture).save(tmp_path / "picture.png")
    import_files(project, [tmp_path / "picture.png"])
    look(project)
    run_crop(project, CropJob(), SilentReport())
    (clip,) = read_clips(project)
    assert (clip.width, clip.height) == (260, 192)
    assert clip.file.startswith("clips/")
    with Image.open(project.path(clip.file)) as cropped:
        assert np.array_equal(np.asarray(cropped), picture[:, 30:-30])
    with Image.open(project.path(read_sources(project)[0].file)) as original:
        assert original.size == (320, 192)


def test_the_contact_sheet_shows_every_clip(with_bars: Project) -> None:
    clips = read_clips(with_bars)
    path = write_contact_sheet(with_bars, clips)
    assert path == sheet_file(with_bars) and path.parent == with_bars.exports_folder
    with Image.open(path) as sheet:
        first = sheet.size
    with_bars.path(clips[0].file).unlink()
    for thumbnail in with_bars.thumbnails_folder.glob(f"{clips[0].id}*"):
        thumbnail.unlink()
    write_contact_sheet(with_bars, clips * 10)  # one clip has no picture any more
    with Image.open(path) as sheet:
        assert sheet.width > first[0] and sheet.height > first[1]
        assert len(set(np.asarray(sheet).reshape(-1, 3).sum(axis=1).tolist())) > 50


def test_a_contact_sheet_of_nothing_says_what_is_missing(project: Project) -> None:
    with pytest.raises(NotReady):
        write_contact_sheet(project, [])


def test_the_contact_sheet_is_drawn_anew_when_names_change(with_bars: Project) -> None:
    clips = read_clips(with_bars)
    write_contact_sheet(with_bars, clips)
    assert is_current(with_bars, clips)
    named = read_sources(with_bars)[0].model_copy(update={"original_name": "日本語.mp4"})
    write_lines(with_bars.sources_file, [named])
    assert not is_current(with_bars, clips)
    write_contact_sheet(with_bars, clips)
    assert is_current(with_bars, clips)
