from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from ltx_wizard.captioning import captioner as captioner_module
from ltx_wizard.captioning.captioner import (
    CAPTIONERS,
    INSTRUCTION,
    CaptionerEntry,
    MotionCaptioner,
    ToCaption,
    make_captioner,
    run_caption,
    uses_card,
)
from ltx_wizard.captioning.measured import known_motion
from ltx_wizard.core.caption import has_slots
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import (
    BadMediaFile,
    BadSetting,
    CaptionerFailed,
    JobFailed,
    NotReady,
    OutOfGpuMemory,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import add_clips, read_clips, set_caption


class Parrot:
    """A captioner that says what it is told to, and remembers what was done with it."""

    name = "parrot"
    title = "Parrot"
    batch = 1
    parallel = 1
    remote = False
    answers: list[str | Exception] = []  # noqa: RUF012
    log: list[str] = []  # noqa: RUF012
    asked: list[ToCaption] = []  # noqa: RUF012

    def load(self) -> None:
        self.log.append("load")

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        self.log.append("+".join(clip.path.stem for clip in clips))
        self.asked += clips
        answers = [self.answers.pop(0) for _ in clips]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [str(answer) for answer in answers]

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> type[Parrot]:
    entry = CaptionerEntry("Parrot", "Nothing.", lambda _: Parrot())
    monkeypatch.setitem(captioner_module.CAPTIONERS, "parrot", entry)
    Parrot.answers, Parrot.log, Parrot.asked = ["First.", "Second.", "Third."], [], []
    Parrot.batch = Parrot.parallel = 1
    Parrot.remote = False
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
    assert warnings == ["c1: It did not work. Try again.", "c2: Parrot gave an empty caption. It said: hm"]
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


def test_a_caption_asked_for_again_is_not_asked_of_the_model(
    with_clips: Project, parrot: type[Parrot]
) -> None:
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    parrot.log.clear()
    result = run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert result == {"captioned": 0, "skipped": 3, "failed": 0}
    assert parrot.log == []  # not even loaded


def test_a_job_that_was_stopped_goes_on_with_the_rest(with_clips: Project, parrot: type[Parrot]) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            return any(captions(with_clips))

    with pytest.raises(Cancelled):
        run_caption(with_clips, CaptionJob(captioner="parrot"), StopsAfterOne())
    result = run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert result == {"captioned": 2, "skipped": 1, "failed": 0}
    assert parrot.log == ["load", "c0", "close", "load", "c1", "c2", "close"]


def test_clips_go_to_the_captioner_in_batches(with_clips: Project, parrot: type[Parrot]) -> None:
    parrot.batch = 2
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert parrot.log == ["load", "c0+c1", "c2", "close"]
    assert captions(with_clips) == ["First.", "Second.", "Third."]


def test_a_bad_clip_costs_its_batch_nothing(with_clips: Project, parrot: type[Parrot]) -> None:
    bad = BadMediaFile("c1 is damaged.", "Cut it again.")
    parrot.batch = 3
    parrot.answers = ["x", bad, "x", "First.", bad, "Third."]
    report = SilentReport()
    assert run_caption(with_clips, CaptionJob(captioner="parrot"), report)["failed"] == 1
    assert captions(with_clips) == ["First.", "", "Third."]
    assert parrot.log == ["load", "c0+c1+c2", "c0", "c1", "c2", "close"]
    assert [e.message for e in report.events if e.kind == "warned"] == ["c1: c1 is damaged. Cut it again."]


@pytest.mark.parametrize("kind", [CaptionerFailed, OutOfGpuMemory])
def test_what_would_fail_every_clip_stops_the_job_and_keeps_what_is_written(
    with_clips: Project, parrot: type[Parrot], kind: type[CaptionerFailed]
) -> None:
    parrot.answers = ["First.", kind("The server is down.", "Start it.")]
    with pytest.raises(kind) as caught:
        run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert caught.value.problem == "The server is down."
    assert caught.value.remedy == "Start it. 1 caption is written; started again, it goes on with the others."
    assert captions(with_clips) == ["First.", "", ""]
    assert parrot.log == ["load", "c0", "c1", "close"]


def test_the_same_failure_three_times_in_a_row_stops_the_job(
    with_clips: Project, parrot: type[Parrot]
) -> None:
    add_clips(with_clips, [read_clips(with_clips)[0].model_copy(update={"id": "c3"})])
    parrot.answers = [JobFailed("It thought aloud.", "Choose another.")] * 3
    with pytest.raises(CaptionerFailed) as caught:
        run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert caught.value.problem == "3 clips in a row failed: It thought aloud."
    assert caught.value.remedy == "Choose another."
    assert parrot.log.count("close") == 1


def test_an_excuse_is_no_caption(with_clips: Project, parrot: type[Parrot]) -> None:
    parrot.answers = ["I'm sorry, but I can't see the video.", "I cannot help with that.", "A man is sorry."]
    report = SilentReport()
    run_caption(with_clips, CaptionJob(captioner="parrot"), report)
    assert captions(with_clips) == ["", "", "A man is sorry."]
    warned = [event.message for event in report.events if event.kind == "warned"]
    assert warned[0] == (
        "c0: Parrot gave an excuse instead of a caption. It said: I'm sorry, but I can't see the video."
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "an empty caption"),
        ("<|im_end|><|endoftext|>", "an empty caption"),
        ("I cannot help with that.", "an excuse instead of a caption"),
        ("!" * 300, "signs instead of words"),
        ("0.12 0.33 [] {} 17 18 19 20", "signs instead of words"),
        ("A dog " + "ha" * 60, "signs instead of words"),
        ("\ufffd\ufffd\ufffd the \ufffd\ufffd dog sat there and waited.", "signs instead of words"),
        ("The dog " + "and the cat " * 30, "the same words over and over"),
        ("A street. " + "very " * 40, "the same words over and over"),
    ],
)
def test_nonsense_is_no_caption(with_clips: Project, parrot: type[Parrot], answer: str, reason: str) -> None:
    parrot.answers = [answer, "A man is sorry.", "A very very big dog runs, and runs, and runs on."]
    report = SilentReport()
    run_caption(with_clips, CaptionJob(captioner="parrot"), report)
    assert captions(with_clips) == ["", "A man is sorry.", "A very very big dog runs, and runs, and runs on."]
    warned = [event.message for event in report.events if event.kind == "warned"]
    assert len(warned) == 1 and warned[0].startswith(f"c0: Parrot gave {reason}.")
    assert [event.clip for event in report.events if event.kind == "clip_done"] == ["c1", "c2"]


def test_three_answers_that_are_wrong_in_the_same_way_end_the_job(
    with_clips: Project, parrot: type[Parrot]
) -> None:
    add_clips(with_clips, [read_clips(with_clips)[0].model_copy(update={"id": "c3"})])
    parrot.answers = ["I'm sorry, no.", "I cannot see it.", "As an AI, I see no video.", "A dog runs."]
    with pytest.raises(CaptionerFailed) as caught:
        run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert caught.value.problem == (
        "3 clips in a row failed: Parrot gave an excuse instead of a caption. "
        "It said: As an AI, I see no video."
    )
    assert caught.value.remedy == "Choose another captioner."


def test_measured_motion_reaches_the_captioner_in_its_instruction(
    with_clips: Project, parrot: type[Parrot]
) -> None:
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    for clip in parrot.asked:
        assert clip.facts is not None and clip.facts.duration_s == pytest.approx(2.5, abs=0.2)
        assert clip.instruction.startswith(INSTRUCTION[:60])
        assert "{facts}" not in clip.instruction and "Measured: " in clip.instruction


def test_measured_motion_is_kept_for_the_check(with_clips: Project, parrot: type[Parrot]) -> None:
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    for clip, asked in zip(read_clips(with_clips), parrot.asked, strict=True):
        kept = known_motion(with_clips, clip)
        assert kept is not None and asked.facts is not None and kept.camera == asked.facts.camera


def test_the_projects_own_instruction_is_used(with_clips: Project, parrot: type[Parrot]) -> None:
    with_clips.change_settings(caption_instruction="Say {what} you see. {facts}")
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert parrot.asked[0].instruction.startswith("Say {what} you see. Measured: ")


def test_progress_tells_how_many_and_how_long(with_clips: Project, parrot: type[Parrot]) -> None:
    report = SilentReport()
    run_caption(with_clips, CaptionJob(captioner="parrot"), report)
    told = [
        event for event in report.events if event.kind == "progress" and event.stage == "Writing captions"
    ]
    assert [event.done for event in told] == [0, 1, 2, 3, 3]
    assert told[1].per_second > 0


def test_several_clips_are_asked_for_at_once_where_the_captioner_allows(
    with_clips: Project, parrot: type[Parrot], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=10)

    def caption(self: Parrot, clips: Sequence[ToCaption]) -> list[str]:
        together.wait()  # all three are on their way, or this breaks
        return [f"This is {clips[0].path.stem}."]

    monkeypatch.setattr(Parrot, "caption", caption)
    parrot.parallel = 3
    run_caption(with_clips, CaptionJob(captioner="parrot"), SilentReport())
    assert captions(with_clips) == ["This is c0.", "This is c1.", "This is c2."]


def test_stopping_does_not_wait_for_a_distant_captioner(
    with_clips: Project, parrot: type[Parrot], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, enough = threading.Event(), threading.Event()

    def caption(self: Parrot, clips: Sequence[ToCaption]) -> list[str]:
        asked.set()
        enough.wait(20)
        return ["Late."]

    class StopsOnceAsked(SilentReport):
        def stop_requested(self) -> bool:
            return asked.is_set()

    monkeypatch.setattr(Parrot, "caption", caption)
    parrot.remote = True
    began = time.monotonic()
    try:
        with pytest.raises(Cancelled):
            run_caption(with_clips, CaptionJob(captioner="parrot"), StopsOnceAsked())
        assert time.monotonic() - began < 10
    finally:
        enough.set()
    assert captions(with_clips) == ["", "", ""]


def test_only_models_on_this_computer_need_the_card() -> None:
    needing = {name for name in CAPTIONERS if uses_card(CaptionJob(captioner=name))}
    assert needing == set(CAPTIONERS) - {"motion", "server"}


@pytest.mark.parametrize("name", list(CAPTIONERS))
def test_every_captioner_is_made_without_loading_a_model(name: str) -> None:
    captioner = make_captioner(CaptionJob(captioner=name, server="http://localhost:1/v1"))
    assert captioner.name == name
    assert captioner.title and CAPTIONERS[name].title and CAPTIONERS[name].needs
    captioner.close()


def test_the_motion_captioner_measures_where_nothing_was_measured(make_video: Callable) -> None:
    clip = ToCaption(make_video(frames=20), MediaKind.VIDEO, None, "")
    assert MotionCaptioner().caption([clip])[0].strip()


def test_the_motion_draft_leaves_slots_to_fill_in(with_clips: Project) -> None:
    run_caption(with_clips, CaptionJob(), SilentReport())
    assert all(has_slots(caption) for caption in captions(with_clips))
    assert {clip.caption_source for clip in read_clips(with_clips)} == {"motion"}
