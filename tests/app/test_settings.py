from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ltx_wizard.app import settings
from ltx_wizard.core.errors import WizardError


def a_project(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "project.json").write_text("{}", encoding="utf-8")
    return folder


def test_nothing_is_remembered_at_first_and_looking_writes_nothing(home: Path) -> None:
    assert settings.recent_projects() == []
    assert not home.exists()


def test_the_newest_project_is_first_and_stands_once(tmp_path: Path) -> None:
    one, two = a_project(tmp_path / "one"), a_project(tmp_path / "two")
    for folder in (one, two, one):
        settings.remember_project(folder)
    assert settings.recent_projects() == [one, two]


def test_a_forgotten_project_keeps_its_folder(tmp_path: Path) -> None:
    one = a_project(tmp_path / "one")
    settings.remember_project(one)
    settings.forget_project(one)
    assert settings.recent_projects() == []
    assert (one / "project.json").is_file()


def test_twenty_are_remembered(tmp_path: Path) -> None:
    folders = [a_project(tmp_path / f"p{n}") for n in range(23)]
    for folder in folders:
        settings.remember_project(folder)
    assert settings.recent_projects() == folders[:2:-1]


@pytest.mark.parametrize("content", ["", "{", '{"recent_projects": 3}', '{"other": 1}'])
def test_damaged_settings_are_the_defaults_and_can_be_written_again(
    tmp_path: Path, home: Path, content: str
) -> None:
    home.mkdir()
    (home / "settings.json").write_text(content, encoding="utf-8")
    assert settings.recent_projects() == []
    one = a_project(tmp_path / "one")
    settings.remember_project(one)
    assert settings.recent_projects() == [one]


def test_two_windows_at_once_lose_nothing(tmp_path: Path) -> None:
    folders = [a_project(tmp_path / f"p{n}") for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(settings.remember_project, folders))
    assert sorted(settings.recent_projects()) == sorted(folders)


def test_a_home_that_is_a_file_is_said_in_words(home: Path) -> None:
    home.write_text("x", encoding="utf-8")
    with pytest.raises(WizardError) as caught:
        settings.remember_project(home / "p")
    assert str(home) in caught.value.problem
