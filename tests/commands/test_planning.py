from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltx_wizard.app import memory_plan
from ltx_wizard.cli import main
from ltx_wizard.commands import planning
from ltx_wizard.core.project import Project

LARGE = "ltxv-13b-0.9.7-dev"


@pytest.fixture(autouse=True)
def no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(planning, "first_gpu", lambda: None)
    monkeypatch.setattr(memory_plan, "first_gpu", lambda: None)


def ask(project: Project, *words: str) -> int:
    return main(["plan", "--project", str(project.folder), *words])


def test_the_plan_names_every_phase_and_changes_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change_settings(model=LARGE)
    status = ask(project, "--card", "24", "--set", "memory.quantization=fp8-quanto", "--json")
    captured = capsys.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    assert status == 0
    assert answer["verdict"] == "fits"
    assert {"text", "clips", "load", "training"} <= set(answer["phases"])
    assert answer["peak_gib"] == max(answer["phases"].values())
    assert "Fits: " in captured.err
    assert "Encoding captions:" in captured.err
    assert not project.recipe_file.exists()


def test_what_a_card_cannot_hold_ends_with_one_and_names_the_remedy(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change_settings(model=LARGE)
    whole = ("--set", "memory.quantization=none", "--set", "memory.offload=none")
    status = ask(project, "--card", "24", *whole, "--json")
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status == 1
    assert answer["verdict"] == "unfit"
    assert answer["remedy"]
    assert answer["remedy_gib"] < 24


def test_a_preset_can_be_asked_about_without_choosing_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change_settings(model=LARGE)
    status = ask(project, "--preset", "ltxv-13b-lora-standard", "--json")
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, answer["recipe"], answer["verdict"]) == (0, "ltxv-13b-lora-standard", "no_card")
    assert project.read_settings().recipe != "ltxv-13b-lora-standard"


def test_an_unknown_preset_is_named_with_those_that_there_are(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    status = ask(project, "--preset", "nonsense")
    assert status == 1
    assert "practice-style" in capsys.readouterr().err


def test_the_practice_model_needs_no_card(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    status = ask(project)
    out = capsys.readouterr().out
    assert status == 0
    assert "No graphics card needed" in out
    assert "Encoding captions" not in out


@pytest.mark.parametrize("size", ["0", "-8", "nan", "inf", "many"])
def test_what_is_no_size_of_a_card_is_refused(
    size: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        ask(project, "--card", size)
    assert left.value.code == 2
    assert "--card" in capsys.readouterr().err


def test_a_recipe_that_no_computer_trains_ends_with_one_and_says_why(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(project, "--set", "validation.width=500") == 1
    captured = capsys.readouterr()
    assert "no samples with a width of 500" in captured.err
    assert "Set validation.width to 512" in captured.err
    assert "\n\n" not in captured.out
