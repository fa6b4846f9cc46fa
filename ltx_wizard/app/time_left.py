"""How long a training still takes: its steps, samples and validations, each as long as it took so far."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from statistics import mean, median

from ltx_wizard.app.curves import Curves
from ltx_wizard.core.recipe import Recipe

_RECENT_STEPS = 20
"""Steps are judged by the last ones: the first are slow, and a laptop may slow down later."""


def training_seconds_left(curves: Curves, recipe: Recipe | None, step: int, steps: int) -> float:
    """0 before the first step is done. recipe: None where the job file is damaged; then steps count alone.

    Samples and validations that were not made yet count for nothing: how long they take is not known.
    """
    if not curves.steps:
        return 0.0
    left = mean(curves.columns["step_s"][-_RECENT_STEPS:]) * max(0, steps - step)
    if recipe is None:
        return left
    return (
        left + _samples_left_s(curves, recipe, step, steps) + _validations_left_s(curves, recipe, step, steps)
    )


def _samples_left_s(curves: Curves, recipe: Recipe, step: int, steps: int) -> float:
    """Those of the present step that are still to come, and all later rounds."""
    v = recipe.validation
    each_round = len(v.prompts) * (2 if v.first_frame else 1)
    if not each_round:
        return 0.0
    made: dict[int, list[float]] = defaultdict(list)
    for sample in curves.samples:
        made[sample.step].append(sample.time)
    validated = {item.step: item.time for item in curves.validations}  # it comes just before
    took = [
        max(times) - began
        for at, times in made.items()
        if len(times) >= each_round and (began := validated.get(at) or _time_of(curves, at))
    ]
    if not took:
        return 0.0
    rounds = steps // v.every - step // v.every + (step < steps and steps % v.every > 0)
    if step % v.every == 0 or step == steps:
        rounds += max(0.0, 1 - len(made[step]) / each_round)
    return rounds * median(took)


def _validations_left_s(curves: Curves, recipe: Recipe, step: int, steps: int) -> float:
    """With the checkpoint that is saved before it, where one is."""
    ends = [(item.time, _time_of(curves, item.step)) for item in curves.validations]
    took = [end - began for end, began in ends if began]
    if not took:
        return 0.0
    one, other = recipe.validation.loss_every, recipe.checkpoints.every
    both = math.lcm(one, other)

    def until(last: int) -> int:
        return last // one + last // other - last // both

    is_extra = step < steps and steps % one > 0 and steps % other > 0
    return (until(steps) - until(step) + is_extra) * median(took)


def _time_of(curves: Curves, step: int) -> float:
    """When a step was done; 0 for one that is not among them."""
    place = bisect_left(curves.steps, step)
    found = place < len(curves.steps) and curves.steps[place] == step
    return curves.columns["time"][place] if found else 0.0
