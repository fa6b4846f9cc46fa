from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ltx_wizard.core.clip import Scene, SourceScenes
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import ConformJob, CutJob
from ltx_wizard.dataset.conform import run_conform
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, read_sources, remove_clips, write_scenes
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.media.video import probe, read_clip

BUCKETS = ("64x64x9", "96x64x17")


def job(*buckets: str, fps: float = 8.0) -> ConformJob:
    return ConformJob(buckets=buckets or BUCKETS, fps=fps)


@pytest.fixture
def with_clips(project: Project, make_video: Callable, tmp_path: Path) -> Project:
    """Clips of 40, 20 and 12 frames at 8 fps, 128 x 64, and an image."""
    Image.new("RGB", (100, 64), "red").save(tmp_path / "i.png")
    import_files(project, [make_video("v.mp4", frames=72, fps=8), tmp_path / "i.png"])
    bounds = [(0, 40), (40, 60), (60, 72)]
    scenes = tuple(Scene(start_frame=a, end_frame=b, start_s=a / 8, end_s=b / 8) for a, b in bounds)
    source_id = read_sources(project)[0].id
    project.change_settings(scenes={"min_clip_s": 1.0})
    write_scenes(project, SourceScenes.model_validate({"source_id": source_id, "scenes": scenes}))
    run_cut(project, CutJob(), SilentReport())
    return project


def test_every_clip_is_written_at_exactly_its_bucket(with_clips: Project) -> None:
    assert run_conform(with_clips, job(), SilentReport()) == {"clips": 4, "written": 4, "left_out": 0}
    clips = read_clips(with_clips)
    assert [clip.bucket for clip in clips] == ["96x64x17", "96x64x17", "64x64x9", "96x64x1"]
    for clip in clips:
        width, height, frames = (int(part) for part in clip.bucket.split("x"))
        facts = probe(with_clips.path(clip.conformed_file))
        assert (facts.width, facts.height, facts.frames) == (width, height, frames)
        assert facts.fps in (8.0, 0.0)
        read_clip(with_clips.path(clip.training_file), width, height, frames, 8.0)


def test_conforming_again_writes_nothing_and_a_lost_file_is_written_again(with_clips: Project) -> None:
    run_conform(with_clips, job(), SilentReport())
    assert run_conform(with_clips, job(), SilentReport())["written"] == 0
    with_clips.path(read_clips(with_clips)[1].conformed_file).unlink()
    assert run_conform(with_clips, job(), SilentReport())["written"] == 1


def test_another_bucket_replaces_the_conformed_file(with_clips: Project) -> None:
    run_conform(with_clips, job(), SilentReport())
    run_conform(with_clips, job("64x64x9"), SilentReport())
    clip = read_clips(with_clips)[0]
    assert clip.bucket == "64x64x9"
    assert probe(with_clips.path(clip.conformed_file)).frames == 9


def test_a_clip_that_fits_no_bucket_is_a_warning(with_clips: Project) -> None:
    report = SilentReport()
    assert run_conform(with_clips, job("96x64x17"), report)["left_out"] == 1
    warnings = [event.message for event in report.events if event.kind == "warned"]
    assert len(warnings) == 1
    assert "It gives 12 frames at 8 fps; the shortest bucket has 17." in warnings[0]


def test_a_clip_that_cannot_be_read_is_a_warning_and_the_rest_go_on(with_clips: Project) -> None:
    with_clips.path(read_clips(with_clips)[0].file).write_bytes(b"")
    report = SilentReport()
    assert run_conform(with_clips, job(), report)["written"] == 3
    assert any("0 bytes" in event.message for event in report.events if event.kind == "warned")


def test_cancelling_keeps_whole_files(with_clips: Project) -> None:
    class StopsAfterTwo(SilentReport):
        def stop_requested(self) -> bool:
            return sum(bool(clip.conformed_file) for clip in read_clips(with_clips)) >= 2

    with pytest.raises(Cancelled):
        run_conform(with_clips, job(), StopsAfterTwo())
    assert len(list((with_clips.clips_folder / "conformed").iterdir())) == 2
    assert run_conform(with_clips, job(), SilentReport())["written"] == 2


def test_removing_a_clip_removes_its_conformed_file(with_clips: Project) -> None:
    run_conform(with_clips, job(), SilentReport())
    remove_clips(with_clips, [clip.id for clip in read_clips(with_clips)])
    assert list((with_clips.clips_folder / "conformed").iterdir()) == []
    assert read_sources(with_clips)[1].file in [
        with_clips.relative(path) for path in with_clips.sources_folder.iterdir()
    ]


def test_conforming_when_nothing_fits_says_so(with_clips: Project) -> None:
    remove_clips(with_clips, [clip.id for clip in read_clips(with_clips) if clip.frames == 1])
    with pytest.raises(NotReady, match="No clip fits"):
        run_conform(with_clips, job("64x64x97"), SilentReport())
