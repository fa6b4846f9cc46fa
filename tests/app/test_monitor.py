from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from ltx_wizard.app import monitor
from ltx_wizard.app.advisor import Advice, Mark
from ltx_wizard.core.events import (
    CheckpointSaved,
    Event,
    EventWriter,
    Failed,
    Progress,
    SampleReady,
    SettingChanged,
    Started,
    StepDone,
    Validated,
    Warned,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import Job, JobFolder, JobState, JobStatus, TrainJob
from ltx_wizard.ui.steps.train_data import Had, run_json


def step(number: int, loss: float, steps: int = 100) -> StepDone:
    return StepDone(
        step=number, steps=steps, loss=loss, learning_rate=1e-4, grad_norm=1, step_s=0.5, memory_gib=3.25
    )


def noisy(values: list[float], spread: float = 0.05) -> list[float]:
    """These losses with noise that is the same in every test."""
    draw = random.Random(3)
    return [value + draw.gauss(0, spread) for value in values]


@pytest.fixture
def run(project: Project) -> JobFolder:
    settings = TrainJob(recipe=Recipe(steps=100), dataset_fingerprint="f")
    return JobFolder.create(project.runs_folder, "test", Job(settings=settings, created=time.time()))


def write(run: JobFolder, *events: Event) -> None:
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)
    writer.close()


def test_a_run_that_has_not_begun_knows_its_length_from_its_recipe(project: Project, run: JobFolder) -> None:
    view = monitor.run_view(project, run)
    assert (view.state, view.step, view.steps, view.fraction) == (JobState.WAITING, 0, 100, 0.0)
    assert view.now == "Starting"
    assert view.health.startswith("Too early")


def test_a_view_holds_what_the_events_say(project: Project, run: JobFolder) -> None:
    run.checkpoint_folder(40).mkdir(parents=True)
    write(
        run,
        Started(pid=1, step=0, steps=100),
        Validated(step=0, loss=0.9),
        SampleReady(step=0, prompt_index=1, prompt="b", seed=42, file="samples/step-000000-prompt-1.mp4"),
        SampleReady(step=0, prompt_index=0, prompt="a", seed=42, file="samples/step-000000-prompt-0.mp4"),
        *[step(n, 1 / n) for n in range(1, 41)],
        CheckpointSaved(step=20, file="checkpoints/step-000020"),
        CheckpointSaved(step=40, file="checkpoints/step-000040"),
        Warned(message="one clip is left out"),
        SettingChanged(setting="batch", value="1", reason="memory"),
        Failed(problem="It broke.", remedy="Mend it.", step=40),
    )
    view = monitor.run_view(project, run)
    assert (view.state, view.step, view.fraction) == (JobState.FAILED, 40, 0.4)
    assert view.curves.points("loss")[0] == (1, 1.0) and len(view.curves.steps) == 40
    assert view.curves.validation_points() == [(0, 0.9)]
    assert (view.learning_rate, view.step_s, view.memory_gib) == (1e-4, 0.5, 3.25)
    assert [sample.prompt for sample in view.curves.samples] == ["b", "a"]
    shown = monitor.sample_view(run, view.curves.samples[1])
    assert shown.path == run.folder / "samples/step-000000-prompt-0.mp4"
    assert view.checkpoints == ((40, run.checkpoint_folder(40)),)  # the one of step 20 was deleted
    assert view.warnings == ("one clip is left out",)
    assert view.changes[0].setting == "batch"
    assert (view.problem, view.remedy, view.now) == ("It broke.", "Mend it.", "Failed")
    assert view.seconds_left == 0


def test_the_page_can_send_every_view_as_json(project: Project, run: JobFolder) -> None:
    write(run, Started(pid=1, steps=100), step(1, 0.5), step(2, float("nan")), Validated(step=2, loss=0.4))
    sent = json.dumps(run_json(project, run, Had()), allow_nan=False)
    assert json.loads(sent)["rows"]["loss"] == [0.5, None]


def test_a_running_training_says_how_long_it_takes_and_what_it_does(project: Project, run: JobFolder) -> None:
    write(run, Started(pid=1, steps=100), *[step(n, 0.5) for n in range(1, 41)])
    view = monitor.run_view(project, run)
    assert view.state is JobState.RUNNING  # job.json is seconds old: its worker may still be starting
    assert (view.seconds_left, view.now) == (30.0, "Training")


def test_what_the_advisor_says_first_is_the_health(
    project: Project, run: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def advise(
        status: JobStatus, recipe: Recipe, clips: int, losses: list[tuple[int, float]]
    ) -> list[Advice]:
        asked.append(len(losses))
        return [Advice("a", "warning", "It copies its clips", "Seen.", marks=(Mark("loss", 1, 2, "here"),))]

    monkeypatch.setattr(monitor, "advise", advise)
    write(run, Started(pid=1, steps=100), *[step(n, 0.5) for n in range(1, 41)])
    assert monitor.run_view(project, run).health == "It copies its clips."
    write(run, step(41, 0.5))
    sent = run_json(project, run, Had())
    assert sent["advice"][0]["marks"][0]["label"] == "here"  # pyright: ignore
    assert asked == [40]  # it reads the whole run: not each second


def test_a_stage_is_told_with_its_progress(project: Project, run: JobFolder) -> None:
    write(run, Started(pid=1, steps=100), Progress(stage="Encoding clips", done=3, total=12))
    assert monitor.run_view(project, run).now == "Encoding clips: 3 of 12"


def test_falling_flat_and_rising_losses_are_told_apart() -> None:
    assert "falling" in monitor.health(noisy([1 - n / 250 for n in range(200)]), [])
    assert "level" in monitor.health(noisy([0.5] * 200), [])
    assert "rising" in monitor.health(noisy([0.3 + n / 250 for n in range(200)]), [])


def test_a_loss_that_fell_long_ago_is_flat_now() -> None:
    losses = noisy([1.0] * 100 + [0.4] * 300)
    assert monitor.health(losses, []).startswith("The training loss is level now")
    assert monitor.health(losses, [(0, 1.554), (400, 0.278)]).startswith(
        "Its loss on clips that it never trains on went from 1.554 to 0.278. The training loss is level now"
    )


def test_a_loss_that_is_not_a_number_is_said_first() -> None:
    losses = [*noisy([0.5] * 50), float("nan")]
    assert "not a number" in monitor.health(losses, [])


def test_few_steps_say_nothing_yet() -> None:
    assert "Too early" in monitor.health(noisy([1.0] * 19), [])


def test_the_tail_of_a_log_is_its_last_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("".join(f"line {n}\n" for n in range(200_000)), encoding="utf-8")
    tail = monitor.log_tail(log).splitlines()
    assert len(tail) == 60
    assert (tail[0], tail[-1]) == ("line 199940", "line 199999")
    assert monitor.log_tail(tmp_path / "none.log") == ""


def test_a_log_of_one_endless_line_shows_its_end(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("x" * 100_000 + "end", encoding="utf-8")
    assert monitor.log_tail(log).endswith("end")
    assert len(monitor.log_tail(log)) < 20_000


def test_a_run_of_thousands_of_steps_is_cheap_to_look_at(project: Project, run: JobFolder) -> None:
    write(run, Started(pid=1, steps=5000), *[step(n, 0.5, 5000) for n in range(1, 5001)])
    monitor.run_view(project, run)  # reads the events, once
    began = time.process_time()
    for _ in range(5):
        monitor.run_view(project, run)
    assert (time.process_time() - began) / 5 < 0.25
