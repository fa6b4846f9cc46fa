from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.captioning import motion
from ltx_wizard.captioning.captioner import run_caption
from ltx_wizard.captioning.measured import MeasuredAhead, camera_moves, known_motion
from ltx_wizard.captioning.motion import MotionFacts
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CaptionJob, CheckClipsJob
from ltx_wizard.dataset.dataset import add_clips, read_clips
from ltx_wizard.dataset.quality import measured_clips, run_check_clips

FACTS = MotionFacts(kind=MediaKind.VIDEO, duration_s=2.0, camera=("pans left",), camera_sure=True)


@pytest.fixture
def clips(project: Project, make_video: Callable[..., Path]) -> list[Clip]:
    """Five clips of a picture full of corners that stands still."""
    project.clips_folder.mkdir()
    squares = np.random.default_rng(1).integers(0, 255, (8, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    found: list[Clip] = []
    for number in range(5):
        make_video(f"c{number}.mp4", frames=np.stack([squares] * 12), folder=project.clips_folder)
        found.append(
            Clip(
                id=f"c{number}", source_id="s", file=f"clips/c{number}.mp4", kind=MediaKind.VIDEO, width=128,
                height=64, fps=8, frames=12, duration_s=1.5,
            )
        )  # fmt: skip
    add_clips(project, found)
    return found


def test_two_clips_are_measured_at_once_and_each_is_kept(
    project: Project, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2)

    def measure(path: Path) -> MotionFacts:
        if path.stem in ("c0", "c1"):
            together.wait(timeout=20)  # one alone would wait in vain
        return FACTS

    monkeypatch.setattr(motion, "measure_motion", measure)
    with MeasuredAhead(project, clips, at_once=2) as ahead:
        kept = ahead.of(clips[0])
        assert kept is not None and kept.camera == ("pans left",)
        assert known_motion(project, clips[0]) == kept
        assert all(ahead.of(clip) for clip in clips)


def test_closing_leaves_out_what_has_not_begun(
    project: Project, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    def measure(_path: Path) -> MotionFacts:
        began.release()
        assert go_on.wait(timeout=20)
        return FACTS

    monkeypatch.setattr(motion, "measure_motion", measure)
    ahead = MeasuredAhead(project, clips, at_once=2)
    assert began.acquire(timeout=20) and began.acquire(timeout=20)
    threading.Timer(0.2, go_on.set).start()
    ahead.close()
    assert [clip.id for clip in clips if known_motion(project, clip)] == ["c0", "c1"]


def test_what_cannot_be_measured_is_none_and_the_others_go_on(project: Project, clips: list[Clip]) -> None:
    project.path(clips[1].file).write_bytes(b"no video")
    with MeasuredAhead(project, clips[:3]) as ahead:
        assert [ahead.of(clip) is None for clip in clips[:3]] == [False, True, False]


def test_captions_and_the_check_of_the_dataset_share_one_measurement(
    project: Project, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    real = motion.measure_motion

    def counted(path: Path) -> MotionFacts:
        measured.append(path.stem)
        return real(path)

    monkeypatch.setattr(motion, "measure_motion", counted)
    run_check_clips(project, CheckClipsJob(), SilentReport(), camera_moves)
    assert {row.camera for row in measured_clips(project, clips).values()} == {("static",)}
    run_caption(project, CaptionJob(captioner="motion"), SilentReport())
    assert all("The camera is static." in clip.caption for clip in read_clips(project))
    # The five clips are one picture, which the check looks at once or twice; the captions need all five.
    assert sorted(set(measured)) == sorted(measured)


def test_a_stopped_job_keeps_what_was_measured_and_written(project: Project, clips: list[Clip]) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            return any(event.kind == "clip_done" for event in self.events)

    with pytest.raises(Cancelled):
        run_caption(project, CaptionJob(captioner="motion"), StopsAfterOne())
    written = [clip for clip in read_clips(project) if clip.caption]
    assert 1 <= len(written) < len(clips)
    assert all(known_motion(project, clip) for clip in written)


def test_an_unsure_camera_is_no_move(
    project: Project, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure = MotionFacts(kind=MediaKind.VIDEO, duration_s=2.0, camera=("pans left",))
    monkeypatch.setattr(motion, "measure_motion", lambda _path: unsure)
    assert camera_moves(project, clips[0]) == ()
    project.path(clips[1].file).write_bytes(b"no video")
    monkeypatch.undo()
    with pytest.raises(BadMediaFile):
        camera_moves(project, clips[1])
