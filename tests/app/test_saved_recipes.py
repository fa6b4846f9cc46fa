from __future__ import annotations

import pytest

from ltx_wizard.app import recipes
from ltx_wizard.app.saved_recipes import kept_for_another, save_recipe, saved_recipe
from ltx_wizard.core.errors import NoPermission, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe

SMALL = "ltxv-2b-0.9.6-dev"


def test_a_recipe_made_by_hand_comes_back_with_its_model(project: Project) -> None:
    recipes.change_setting(project, "lora.rank", 77)
    project.change_settings(model=SMALL)
    assert kept_for_another(project) == "Practice model (comes with the app)"
    recipes.change_setting(project, "steps", 555)
    assert kept_for_another(project) == ""
    project.change_settings(model="embedded")
    assert recipes.current_recipe(project).lora.rank == 77
    recipes.change_setting(project, "lora.rank", 78)
    project.change_settings(model=SMALL)
    assert recipes.current_recipe(project).steps == 555
    project.change_settings(model="embedded")
    assert recipes.current_recipe(project).lora.rank == 78
    recipes.change_setting(project, "lora.rank", 77)
    project.change_settings(model=SMALL)
    assert recipes.current_recipe(project).steps == 555


def test_a_preset_drops_the_changes_of_its_own_model_only(project: Project) -> None:
    recipes.change_setting(project, "lora.rank", 77)
    project.change_settings(model=SMALL)
    recipes.change_setting(project, "steps", 555)
    project.change_settings(model="embedded")
    name = recipes.preset_cards(project)[0].preset.name
    assert recipes.choose_preset(project, name).lora.rank != 77
    assert recipes.current_recipe(project).lora.rank != 77
    project.change_settings(model=SMALL)
    assert recipes.current_recipe(project).steps == 555


def test_a_preset_replaces_a_damaged_recipe(project: Project) -> None:
    project.recipe_file.write_text("{", encoding="utf-8")
    name = recipes.preset_cards(project)[0].preset.name
    assert recipes.choose_preset(project, name).name == name


def test_the_recipe_of_a_model_of_ones_own_waits_under_its_name(project: Project) -> None:
    save_recipe(project, Recipe(model="/models/my LTX: 13B.safetensors", steps=7))
    assert kept_for_another(project) == "/models/my LTX: 13B.safetensors"  # it is not there any more
    recipes.change_setting(project, "steps", 8)
    waiting = list(project.recipe_file_of("").parent.iterdir())
    assert [file.name[:21] for file in waiting] == ["my-LTX-13B.safetensor"]


def test_a_recipe_is_never_gone_while_another_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes.change_setting(project, "lora.rank", 77)

    def full(*_: object) -> None:
        raise NoPermission("The disk is full.", "Free some space.")

    monkeypatch.setattr("ltx_wizard.app.saved_recipes.write_recipe", full)
    with pytest.raises(WizardError):
        recipes.change_setting(project, "lora.rank", 78)
    kept = saved_recipe(project)
    assert kept is not None and kept.lora.rank == 77
