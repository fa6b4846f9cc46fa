from __future__ import annotations

from itertools import pairwise

import pytest

from ltx_wizard.core.clip import Clip, MediaKind, Scene, SourceScenes
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.checks import look_at
from ltx_wizard.dataset.dataset import add_clips, choose_held_out, read_clips
from ltx_wizard.dataset.doubles import related
from ltx_wizard.dataset.held_out import divided, held_out_clips, set_held_out, undivided
from ltx_wizard.models.catalog import EMBEDDED

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


def clip(name: str, source: str = "s", at: tuple[int, int] = (0, 1), **changes: object) -> Clip:
    return Clip(
        id=name, source_id=source, file=f"clips/{name}.mp4", kind=MediaKind.VIDEO, width=64, height=64, fps=8,
        frames=24, duration_s=(at[1] - at[0]) / 8, start_frame=at[0], end_frame=at[1], start_s=at[0] / 8,
    ).model_copy(update=changes)  # fmt: skip


def clips_of(count: int, regularisation: tuple[int, ...] = ()) -> list[Clip]:
    return [clip(f"{index}", regularisation=index in regularisation) for index in range(count)]


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
    assert automatic and held_out_clips(clips, 0.1) == automatic
    set_held_out(project, ["clip-1", "clip-4", "clip-5"])
    assert [clip.held_out for clip in read_clips(project)] == [False, True, False, False, True, True]
    assert held_out_clips(read_clips(project), 0.1) == {"clip-1", "clip-4"}  # never regularisation
    set_held_out(project, [])
    assert held_out_clips(read_clips(project), 0.1) == automatic
    assert held_out_clips(clips, 0.0) == set()


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(12))
def test_a_group_is_kept_out_whole_or_not_at_all(share: float, seed: int) -> None:
    clips = clips_of(40, regularisation=(38, 39))
    groups = [{"0", "1"}, {"2", "3", "4"}, {f"{index}" for index in range(5, 20)}, {"20", "21", "39"}]
    chosen = choose_held_out(clips, share, seed, groups)
    assert 1 <= len(chosen) <= round(share * 38)
    assert all(not chosen & group or chosen >= group for group in groups)
    assert not chosen & {"20", "21", "38", "39"}  # regularisation is always trained
    assert choose_held_out(clips[::-1], share, seed, groups[::-1]) == chosen


def test_without_groups_the_choice_is_as_it_was_before_there_were_any() -> None:
    clips = clips_of(20)
    assert held_out_clips(clips, 0.2) == choose_held_out(clips, 0.2, 42) == {"16", "18", "19", "2"}
    assert held_out_clips(clips, 0.2, [{"0", "1"}]) == {"16", "18", "19", "2"}


def test_where_every_group_is_too_large_the_choice_pays_no_heed_to_them() -> None:
    clips = clips_of(10)
    groups = [{f"{index}" for index in range(5)}, {f"{index}" for index in range(5, 10)}]
    assert held_out_clips(clips, 0.1, groups) == held_out_clips(clips, 0.1)


def test_where_every_group_is_a_little_too_large_one_is_kept_out_whole() -> None:
    clips = clips_of(50)
    takes = [{f"{index}" for index in range(start, start + 10)} for start in range(0, 50, 10)]
    assert held_out_clips(clips, 0.1, takes) in takes
    pairs = [{f"{index}", f"{index + 1}"} for index in range(0, 10, 2)]
    assert held_out_clips(clips[:10], 0.1, pairs) in pairs
    assert len(held_out_clips(clips[:4], 0.1, pairs)) == 1  # half of all would be too much


def test_of_a_group_only_the_clips_that_are_used_count() -> None:
    clips = clips_of(10)
    lone = held_out_clips(clips, 0.1)
    assert held_out_clips(clips, 0.1, [{*lone, "left out", "too small"}]) == lone


def test_a_choice_that_divides_a_group_is_told_with_the_clip_that_is_trained() -> None:
    clips = clips_of(6, regularisation=(5,))
    groups = [{"0", "1"}, {"2", "5"}, {"3", "4"}]
    found = divided(clips, {"1", "2", "3", "4"}, groups)
    assert {kept: trained.id for kept, trained in found.items()} == {"1": "0", "2": "5"}


def test_clips_with_a_twin_in_training_are_swapped_for_others_and_the_rest_stays() -> None:
    clips = clips_of(12, regularisation=(11,))
    groups = [{"1", "2", "3"}, {"4", "5"}]
    kept = undivided(clips, {"0", "1", "4", "5"}, groups)
    assert len(kept) == 4 and kept > {"0", "4", "5"} and not kept & {"1", "2", "3", "11"}
    assert undivided(clips[::-1], {"5", "4", "1", "0"}, groups[::-1]) == kept
    assert undivided(clips_of(4), {"0", "1", "2"}, [{"1", "2", "3"}]) == {"0"}  # fewer, but they tell
    assert undivided(clips_of(4), {"1"}, [{"0", "1"}, {"2", "3"}]) == set()


def test_clips_of_the_same_few_seconds_belong_together(project: Project) -> None:
    clips = [
        clip("a", at=(0, 24)), clip("b", at=(24, 48)), clip("c", at=(56, 80)),  # one scene, c a second later
        clip("d", at=(104, 128)),  # the same scene, three seconds later
        clip("e", at=(200, 224)), clip("f", at=(224, 248)),  # a cut between them
        clip("g", at=(300, 400)), clip("h", at=(310, 320)), clip("i", at=(390, 410)),  # overlapping
        clip("j", "other", at=(0, 24)), clip("k", "third", at=(0, 24)),
    ]  # fmt: skip
    edges = [0, 200, 224, 290, 500]
    scenes = tuple(
        Scene(start_frame=start, end_frame=end, start_s=start / 8, end_s=end / 8)
        for start, end in pairwise(edges)
    )
    write_lines(project.scenes_file, [SourceScenes(source_id="s", scenes=scenes)])
    plan = plan_buckets(clips, EMBEDDED, ())
    settings = ProjectSettings.model_validate({"name": "Test"})
    groups = related(look_at(settings, clips, EMBEDDED, plan, project))
    assert sorted(map(sorted, groups)) == [["a", "b", "c"], ["g", "h", "i"]]
    assert related(look_at(settings, clips[:6], EMBEDDED, plan)) == []  # no scenes known, no overlap
