from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ltx_wizard.core.errors import BadDocument, BadInput, NoPermission, NotFound, WizardError
from ltx_wizard.core.project import (
    Goal,
    Project,
    ProjectSettings,
    TriggerPlacement,
    has_trigger,
    safe_file_stem,
    trained_caption,
)

ODD_NAMES = (
    "with spaces",
    'it\'s "quoted"',
    "emoji 👩‍👩‍👧 🎬",
    "<b>bold</b> & more",
    "日本語",
    "x" * 80,
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_project_opens_as_it_was_made(tmp_path: Path, name: str) -> None:
    made = Project.create(tmp_path / "a project", ProjectSettings(name=name, goal=Goal.MOTION))
    settings = Project.open(tmp_path / "a project").read_settings()
    assert (settings.name, settings.goal) == (name, Goal.MOTION)
    assert settings == made.read_settings()


@pytest.mark.parametrize("folder", [*ODD_NAMES[:5], "y" * 200])
def test_a_project_lives_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    Project.create(tmp_path / folder.replace("/", "-"), ProjectSettings(name="Test"))
    assert Project.open(tmp_path / folder.replace("/", "-")).read_settings().name == "Test"


def test_a_copied_project_is_whole_elsewhere(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.folder, tmp_path / "other" / "place")
    copy = Project.open(tmp_path / "other" / "place")
    assert copy.read_settings() == project.read_settings()
    assert str(tmp_path) not in copy.settings_file.read_text()


def test_a_second_project_never_replaces_the_first(project: Project) -> None:
    with pytest.raises(BadInput, match="already a project"):
        Project.create(project.folder, ProjectSettings(name="Second"))
    assert project.read_settings().name == "Test"


def test_a_folder_that_is_no_project_says_so(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotFound, match=r"project\.json"):
            Project.open(folder)


def test_a_project_in_a_folder_without_permission_says_so(
    project: Project, tmp_path: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    project.folder.chmod(0)
    try:
        with without_rights(), pytest.raises(NoPermission):
            Project.open(project.folder)
        with without_rights(), pytest.raises(NoPermission):
            Project.create(project.folder, ProjectSettings(name="Second"))
    finally:
        project.folder.chmod(0o755)


def test_a_damaged_project_is_refused_when_it_is_opened(project: Project) -> None:
    project.settings_file.write_text(project.settings_file.read_text()[:-20])
    with pytest.raises(BadDocument, match="damaged"):
        Project.open(project.folder)


def test_a_name_too_long_for_the_disk_is_explained(tmp_path: Path) -> None:
    for act in (Project.open, lambda folder: Project.create(folder, ProjectSettings(name="Test"))):
        with pytest.raises(WizardError):
            act(tmp_path / ("z" * 300))


def test_changed_settings_are_checked_as_a_whole(project: Project) -> None:
    project.change_settings(trigger_word="blorp", goal=Goal.CHARACTER)
    assert project.read_settings().trigger_word == "blorp"
    with pytest.raises(BadDocument) as caught:
        project.change_settings(name="", goal="dance", colour="red")
    assert all(key in caught.value.problem for key in ("name", "goal", "colour"))
    assert project.read_settings().trigger_word == "blorp"


@pytest.mark.parametrize(
    "relative", ["../other.mp4", "/etc/passwd", "clips/../../x.mp4", "..", "clips/../../project2/x.mp4"]
)
def test_paths_that_lead_outside_are_refused(project: Project, relative: str) -> None:
    (project.folder.parent / "project2").mkdir()
    with pytest.raises(BadInput, match="outside"):
        project.path(relative)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_links_that_lead_outside_are_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_text("")
    (project.folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (project.folder / "folder").symlink_to(tmp_path)
    for relative in ("link.mp4", "folder/secret.mp4"):
        with pytest.raises(BadInput, match="outside"):
            project.path(relative)


@pytest.mark.parametrize("relative", ["clips/a.mp4", "clips/a b 👍.mp4", "clips/../clips/a.mp4", "x"])
def test_paths_inside_come_back_with_forward_slashes(project: Project, relative: str) -> None:
    path = project.path(relative)
    assert path.is_relative_to(project.folder)
    assert project.relative(path) == relative.replace("clips/../", "")


def test_a_path_with_a_null_character_is_refused(project: Project) -> None:
    with pytest.raises(BadInput):
        project.path("clips/a\0.mp4")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("My Holiday", "My-Holiday"),
        ('it\'s "quoted"', "it-s-quoted"),
        ("emoji 👩‍👩‍👧 🎬", "emoji"),
        ("🎬", "unnamed"),
        ("", "unnamed"),
        ("...", "unnamed"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\0b\nc", "a-b-c"),
        (".hidden", "hidden"),
        ("日本", "unnamed"),
        ("v1.5_final-2", "v1.5_final-2"),
    ],
)
def test_any_name_becomes_a_safe_stem(name: str, stem: str) -> None:
    assert safe_file_stem(name) == stem


def test_a_name_of_200_characters_is_shortened_and_stays_safe() -> None:
    assert safe_file_stem("a" * 200) == "a" * 60
    assert safe_file_stem("a" * 59 + "." + "b" * 140) == "a" * 59
    assert len(safe_file_stem("a b" * 200, longest=20)) <= 20


@pytest.mark.parametrize("name", ["CON", "con", "nul.txt", "COM1", "lpt9.tar.gz", "AUX", "prn"])
def test_names_that_windows_keeps_for_devices_are_not_used(name: str) -> None:
    assert safe_file_stem(name).split(".")[0].upper() not in {"CON", "NUL", "COM1", "LPT9", "AUX", "PRN"}


@pytest.mark.parametrize(
    ("caption", "trigger", "placement", "trained"),
    [
        ("A dog runs.", "blorp", TriggerPlacement.FIRST, "blorp A dog runs."),
        ("A dog runs.", "blorp", TriggerPlacement.LAST, "A dog runs. blorp"),
        ("A dog runs.", "blorp", TriggerPlacement.NONE, "A dog runs."),
        ("A dog runs.", "", TriggerPlacement.FIRST, "A dog runs."),
        ("A dog runs.", "   ", TriggerPlacement.FIRST, "A dog runs."),
        ("A Blorp dog runs.", "blorp", TriggerPlacement.FIRST, "A Blorp dog runs."),
        ("A blorping dog.", "blorp", TriggerPlacement.FIRST, "blorp A blorping dog."),
        ("  A dog\nruns.\r\n\tFar. ", "blorp", TriggerPlacement.FIRST, "blorp A dog runs. Far."),
        ("", "blorp", TriggerPlacement.FIRST, "blorp"),
        ("", "blorp", TriggerPlacement.LAST, "blorp"),
        ("", "blorp", TriggerPlacement.NONE, ""),
        ("<b>dog</b>", "blorp", TriggerPlacement.FIRST, "blorp <b>dog</b>"),
    ],
)
def test_the_trigger_word_stands_in_its_place_once(
    caption: str, trigger: str, placement: TriggerPlacement, trained: str
) -> None:
    assert trained_caption(caption, trigger, placement) == trained
    again = trained_caption(trained, trigger, placement)
    assert again == trained


@pytest.mark.parametrize(
    ("caption", "trigger", "found"),
    [
        ("blorp runs", "blorp", True),
        ("A BLORP.", "blorp", True),
        ("blorp, a dog", "blorp,", True),
        ("in the style of blorp art", "blorp art", True),
        ("blorps run", "blorp", False),
        ("xblorp", "blorp", False),
        ("a (c++) dog", "(c++)", True),
        ("a dog", "", False),
        ("a dog", "...", False),
        ("ein Größenwahn", "größe", False),
        ("犬 blorp 犬", "blorp", True),
    ],
)
def test_the_trigger_is_a_word_in_any_case(caption: str, trigger: str, found: bool) -> None:
    assert has_trigger(caption, trigger) is found


def test_project_json_is_readable_by_people(project: Project) -> None:
    text = project.settings_file.read_text()
    assert text.count("\n") > 10
    assert json.loads(text)["schema_version"] == 1
