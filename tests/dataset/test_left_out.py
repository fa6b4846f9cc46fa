"""Clips that are left out are kept whole, stay out when cutting again, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.core.clip import Scene, SourceScenes
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, FindScenesJob
from ltx_wizard.dataset import left_out
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import (
    read_clips,
    read_scenes,
    read_sources,
    set_caption,
    set_regularisation,
    write_scenes,
)
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.left_out import bring_back, bring_back_within, leave_out, read_left_out
from ltx_wizard.dataset.scenes import run_find_scenes

FPS = 8


@pytest.fixture
def cut(project: Project, make_video: Callable[..., Path]) -> Project:
    """Frames 0 to 24 are a scene and a clip; 24 to 72 are one scene that is cut into two clips."""
    source = import_files(project, [make_video(frames=72, fps=FPS)]).added[0]
    scenes = tuple(
        Scene(start_frame=start, end_frame=end, start_s=start / FPS, end_s=end / FPS)
        for start, end in ((0, 24), (24, 72))
    )
    write_scenes(project, SourceScenes(source_id=source.id, scenes=scenes))
    project.change_settings(scenes={"min_clip_s": 1.0, "max_clip_s": 3.0})
    run_cut(project, CutJob(), SilentReport())
    for clip in read_clips(project):
        set_caption(project, clip.id, f"Frames from {clip.start_frame} on.")
    return project


def spans(project: Project) -> list[tuple[int, int]]:
    return [(clip.start_frame, clip.end_frame) for clip in read_clips(project)]


def kept(project: Project) -> list[bool]:
    return [scene.keep for scenes in read_scenes(project).values() for scene in scenes.scenes]


def test_a_clip_that_is_left_out_keeps_its_file_and_caption_and_comes_back_as_it_was(cut: Project) -> None:
    before = read_clips(cut)
    assert leave_out(cut, [before[0]], "blurred") == 1
    assert read_clips(cut) == before[1:]
    assert kept(cut) == [False, True]
    (item,) = read_left_out(cut)
    assert (item.clip, item.reason) == (before[0], "blurred")
    written = cut.path(before[0].file).stat().st_mtime_ns

    assert bring_back(cut, [before[0].id]).back == (before[0].id,)
    assert read_clips(cut) == before
    assert kept(cut) == [True, True]
    assert read_left_out(cut) == []
    assert run_cut(cut, CutJob(), SilentReport())["cut"] == 0
    assert cut.path(before[0].file).stat().st_mtime_ns == written


def test_a_part_of_a_scene_stays_out_when_the_scene_is_cut_again(cut: Project) -> None:
    second = read_clips(cut)[1]
    leave_out(cut, [second])
    assert kept(cut) == [True, True]  # the other part of its scene is still wanted
    result = run_cut(cut, CutJob(), SilentReport())
    assert (result["cut"], spans(cut)) == (0, [(0, 24), (48, 72)])
    bring_back(cut, [second.id])
    assert spans(cut) == [(0, 24), (24, 48), (48, 72)]


def test_scenes_that_are_found_anew_do_not_bring_a_clip_back(cut: Project) -> None:
    source = read_sources(cut)[0].id
    scene = read_scenes(cut)[source].scenes[0]
    cut.change_settings(scenes={"max_clip_s": 20.0})
    run_find_scenes(cut, FindScenesJob(), SilentReport())  # the stripes change at once: many short scenes
    run_cut(cut, CutJob(), SilentReport())
    clips = read_clips(cut)
    assert leave_out(cut, clips) > 0
    found = read_scenes(cut)[source].scenes
    write_scenes(cut, SourceScenes(source_id=source, scenes=found, detector="other settings"))
    run_find_scenes(cut, FindScenesJob(), SilentReport())
    assert read_scenes(cut)[source].scenes == found
    assert run_cut(cut, CutJob(), SilentReport())["clips"] == 0
    bring_back_within(cut, source, scene.start_frame, found[-1].end_frame)
    assert read_clips(cut) == clips


def test_a_clip_without_its_file_is_cut_again_with_its_caption(cut: Project) -> None:
    first = read_clips(cut)[0]
    leave_out(cut, [first])
    cut.path(first.file).unlink()
    brought = bring_back(cut, [first.id])
    assert (brought.back, brought.to_cut) == ((), (first.id,))
    run_cut(cut, CutJob(), SilentReport())
    assert read_clips(cut)[0].caption == "Frames from 0 on."


def test_what_comes_back_has_the_role_that_its_video_has_now(cut: Project) -> None:
    first = read_clips(cut)[0]
    leave_out(cut, [first])
    set_regularisation(cut, first.source_id, True)
    bring_back(cut, [first.id])
    assert read_clips(cut)[0].regularisation


def test_a_crash_between_the_two_files_loses_and_doubles_nothing(
    cut: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_clips(cut)[0]
    write = left_out.write_lines

    def fails_at_the_clips(path: Path, documents: object) -> None:
        if path == cut.clips_file:
            raise OSError
        write(path, documents)  # type: ignore[arg-type]

    with monkeypatch.context() as broken, pytest.raises(OSError):
        broken.setattr(left_out, "write_lines", fails_at_the_clips)
        leave_out(cut, [first])
    assert len(read_clips(cut)) == 3
    assert read_left_out(cut) == []  # it is in the dataset, so it is not out
    leave_out(cut, [first])
    assert len(read_left_out(cut)) == 1
