from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from ltx_wizard.core.clip import CaptionState, Scene, SourceScenes
from ltx_wizard.core.errors import NoSpace, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CutJob
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import (
    read_clips,
    read_sources,
    remove_clips,
    set_caption,
    update_clip,
    write_scenes,
)
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.media import transcode
from ltx_wizard.media.video import read_frames


def set_scenes(project: Project, *bounds: int, source: int = 0, dropped: tuple[int, ...] = ()) -> None:
    """Scenes between these frame numbers, at 8 fps."""
    scenes = tuple(
        Scene(start_frame=start, end_frame=end, start_s=start / 8, end_s=end / 8, keep=index not in dropped)
        for index, (start, end) in enumerate(pairwise(bounds))
    )
    source_id = read_sources(project)[source].id
    write_scenes(project, SourceScenes.model_validate({"source_id": source_id, "scenes": scenes}))


def cut(project: Project) -> dict[str, object]:
    return dict(run_cut(project, CutJob(), SilentReport()))


def spans(project: Project) -> list[tuple[int, int]]:
    return [(clip.start_frame, clip.end_frame) for clip in read_clips(project)]


@pytest.fixture
def with_video(project: Project, make_video: Callable) -> Project:
    import_files(project, [make_video("v.mp4", frames=100, fps=8)])
    set_scenes(project, 0, 40, 60, 100)
    return project


def test_scenes_become_clips_with_exactly_their_frames(with_video: Project, number_of: Callable) -> None:
    assert cut(with_video) == {"clips": 3, "cut": 3, "kept": 0, "problems": 0}
    clips = read_clips(with_video)
    assert spans(with_video) == [(0, 40), (40, 60), (60, 100)]
    assert [clip.start_s for clip in clips] == [0.0, 5.0, 7.5]
    assert [clip.duration_s for clip in clips] == [5.0, 2.5, 5.0]
    for clip in clips:
        shown = [number_of(frame) for frame in read_frames(with_video.path(clip.file))]
        assert shown == list(range(clip.start_frame, clip.end_frame))
    assert all(
        (with_video.thumbnails_folder / f"{clip.id}-{clip.frames // 2:06d}.jpg").is_file() for clip in clips
    )


def test_cutting_again_keeps_what_is_there(with_video: Project) -> None:
    cut(with_video)
    times = {clip.id: with_video.path(clip.file).stat().st_mtime_ns for clip in read_clips(with_video)}
    assert cut(with_video) == {"clips": 3, "cut": 0, "kept": 3, "problems": 0}
    assert {
        clip.id: with_video.path(clip.file).stat().st_mtime_ns for clip in read_clips(with_video)
    } == times


def test_a_clip_file_that_vanished_is_cut_again_with_its_caption(with_video: Project) -> None:
    cut(with_video)
    clip = read_clips(with_video)[1]
    set_caption(with_video, clip.id, "A car turns.")
    with_video.path(clip.file).unlink()
    assert cut(with_video)["cut"] == 1
    again = read_clips(with_video)[1]
    assert (again.caption, again.caption_state) == ("A car turns.", CaptionState.WRITTEN)


def test_a_dropped_scene_loses_its_clip_and_gets_its_caption_back(with_video: Project) -> None:
    cut(with_video)
    clip = read_clips(with_video)[1]
    set_caption(with_video, clip.id, "A car turns.")
    set_scenes(with_video, 0, 40, 60, 100, dropped=(1,))
    cut(with_video)
    assert spans(with_video) == [(0, 40), (60, 100)]
    assert not with_video.path(clip.file).exists()
    set_scenes(with_video, 0, 40, 60, 100)
    cut(with_video)
    again = read_clips(with_video)[1]
    assert (again.id, again.caption, again.caption_state, again.caption_source) == (
        clip.id,
        "A car turns.",
        CaptionState.WRITTEN,
        "you",
    )


def test_a_clip_whose_ends_moved_a_little_keeps_its_caption_as_a_draft(with_video: Project) -> None:
    cut(with_video)
    before = read_clips(with_video)[0].id
    update_clip(
        with_video, before, caption="A dog runs.", caption_state=CaptionState.WRITTEN, tags=("beach",)
    )
    set_scenes(with_video, 0, 36, 60, 100)
    cut(with_video)
    first, second, _ = read_clips(with_video)
    assert (first.tags, second.tags) == (("beach",), ())
    assert (first.caption, first.caption_state) == ("A dog runs.", CaptionState.DRAFT)
    assert (second.caption, second.caption_state) == ("", CaptionState.MISSING)


def test_a_merged_scene_takes_no_caption_of_a_small_part(with_video: Project) -> None:
    cut(with_video)
    set_caption(with_video, read_clips(with_video)[1].id, "A car turns.")
    set_scenes(with_video, 0, 60, 100)
    cut(with_video)
    assert read_clips(with_video)[0].caption == ""


def test_a_removed_clip_comes_back_when_cut_again(with_video: Project) -> None:
    cut(with_video)
    clip = read_clips(with_video)[0]
    set_caption(with_video, clip.id, "A dog runs.")
    other = update_clip(with_video, read_clips(with_video)[1].id, tags=("beach",))
    remove_clips(with_video, [clip.id, other.id])
    cut(with_video)
    assert read_clips(with_video)[1].tags == ("beach",)
    assert read_clips(with_video)[0].caption == "A dog runs."


def test_imported_captions_find_their_clips(project: Project, make_video: Callable, tmp_path: Path) -> None:
    path = make_video("v.mp4", frames=100, fps=8)
    timed = [
        {"start_s": 0, "end_s": 5, "caption": "One."},
        {"start_s": 7.5, "end_s": 12.5, "caption": "Two."},
    ]
    (tmp_path / "v.captions.json").write_text(json.dumps(timed))
    import_files(project, [path], regularisation=True)
    set_scenes(project, 0, 40, 60, 100)
    cut(project)
    clips = read_clips(project)
    assert [clip.caption for clip in clips] == ["One.", "", "Two."]
    assert [clip.caption_source for clip in clips] == ["imported", "", "imported"]
    assert clips[0].caption_state is CaptionState.WRITTEN
    assert all(clip.regularisation for clip in clips)


def test_cancelling_keeps_whole_clips_and_the_next_run_goes_on(with_video: Project) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            return bool(read_clips(with_video))

    with pytest.raises(Cancelled):
        run_cut(with_video, CutJob(), StopsAfterOne())
    assert spans(with_video) == [(0, 40)]
    assert [path.suffix for path in with_video.clips_folder.iterdir()] == [".mp4"]
    assert cut(with_video) == {"clips": 3, "cut": 2, "kept": 1, "problems": 0}


def test_a_full_disk_keeps_clips_and_captions(with_video: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(with_video)
    set_caption(with_video, read_clips(with_video)[0].id, "A dog runs.")
    set_scenes(with_video, 0, 40, 60, 80, 100)

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(transcode, "_flush_to_disk", full)
        with pytest.raises(NoSpace):
            cut(with_video)
    assert spans(with_video) == [(0, 40), (40, 60)]
    assert read_clips(with_video)[0].caption == "A dog runs."
    assert len(list(with_video.clips_folder.iterdir())) == 2
    assert cut(with_video)["clips"] == 4


def test_images_are_left_alone(with_video: Project, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "i.png")
    import_files(with_video, [tmp_path / "i.png"])
    cut(with_video)
    cut(with_video)
    assert [clip.frames for clip in read_clips(with_video)] == [40, 20, 40, 1]


def test_a_source_without_scenes_does_not_stop_the_others(with_video: Project, make_video: Callable) -> None:
    import_files(with_video, [make_video("w.mp4", frames=50)])
    assert cut(with_video)["clips"] == 3


def test_a_source_that_vanished_is_a_warning(with_video: Project, make_video: Callable) -> None:
    import_files(with_video, [make_video("w.mp4", frames=50)])
    set_scenes(with_video, 0, 50, source=1)
    with_video.path(read_sources(with_video)[0].file).unlink()
    report = SilentReport()
    result = run_cut(with_video, CutJob(), report)
    assert (result["clips"], result["problems"]) == (1, 1)
    assert any("v.mp4" in event.message for event in report.events if event.kind == "warned")


def test_cutting_before_scenes_are_found_says_so(project: Project, make_video: Callable) -> None:
    import_files(project, [make_video("v.mp4", frames=100)])
    with pytest.raises(NotReady, match="Find scenes"):
        cut(project)
