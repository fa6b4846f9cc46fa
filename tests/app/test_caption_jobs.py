"""How a captioning ended, read back from its folder, and going on with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.app import caption_jobs, jobs
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import ClipDone, Event, EventWriter, Failed, Finished, Started, Stopped, Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import CaptionJob, CutJob, Job, JobFolder, JobSettings, JobState
from ltx_wizard.dataset.dataset import add_clips, read_clips, set_caption


@pytest.fixture
def with_clips(project: Project, make_video: Callable[..., Path]) -> Project:
    project.clips_folder.mkdir()
    for index in range(3):
        make_video(f"c{index}.mp4", frames=20, folder=project.clips_folder)
    clip = Clip(
        id="c0", source_id="s", file="clips/c0.mp4", kind=MediaKind.VIDEO,
        width=128, height=64, fps=8.0, frames=20, duration_s=2.5,
    )  # fmt: skip
    names = [f"c{index}" for index in range(3)]
    add_clips(project, [clip.model_copy(update={"id": name, "file": f"clips/{name}.mp4"}) for name in names])
    return project


def an_old_job(project: Project, settings: JobSettings, *events: Event) -> JobFolder:
    folder = JobFolder.create(
        project.jobs_folder, settings.kind, Job(settings=settings, created=1.0, versions={})
    )
    writer = EventWriter(folder.events_file)
    for event in (Started(pid=1), *events):
        writer.write(event)
    return folder


def test_a_captioning_that_failed_for_some_clips_is_gone_on_with(with_clips: Project) -> None:
    """With a real worker and the captioner that needs no model."""
    damaged = with_clips.clips_folder / "c1.mp4"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no video")
    wait(jobs.start_caption(with_clips, "motion"))
    found = caption_jobs.outcome(with_clips)
    assert found is not None
    assert (found.state, found.written, found.left) == (JobState.FINISHED, 2, ("c1",))
    assert found.captioner == "measured motion"
    assert len(found.reasons) == 1 and found.reasons[0].clip_ids == ("c1",)

    damaged.write_bytes(whole)
    job = wait(caption_jobs.go_on(with_clips))
    assert job.status().done_clips == ("c1",)
    assert all(clip.caption for clip in read_clips(with_clips))
    found = caption_jobs.outcome(with_clips)
    assert found is not None and (found.written, found.left, found.reasons) == (1, (), ())
    with pytest.raises(NotReady, match="has a caption"):
        caption_jobs.go_on(with_clips)


def test_a_stop_while_captions_are_rewritten_leaves_only_those_that_were_not(with_clips: Project) -> None:
    for name in ("c0", "c1", "c2"):
        set_caption(with_clips, name, "An old caption.")
    rewriting = CaptionJob(captioner="motion", overwrite=True, clip_ids=("c0", "c1"))
    an_old_job(with_clips, rewriting, ClipDone(clip="c0"), Stopped())
    found = caption_jobs.outcome(with_clips)
    assert found is not None and (found.written, found.left) == (1, ("c1",))


def test_clips_that_were_captioned_by_hand_since_are_not_left(with_clips: Project) -> None:
    why = Warned(message="c1: Qwen3-VL 2B gave an empty caption.")
    an_old_job(with_clips, CaptionJob(captioner="qwen3vl-2b"), why, Failed(problem="It broke.", remedy="x"))
    set_caption(with_clips, "c1", "Mine.")
    found = caption_jobs.outcome(with_clips)
    assert found is not None and found.problem == "It broke."
    assert (found.captioner, found.left, found.reasons) == ("Qwen3-VL 2B", ("c0", "c2"), ())


def test_clips_that_failed_for_the_same_reason_stand_together(with_clips: Project) -> None:
    said = ["c0: It is blind.", "c1: It: thought aloud.", "c2: It is blind."]
    an_old_job(with_clips, CaptionJob(), *(Warned(message=text) for text in said), Finished())
    found = caption_jobs.outcome(with_clips)
    assert found is not None
    assert [(reason.text, reason.clip_ids) for reason in found.reasons] == [
        ("It is blind.", ("c0", "c2")),
        ("It: thought aloud.", ("c1",)),
    ]


def test_a_report_is_shown_until_it_is_closed_or_another_job_was_started(with_clips: Project) -> None:
    assert caption_jobs.outcome(with_clips) is None
    with pytest.raises(NotReady):
        caption_jobs.go_on(with_clips)
    caption_jobs.close_report(with_clips)  # there is none: nothing to do
    an_old_job(with_clips, CaptionJob(), Finished(result={"skipped": 3}))
    found = caption_jobs.outcome(with_clips)
    assert found is not None and (found.written, found.skipped) == (0, 3)
    caption_jobs.close_report(with_clips)
    assert caption_jobs.outcome(with_clips) is None
    an_old_job(with_clips, CaptionJob(), Stopped())
    assert caption_jobs.outcome(with_clips) is not None
    an_old_job(with_clips, CutJob(), Finished())
    assert caption_jobs.outcome(with_clips) is None


def wait(job: JobFolder, seconds: float = 270) -> JobFolder:
    end = time.monotonic() + seconds
    while jobs.is_active(job) or not job.status().is_over:
        assert time.monotonic() < end, job.status()
        time.sleep(0.05)
    return job
