"""The road from real videos to drafted clips, on videos that nobody here made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.captioning.captioner import run_caption
from ltx_wizard.core.clip import CaptionState
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CaptionJob, ConformJob, CutJob, FindScenesJob
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.checks import check_dataset
from ltx_wizard.dataset.conform import run_conform
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, read_scenes
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.scenes import run_find_scenes
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import cover, probe, read_frames
from ltx_wizard.models.catalog import EMBEDDED

SIZE = (480, 272)
BUNNY_FRAMES = 132
BIKES_CUTS = (30, 76, 137, 187, 242)


def joined(folder: Path) -> Iterator[np.ndarray]:
    for name in ("bigbuckbunny.mp4", "bikes.mp4"):
        for frame in read_frames(folder / name):
            yield cover(frame, *SIZE)


@pytest.fixture(scope="module")
def long_video(real_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("joined") / "Hase & Räder 🚲 “final”.mp4"
    write_video(joined(real_videos), path, 25)
    return path


def test_real_videos_become_clips_with_drafts(project: Project, long_video: Path) -> None:
    (source,) = import_files(project, [long_video]).added
    assert (source.frames, source.fps, source.original_name) == (382, 25.0, long_video.name)

    run_find_scenes(project, FindScenesJob(), SilentReport())
    starts = [scene.start_frame for scene in read_scenes(project)[source.id].scenes]
    assert starts == [0, BUNNY_FRAMES, *(BUNNY_FRAMES + cut for cut in BIKES_CUTS)]

    run_cut(project, CutJob(), SilentReport())
    clips = read_clips(project)
    assert [(clip.start_frame, clip.frames) for clip in clips] == [(0, 132), (208, 61), (269, 50), (319, 55)]
    for clip in clips:
        original = list(read_frames(long_video, clip.start_frame, clip.start_frame + 2))
        cut = list(read_frames(project.path(clip.file), 0, 2))
        assert np.abs(original[0].astype(int) - cut[0]).mean() < 3
        last = next(read_frames(project.path(clip.file), clip.frames - 1))
        wanted = next(read_frames(long_video, clip.end_frame - 1, clip.end_frame))
        assert np.abs(wanted.astype(int) - last).mean() < 3

    result = run_caption(project, CaptionJob(), SilentReport())
    assert result == {"captioned": 4, "skipped": 0, "failed": 0}
    clips = read_clips(project)
    assert all(clip.caption_state is CaptionState.DRAFT for clip in clips)
    assert clips[0].caption.startswith("[subject] moves")

    plan = plan_buckets(clips, EMBEDDED)
    assert plan.unfit.keys() <= {clips[2].id}  # 2.0 s at 8 fps are 16 frames
    findings = check_dataset(project.read_settings(), clips, EMBEDDED, plan, project=project)
    assert not [finding for finding in findings if finding.level == "must"]

    buckets = tuple(dict.fromkeys(plan.assignment.values()))
    run_conform(project, ConformJob(buckets=buckets, fps=EMBEDDED.fps), SilentReport())
    for clip in read_clips(project):
        if clip.conformed_file:
            facts = probe(project.path(clip.conformed_file))
            assert f"{facts.width}x{facts.height}x{facts.frames}" == clip.bucket
            assert facts.fps == EMBEDDED.fps
