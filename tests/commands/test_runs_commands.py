from __future__ import annotations

import json
from pathlib import Path

import pytest

from ltx_wizard import cli
from ltx_wizard.app import jobs, memory_plan, sweeps
from ltx_wizard.app.saved_recipes import save_recipe
from ltx_wizard.core.events import EventWriter, Finished, Started, StepDone, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def trained(project: Project) -> Project:
    """Two finished runs, of rank 8 and 16; the second is better."""
    for rank, loss in ((8, 0.5), (16, 0.4)):
        recipe = with_settings(Recipe(title="Mine", model="ltxv-2b-0.9.6-dev"), {"lora.rank": rank})
        job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="f"), created=1)
        train(JobFolder.create(project.runs_folder, "mine", job), loss)
    return project


def train(run: JobFolder, loss: float) -> None:
    writer = EventWriter(run.events_file)
    writer.write(Started(pid=1, steps=1))
    writer.write(StepDone(step=1, steps=1, loss=1, learning_rate=1e-4, grad_norm=1, step_s=90))
    writer.write(Validated(step=1, loss=loss, fixed_set="a"))
    writer.write(Finished(step=1))
    writer.close()


def run(capsys: pytest.CaptureFixture[str], project: Project, word: str, *more: str) -> tuple[int, str, str]:
    status = cli.main([word, "--project", str(project.folder), *more])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_runs_are_listed_and_compared(capsys: pytest.CaptureFixture[str], trained: Project) -> None:
    status, out, _ = run(capsys, trained, "runs")
    assert status == 0
    assert out.splitlines()[0] == (
        "0002-mine  Mine: finished, 1 of 1 steps, 1 min 30 s, validation loss 0.4000 at step 1"
    )
    _, out, _ = run(capsys, trained, "runs", "0001-mine", "0002-mine", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (told["best"], told["differences"]) == ("0002-mine", {"lora.rank": [8, 16]})


def test_a_plot_is_written_for_one_run_and_for_several(
    capsys: pytest.CaptureFixture[str], trained: Project, tmp_path: Path
) -> None:
    _, out, _ = run(capsys, trained, "plot", "--json")
    files = [Path(path) for path in json.loads(out.splitlines()[-1])["files"]]
    assert [path.name for path in files] == ["loss.png", "steps.csv", "validation.csv"]
    assert files[0].parent == trained.runs_folder / "0002-mine" / "plots"
    together = tmp_path / "both.png"
    assert run(capsys, trained, "plot", "0001-mine", "0002-mine", "--out", str(together))[0] == 0
    assert together.read_bytes().startswith(b"\x89PNG")


def test_a_sweep_trains_each_combination_and_names_the_best(
    capsys: pytest.CaptureFixture[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.change_settings(model="ltxv-2b-0.9.6-dev")
    save_recipe(project, Recipe(name="mine", steps=1))
    monkeypatch.setattr(jobs, "refuse_unready", lambda project: None)
    monkeypatch.setattr(jobs, "active_job", lambda project: None)
    monkeypatch.setattr(memory_plan, "refuse_unfit", lambda project, recipe: None)
    monkeypatch.setattr(jobs, "launch", lambda run: train(run, 0.3 if "32" in run.name else 0.5))
    status, out, _ = run(capsys, project, "sweep", "--vary", "lora.rank=16,32,64", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (status, told["state"], told["best"]) == (0, "done", "0002-rank-32")
    assert [entry["values"] for entry in told["runs"]] == [[16], [32], [64]]
    assert sweeps.names(project) == ["001"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("runs", "0009-none"), "no job in"),
        (("plot", "0009-none"), "no job in"),
        (("sweep",), "nothing to vary"),
        (("sweep", "--vary", "lora.rank"), "not of the form"),
        (("sweep", "--go-on"), "no sweep yet"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_remedy(
    capsys: pytest.CaptureFixture[str], trained: Project, words: tuple[str, ...], problem: str
) -> None:
    status, _, err = run(capsys, trained, *words)
    assert status == 1
    assert problem in err and "What to do" in err
