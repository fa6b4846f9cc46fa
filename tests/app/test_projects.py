from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ltx_wizard.app import datasets, projects, recipes, workbench
from ltx_wizard.core import places
from ltx_wizard.core.errors import BadInput, NoPermission, NotFound, WizardError
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob
from ltx_wizard.dataset.cutting import run_cut


def test_a_new_project_is_a_folder_named_after_it_among_the_users_projects(home: Path) -> None:
    project = projects.create_project("My cat, running!", Goal.MOTION, " zorbi ", "embedded")
    assert project.folder == (home / "projects" / "My-cat-running").resolve()
    settings = Project.open(project.folder).read_settings()
    assert (settings.name, settings.goal) == ("My cat, running!", Goal.MOTION)
    assert (settings.trigger_word, settings.model) == ("zorbi", "embedded")


def test_two_projects_of_one_name_get_two_folders() -> None:
    first = projects.create_project("Cat", Goal.STYLE)
    second = projects.create_project("Cat", Goal.STYLE)
    assert (first.folder.name, second.folder.name) == ("Cat", "Cat-2")


@pytest.mark.parametrize("name", ["", "   ", "\n\t", "x" * 81])
def test_a_name_that_is_empty_or_too_long_is_refused(home: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        projects.create_project(name, Goal.STYLE)
    assert caught.value.remedy
    assert not (home / "projects").exists()


@pytest.mark.parametrize("name", ["../../up", "a/b\\c", "..", "🐈 'cat' \"x\"", "CON", "Ünïcödé"])
def test_a_strange_name_is_kept_as_a_name_and_never_becomes_a_path(home: Path, name: str) -> None:
    project = projects.create_project(name, Goal.STYLE)
    assert project.folder.parent == (home / "projects").resolve()
    assert project.read_settings().name == name


def test_a_folder_that_is_a_project_is_not_taken_again(tmp_path: Path) -> None:
    projects.create_project("One", Goal.STYLE, folder=tmp_path / "here")
    with pytest.raises(BadInput, match="already a project"):
        projects.create_project("Two", Goal.STYLE, folder=tmp_path / "here")
    assert Project.open(tmp_path / "here").read_settings().name == "One"


def test_an_unknown_model_is_refused_before_anything_is_made(home: Path) -> None:
    with pytest.raises(NotFound, match="no model"):
        projects.create_project("Cat", Goal.STYLE, model="ltx-99")
    assert not (home / "projects").exists()


def test_a_folder_that_is_no_project_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not an LTX Wizard project"):
        projects.open_project(tmp_path)
    with pytest.raises(NotFound, match="ltx-wizard new"):
        projects.project_in(tmp_path)


def test_recent_projects_are_listed_newest_first_with_their_clips(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    datasets.clip_thumbnail(filmed, datasets.clips(filmed)[0])
    projects.open_project(filmed.folder)
    projects.create_project("Second", Goal.CHARACTER)
    second, first = projects.recent()
    assert (second.name, second.goal, second.clips, second.thumbnail) == (
        "Second", Goal.CHARACTER, 0, None,
    )  # fmt: skip
    assert (first.name, first.clips) == ("Test", 2)
    assert first.thumbnail is not None and first.thumbnail.is_file()
    assert time.time() - first.last_opened_s < 60
    projects.open_project(filmed.folder)
    assert [card.name for card in projects.recent()] == ["Test", "Second"]


def test_a_project_that_is_gone_or_damaged_is_left_out_of_the_list() -> None:
    kept, gone, damaged = (projects.create_project(name, Goal.STYLE) for name in ("Kept", "Gone", "Damaged"))
    gone.settings_file.unlink()
    damaged.settings_file.write_text("{", encoding="utf-8")
    assert [card.folder for card in projects.recent()] == [kept.folder]


def test_renaming_changes_the_name_and_not_the_folder(project: Project) -> None:
    projects.rename_project(project, "  New   name ")
    assert Project.open(project.folder).read_settings().name == "New name"
    with pytest.raises(BadInput):
        projects.rename_project(project, " ")
    assert project.read_settings().name == "New name"


def test_a_duplicate_has_the_dataset_and_not_the_runs(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    clips = datasets.clips(filmed)
    workbench.save(filmed, clips[0].id, "A caption.")
    recipes.change_setting(filmed, "steps", 9)
    (filmed.runs_folder / "0001-a").mkdir(parents=True)
    filmed.exports_folder.mkdir()
    copy = projects.duplicate_project(filmed, "Copy")
    assert (copy.read_settings().name, filmed.read_settings().name) == ("Copy", "Test")
    assert [clip.id for clip in datasets.clips(copy)] == [clip.id for clip in clips]
    assert datasets.clips(copy)[0].caption == "A caption."
    assert all(copy.path(clip.file).is_file() for clip in clips)
    assert recipes.current_recipe(copy).steps == 9
    assert not copy.runs_folder.exists() and not copy.exports_folder.exists()
    workbench.save(copy, clips[0].id, "Changed in the copy.")
    assert datasets.clips(filmed)[0].caption == "A caption."


def test_a_duplicate_that_fails_leaves_nothing_behind(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(projects.shutil, "copytree", full)
    with pytest.raises(WizardError, match="full"):
        projects.duplicate_project(project, "Copy")
    assert sorted(path.name for path in project.folder.parent.iterdir()) == ["project"]


def test_a_place_that_may_not_be_written_is_said_in_words(
    tmp_path: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with without_rights(), pytest.raises(NoPermission):
        projects.create_project("Cat", Goal.STYLE, folder=locked / "cat")
    assert list(locked.iterdir()) == []


def test_a_proposed_trigger_word_is_a_made_up_word_that_stays_the_same() -> None:
    words = [projects.propose_trigger(name) for name in ("My cat", "My dog", "", "日本")]
    assert all(len(word) == 7 and word.isalpha() and word.islower() for word in words)
    assert words[0] == projects.propose_trigger("My cat") != words[1]


@pytest.mark.skipif(not (places.SAMPLE_PROJECT / "sample.json").is_file(), reason="needs assets/sample")
def test_the_sample_project_is_ready_to_be_cut_and_offers_its_preset() -> None:
    project = projects.create_sample_project()
    guide = projects.read_sample_guide()
    sources = datasets.sources(project)
    assert {source.regularisation for source in sources} == {True, False}
    assert datasets.rejected(project) == []
    assert datasets.model_spec(project).id == guide.model
    recipe = recipes.current_recipe(project)
    assert recipe.name == guide.preset
    assert recipe.validation.prompts == tuple(prompt.text for prompt in guide.prompts[:2])


def test_a_model_of_ones_own_is_kept_as_a_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(places.EMBEDDED_MODEL, tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    project = projects.create_project("Cat", Goal.STYLE, model="models/mine", folder=tmp_path / "p")
    assert project.read_settings().model == str(tmp_path / "models" / "mine")
