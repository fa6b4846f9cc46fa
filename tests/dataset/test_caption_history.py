"""Undo, redo and the past of captions, on disk: also after a crash in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.dataset import caption_history
from ltx_wizard.dataset.caption_history import history_file, past_of, read_entries, read_steps
from ltx_wizard.dataset.dataset import read_clips, replace_in_captions, set_caption, update_clip, update_clips


@pytest.fixture
def three(project: Project) -> Project:
    clips = [
        Clip(
            id=name, source_id="s", file=f"clips/{name}.mp4", kind=MediaKind.VIDEO, width=64, height=64,
            fps=8, frames=9, duration_s=1.1, caption=f"A {name} runs.", caption_state=CaptionState.WRITTEN,
            caption_source="you",
        )
        for name in ("cat", "dog", "fox")
    ]  # fmt: skip
    write_lines(project.clips_file, clips)
    return project


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the history sees it: add to it to let time pass."""
    now = [1000.0]
    monkeypatch.setattr(caption_history.time, "time", lambda: now[0])
    return now


def titles(project: Project) -> list[str]:
    return [step.title for step in read_steps(project).done]


def test_typing_into_one_caption_is_one_step_until_a_pause(three: Project, later: list[float]) -> None:
    for text in ("A cat j", "A cat jum", "A cat jumps."):
        later[0] += 2
        set_caption(three, "cat", text)
    (step,) = read_steps(three).done
    assert (step.changes[0].before.text, step.changes[0].after.text) == ("A cat runs.", "A cat jumps.")
    later[0] += 60
    set_caption(three, "cat", "A cat jumps down.")
    set_caption(three, "dog", "A dog jumps.")
    assert titles(three) == ["typed a caption"] * 3


def test_a_captioners_run_is_one_step(three: Project, later: list[float]) -> None:
    for name in ("cat", "dog", "fox"):
        later[0] += 30
        changes = {
            "caption": f"Drafted {name}.",
            "caption_state": CaptionState.DRAFT,
            "caption_source": "florence",
        }
        update_clip(three, name, **changes)
    assert titles(three) == ["3 captions by florence"]
    set_caption(three, "fox", "A fox.")
    update_clip(three, "cat", caption="Again.", caption_source="florence")
    assert titles(three) == ["3 captions by florence", "typed a caption", "1 caption by florence"]


def test_emptying_one_caption_and_then_another_are_two_steps(three: Project, later: list[float]) -> None:
    for name in ("cat", "dog"):
        later[0] += 2
        set_caption(three, name, "")
    assert titles(three) == ["typed a caption"] * 2


def test_typing_over_a_fresh_draft_is_a_step_of_its_own(three: Project, later: list[float]) -> None:
    update_clip(three, "cat", caption="Drafted.", caption_source="florence")
    later[0] += 5
    set_caption(three, "cat", "Drafted and corrected.")
    assert titles(three) == ["1 caption by florence", "typed a caption"]


def test_what_a_step_with_a_name_replaced_is_part_of_the_past_however_short_it_stood(
    three: Project, later: list[float]
) -> None:
    for text, step in (("A cat jumps.", ""), ("A cat sits.", "typed over a newer caption"), ("A cat s.", "")):
        later[0] += 1
        set_caption(three, "cat", text, step=step)
    assert [version.text for _, version in past_of(three, "cat")] == ["A cat jumps.", "A cat runs."]


def test_a_bulk_change_is_one_step_with_its_words(three: Project) -> None:
    replace_in_captions(three, "runs", "sleeps", clip_ids=["cat", "fox"])
    assert titles(three) == ["replaced 'runs' by 'sleeps'"]
    assert [clip.caption for clip in read_clips(three)] == ["A cat sleeps.", "A dog runs.", "A fox sleeps."]


def test_a_line_that_broke_off_costs_only_itself(three: Project) -> None:
    set_caption(three, "cat", "A cat jumps.")
    with history_file(three).open("a", encoding="utf-8") as file:
        file.write('{"id": "x", "time": 1, "changes": [{"cl')
    set_caption(three, "dog", "A dog jumps.")
    assert [entry.changes[0].clip for entry in read_entries(three)] == ["cat", "dog"]


def test_fields_that_are_no_caption_make_no_history(three: Project) -> None:
    update_clips(three, {"cat": {"held_out": True}})
    set_caption(three, "cat", "A cat runs.")
    assert read_entries(three) == []


def test_a_disk_that_is_full_changes_no_caption(three: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WizardError):
        set_caption(three, "cat", "A cat jumps.")
    assert read_clips(three)[0].caption == "A cat runs."


def test_the_past_of_a_clip_is_newest_first_without_halves_of_words(
    three: Project, later: list[float]
) -> None:
    for text in ("A cat j", "A cat jumps."):
        later[0] += 1
        set_caption(three, "cat", text)
    later[0] += 600
    set_caption(three, "cat", "A cat sleeps.")
    assert [version.text for _, version in past_of(three, "cat")] == ["A cat jumps.", "A cat runs."]
    assert past_of(three, "dog") == []


def test_a_very_long_history_is_shortened(three: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_history, "_LARGEST_BYTES", 4000)
    for number in range(40):
        set_caption(three, "cat", f"A cat jumps {number} times.")
    assert history_file(three).stat().st_size < 8000
    assert read_entries(three)[-1].changes[0].after.text == "A cat jumps 39 times."


def test_the_history_lies_beside_the_clips(three: Project) -> None:
    set_caption(three, "cat", "A cat jumps.")
    assert history_file(three).parent == Path(three.clips_file).parent
