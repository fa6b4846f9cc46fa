"""The Lab as its page asks for it, and what its buttons do."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import add_trained_run, save_lora
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.core.project import Project
from ltx_wizard.ui.lab_live import page_json
from ltx_wizard.ui.live import live_routes


@pytest.fixture
def page() -> TestClient:
    return TestClient(Starlette(routes=live_routes()))


@pytest.fixture
def trained(project: Project) -> Project:
    add_trained_run(project)
    return project


def ask(page: TestClient, project: Project, stamp: str = "") -> dict:
    return page.get("/wizard/live/lab", params={"project": str(project.folder), "stamp": stamp}).json()


def do(page: TestClient, project: Project, what: str, status: int = 200, **more: object) -> dict:
    answer = page.post("/wizard/live/lab/do", json={"project": str(project.folder), "do": what, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_project_without_a_lora_says_how_to_get_one(page: TestClient, project: Project) -> None:
    assert "no LoRA to look at" in ask(page, project)["empty"]["problem"]


def test_the_page_gets_its_grid_once_and_then_only_what_happens(page: TestClient, trained: Project) -> None:
    first = ask(page, trained)
    assert [row["title"] for row in first["grid"]["rows"]] == ["step 10", "step 20"]
    assert [row["recommended"] for row in first["grid"]["rows"]] == [False, True]
    (pair,) = first["grid"]["pairs"]
    assert pair["prompt"] == "zib style. one"
    assert set(pair["cells"]) == {"|0"} | {
        f"{row['id']}|{strength}" for row in first["grid"]["rows"] for strength in ("0.55", "0.75", "1", "2")
    }
    assert {cell["state"] for cell in pair["cells"].values()} == {"waiting"}
    again = ask(page, trained, first["stamp"])
    assert set(again) == {"project", "stamp", "status"}
    assert again["stamp"] == first["stamp"]
    changed = do(page, trained, "choose", strengths=[1.25])
    assert changed["grid"]["strengths"] == [1.25]
    assert changed["stamp"] != first["stamp"]
    assert set(ask(page, trained, first["stamp"])) > {"grid", "tests"}


def test_a_bad_choice_is_answered_with_what_to_do(page: TestClient, trained: Project) -> None:
    answer = do(page, trained, "choose", 422, strengths=[9])
    assert "not between -4 and 4" in answer["problem"]
    assert answer["remedy"]
    assert "unknown" in do(page, trained, "fly", 422)["problem"]
    assert "No file was given" in do(page, trained, "bring_in", 422, path=" ")["problem"]
    assert "no LoRA" in do(page, trained, "keep", 422, lora="", strength=0)["problem"]


def test_a_file_is_brought_in_by_its_path_and_one_is_kept(
    page: TestClient, trained: Project, tmp_path: Path
) -> None:
    save_lora(tmp_path / "<b>mine.safetensors", 7)
    answer = do(page, trained, "bring_in", path=f'"{tmp_path / "<b>mine.safetensors"}"')
    (brought,) = answer["files"]
    assert brought["chosen"]
    assert brought["note"] == "rank 4, diffusers names"
    assert answer["told"].startswith("b-mine is in the grid")
    kept = do(page, trained, "keep", lora=answer["checkpoints"][0]["id"], strength=0.55)
    assert kept["kept"] == {"lora": answer["checkpoints"][0]["id"], "strength": 0.55}


def test_empty_and_repeated_prompts_are_left_out(page: TestClient, trained: Project) -> None:
    answer = do(page, trained, "choose", prompts=[" two ", "", "two", "{trigger} three"])
    assert [item["filled"] for item in answer["prompts"]] == ["two", "zib style. three"]


def test_a_damaged_lab_is_said_and_nothing_is_lost(page: TestClient, trained: Project) -> None:
    do(page, trained, "choose", strengths=[1])
    file = trained.folder / "lab" / "lab.json"
    whole = file.read_text()
    file.write_text(whole[:100])
    answer = page.get("/wizard/live/lab", params={"project": str(trained.folder)})
    assert answer.status_code == 422
    assert "lab.json is damaged" in answer.json()["problem"]
    assert file.read_text() == whole[:100]
    file.write_text(whole)
    assert page_json(trained)["strengths"] == [0.0, 1.0]
