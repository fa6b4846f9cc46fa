from __future__ import annotations

import time

import pytest

from ltx_wizard.app import time_left
from ltx_wizard.app.curves import Curves, curves_of
from ltx_wizard.core.events import Event, EventWriter, Progress, SampleReady, Started, StepDone, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob
from ltx_wizard.core.units import duration_text
from ltx_wizard.ui.live import job_json

STEP_S, SAMPLE_S, VALIDATION_S, STEPS = 2.0, 30.0, 5.0, 100
RECIPE = with_settings(
    Recipe(),
    {
        "steps": STEPS,
        "validation.prompts": ("a", "b"),
        "validation.every": 20,
        "validation.loss_every": 10,
        "checkpoints.every": 20,
    },
)


class Clock:
    """A training as it tells itself, at the times at which it would."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events: list[Event] = [Started(pid=1, steps=STEPS, time=self.now)]

    def look(self, step: int, samples: int = 2) -> None:
        if step % 10 == 0:
            self.now += VALIDATION_S
            self.events.append(Validated(step=step, loss=1.0, time=self.now))
        for index in range(samples if step % 20 == 0 else 0):
            self.now += SAMPLE_S
            file = f"{step}-{index}.mp4"
            self.events.append(
                SampleReady(step=step, prompt_index=index, prompt="a", seed=1, file=file, time=self.now)
            )

    def train(self, step: int) -> None:
        self.now += STEP_S
        self.events.append(
            StepDone(
                step=step, steps=STEPS, loss=1, learning_rate=1, grad_norm=1, step_s=STEP_S, time=self.now
            )
        )

    def until(self, step: int, samples: int = 2) -> Clock:
        """samples: of the last step."""
        self.look(0)
        for number in range(1, step + 1):
            self.train(number)
            self.look(number, samples if number == step else 2)
        return self

    def curves(self) -> Curves:
        curves = Curves()
        curves.add([event.model_dump_json().encode() for event in self.events])
        return curves


def whole_run() -> float:
    return Clock().until(STEPS).now


@pytest.mark.parametrize("step", [1, 10, 19, 20, 21, 55, 80, 99, 100])
def test_what_is_left_is_what_a_run_of_even_pace_then_takes(step: int) -> None:
    so_far = Clock().until(step)
    expected = whole_run() - so_far.now
    if step < 10:  # no validation was timed yet: that before the first step began with everything else
        expected -= 10 * VALIDATION_S
    left = time_left.training_seconds_left(so_far.curves(), RECIPE, step, STEPS)
    assert left == pytest.approx(expected)


def test_a_round_of_samples_that_is_half_made_counts_for_its_other_half() -> None:
    halfway = Clock().until(40, samples=1)
    left = time_left.training_seconds_left(halfway.curves(), RECIPE, 40, STEPS)
    assert left == pytest.approx(whole_run() - halfway.now)


def test_a_stop_in_the_middle_of_one_round_does_not_count_for_all() -> None:
    clock = Clock().until(60)
    late = next(place for place, event in enumerate(clock.events) if getattr(event, "file", "") == "20-1.mp4")
    for place in range(late, len(clock.events)):
        moved = clock.events[place].time + 86_400
        clock.events[place] = clock.events[place].model_copy(update={"time": moved})
    left = time_left.training_seconds_left(clock.curves(), RECIPE, 60, STEPS)
    assert left == pytest.approx(whole_run() - Clock().until(60).now)


def test_before_the_first_step_nothing_is_said_and_without_a_recipe_steps_count_alone() -> None:
    assert time_left.training_seconds_left(Clock().until(0).curves(), RECIPE, 0, STEPS) == 0
    assert time_left.training_seconds_left(Clock().until(60).curves(), None, 60, STEPS) == 40 * STEP_S
    silent = with_settings(RECIPE, {"validation.prompts": ()})
    left = time_left.training_seconds_left(Clock().until(60).curves(), silent, 60, STEPS)
    assert left == pytest.approx(40 * STEP_S + 4 * VALIDATION_S)


def test_the_side_of_the_window_says_the_same_while_samples_are_made_and_nothing_before(
    project: Project,
) -> None:
    job = Job(settings=TrainJob(recipe=RECIPE, dataset_fingerprint="f"), created=time.time())
    run = JobFolder.create(project.runs_folder, "test", job)
    clock = Clock().until(40)
    sampling = Progress(stage="Making samples", done=1, total=80, time=clock.now)
    left = time_left.training_seconds_left(clock.curves(), RECIPE, 40, STEPS)
    writer = EventWriter(run.events_file)
    encoding = Progress(stage="Encoding clips", done=1, total=40, time=1030.0)
    for event in (clock.events[0], encoding):
        writer.write(event)
    assert job_json(run)["left"] == ""
    for event in (*clock.events[1:], sampling):
        writer.write(event)
    writer.close()
    assert left > 60
    assert job_json(run)["left"] == f"{duration_text(left)} left"
    assert curves_of(run).steps[-1] == 40
