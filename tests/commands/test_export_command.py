"""Export, without saying of which checkpoint: the one that the validation loss speaks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up import add_trained_run, save_lora

from ltx_wizard.app import exports, jobs, lab
from ltx_wizard.cli import main
from ltx_wizard.commands import training
from ltx_wizard.core.events import EventWriter, Started, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import Job, JobFolder, JobStatus, TrainJob
from ltx_wizard.ui.steps.export import checkpoint_choices

RUN = "0001-mine"


@pytest.fixture
def trained(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A run whose validation loss is lowest at step 200 of 400."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    job = Job(settings=TrainJob(recipe=Recipe(), dataset_fingerprint="f"), created=1)
    run = JobFolder.create(project.runs_folder, "mine", job)
    writer = EventWriter(run.events_file)
    writer.write(Started(pid=1, steps=400))
    for step, loss in ((0, 1.0), (100, 0.7), (200, 0.5), (300, 0.6), (400, 0.8)):
        writer.write(Validated(step=step, loss=loss))
    writer.close()
    for step in (100, 200, 400):
        run.checkpoint_folder(step).mkdir(parents=True)
    return project


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that were exported; nothing is written."""
    steps: list[int] = []

    def start(_project: Project, _run: str, step: int, _name: str, _strength: float) -> None:
        steps.append(step)

    result: dict[str, Any] = {"lora": "a.safetensors", "lora_comfyui": "b.safetensors"}
    monkeypatch.setattr(jobs, "start_export", start)
    monkeypatch.setattr(training, "follow", lambda *_given: JobStatus(result=result))
    return steps


def test_the_command_takes_the_recommended_checkpoint_and_says_why(
    trained: Project, exported: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--project", str(trained.folder), "--json"]) == 0
    shown = capsys.readouterr()
    assert exported == [200]
    assert json.loads(shown.out.splitlines()[-1])["step"] == 200
    assert "Taking the checkpoint of step 200. Its loss on clips kept out of training" in shown.err


def test_a_step_that_was_named_is_taken(trained: Project, exported: list[int]) -> None:
    assert main(["export", "--project", str(trained.folder), "--step", "400"]) == 0
    assert exported == [400]


def test_the_step_export_names_what_is_on_disk_and_proposes_the_recommended_one(trained: Project) -> None:
    choices, proposed = checkpoint_choices(trained, RUN)
    assert choices == [("step 400 (last)", 400), ("step 200 (recommended)", 200), ("step 100", 100)]
    assert proposed is not None and proposed.step == 200


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, exported: list[int]) -> list[tuple[str, str, float]]:
    """File, name and strength of what was made elsewhere and exported."""
    del exported
    found: list[tuple[str, str, float]] = []

    def start(_project: Project, file: Path, name: str, strength: float, _spec: object = None) -> None:
        found.append((file.name, name, strength))

    monkeypatch.setattr(exports, "start_of_file", start)
    return found


def test_a_file_made_elsewhere_is_exported_under_its_own_name(
    trained: Project, converted: list[tuple[str, str, float]], tmp_path: Path
) -> None:
    made = save_lora(tmp_path / "neon.safetensors", 1)
    assert main(["export", "--project", str(trained.folder), "--lora", str(made)]) == 0
    assert main(["export", "--project", str(trained.folder), "--lora", str(made), "--name", "rain"]) == 0
    assert converted == [("neon.safetensors", "neon", 1.0), ("neon.safetensors", "rain", 1.0)]


def test_without_a_choice_the_one_that_was_kept_in_the_lab_is_exported(
    project: Project,
    exported: list[int],
    converted: list[tuple[str, str, float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    run = add_trained_run(project)
    lora = lab.bring_in(project, save_lora(tmp_path / "neon.safetensors", 1))
    lab.keep(project, lora.id, 0.75)
    assert main(["export", "--project", str(project.folder)]) == 0
    assert converted == [("neon.safetensors", "neon", 0.75)]
    assert "Taking what was kept in the Lab: neon at 0.75." in capsys.readouterr().out

    lab.keep(project, f"{run.name}@10", 0.5)
    assert main(["export", "--project", str(project.folder)]) == 0
    assert exported == [10]
    assert main(["export", "--project", str(project.folder), "--step", "20"]) == 0
    assert exported == [10, 20]


def test_a_file_for_another_model_is_refused_before_a_job_starts(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    add_trained_run(project)
    other = tmp_path / "flux.safetensors"
    other.write_bytes(b"no safetensors")
    assert main(["export", "--project", str(project.folder), "--lora", str(other)]) != 0
    assert "flux.safetensors" in capsys.readouterr().err
    assert not project.jobs_folder.is_dir() or not list(project.jobs_folder.iterdir())


def test_a_strength_that_cannot_be_folded_in_is_refused(
    trained: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = save_lora(tmp_path / "neon.safetensors", 1)
    command = ["export", "--project", str(trained.folder), "--lora", str(made), "--strength", "-1"]
    assert main(command) != 0
    assert "A strength of -1 cannot be folded" in capsys.readouterr().err
