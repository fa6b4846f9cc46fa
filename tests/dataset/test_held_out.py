from __future__ import annotations

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import add_clips, choose_held_out, read_clips
from ltx_wizard.dataset.held_out import held_out_clips, set_held_out, without_doubles


def test_marked_clips_are_kept_out_and_without_marks_the_choice_is_automatic(project: Project) -> None:
    clips = [
        Clip(
            id=f"clip-{index}", source_id="s", file=f"clips/{index}.mp4", kind=MediaKind.VIDEO,
            width=64, height=64, fps=8, frames=24, duration_s=3, regularisation=index == 5,
        )
        for index in range(6)
    ]  # fmt: skip
    add_clips(project, clips)
    automatic = choose_held_out(clips, 0.1, 42)
    assert automatic and held_out_clips(clips, 0.1, 42) == automatic
    set_held_out(project, ["clip-1", "clip-4", "clip-5"])
    assert [clip.held_out for clip in read_clips(project)] == [False, True, False, False, True, True]
    assert held_out_clips(read_clips(project), 0.1, 42) == {"clip-1", "clip-4"}  # never regularisation
    set_held_out(project, [])
    assert held_out_clips(read_clips(project), 0.1, 42) == automatic
    assert held_out_clips(clips, 0.0, 42) == set()


def test_clips_that_look_like_others_are_swapped_as_long_as_there_are_enough() -> None:
    clips = [
        Clip(
            id=str(index), source_id="s", file=f"clips/{index}.mp4", kind=MediaKind.VIDEO,
            width=64, height=64, fps=8, frames=24, duration_s=3, regularisation=index == 9,
        )
        for index in range(10)
    ]  # fmt: skip
    kept = without_doubles(clips, {"0", "1", "2"}, {"1", "2", "3"}, 42)
    assert len(kept) == 3 and "0" in kept and not kept & {"1", "2", "3", "9"}
    assert without_doubles(clips[::-1], {"2", "1", "0"}, {"1", "2", "3"}, 42) == kept
    scarce = without_doubles(clips[:4], {"0", "1", "2"}, {"1", "2", "3"}, 42)
    assert len(scarce) == 3 and scarce == {"0", "1", "2"}
