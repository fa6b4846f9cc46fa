"""What the steps Scenes and Captions say of a job that ended."""

from __future__ import annotations

import pytest

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.events import ClipDone, Event, EventWriter, Failed, Finished, Started, Stopped, Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import CaptionJob, CutJob, Job, JobFolder, JobSettings
from ltx_wizard.dataset.dataset import add_clips
from ltx_wizard.ui.ended import outcome_card
from ltx_wizard.ui.steps.captions_job import ended


@pytest.fixture
def with_clips(project: Project) -> Project:
    clip = Clip(
        id="c0", source_id="s", file="clips/c0.mp4", kind=MediaKind.VIDEO, start_s=75.0,
        width=128, height=64, fps=8.0, frames=20, duration_s=2.5,
    )  # fmt: skip
    add_clips(project, [clip, clip.model_copy(update={"id": "c1"})])
    return project


def a_job(project: Project, settings: JobSettings, *events: Event) -> None:
    job = Job(settings=settings, created=1.0, versions={})
    writer = EventWriter(JobFolder.create(project.jobs_folder, settings.kind, job).events_file)
    for event in (Started(pid=1), *events):
        writer.write(event)


def test_a_cut_that_failed_is_told_in_its_step_only(project: Project) -> None:
    a_job(project, CutJob(), Failed(problem="The disk is full.", remedy="Free some space."))
    card = outcome_card(project, "", ("find_scenes", "cut"))
    assert "Cutting clips ended early: The disk is full." in card and "Free some space." in card
    assert outcome_card(project, "", ("crop",)) == ""
    assert outcome_card(project, "cut", ("cut",)) == ""  # another runs


@pytest.mark.parametrize(
    ("events", "look", "texts"),
    [
        (
            [ClipDone(clip="c0"), ClipDone(clip="c1"), Finished()],
            "wz-good",
            ["press Accept"],
        ),
        ([ClipDone(clip="c0"), Stopped()], "wz-info", ["Stopped: 1 caption is written", 'data-do="go_on"']),
        ([Failed(problem="No server.", remedy="Start it.")], "wz-bad", ["No server.", "Start it.", "alert"]),
        (
            [ClipDone(clip="c0"), Warned(message="c1: It said: <b>x</b>"), Finished()],
            "wz-warn",
            ["1 clip got no caption", "at 1:15.0", "&lt;b&gt;x&lt;/b&gt;", "Try 1 clip again"],
        ),
    ],
)
def test_a_captioning_is_told_with_what_to_do_next(
    with_clips: Project, events: list[Event], look: str, texts: list[str]
) -> None:
    a_job(with_clips, CaptionJob(captioner="qwen3vl-2b"), *events)
    card = str(ended(with_clips))
    assert f'class="wz-notice {look}' in card
    assert all(text in card for text in texts), card
    assert "<b>x</b>" not in card


def test_without_clips_that_are_new_there_is_nothing_to_do(with_clips: Project) -> None:
    a_job(with_clips, CaptionJob(clip_ids=("gone",)), Finished(result={"skipped": 2}))
    assert "tick &#x27;Also rewrite captions that exist&#x27;" in str(ended(with_clips))
