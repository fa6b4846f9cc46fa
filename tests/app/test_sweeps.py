from __future__ import annotations

import time

import pytest
from made_up import captioned_clips

from ltx_wizard.app import jobs, memory_plan, sweep_plan, sweeps
from ltx_wizard.app.saved_recipes import save_recipe
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import BadSetting, Busy, NotFound, NotReady
from ltx_wizard.core.events import EventWriter, Failed, Finished, Started, StepDone, Stopped, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import Job, JobFolder, TrainJob

TWO_BY_TWO = (("lora.rank", "8, 16"), ("optimizer.lr", "0.0001 0.0002"))


class Workers:
    """Stands in for the worker processes: writes what they would, when the test says so."""

    def __init__(self) -> None:
        self.launched: list[JobFolder] = []

    def launch(self, run: JobFolder) -> None:
        self.launched.append(run)

    def end(self, kind: str = "finished", loss: float = 0.5) -> None:
        """The run that was launched last trains three steps and ends so. 'dies': without a word."""
        run = self.launched[-1]
        recipe = run.read_job().settings
        assert isinstance(recipe, TrainJob)
        writer = EventWriter(run.events_file)
        writer.write(Started(pid=1, steps=recipe.recipe.steps))
        for number in range(1, 4):
            writer.write(
                StepDone(step=number, steps=3, loss=1 / number, learning_rate=1e-4, grad_norm=1, step_s=2)
            )
        writer.write(Validated(step=3, loss=loss, fixed_set="a"))
        if kind == "finished":
            writer.write(Finished(step=3))
        elif kind == "stopped":
            writer.write(Stopped(step=3))
        elif kind == "failed":
            writer.write(Failed(problem="It broke.", remedy="Mend it.", step=3))
        writer.close()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """No process is started; a run that has not ended is over thirty seconds old."""
    made = Workers()
    monkeypatch.setattr(jobs, "launch", made.launch)
    monkeypatch.setattr(jobs, "active_job", lambda project: None)
    return made


@pytest.fixture
def ready(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose dataset may be trained."""
    project.change_settings(model="ltxv-2b-0.9.6-dev")
    write_lines(project.clips_file, captioned_clips(4))
    save_recipe(project, Recipe(name="mine", steps=3))
    monkeypatch.setattr(jobs, "refuse_unready", lambda project: None)
    monkeypatch.setattr(memory_plan, "refuse_unfit", lambda project, recipe: None)
    return project


def begin(project: Project, asked: tuple[tuple[str, str], ...] = TWO_BY_TWO) -> str:
    return sweeps.start(project, sweep_plan.parse_axes(asked))


def forget_the_start(project: Project, name: str) -> None:
    """As if the run that was started last had been started long ago."""
    sweep = sweeps._read(project, name)  # pyright: ignore[reportPrivateUsage]
    entries = tuple(entry.model_copy(update={"begun": entry.begun - 100}) for entry in sweep.entries)
    sweeps._write(project, name, sweep.model_copy(update={"entries": entries}))  # pyright: ignore[reportPrivateUsage]


def test_runs_follow_one_another_and_the_best_is_marked(ready: Project, workers: Workers) -> None:
    name = begin(ready)
    for loss in (0.5, 0.3, 0.4, 0.6):
        assert sweeps.advance(ready)
        workers.end(loss=loss)
    assert not sweeps.advance(ready)
    shown = sweeps.view(ready, name)
    assert shown.sweep.state == "done" and shown.done == 4
    assert [entry.values for entry in shown.entries] == [(8, 1e-4), (8, 2e-4), (16, 1e-4), (16, 2e-4)]
    assert shown.best == shown.entries[1].run == "0002-rank-8-lr-0.0002"
    trained = [job for run in jobs.runs(ready) if isinstance(job := run.read_job().settings, TrainJob)]
    assert [job.recipe.lora.rank for job in trained] == [8, 8, 16, 16]
    assert [job.recipe.lora.alpha for job in trained] == [8, 8, 16, 16]  # it follows the rank
    table = (ready.folder / "sweeps" / name / "summary.csv").read_text().splitlines()
    assert table[2].startswith("8,0.0002,0002-rank-8-lr-0.0002,finished,3,0.3,3,") and table[2].endswith(
        "yes"
    )
    assert (ready.folder / "sweeps" / name / "summary.png").is_file()


def test_while_a_run_goes_on_no_other_begins(ready: Project, workers: Workers) -> None:
    begin(ready)
    for _ in range(3):
        assert sweeps.advance(ready)
    assert len(workers.launched) == 1


def test_a_restart_of_the_app_goes_on_where_it_was(ready: Project, workers: Workers) -> None:
    """Nothing is kept in memory: what the next app finds is on disk."""
    begin(ready)
    workers.end()
    assert sweeps.active_sweep(Project(ready.folder)) == "001"
    sweeps.advance(Project(ready.folder))
    assert [run.name for run in workers.launched] == ["0001-rank-8-lr-0.0001", "0002-rank-8-lr-0.0002"]


def test_a_run_that_died_goes_on_once_and_then_counts_as_failed(ready: Project, workers: Workers) -> None:
    name = begin(ready)
    workers.end("dies")
    age(workers.launched[-1])
    forget_the_start(ready, name)
    sweeps.advance(ready)
    assert [run.name for run in workers.launched] == ["0001-rank-8-lr-0.0001"] * 2  # the same run again
    forget_the_start(ready, name)
    age(workers.launched[-1])
    sweeps.advance(ready)
    assert workers.launched[-1].name == "0002-rank-8-lr-0.0002"


def test_two_failures_in_a_row_end_a_sweep_with_the_reason(ready: Project, workers: Workers) -> None:
    name = begin(ready)
    workers.end("failed")
    assert sweeps.advance(ready)
    workers.end("failed")
    assert not sweeps.advance(ready)
    shown = sweeps.view(ready, name)
    assert shown.sweep.state == "stopped" and "It broke." in shown.sweep.note
    assert len(workers.launched) == 2


def test_a_stopped_sweep_starts_nothing_and_goes_on_with_the_run_that_was_stopped(
    ready: Project, workers: Workers
) -> None:
    name = begin(ready)
    sweeps.stop(ready, name)
    workers.end("stopped")
    assert workers.launched[0].stop_file.exists()
    assert not sweeps.advance(ready)
    assert len(workers.launched) == 1
    sweeps.go_on(ready, name)
    assert [run.name for run in workers.launched] == ["0001-rank-8-lr-0.0001"] * 2
    sweeps.advance(ready)  # the end that is still the last event is the old one
    assert len(workers.launched) == 2


def test_a_second_sweep_waits_for_the_first(ready: Project, workers: Workers) -> None:
    begin(ready)
    with pytest.raises(Busy):
        begin(ready)
    assert sweeps.names(ready) == ["001"]


def test_a_run_that_cannot_start_stops_the_sweep_in_words(
    ready: Project, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = begin(ready)
    workers.end()

    def gone(project: Project) -> None:
        raise NotReady(problem="The clips are gone.", remedy="Cut them again.")

    monkeypatch.setattr(jobs, "refuse_unready", gone)
    assert not sweeps.advance(ready)
    assert "The clips are gone. Cut them again." in sweeps.view(ready, name).sweep.note


def test_another_job_of_the_project_goes_first(
    ready: Project, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(ready)
    workers.end()
    monkeypatch.setattr(jobs, "active_job", lambda project: workers.launched[0])
    assert sweeps.advance(ready)
    assert len(workers.launched) == 1


def test_the_time_left_is_from_what_steps_of_this_sweep_took(ready: Project, workers: Workers) -> None:
    name = begin(ready)
    assert sweeps.view(ready, name).seconds_left is None
    workers.end()
    shown = sweeps.view(ready, name)
    assert shown.seconds_left == pytest.approx(3 * 3 * 2, abs=0.5)
    assert shown.left_source.startswith("as measured in 1 run of this sweep: steps")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], "nothing to vary"),
        ([("lora.rank", " ")], "nothing to vary"),
        ([("lora.rank", "8, many")], "not a number"),
        ([("lora.ranks", "8")], "cannot be varied"),
        ([("validation.prompts", "8")], "cannot be varied"),
        ([("lora.rank", "8"), ("lora.rank", "16")], "twice"),
        ([("data.first_frame_share", "0.1"), ("memory.vae_tiling", "maybe")], "neither on nor off"),
    ],
)
def test_what_cannot_be_varied_is_said(asked: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(BadSetting) as refused:
        sweep_plan.parse_axes(asked)
    assert words in refused.value.problem


def test_values_out_of_range_and_too_many_runs_are_refused_before_anything_is_written(
    ready: Project, workers: Workers
) -> None:
    with pytest.raises(BadSetting):
        begin(ready, (("lora.rank", "8, 100000"),))
    with pytest.raises(BadSetting) as refused:
        begin(ready, (("seed", " ".join(map(str, range(100)))),))
    assert "100 runs" in refused.value.problem
    assert sweeps.names(ready) == [] and workers.launched == []


def test_values_keep_their_kind_on_disk(ready: Project, workers: Workers) -> None:
    name = begin(
        ready, (("lora.rank", "8"), ("memory.vae_tiling", "on, off"), ("schedule.name", "cosine linear"))
    )
    values = [entry.values for entry in sweeps.view(ready, name).entries]
    assert values[0] == (8, True, "cosine") and values[3] == (8, False, "linear")


@pytest.mark.parametrize("name", ["", "..", "../..", "007", "/etc", "..\\.."])
def test_a_sweep_that_is_not_there_says_so(ready: Project, name: str) -> None:
    with pytest.raises(NotFound):
        sweeps.view(ready, name)


def test_the_plan_adds_up_the_times_of_all_runs_as_measured_here(ready: Project) -> None:
    axes = sweep_plan.parse_axes((("steps", "100, 300"),))
    job = Job(
        settings=TrainJob(recipe=sweep_plan.plan(ready, axes).recipes[0], dataset_fingerprint="f"), created=1
    )
    writer = EventWriter(JobFolder.create(ready.runs_folder, "earlier", job).events_file)
    for number in range(1, 20):
        writer.write(StepDone(step=number, steps=99, loss=1, learning_rate=1e-4, grad_norm=1, step_s=2))
    writer.close()
    made = sweep_plan.plan(ready, axes)
    assert [recipe.steps for recipe in made.recipes] == [100, 300]
    assert made.seconds is not None and made.seconds >= 400 * 2
    assert made.source == "as in your earlier runs here"


def test_the_plan_counts_the_encoding_of_clips_once(ready: Project) -> None:
    def seconds(*asked: tuple[str, str]) -> float:
        found = sweep_plan.plan(ready, sweep_plan.parse_axes(asked)).seconds
        assert found is not None
        return found

    alone, two = seconds(("optimizer.lr", "1e-4")), seconds(("optimizer.lr", "1e-4 2e-4"))
    mirrored = seconds(("data.mirror", "off safe"))
    assert two < 2 * alone
    assert mirrored == pytest.approx(2 * alone)


def age(run: JobFolder) -> None:
    """So that a worker which does not live is not taken for one that starts."""
    import os

    for path in (run.job_file, run.log_file):
        if path.exists():
            os.utime(path, (time.time() - 100, time.time() - 100))
