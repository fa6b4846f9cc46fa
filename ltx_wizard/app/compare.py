"""Runs side by side: what their recipes differ in, and what came of it. And a run as the start of another."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ltx_wizard.app import jobs, monitor, recipes
from ltx_wizard.app.curves import Curves, Point, curves_of, file_version
from ltx_wizard.app.plots import best_validation
from ltx_wizard.app.saved_recipes import save_recipe
from ltx_wizard.core.errors import NotFound, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, recipe_settings, setting_value
from ltx_wizard.core.run import JobFolder, JobState, TrainJob

_NOT_COMPARED = ("trackers.",)
"""Groups of settings that change nothing about what is learnt, or how fast."""


@dataclass(frozen=True)
class RunFacts:
    """What came of a run so far. recipe: None where its job file is damaged.

    best, last: (step, validation loss) after the first step. training_s: of all steps, without encoding and
    samples. peak_gib: 0 without a card. fixed_set: names what the validation loss was measured on.
    learnt: that is clips which are trained on. dataset: its fingerprint at the start. created, updated (the
    last event): seconds since 1970.
    """

    name: str
    state: JobState
    created: float
    step: int
    steps: int
    best: Point | None
    last: Point | None
    training_s: float
    step_s: float
    peak_gib: float
    recipe: Recipe | None
    dataset: str
    fixed_set: str
    learnt: bool
    changes: tuple[str, ...]
    updated: float

    @property
    def title(self) -> str:
        return (self.recipe.title or self.recipe.name) if self.recipe else self.name


@dataclass(frozen=True)
class Difference:
    """A setting that the recipes do not share, and its value in each of them, in the order of the runs."""

    key: str
    values: tuple[object, ...]


@dataclass(frozen=True)
class Comparison:
    """best: the name of the run with the lowest validation loss; '' where that says nothing.
    caution: why the losses are not to be compared, in a sentence; '' where they are.
    """

    runs: tuple[RunFacts, ...]
    differences: tuple[Difference, ...]
    best: str
    caution: str


def run_facts(project: Project) -> list[RunFacts]:
    """All runs of a project, newest first."""
    return [facts_of(job) for job in reversed(jobs.runs(project))]


def facts_of(job: JobFolder) -> RunFacts:
    """Read again only when the run has gone on."""
    facts = _facts(job.folder, *file_version(job.events_file), *file_version(job.job_file))
    if facts.state in (JobState.WAITING, JobState.RUNNING):  # the file does not tell whether its worker lives
        return replace(facts, state=jobs.status(job).state)
    return facts


def compare(project: Project, names: Sequence[str]) -> Comparison:
    """Raises NotFound for a name that is no run of this project."""
    facts = tuple(facts_of(jobs.find_run(project, name)) for name in dict.fromkeys(names))
    caution = _caution(facts)
    measured = [(run.best[1], run.name) for run in facts if run.best]
    best = min(measured)[1] if len(measured) > 1 and not caution else ""
    return Comparison(facts, tuple(differences([run.recipe for run in facts])), best, caution)


def differences(given: Sequence[Recipe | None]) -> list[Difference]:
    """Only the settings that differ, in the order of the step Recipe; the model and the preset first."""
    found: list[Difference] = []
    for key in ("model", "name", *(info.key for info in recipe_settings())):
        if key.startswith(_NOT_COMPARED):
            continue
        values = tuple(setting_value(recipe, key) if recipe else None for recipe in given)
        known = [value for value in values if value is not None]
        if any(value != known[0] for value in known[1:]):
            found.append(Difference(key, values))
    return found


def train_again(project: Project, run_name: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """Make a run's recipe the project's, perhaps with changes, to be looked at before it trains.

    Raises NotFound where the run or its recipe is gone, BadSetting for a change out of range.
    """
    recipe = monitor.recipe_of(jobs.find_run(project, run_name))
    if recipe is None:
        raise NotFound(
            problem=f"The recipe of {run_name} cannot be read any more.", remedy="Choose another run."
        )
    changed = recipes.with_followers(recipe, changes or {})
    settings: dict[str, object] = {"model": recipe.model} if recipe.model else {}
    if any(preset.name == recipe.name for preset in recipes.presets()):
        settings["recipe"] = recipe.name
    if settings:
        project.change_settings(**settings)
    save_recipe(project, changed)
    return changed


def advised_changes(project: Project, run_name: str, advice_id: str) -> dict[str, object]:
    """The settings that an advice on a run would change. Raises NotFound where it is not given any more."""
    view = monitor.run_view(project, jobs.find_run(project, run_name))
    for advice in view.advice:
        if advice.id == advice_id:
            return dict(advice.changes)
    raise NotFound(problem="This advice is not given any more.", remedy="Look at the run again.")


def _caution(runs: Sequence[RunFacts]) -> str:
    """Validation losses are comparable where the very same clips, noise levels and noise were measured."""
    measured = [run for run in runs if run.best]
    if len(measured) < 2:
        return ""
    if any(run.learnt for run in measured):
        return (
            "At least one run had no clips to spare and measured its validation loss on clips that it trains "
            "on: compare the samples instead."
        )
    if len({run.recipe.model for run in measured if run.recipe}) > 1:
        return "The runs train different models, so their losses cannot be compared: compare the samples."
    same_set = len({run.fixed_set for run in measured}) == 1 and measured[0].fixed_set
    same_by_recipe = len({_measured_on(run) for run in measured}) == 1
    if same_set or (same_by_recipe and not any(run.fixed_set for run in measured)):
        return ""
    return (
        "The runs measured their validation loss on different clips, sizes or noise, so it says nothing "
        "here: compare the samples."
    )


def _measured_on(run: RunFacts) -> tuple[object, ...]:
    """What decides on which clips and noise runs of earlier versions were measured."""
    recipe = run.recipe
    return (
        (run.dataset, recipe.seed, recipe.data.held_out_share, recipe.data.buckets) if recipe else (run.name,)
    )


@functools.lru_cache(maxsize=512)
def _facts(folder: Path, _events_ns: int, _events_size: int, job_ns: int, _job_size: int) -> RunFacts:
    job = JobFolder(folder)
    curves = curves_of(job)
    try:
        document = job.read_job()
        settings = document.settings if isinstance(document.settings, TrainJob) else None
        created = document.created
    except WizardError:
        settings, created = None, job_ns / 1e9
    recipe = settings.recipe if settings else None
    measured = [point for point in curves.validation_points() if point[0] > 0]
    seconds = curves.columns["step_s"]
    return RunFacts(
        name=job.name,
        state=curves.others.state,
        created=created,
        step=curves.steps[-1] if curves.steps else curves.others.step,
        steps=curves.planned_steps or (recipe.steps if recipe else 0),
        best=best_validation(curves),
        last=measured[-1] if measured else None,
        training_s=sum(seconds),
        step_s=sum(seconds) / len(seconds) if seconds else 0.0,
        peak_gib=max(curves.columns["memory_gib"], default=0.0),
        recipe=recipe,
        dataset=settings.dataset_fingerprint if settings else "",
        fixed_set=curves.validations[-1].fixed_set if curves.validations else "",
        learnt=any(item.learnt for item in curves.validations),
        changes=_changes(curves),
        updated=max(curves.others.updated_at, curves.columns["time"][-1] if curves.steps else 0.0),
    )


def _changes(curves: Curves) -> tuple[str, ...]:
    """Settings that the worker had to change on the way, as in 'memory.vae_tiling is now True'."""
    return tuple(item.text for item in curves.others.changes)
