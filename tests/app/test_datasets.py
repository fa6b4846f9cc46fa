from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.app import datasets, recipes, workbench
from ltx_wizard.core.errors import BadDocument, NotFound
from ltx_wizard.core.project import Goal, Project, TriggerPlacement
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob
from ltx_wizard.dataset.cutting import run_cut


def kept(project: Project) -> list[tuple[int, int, bool]]:
    source = datasets.sources(project)[0]
    return [
        (item.start_frame, item.end_frame, item.keep) for item in datasets.scenes(project)[source.id].scenes
    ]


def test_a_new_project_has_nothing_and_says_so(project: Project) -> None:
    assert datasets.sources(project) == datasets.clips(project) == datasets.rejected(project) == []
    assert datasets.planned_clips(project) == 0
    assert [finding.level for finding in datasets.check(project)] == ["must"]


def test_scenes_are_split_merged_and_left_out(filmed: Project) -> None:
    source = datasets.sources(filmed)[0].id
    datasets.split_scene(filmed, source, 0, at_s=1.5)
    assert kept(filmed) == [(0, 12, True), (12, 24, True), (24, 48, True)]
    datasets.merge_scene(filmed, source, 1)
    assert kept(filmed) == [(0, 12, True), (12, 48, True)]
    datasets.toggle_scene(filmed, source, 0)
    assert kept(filmed)[0] == (0, 12, False)
    assert datasets.scenes(filmed)[source].detector == "edited"


def test_the_plan_is_what_cutting_leaves(filmed: Project) -> None:
    planned = datasets.planned_clips(filmed)
    run_cut(filmed, CutJob(), SilentReport())
    assert planned == len(datasets.clips(filmed)) == 2


def test_editing_scenes_of_a_video_without_any_is_refused(project: Project) -> None:
    with pytest.raises(NotFound, match="no scenes yet"):
        datasets.merge_scene(project, "none", 0)


def test_broken_files_are_listed_and_can_be_cleared(project: Project, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    report = datasets.import_paths(project, [tmp_path / "bad.mp4"])
    assert [item.name for item in report.rejected] == ["bad.mp4"]
    assert [item.name for item in datasets.rejected(project)] == ["bad.mp4"]
    datasets.clear_rejected(project)
    assert datasets.rejected(project) == []
    assert (tmp_path / "bad.mp4").exists()


def test_a_folder_that_does_not_exist_cannot_be_imported(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        datasets.import_folder(project, tmp_path / "nowhere")


def as_trained(project: Project) -> str:
    """The first caption as the window shows it to be trained."""
    return workbench.read(project).rows[0].trained


def test_regularisation_clips_are_trained_without_the_trigger_word(filmed: Project) -> None:
    filmed.change_settings(trigger_word="zorbi")
    run_cut(filmed, CutJob(), SilentReport())
    clip = workbench.save(filmed, datasets.clips(filmed)[0].id, "A dog\nruns.")
    assert as_trained(filmed) == "zorbi A dog runs."
    filmed.change_settings(trigger_placement=TriggerPlacement.LAST)
    assert as_trained(filmed) == "A dog runs. zorbi"
    datasets.set_regularisation(filmed, clip.source_id, True)
    assert as_trained(filmed) == "A dog runs."


def test_replacing_can_be_previewed(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    clip = workbench.save(filmed, datasets.clips(filmed)[0].id, "A dog runs.")
    assert workbench.preview_replace(filmed, [clip.id], "dog", "cat", regex=False) == [
        (clip.id, "A dog runs.", "A cat runs.")
    ]
    assert datasets.clips(filmed)[0].caption == "A dog runs."
    workbench.replace_all(filmed, [clip.id], "dog", "cat", regex=False)
    assert datasets.clips(filmed)[0].caption == "A cat runs."


def test_the_practice_model_is_meant_until_one_is_chosen(project: Project) -> None:
    assert datasets.model_spec(project).id == "embedded"
    project.change_settings(model="ltxv-13b-0.9.7-dev")
    assert datasets.model_spec(project).id == "ltxv-13b-0.9.7-dev"
    assert datasets.model_spec(project) in datasets.models()


def test_clips_are_planned_at_the_sizes_of_the_recipe(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    assert set(datasets.bucket_plan(filmed).assignment.values()) == {"192x192x17"}
    recipes.change_setting(filmed, "data.buckets", ("128x64x9",))
    assert set(datasets.bucket_plan(filmed).assignment.values()) == {"128x64x9"}


def test_a_damaged_recipe_is_said_and_not_replaced(project: Project) -> None:
    project.recipe_file.write_text('{"steps": "many", "stepz": 1}', encoding="utf-8")
    with pytest.raises(BadDocument) as caught:
        recipes.current_recipe(project)
    assert "steps" in caught.value.problem and "stepz: unknown setting" in caught.value.problem
    assert "many" in project.recipe_file.read_text(encoding="utf-8")


def test_pictures_are_made_once_and_a_missing_one_is_no_error(filmed: Project) -> None:
    source = datasets.sources(filmed)[0]
    picture = datasets.source_thumbnail(filmed, source)
    assert picture is not None and picture.read_bytes()[:2] == b"\xff\xd8"
    made_at = picture.stat().st_mtime_ns
    assert datasets.source_thumbnail(filmed, source) == picture
    assert picture.stat().st_mtime_ns == made_at
    scene = datasets.scenes(filmed)[source.id].scenes[1]
    assert datasets.scene_thumbnail(filmed, source.id, scene) != picture
    assert (
        datasets.source_thumbnail(filmed, source.model_copy(update={"file": "gone.mp4", "id": "g"})) is None
    )


def test_removing_a_video_takes_its_clips_along(filmed: Project, make_video: Callable[..., Path]) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    datasets.remove_clip(filmed, datasets.clips(filmed)[0].id)
    assert len(datasets.clips(filmed)) == 1
    datasets.remove_source(filmed, datasets.sources(filmed)[0].id)
    assert datasets.sources(filmed) == datasets.clips(filmed) == []
    assert datasets.scenes(filmed) == {}


@pytest.mark.parametrize("goal", list(Goal))
def test_every_goal_says_how_many_clips_it_wants(goal: Goal) -> None:
    fewest, enough, words = datasets.wanted_clips(goal)
    assert 0 < fewest < enough
    assert str(fewest) in words
