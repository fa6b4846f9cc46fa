from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ltx_wizard.app import jobs
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import Event, StepDone, Validated, Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, TrackerSettings, with_settings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import JobFolder
from ltx_wizard.training import trackers
from ltx_wizard.training.trackers import flat_settings, refuse_missing, tracked

_FAKE = """
import json
from pathlib import Path

class Run:
    def log(self, values, step=None):
        write(["log", step, values])
        if values.get("train/loss") == 666:
            raise ConnectionError("the network is gone")
    def finish(self):
        write(["finish"])

class Settings:
    def update(self, values, allow_val_change=False):
        write(["config", values["lora.rank"], values["lora.target_modules"]])

def write(line):
    with Path(__file__).with_suffix(".jsonl").open("a") as file:
        file.write(json.dumps(line) + chr(10))

def init(**given):
    write(["init", given])
    return Run()

config = Settings()
"""
"""The part of W&B's and trackio's interface that accelerate calls; it writes down what it is told."""


@pytest.fixture(params=["wandb", "trackio"])
def package(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    (tmp_path / "packages").mkdir()
    file = tmp_path / "packages" / f"{request.param}.py"
    file.write_text(_FAKE)
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    yield request.param, file.with_suffix(".jsonl")
    sys.modules.pop(request.param, None)


def step(number: int, loss: float) -> StepDone:
    return StepDone(step=number, steps=9, loss=loss, learning_rate=1e-4, grad_norm=2, step_s=0.5)


def run_with(folder: Path, settings: dict[str, object], *events: Event) -> list[Event]:
    """What ends up in the run's own events."""
    job, report = JobFolder(folder / "project" / "runs" / "0001-a"), SilentReport()
    job.folder.mkdir(parents=True, exist_ok=True)
    recipe = with_settings(Recipe(), {f"trackers.{key}": value for key, value in settings.items()})
    with tracked(report, job, recipe) as heard:
        for event in events:
            heard.emit(event)
    return report.events


def test_a_tracker_hears_the_settings_and_every_number(tmp_path: Path, package: tuple[str, Path]) -> None:
    name, log = package
    events: list[Event] = [
        step(1, 0.5),
        Validated(step=1, loss=0.4, bands={"0.2": 0.1}),
        step(2, float("nan")),
    ]
    assert run_with(tmp_path, {name: True, "project": "cats"}, *events) == events
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert (told[0][0], told[0][1]["project"], told[0][1]["resume"]) == ("init", "cats", "allow")
    assert told[1] == ["config", 128, "to_q to_k to_v to_out.0"]
    assert told[2][1] == 1 and told[2][2]["train/loss"] == 0.5
    assert told[3] == ["log", 1, {"validation/loss": 0.4, "validation/loss_at_0.2": 0.1}]
    assert "train/loss" not in told[4][2] and told[4][2]["train/grad_norm"] == 2  # not a number: a gap
    assert told[-1] == ["finish"]
    if name == "wandb":
        assert told[0][1]["mode"] == "offline"
        assert told[0][1]["dir"] == str(tmp_path / "project/runs/0001-a/trackers")


def test_a_tracker_that_fails_is_let_go_of_and_the_training_goes_on(
    tmp_path: Path, package: tuple[str, Path]
) -> None:
    name, log = package
    events = run_with(tmp_path, {name: True}, step(1, 666), step(2, 0.5), step(3, 0.4))
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2, 3]
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert "the network is gone" in warned.message and "goes on" in warned.message
    assert sum(json.loads(line)[0] == "log" for line in log.read_text().splitlines()) == 1


def test_tensorboard_gets_its_files_in_the_folder_of_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import (  # pyright: ignore[reportMissingImports]
        EventAccumulator,
    )

    run_with(tmp_path, {"tensorboard": True}, step(1, 0.5), step(2, 0.25))
    read = EventAccumulator(str(tmp_path / "project/runs/0001-a/trackers/tensorboard"))
    read.Reload()
    assert [(item.step, item.value) for item in read.Scalars("train/loss")] == [(1, 0.5), (2, 0.25)]


def test_without_trackers_the_report_is_left_as_it_is(tmp_path: Path) -> None:
    report = SilentReport()
    with tracked(report, JobFolder(tmp_path), Recipe()) as heard:
        assert heard is report
    assert not (tmp_path / "trackers").exists()


def test_a_package_that_is_not_installed_is_said_before_the_start(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)  # pyright: ignore
    refuse_missing(TrackerSettings())
    recipe = with_settings(Recipe(), {"trackers.tensorboard": True, "trackers.wandb": True})
    with pytest.raises(NotReady) as refused:
        jobs.training_job(project, recipe)
    assert "TensorBoard and Weights & Biases" in refused.value.problem
    assert "pip install tensorboard wandb" in refused.value.remedy
    assert not project.runs_folder.exists()


def test_settings_are_plain_values() -> None:
    values = flat_settings(Recipe())
    assert values["optimizer.lr"] == 2e-4
    assert all(isinstance(value, (str, int, float, bool)) for value in values.values())
