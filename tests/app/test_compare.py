from __future__ import annotations

from collections.abc import Callable

import pytest

from ltx_wizard.app import compare, recipes
from ltx_wizard.core.errors import BadSetting, NotFound
from ltx_wizard.core.events import Event, EventWriter, Finished, Started, StepDone, Validated
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, JobState, TrainJob

MakeRun = Callable[..., JobFolder]


@pytest.fixture
def make_run(project: Project) -> MakeRun:
    """A finished run of two steps with this validation loss at its end."""

    def make(loss: float, fixed_set: str = "a", learnt: bool = False, **changes: object) -> JobFolder:
        recipe = with_settings(Recipe(model="ltxv-2b-0.9.6-dev"), changes)
        job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="f"), created=1.0)
        run = JobFolder.create(project.runs_folder, "run", job)
        write(run, Started(pid=1, steps=2), step(1, 4.0), step(2, 5.0))
        write(run, Validated(step=1, loss=loss + 1, fixed_set=fixed_set, learnt=learnt))
        write(run, Validated(step=2, loss=loss, fixed_set=fixed_set, learnt=learnt), Finished(step=2))
        return run

    return make


def step(number: int, memory_gib: float) -> StepDone:
    return StepDone(
        step=number, steps=2, loss=1, learning_rate=1e-4, grad_norm=1, step_s=0.5, memory_gib=memory_gib
    )


def write(run: JobFolder, *events: Event) -> None:
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)
    writer.close()


def test_only_settings_that_differ_are_named_and_the_best_run_too(
    project: Project, make_run: MakeRun
) -> None:
    make_run(0.4, **{"lora.rank": 16})
    best = make_run(0.3, **{"lora.rank": 32, "optimizer.lr": 1e-4})
    both = compare.compare(project, [run.name for run in compare.run_facts(project)])
    assert [run.name for run in both.runs] == ["0002-run", "0001-run"]
    assert {item.key: item.values for item in both.differences} == {
        "lora.rank": (32, 16),
        "optimizer.lr": (1e-4, 2e-4),
    }
    assert (both.best, both.caution) == (best.name, "")


def test_what_came_of_a_run(project: Project, make_run: MakeRun) -> None:
    facts = compare.facts_of(make_run(0.3))
    assert (facts.state, facts.step, facts.steps) == (JobState.FINISHED, 2, 2)
    assert (facts.best, facts.last) == ((2, 0.3), (2, 0.3))
    assert (facts.training_s, facts.step_s, facts.peak_gib) == (1.0, 0.5, 5.0)


def test_trackers_are_no_difference(project: Project, make_run: MakeRun) -> None:
    make_run(0.4), make_run(0.3, **{"trackers.wandb": True})
    assert compare.compare(project, ["0001-run", "0002-run"]).differences == ()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"fixed_set": "b"}, "different clips"),
        ({"learnt": True}, "clips that it trains on"),
        ({"model": "ltxv-13b-0.9.7-dev"}, "different models"),
        ({"fixed_set": "", "data.held_out_share": 0.3}, "different clips"),
    ],
)
def test_losses_that_are_not_comparable_name_no_best_run(
    project: Project, make_run: MakeRun, other: dict[str, object], words: str
) -> None:
    make_run(0.4, fixed_set=str(other.get("fixed_set", "a")) and "a")
    make_run(0.3, **other)
    compared = compare.compare(project, ["0001-run", "0002-run"])
    assert compared.best == ""
    assert words in compared.caution


def test_runs_of_earlier_versions_are_comparable_where_their_recipes_measured_the_same(
    project: Project, make_run: MakeRun
) -> None:
    make_run(0.4, fixed_set=""), make_run(0.3, fixed_set="", **{"lora.rank": 8})
    assert compare.compare(project, ["0001-run", "0002-run"]).best == "0002-run"


def test_a_damaged_run_is_compared_by_what_is_left_of_it(project: Project, make_run: MakeRun) -> None:
    make_run(0.4)
    make_run(0.3).job_file.write_text("{")
    facts = compare.run_facts(project)
    assert (facts[0].recipe, facts[0].title, facts[0].best) == (None, "0002-run", (2, 0.3))
    assert compare.compare(project, [run.name for run in facts]).differences == ()


def test_a_run_becomes_the_recipe_of_the_next(project: Project, make_run: MakeRun) -> None:
    run = make_run(0.4, name="balanced-24gb", **{"lora.rank": 64, "lora.alpha": 64})
    compare.train_again(project, run.name, {"lora.rank": 32})
    recipe = recipes.current_recipe(project)
    assert (recipe.lora.rank, recipe.lora.alpha) == (32, 32)
    assert project.read_settings().model == "ltxv-2b-0.9.6-dev"
    with pytest.raises(BadSetting):
        compare.train_again(project, run.name, {"lora.rank": 100_000})
    assert recipes.current_recipe(project) == recipe
    with pytest.raises(NotFound):
        compare.train_again(project, "0009-none")
