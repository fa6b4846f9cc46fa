"""Export, without saying of which checkpoint: the one that the validation loss speaks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ltx_wizard.app import jobs
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
