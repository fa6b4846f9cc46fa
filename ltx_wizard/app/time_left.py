"""How long a training still takes: its steps, samples and validations, each as long as it took so far."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from ltx_wizard.app.curves import Curves
from ltx_wizard.core.events import LOADING_MODEL, Event, Progress, Started, StepDone, Validated, parse_events
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder

_RECENT_STEPS = 20
"""Steps are judged by the last ones: the first are slow, and a laptop may slow down later."""


@dataclass(frozen=True)
class Pace:
    """Seconds that things took; None: not seen yet. samples_s: a whole round of samples. validation_s: with
    the checkpoint that is saved before it, where one is.
    """

    step_s: float | None = None
    samples_s: float | None = None
    validation_s: float | None = None


UNKNOWN = Pace()


@dataclass(frozen=True)
class StartPace:
    """Seconds before the first step; None: not seen whole. encoding_s: captions and clips. loading_s: the
    model, with the first validation, which comes without an event of its own before it.
    """

    encoding_s: float | None
    loading_s: float | None


def training_seconds_left(
    curves: Curves, recipe: Recipe | None, step: int, steps: int, otherwise: Pace = UNKNOWN
) -> float:
    """0 before the first step is done. recipe: None where the job file is damaged; then steps count alone.

    Samples and validations that were not made yet count as in `otherwise`, or for nothing: how long they
    take is not known.
    """
    if not curves.steps:
        return 0.0
    found = pace_of(curves, recipe)
    left = (found.step_s or 0.0) * max(0, steps - step)
    if recipe is None:
        return left
    samples_s = otherwise.samples_s if found.samples_s is None else found.samples_s
    validation_s = otherwise.validation_s if found.validation_s is None else found.validation_s
    left += _sample_rounds_left(curves, recipe, step, steps) * (samples_s or 0.0)
    return left + _validations_left(recipe, step, steps) * (validation_s or 0.0)


def whole_run_s(recipe: Recipe, pace: Pace) -> float:
    """A run that has not begun, from its first step on, with the samples before it. Its validation before the
    first step is in StartPace. Raises ValueError where no step was seen.
    """
    if pace.step_s is None:
        raise ValueError("no step was timed")
    rounds = 1 + math.ceil(recipe.steps / recipe.validation.every) if samples_in_round(recipe) else 0
    validations = _validations_left(recipe, 0, recipe.steps)
    return (
        pace.step_s * recipe.steps
        + (pace.samples_s or 0.0) * rounds
        + (pace.validation_s or 0.0) * validations
    )


def samples_in_round(recipe: Recipe) -> int:
    return len(recipe.validation.prompts) * (2 if recipe.validation.first_frame else 1)


def pace_of(curves: Curves, recipe: Recipe | None) -> Pace:
    """What a run took so far. recipe: its own; None: its samples cannot be told."""
    if not curves.steps:
        return UNKNOWN
    return Pace(
        step_s=mean(curves.columns["step_s"][-_RECENT_STEPS:]),
        samples_s=_sample_round_s(curves, recipe) if recipe else None,
        validation_s=_validation_s(curves),
    )


def start_pace_of(job: JobFolder) -> StartPace:
    """What a run took before its first step, which is read anew each time."""
    began = loading = 0.0
    for event in _until_first_step(job.events_file):
        if isinstance(event, Started):
            began, loading = (0.0 if event.step else event.time), 0.0
        elif isinstance(event, Progress) and event.stage == LOADING_MODEL:
            loading = loading or event.time
        elif isinstance(event, Validated) and began and loading:
            return StartPace(loading - began, event.time - loading)
    return StartPace(None, None)


def _until_first_step(events_file: Path) -> Iterator[Event]:
    try:
        with events_file.open("rb") as lines:
            for line in lines:
                for event in parse_events([line]):
                    if isinstance(event, StepDone):
                        return
                    yield event
    except OSError:
        return


def _sample_round_s(curves: Curves, recipe: Recipe) -> float | None:
    each_round = samples_in_round(recipe)
    if not each_round:
        return None
    validated = {item.step: item.time for item in curves.validations}  # it comes just before
    took = [
        max(times) - began
        for at, times in _sample_times(curves).items()
        if len(times) >= each_round and (began := validated.get(at) or _time_of(curves, at))
    ]
    return median(took) if took else None


def _validation_s(curves: Curves) -> float | None:
    """With the checkpoint that is saved before it, where one is."""
    ends = [(item.time, _time_of(curves, item.step)) for item in curves.validations]
    took = [end - began for end, began in ends if began]
    return median(took) if took else None


def _sample_rounds_left(curves: Curves, recipe: Recipe, step: int, steps: int) -> float:
    """Those of the present step that are still to come, and all later rounds."""
    each_round, every = samples_in_round(recipe), recipe.validation.every
    if not each_round:
        return 0.0
    rounds: float = steps // every - step // every + (step < steps and steps % every > 0)
    if step % every == 0 or step == steps:
        rounds += max(0.0, 1 - len(_sample_times(curves)[step]) / each_round)
    return rounds


def _validations_left(recipe: Recipe, step: int, steps: int) -> int:
    one, other = recipe.validation.loss_every, recipe.checkpoints.every
    both = math.lcm(one, other)

    def until(last: int) -> int:
        return last // one + last // other - last // both

    is_extra = step < steps and steps % one > 0 and steps % other > 0
    return until(steps) - until(step) + is_extra


def _sample_times(curves: Curves) -> dict[int, list[float]]:
    made: dict[int, list[float]] = defaultdict(list)
    for sample in curves.samples:
        made[sample.step].append(sample.time)
    return made


def _time_of(curves: Curves, step: int) -> float:
    """When a step was done; 0 for one that is not among them."""
    place = bisect_left(curves.steps, step)
    found = place < len(curves.steps) and curves.steps[place] == step
    return curves.columns["time"][place] if found else 0.0
