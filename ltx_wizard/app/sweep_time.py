"""How long a sweep still takes: each run as those of its runs that are most like it took so far."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ltx_wizard.app.curves import curves_of, file_version
from ltx_wizard.app.monitor import recipe_of
from ltx_wizard.app.time_left import (
    Pace,
    StartPace,
    pace_of,
    samples_in_round,
    start_pace_of,
    training_seconds_left,
    whole_run_s,
)
from ltx_wizard.core.recipe import Recipe, recipe_settings, setting_value
from ltx_wizard.core.run import JobFolder
from ltx_wizard.core.units import plural

_SPEED = ("lora.rank", "lora.target_modules", "optimizer.name", "data.", "memory.", "validation.")
"""Settings on which the time of a step, a sample or a validation depends."""

_NOT_ENCODED = (
    "batch_size",
    "gradient_accumulation_steps",
    "caption_dropout",
    "regularisation_share",
    "first_frame_share",
)
"""Settings of the data that leave the encoded clips as they are."""


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep as far as its time goes. job: None before its folder was made. step: where it stands.

    to_do: whether it will be trained on, or for the first time.
    """

    recipe: Recipe
    job: JobFolder | None
    step: int
    to_do: bool


@dataclass(frozen=True)
class TimeLeft:
    """source: what it was computed from, in words."""

    seconds: float
    source: str


@dataclass(frozen=True)
class _Seen:
    """A run with steps, and what things took in it. speed, encoded: as _speed_of and encoded_by give them."""

    recipe: Recipe
    pace: Pace
    start: StartPace
    speed: tuple[object, ...]
    encoded: tuple[object, ...]


def sweep_time_left(runs: Sequence[SweepRun]) -> TimeLeft | None:
    """None where nothing is left to do, or no step of these runs was timed yet. What was not seen yet, such
    as samples, counts for nothing, and is not named in the source.
    """
    seen = [_seen(run.job) for run in runs if run.job is not None]
    measured = [item for item in seen if item is not None]
    to_do = [run for run in runs if run.to_do]
    if not measured or not to_do:
        return None
    return TimeLeft(sum(_run_s(run, measured) for run in to_do), _source(measured))


def encoded_by(recipe: Recipe) -> tuple[object, ...]:
    """What decides how clips are encoded: equal for recipes of which one reads what the other has encoded."""
    data = recipe.data.model_dump(exclude=set(_NOT_ENCODED))
    return (recipe.seed if recipe.data.colour_copies else 0, *sorted(data.items()))


def _seen(job: JobFolder) -> _Seen | None:
    """None before its first step, and where its job file is damaged."""
    return _seen_in(job.folder, *file_version(job.events_file))


@functools.lru_cache(maxsize=256)
def _seen_in(folder: Path, _modified_ns: int, _size: int) -> _Seen | None:
    """Read again only when the run has gone on: a page asks for long sweeps each second."""
    job = JobFolder(folder)
    recipe = recipe_of(job)
    if recipe is None:
        return None
    pace = pace_of(curves_of(job), recipe)
    if not pace.step_s:
        return None
    return _Seen(recipe, pace, start_pace_of(job), _speed_of(recipe), encoded_by(recipe))


def _run_s(run: SweepRun, measured: Sequence[_Seen]) -> float:
    alike = _most_alike(run.recipe, measured)
    expected = Pace(
        _mean(_step_s(item, run.recipe) for item in alike),
        _mean(_samples_s(item, run.recipe) for item in _with_samples(run.recipe, measured)),
        _mean(item.pace.validation_s for item in alike) or _mean(item.pace.validation_s for item in measured),
    )
    if run.job is not None and run.step:
        return training_seconds_left(
            curves_of(run.job), run.recipe, run.step, run.recipe.steps, otherwise=expected
        )
    return whole_run_s(run.recipe, expected) + _start_s(run.recipe, measured)


def _start_s(recipe: Recipe, measured: Sequence[_Seen]) -> float:
    """Loading as in the other runs. Clips are encoded once: what another run of the sweep has encoded is
    read, as in the fastest of them, and encoded again only where settings of the data change the clips.
    """
    loading = _mean(item.start.loading_s for item in measured) or 0.0
    wanted, times = encoded_by(recipe), [item.start.encoding_s or 0.0 for item in measured]
    alike = [seconds for item, seconds in zip(measured, times, strict=True) if item.encoded == wanted]
    if not alike:
        return loading + max(times)
    return loading + (min(alike) if len(alike) > 1 else 0.0)


def _most_alike(recipe: Recipe, measured: Sequence[_Seen]) -> list[_Seen]:
    """Those that differ in the fewest settings on which time depends."""
    wanted = _speed_of(recipe)

    def strangeness(item: _Seen) -> int:
        return sum(one != other for one, other in zip(item.speed, wanted, strict=True))

    nearest = min(map(strangeness, measured))
    return [item for item in measured if strangeness(item) == nearest]


def _speed_of(recipe: Recipe) -> tuple[object, ...]:
    return tuple(setting_value(recipe, key) for key in _speed_keys())


@functools.cache
def _speed_keys() -> tuple[str, ...]:
    return tuple(info.key for info in recipe_settings() if info.key.startswith(_SPEED))


def _with_samples(recipe: Recipe, measured: Sequence[_Seen]) -> list[_Seen]:
    seen = [item for item in measured if item.pace.samples_s is not None]
    return _most_alike(recipe, seen) if seen else []


def _step_s(item: _Seen, recipe: Recipe) -> float | None:
    """For as many clips in one step."""
    return None if item.pace.step_s is None else item.pace.step_s / _clips(item.recipe) * _clips(recipe)


def _samples_s(item: _Seen, recipe: Recipe) -> float | None:
    """For as many videos and sampling steps."""
    return (
        None if item.pace.samples_s is None else item.pace.samples_s / _passes(item.recipe) * _passes(recipe)
    )


def _clips(recipe: Recipe) -> int:
    return recipe.data.batch_size * recipe.data.gradient_accumulation_steps


def _passes(recipe: Recipe) -> int:
    return max(1, samples_in_round(recipe)) * recipe.validation.sampling_steps


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _source(measured: Sequence[_Seen]) -> str:
    """'as measured in 2 runs of this sweep: steps, samples, validation, loading'."""
    parts = [
        ("steps", True),
        ("samples", any(item.pace.samples_s is not None for item in measured)),
        ("validation and checkpoints", any(item.pace.validation_s is not None for item in measured)),
        ("loading", any(item.start.loading_s is not None for item in measured)),
    ]
    named = ", ".join(name for name, known in parts if known)
    return f"as measured in {plural(len(measured), 'run')} of this sweep: {named}"
