from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.app import jobs, recipes, sweep_plan, sweeps
from ltx_wizard.core.documents import write_document
from ltx_wizard.core.events import EventWriter, Finished, Started, StepDone, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob
from ltx_wizard.ui.live import live_routes


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=live_routes()), raise_server_exceptions=False)


@pytest.fixture
def trained(project: Project) -> Project:
    """Two finished runs, of rank 8 and 16; the second is better."""
    project.change_settings(model="ltxv-2b-0.9.6-dev")
    recipes.save_recipe(project, Recipe(name="mine", steps=3))
    for rank, loss in ((8, 0.5), (16, 0.4)):
        recipe = with_settings(Recipe(title="Mine", model="ltxv-2b-0.9.6-dev"), {"lora.rank": rank})
        job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="f"), created=1)
        writer = EventWriter(JobFolder.create(project.runs_folder, "mine", job).events_file)
        writer.write(Started(pid=1, steps=1))
        writer.write(StepDone(step=1, steps=1, loss=1, learning_rate=1e-4, grad_norm=1, step_s=90))
        writer.write(Validated(step=1, loss=loss, fixed_set="a"))
        writer.write(Finished(step=1))
        writer.close()
    return project


def sweep_of(project: Project) -> None:
    axes = (sweep_plan.Axis(key="lora.rank", values=(8, 16, 32)),)
    runs = [run.name for run in jobs.runs(project)]
    entries = tuple(
        sweep_plan.Entry(values=(rank,), run=run) for rank, run in zip((8, 16, 32), [*runs, ""], strict=True)
    )
    made = sweep_plan.Sweep(created=1, axes=axes, recipe=Recipe(), entries=entries, state="stopped")
    write_document(project.folder / "sweeps" / "001" / "sweep.json", made)


def test_runs_are_listed_newest_first(client: TestClient, trained: Project) -> None:
    shown = client.get("/wizard/live/runs", params={"project": str(trained.folder)}).json()
    assert [run["name"] for run in shown["runs"]] == ["0002-mine", "0001-mine"]
    assert (shown["runs"][0]["best"], shown["runs"][0]["time"]) == ([1, 0.4], "1 min 30 s")
    assert shown["sweeps"] == []


def test_runs_are_compared_by_what_differs(client: TestClient, trained: Project) -> None:
    asked = {"project": str(trained.folder), "run": ["0001-mine", "0002-mine"]}
    shown = client.get("/wizard/live/runs/compare", params=asked).json()
    assert shown["differences"] == [{"title": "Rank", "values": ["8", "16"]}]
    assert shown["best"] == "0002-mine"


def test_a_run_that_is_not_there_is_no_comparison(client: TestClient, trained: Project) -> None:
    asked = {"project": str(trained.folder), "run": ["0001-mine", "../0002-mine/x"]}
    answer = client.get("/wizard/live/runs/compare", params=asked)
    assert answer.status_code == 422 and answer.json()["problem"]


def test_a_sweep_shows_its_runs_and_its_best(client: TestClient, trained: Project) -> None:
    sweep_of(trained)
    (shown,) = client.get("/wizard/live/runs", params={"project": str(trained.folder)}).json()["sweeps"]
    assert [entry["state"] for entry in shown["entries"]] == ["finished", "finished", "queued"]
    assert (shown["best"], shown["done"], shown["axes"]) == (
        "0002-mine", 2, [{"title": "Rank", "values": ["8", "16", "32"]}],
    )  # fmt: skip
    saved = client.post(
        "/wizard/live/sweep/do", json={"project": str(trained.folder), "do": "save", "name": "001"}
    ).json()
    assert [file["name"] for file in saved["files"]] == ["summary.csv", "summary.png"]


def test_a_damaged_sweep_hides_neither_the_runs_nor_the_other_sweeps(
    client: TestClient, trained: Project
) -> None:
    sweep_of(trained)
    damaged = trained.folder / "sweeps" / "002" / "sweep.json"
    damaged.parent.mkdir()
    damaged.write_text("{", encoding="utf-8")
    shown = client.get("/wizard/live/runs", params={"project": str(trained.folder)}).json()
    assert [run["name"] for run in shown["runs"]] == ["0002-mine", "0001-mine"]
    assert [sweep["name"] for sweep in shown["sweeps"]] == ["001"]


def test_the_form_proposes_values_around_the_recipe(client: TestClient, trained: Project) -> None:
    form = client.get("/wizard/live/sweep", params={"project": str(trained.folder)}).json()
    assert form["axes"] == [["lora.rank", "64, 128, 256"], ["optimizer.lr", "0.0001, 0.0002"]]
    assert {"key": "lora.rank", "title": "Rank", "hint": "1 to 512"} in form["settings"]
    planned = client.post(
        "/wizard/live/sweep/plan", json={"project": str(trained.folder), "axes": form["axes"]}
    ).json()
    assert planned["runs"] == 6


@pytest.mark.parametrize(
    "axes", ["x", [["lora.rank", "x"]], [["lora.rank"]], [], [[1, 2]], [["lora.rank", "0"]]]
)
def test_a_wish_that_makes_no_sense_is_refused_in_words(
    client: TestClient, trained: Project, axes: object
) -> None:
    answer = client.post("/wizard/live/sweep/plan", json={"project": str(trained.folder), "axes": axes})
    assert answer.status_code == 422 and answer.json()["problem"] and answer.json()["remedy"]


def test_a_sweep_that_cannot_start_says_so_and_leaves_nothing(client: TestClient, trained: Project) -> None:
    sent = {"project": str(trained.folder), "do": "start", "axes": [["lora.rank", "8 16"]]}
    answer = client.post("/wizard/live/sweep/do", json=sent)  # there are no clips
    assert answer.status_code == 422 and answer.json()["problem"]
    assert sweeps.names(trained) == []
