"""What a sweep is: settings and the values that are tried, the runs that makes, and how long they take."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Union

from pydantic import Field

from ltx_wizard.app import datasets, memory_plan, recipes
from ltx_wizard.app.sweep_time import encoded_by
from ltx_wizard.app.system import first_gpu
from ltx_wizard.core.documents import Document, Settings
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, recipe_settings, typed_setting
from ltx_wizard.training.budget import TimeNeed

MOST_RUNS = 60
"""More are rather a wish for another tool; a wrong list is caught before it costs a week."""


Value = Union[bool, int, float, str]  # noqa: UP007 - a runtime alias for Python 3.10
SweepState = Literal["running", "stopped", "done"]


class Axis(Settings):
    """A setting and the values that are tried."""

    key: str
    values: tuple[Value, ...] = Field(min_length=1)


class Entry(Settings):
    """One run of a sweep. run: the name of its folder, empty before it was made. tries: how often its worker
    was started. begun: when, last. resume: the sweep went on after a stop, so this run shall go on too.
    """

    values: tuple[Value, ...]
    run: str = ""
    tries: int = 0
    begun: float = 0.0
    resume: bool = False


class Sweep(Document):
    """The content of sweep.json. recipe: what all runs share. note: why it stopped."""

    created: float
    axes: tuple[Axis, ...] = Field(min_length=1)
    recipe: Recipe
    entries: tuple[Entry, ...]
    state: SweepState = "running"
    note: str = ""

    def recipe_of(self, entry: Entry) -> Recipe:
        keys = [axis.key for axis in self.axes]
        return recipes.with_followers(self.recipe, dict(zip(keys, entry.values, strict=True)))


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep would be. seconds: None where a step of it was never measured. source: whence they are."""

    recipes: tuple[Recipe, ...]
    seconds: float | None
    source: str


def parse_axes(asked: Sequence[tuple[str, str]]) -> tuple[Axis, ...]:
    """[('lora.rank', '16, 32')] as typed. Values stand between commas or spaces; empty lines are left out.

    Raises BadSetting for an unknown setting, a setting named twice, or a value that is none.
    """
    known = {info.key: info for info in recipe_settings()}
    axes: list[Axis] = []
    for key, text in asked:
        parts = text.replace(",", " ").replace(";", " ").split()
        if not key or not parts:
            continue
        if key not in known or known[key].kind in ("list", "text"):
            raise BadSetting(problem=f"{key} cannot be varied.", remedy="Choose a number, switch or choice.")
        if any(axis.key == key for axis in axes):
            raise BadSetting(problem=f"{key} stands there twice.", remedy="Put its values on one line.")
        values = [value for part in parts if not isinstance(value := typed_setting(key, part), tuple)]
        axes.append(Axis(key=key, values=tuple(dict.fromkeys(values))))
    if not axes:
        raise BadSetting(problem="There is nothing to vary yet.", remedy="Name a setting and some values.")
    return tuple(axes)


def plan(project: Project, axes: Sequence[Axis]) -> SweepPlan:
    """Raises BadSetting where a value is out of range, or there are too many."""
    made = new_sweep(project, axes)
    planned = tuple(made.recipe_of(entry) for entry in made.entries)
    counts = memory_plan.bucket_counts(project, made.recipe)
    own = memory_plan.own_step_times(project, datasets.model_spec(project))
    plans = [memory_plan.plan_for(project, recipe, counts, first_gpu(), own) for recipe in planned]
    times = [item.budget.time for item in plans]
    known = [item for item in times if item is not None]
    if len(known) < len(times):
        return SweepPlan(planned, None, "")
    own_only = all(item.own for item in known)
    source = "as in your earlier runs here" if own_only else f"measured on an {known[0].source}"
    return SweepPlan(planned, sum(_seconds_of(known, planned)), source)


def _seconds_of(times: Sequence[TimeNeed], planned: Sequence[Recipe]) -> Iterator[float]:
    """Of each run. What an earlier one has encoded is read."""
    encoded: set[tuple[object, ...]] = set()
    for time_need, recipe in zip(times, planned, strict=True):
        kind = encoded_by(recipe)
        yield time_need.again if kind in encoded else time_need.total
        encoded.add(kind)


def default_axes(recipe: Recipe) -> Mapping[str, tuple[Value, ...]]:
    """What most people vary first: rank and learning rate, around what the recipe has."""
    rank, rate = recipe.lora.rank, recipe.optimizer.lr
    ranks = sorted({max(1, rank // 2), rank, min(512, rank * 2)})
    return {"lora.rank": tuple(ranks), "optimizer.lr": (float(f"{rate / 2:.3g}"), rate)}


def new_sweep(project: Project, axes: Sequence[Axis]) -> Sweep:
    """The sweep of the project's recipe. Raises BadSetting."""
    combinations = list(itertools.product(*(axis.values for axis in axes)))
    if len(combinations) > MOST_RUNS:
        raise BadSetting(
            problem=f"That would be {len(combinations):,} runs; {MOST_RUNS} is the most.",
            remedy="Leave some values out: a coarse sweep first, a fine one around its best.",
        )
    made = Sweep(
        created=time.time(),
        axes=tuple(axes),
        recipe=recipes.current_recipe(project),
        entries=tuple(Entry(values=values) for values in combinations),
    )
    for entry in made.entries:
        made.recipe_of(entry)  # a value out of range is said before anything is written
    return made
