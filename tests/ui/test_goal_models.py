"""The choice of a base model: what its cards offer, and what becomes of a model of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from model_files import original_transformer, write_header_only, write_pipeline

from ltx_wizard.app import datasets, projects, system
from ltx_wizard.app.system import Gpu
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.ui.steps import goal_models
from ltx_wizard.ui.steps.goal_models import model_cards, proposed_model


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return projects.create_project("Cat", Goal.STYLE, folder=tmp_path / "cat")


def with_card(monkeypatch: pytest.MonkeyPatch, vram_gib: float | None) -> None:
    card = None if vram_gib is None else Gpu("RTX", vram_gib, 0.0, 40, "1")
    monkeypatch.setattr(system, "first_gpu", lambda: card)


def test_only_models_that_can_be_trained_can_be_chosen() -> None:
    cards = model_cards("embedded", saved=True)
    for spec in datasets.models():
        assert (f'value="{spec.id}"' in cards) == spec.trainable
        assert spec.title in cards
    assert cards.count("not for training") == 4


def test_the_chosen_model_shows_the_way_to_its_download_which_is_further_down() -> None:
    assert model_cards("ltxv-2b-0.9.6-dev", saved=True).count('data-show="#wz-download"') == 1
    assert "data-show" not in model_cards("ltxv-2b-0.9.6-dev", saved=False)  # no project yet
    assert "data-show" not in model_cards("embedded", saved=True)


def test_a_fold_is_open_where_the_chosen_model_is_in_it() -> None:
    assert "<details open" not in model_cards("embedded", saved=True).replace(' class="wz-more-models"', "")
    assert 'class="wz-more-models" open' in model_cards("ltxv-2b-0.9.1", saved=True)


@pytest.mark.parametrize(
    ("vram_gib", "model"),
    [
        (None, "embedded"),
        (8.0, "ltxv-2b-0.9.6-dev"),
        (12.0, "ltxv-2b-0.9.6-dev"),
        (15.9, "ltxv-13b-0.9.7-dev"),
        (23.6, "ltxv-13b-0.9.7-dev"),
        (79.6, "ltxv-13b-0.9.7-dev"),
    ],
)
def test_the_model_that_the_card_holds_is_proposed(
    monkeypatch: pytest.MonkeyPatch, vram_gib: float | None, model: str
) -> None:
    with_card(monkeypatch, vram_gib)
    assert proposed_model() == model


def test_a_model_of_ones_own_is_recognised_and_the_project_uses_it(project: Project, tmp_path: Path) -> None:
    file = write_header_only(tmp_path / "ltxv-13b-0.9.7-dev.safetensors", original_transformer("13b"))
    cards, result = goal_models.use_own(str(project.folder), f'"{file}"')
    assert "LTX-Video 13B 0.9.7, single file without video encoder." in result
    assert project.read_settings().model == str(file)
    assert f'value="{file}" checked' in str(cards)


def test_before_there_is_a_project_it_is_only_chosen(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "practice"))
    cards, result = goal_models.use_own("", str(folder))
    assert "the practice model, diffusers folder" in result
    assert f'value="{folder}" checked' in str(cards)
    assert "data-change" not in str(cards)


def test_what_cannot_be_trained_is_refused_and_the_choice_stays(project: Project, tmp_path: Path) -> None:
    distilled = write_header_only(
        tmp_path / "ltxv-2b-0.9.8-distilled.safetensors", original_transformer("2b")
    )
    lora = write_header_only(tmp_path / "lora.safetensors", {"a.lora_A.weight": (8, 8)})
    for model, words in [
        (distilled, "cannot be trained well"),
        (lora, "is a LoRA, not a model"),
        ("", "No model was given"),
    ]:
        _, result = goal_models.use_own(str(project.folder), str(model))
        assert words in result
        assert 'role="alert"' in result
    assert project.read_settings().model == ""


def test_a_chosen_file_that_is_gone_says_so_and_others_can_be_chosen(tmp_path: Path) -> None:
    cards = model_cards(str(tmp_path / "gone.safetensors"), saved=True)
    assert "There is no file" in cards
    assert "cannot be used" in cards
    assert 'value="ltxv-13b-0.9.7-dev"' in cards


def test_a_folder_that_lacks_parts_says_what_is_to_be_downloaded(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "ltxv-2b-0.9.6-dev", "2b", "0.9.5")
    cards, _ = goal_models.use_own("", str(folder))
    assert "The text encoder to download" in str(cards)
    shutil.rmtree(folder / "vae")
    cards, _ = goal_models.use_own("", str(folder))
    assert "2.3 GB to download, and the text encoder" in str(cards)


def test_a_folder_of_which_a_file_is_missing_is_refused_at_once(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "mine"))
    (folder / "text_encoder" / "model.safetensors").unlink()
    _, said = goal_models.use_own("", str(folder))
    assert "mine is not complete: its text encoder has no .safetensors file" in said
