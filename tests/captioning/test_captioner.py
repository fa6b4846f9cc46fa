from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.captioning import captioner as captioner_module
from ltx_wizard.captioning.captioner import CAPTIONERS, CaptionerEntry, make_captioner, run_caption
from ltx_wizard.captioning.motion import MotionFacts
from ltx_wizard.core.caption import has_slots
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadSetting, JobFailed, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import add_clips, read_clips, set_caption


class Parrot:
    """A captioner that says what it is told to, and remembers what was done with it."""

    name = "parrot"
    title = "Parrot"
    needs = "Nothing."
    answers: list[str | Exception] = []  # noqa: RUF012
    log: list[str] = []  # noqa: RUF012

    def load(self) -> None:
        self.log.append("load")

    def caption(self, path: Path, kind: MediaKind, facts: MotionFacts | None) -> str:
        self.log.append(path.stem)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> type[Parrot]:
    monkeypatch.setitem(captioner_module.CAPTIONERS, "parrot", CaptionerEntry("Parrot", "Nothing.", Parrot))
    Parrot.answers, Parrot.log = ["First.", "Second.", "Third."], []
    return Parrot


@pytest.fixture
def with_clips(project: Project, make_video: Callable) -> Project:
    project.clips_folder.mkdir()
    for index in range(3):
        make_video(f"c{index}.mp4", frames=20, folder=project.clips_folder)
    add_clips(
        project,
        [
            Clip.model_validate(
                {
                    "id": f"c{index}",
                    "source_id": "s",
                    "file": f"clips/c{index}.mp4",
                    "kind": MediaKind.VIDEO,
                    "width": 128,
                    "height": 64,
                    "fps": 8.0,
                    "frames": 20,
                    "duration_s": 2.5,
                }
            )
            for index in range(3)
        ],
    )
    return project


def captions(project: Project) -> list[str]:
    return [clip.caption for clip in read_clips(project)]


def test_every_clip_gets_a_draft(with_clips: Project, parrot: type[Parrot]) -> None:
    result = run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert result == {"captioned": 3, "skipped": 0, "failed": 0}
    assert captions(with_clips) == ["First.", "Second.", "Third."]
    assert all(clip.caption_state is CaptionState.DRAFT for clip in read_clips(with_clips))
    assert all(clip.caption_source == "parrot" for clip in read_clips(with_clips))
    assert parrot.log == ["load", "c0", "c1", "c2", "close"]


def test_captions_that_are_there_stay(with_clips: Project, parrot: type[Parrot]) -> None:
    set_caption(with_clips, "c1", "Mine.")
    result = run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert result == {"captioned": 2, "skipped": 1, "failed": 0}
    assert captions(with_clips) == ["First.", "Mine.", "Second."]


def test_overwriting_and_choosing_clips(with_clips: Project, parrot: type[Parrot]) -> None:
    set_caption(with_clips, "c1", "Mine.")
    job = CaptionJob(captioner="parrot", clip_ids=("c1",), overwrite=True)
    assert run_caption(with_clips, job, SilentReport())["captioned"] == 1
    assert captions(with_clips) == ["", "First.", ""]


def test_a_clip_that_fails_is_a_warning_and_the_rest_go_on(with_clips: Project, parrot: type[Parrot]) -> None:
    parrot.answers = ["First.", JobFailed("It did not work.", "Try again."), "  <think>hm</think> "]
    report = SilentReport()
    result = run_caption(with_clips, CaptionJob(captioner="parrot"), report)
    assert result == {"captioned": 1, "skipped": 0, "failed": 2}
    warnings = [event.message for event in report.events if event.kind == "warned"]
    assert warnings == ["c1: It did not work. Try again.", "c2: Parrot gave an empty caption."]
    assert captions(with_clips) == ["First.", "", ""]


def test_what_is_typed_meanwhile_is_not_overwritten(with_clips: Project, parrot: type[Parrot]) -> None:
    class Types(SilentReport):
        def stop_requested(self) -> bool:
            if not captions(with_clips)[2]:
                set_caption(with_clips, "c2", "Typed.")
            return False

    run_caption(with_clips, CaptionJob(captioner="parrot"), Types())
    assert captions(with_clips) == ["First.", "Second.", "Typed."]


def test_cancelling_keeps_what_is_written_and_frees_the_model(
    with_clips: Project, parrot: type[Parrot]
) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            return any(captions(with_clips))

    with pytest.raises(Cancelled):
        run_caption(with_clips, CaptionJob(captioner="parrot"), StopsAfterOne())
    assert captions(with_clips) == ["First.", "", ""]
    assert parrot.log[-1] == "close"


def test_answers_are_cleaned(with_clips: Project, parrot: type[Parrot]) -> None:
    parrot.answers = ["The video shows a dog\nrunning.", "Second.", "Third."]
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert captions(with_clips)[0] == "A dog running."


def test_an_unknown_captioner_names_those_there_are(with_clips: Project) -> None:
    with pytest.raises(BadSetting) as caught:
        run_caption(with_clips, CaptionJob(captioner="oracle"), SilentReport())
    assert "motion" in caught.value.remedy


def test_captioning_without_clips_says_what_is_missing(project: Project) -> None:
    with pytest.raises(NotReady):
        run_caption(project, CaptionJob(), SilentReport())


@pytest.mark.parametrize("name", list(CAPTIONERS))
def test_every_captioner_keeps_the_contract(name: str, make_video: Callable) -> None:
    captioner = make_captioner(name)
    assert captioner.name == name
    assert captioner.title == CAPTIONERS[name].title
    assert captioner.needs
    captioner.load()
    try:
        text = captioner.caption(make_video(frames=20), MediaKind.VIDEO, None)
    finally:
        captioner.close()
    assert text.strip()


def test_the_motion_draft_leaves_slots_to_fill_in(with_clips: Project) -> None:
    run_caption(with_clips, CaptionJob(), SilentReport())
    assert all(has_slots(caption) for caption in captions(with_clips))
    assert {clip.caption_source for clip in read_clips(with_clips)} == {"motion"}
