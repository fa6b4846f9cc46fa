from __future__ import annotations

import pytest

from ltx_wizard.app.sweep_time import SweepRun, sweep_time_left
from ltx_wizard.core.events import (
    LOADING_MODEL,
    Event,
    EventWriter,
    Finished,
    Progress,
    SampleReady,
    Started,
    StepDone,
    Validated,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob

ENCODING_S, LOADING_S, STEP_S, SAMPLE_S, VALIDATION_S = 300.0, 40.0, 2.0, 30.0, 5.0
RECIPE = with_settings(
    Recipe(),
    {
        "steps": 30,
        "validation.prompts": ("a", "b"),
        "validation.every": 20,
        "validation.loss_every": 10,
        "checkpoints.every": 20,
    },
)
RUN_S = LOADING_S + 30 * STEP_S + 3 * 2 * SAMPLE_S + 4 * VALIDATION_S
"""A whole run whose clips are encoded already: samples before the first step, at 20 and at the end."""


def trained(
    project: Project, recipe: Recipe, until: int, encoding_s: float = 0.0, pace: float = 1.0
) -> JobFolder:
    """A run that tells what it does at the times at which it would."""
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="f"), created=1)
    run = JobFolder.create(project.runs_folder, "run", job)
    now = 1000.0
    events: list[Event] = [Started(pid=1, steps=recipe.steps, time=now)]
    now += encoding_s
    events.append(Progress(stage=LOADING_MODEL, done=0, total=1, time=now))
    now += LOADING_S
    for step in range(until + 1):
        if step:
            now += STEP_S * pace
            done = StepDone(
                step=step, steps=recipe.steps, loss=1, learning_rate=1, grad_norm=1, step_s=STEP_S * pace
            )
            events.append(done.model_copy(update={"time": now}))
        if step % 10 == 0:
            now += VALIDATION_S
            events.append(Validated(step=step, loss=1.0, time=now))
        for index in range(2 if step % 20 == 0 or step == recipe.steps else 0):
            now += SAMPLE_S
            events.append(
                SampleReady(step=step, prompt_index=index, prompt="a", seed=1, file="a.mp4", time=now)
            )
    if until == recipe.steps:
        events.append(Finished(step=until, time=now))
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)
    writer.close()
    return run


def seconds(*runs: SweepRun) -> float:
    left = sweep_time_left(runs)
    assert left is not None
    return left.seconds


def queued(recipe: Recipe) -> SweepRun:
    return SweepRun(recipe, None, 0, True)


def test_a_queued_run_counts_samples_validations_and_loading_and_clips_are_encoded_once(
    project: Project,
) -> None:
    other = with_settings(RECIPE, {"optimizer.lr": 1e-5})
    first = SweepRun(RECIPE, trained(project, RECIPE, 30, ENCODING_S), 30, False)
    assert seconds(first, queued(other), queued(other)) == pytest.approx(2 * RUN_S)
    second = SweepRun(other, trained(project, other, 30, encoding_s=4), 30, False)
    assert seconds(first, second, queued(other)) == pytest.approx(RUN_S + 4)


def test_clips_that_must_be_encoded_anew_count_again(project: Project) -> None:
    mirrored = with_settings(RECIPE, {"data.mirror": "safe"})
    first = SweepRun(RECIPE, trained(project, RECIPE, 30, ENCODING_S), 30, False)
    assert seconds(first, queued(mirrored)) == pytest.approx(RUN_S + ENCODING_S)


def test_the_run_at_work_counts_what_is_left_of_it_with_samples_as_in_runs_before(project: Project) -> None:
    first = SweepRun(RECIPE, trained(project, RECIPE, 30, ENCODING_S), 30, False)
    other = with_settings(RECIPE, {"optimizer.lr": 1e-5})
    at_work = SweepRun(other, trained(project, other, 5), 5, True)
    left = 25 * STEP_S + 2 * 2 * SAMPLE_S + 3 * VALIDATION_S
    assert seconds(first, at_work) == pytest.approx(left)


def test_a_run_takes_as_long_as_the_one_most_like_it_and_longer_with_more_clips_in_a_step(
    project: Project,
) -> None:
    slow = with_settings(RECIPE, {"lora.rank": 256, "lora.alpha": 256})
    measured = [
        SweepRun(RECIPE, trained(project, RECIPE, 30), 30, False),
        SweepRun(slow, trained(project, slow, 30, pace=3), 30, False),
    ]
    assert seconds(*measured, queued(slow)) == pytest.approx(RUN_S + 2 * 30 * STEP_S)
    double = with_settings(RECIPE, {"data.gradient_accumulation_steps": 2})
    assert seconds(*measured, queued(double)) == pytest.approx(RUN_S + 30 * STEP_S)


def test_what_was_not_seen_is_not_named_and_before_a_step_nothing_is_said(project: Project) -> None:
    assert sweep_time_left([queued(RECIPE)]) is None
    begun = SweepRun(RECIPE, trained(project, RECIPE, 0), 0, True)
    assert sweep_time_left([begun, queued(RECIPE)]) is None
    silent = with_settings(RECIPE, {"validation.prompts": ()})
    left = sweep_time_left([SweepRun(silent, trained(project, silent, 5), 5, True), queued(silent)])
    assert left is not None
    assert left.source == "as measured in 1 run of this sweep: steps, loading"
    done = SweepRun(RECIPE, trained(project, RECIPE, 30), 30, False)
    assert sweep_time_left([done]) is None
    running = sweep_time_left([done, begun])
    assert running is not None
    assert running.source == (
        "as measured in 1 run of this sweep: steps, samples, validation and checkpoints, loading"
    )
