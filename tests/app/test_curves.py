from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from ltx_wizard.app.curves import curves_of, smooth, smoothing_of
from ltx_wizard.core.events import Event, EventWriter, SampleReady, Started, StepDone, Stopped, Validated
from ltx_wizard.core.run import JobFolder


@pytest.fixture
def run(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "run")


def step(number: int, loss: float = 0.5) -> StepDone:
    return StepDone(
        step=number, steps=100, loss=loss, learning_rate=1e-4, grad_norm=2, step_s=0.5, time=number
    )


def sample(number: int) -> SampleReady:
    return SampleReady(step=number, prompt_index=0, prompt="a", seed=1, file="samples/a.mp4")


def write(run: JobFolder, *events: Event) -> None:
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)
    writer.close()


def test_a_run_without_events_has_empty_curves(run: JobFolder) -> None:
    curves = curves_of(run)
    assert (len(curves.steps), curves.points("loss"), curves.validations) == (0, [], [])


def test_what_is_added_later_is_added_to_the_same_curves(run: JobFolder) -> None:
    write(run, Started(pid=1, steps=100), step(1), Validated(step=1, loss=0.4))
    first = curves_of(run)
    assert first.points("loss") == [(1, 0.5)]
    write(run, step(2, 0.25), sample(2))
    second = curves_of(run)
    assert second is first and second.generation == 1
    assert second.points("loss") == [(1, 0.5), (2, 0.25)]
    assert second.points("time") == [(1, 1), (2, 2)]
    assert (second.validation_points(), [item.step for item in second.samples]) == ([(1, 0.4)], [2])
    assert second.others.steps == 100


def test_a_line_that_is_not_whole_yet_waits(run: JobFolder) -> None:
    write(run, step(1))
    whole = step(2).model_dump_json() + "\n"
    with run.events_file.open("a") as file:
        file.write(whole[:40])
    assert list(curves_of(run).steps) == [1]
    with run.events_file.open("a") as file:
        file.write(whole[40:] + "{torn\n")
    assert list(curves_of(run).steps) == [1, 2]


def test_a_run_that_goes_on_from_a_checkpoint_forgets_what_came_after_it(run: JobFolder) -> None:
    write(run, Started(pid=1, steps=100), *map(step, range(1, 6)), Validated(step=4, loss=1), sample(5))
    generation = curves_of(run).generation
    write(run, Stopped(step=5), Started(pid=2, step=5, steps=100))
    assert curves_of(run).generation == generation  # nothing was lost
    write(run, Started(pid=2, step=3, steps=100), step(4, 0.1))
    curves = curves_of(run)
    assert curves.generation == generation + 1
    assert curves.points("loss")[2:] == [(3, 0.5), (4, 0.1)]
    assert (curves.validations, curves.samples) == ([], [])


def test_a_step_that_comes_again_replaces_the_later_ones(run: JobFolder) -> None:
    write(run, *map(step, range(1, 6)), step(3, 0.1))
    assert curves_of(run).points("loss")[-2:] == [(2, 0.5), (3, 0.1)]


def test_losses_that_are_no_numbers_are_kept_and_not_drawn(run: JobFolder) -> None:
    write(run, step(1), step(2, math.nan), step(3, math.inf))
    curves = curves_of(run)
    assert list(curves.steps) == [1, 2, 3]
    assert curves.points("loss") == [(1, 0.5)]


def test_another_file_at_the_same_place_is_read_anew(run: JobFolder) -> None:
    write(run, *map(step, range(1, 6)))
    assert len(curves_of(run).steps) == 5
    run.events_file.unlink()
    write(run, step(1, 0.1))
    assert curves_of(run).points("loss") == [(1, 0.1)]


def test_only_what_is_new_of_a_long_run_is_read(run: JobFolder) -> None:
    write(run, *map(step, range(1, 20_001)))
    began = time.process_time()
    curves_of(run)
    whole = time.process_time() - began
    took: list[float] = []
    for number in range(20_001, 20_006):
        write(run, step(number))
        began = time.process_time()
        assert len(curves_of(run).steps) == number
        took.append(time.process_time() - began)
    assert min(took) < whole / 20


def test_smoothing_starts_at_the_first_loss_and_follows_slowly() -> None:
    assert smooth([(1, 4.0)], 50) == [(1, 4.0)]
    assert smooth([(1, 4.0), (2, 0.0)], steps=2)[1][1] == pytest.approx(4 / 3)
    assert smooth([(n, 0.7) for n in range(100)], 50)[-1][1] == pytest.approx(0.7)


def test_new_points_do_not_change_smoothed_ones() -> None:
    points = [(n, float(n % 7)) for n in range(60)]
    assert smooth(points, 50)[:30] == smooth(points[:30], 50)


def test_a_short_run_is_smoothed_less() -> None:
    assert [smoothing_of(steps) for steps in (24, 400, 1500, 100_000)] == [5, 20, 50, 50]
