"""What the curves of a run say about it: pure functions over its events, for a run that goes on and for one
that is over alike. No torch here.

The thresholds come from runs of the embedded model with other seeds than those that benchmarks/overfitting.py
reports.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from ltx_wizard.core.events import Validated

Losses = Sequence[tuple[int, float]]
"""(step, training loss), in the order of the steps."""

PATIENCE = 3
"""So many validations in a row must be above the lowest one: a single one may be chance."""

LEAST_RISE = 0.03
"""A validation loss less than 3 % above its lowest is no reason to act."""

_SURE_PAIRED = 3.0
"""The mean rise over clips and draws of noise must be so many times its standard error."""

_SURE_WOBBLE = 4.0
"""And so many times what the curve wobbles by from one validation to the next."""

_LEVEL = 0.015
"""Changes below 1.5 % over a third of the run are none."""

_LEVEL_PARTS = 3
_FEWEST_LEVEL = 4

NOTHING_LEARNT = 0.02
"""An improvement of less than 2 % over all of a run is none."""

_TIE = 0.005
"""Checkpoints whose losses differ by less than half a percent are equally good."""

_NEAR_IN_LOG = 0.4
"""Losses within about 40 % of a step say what the loss at that step is."""

_FEWEST_TO_FIT = 4.0
_MOST_POINTS = 200

_WINDOW = 30
"""Steps over which the training loss is judged: single ones differ much, as each draws its noise levels."""

_FIRST = 10
_ABOVE_START = 2.0
_ABOVE_LOWEST = 3.0
"""Diverged: the median of the last 30 losses is twice that of the first 10, where the LoRA did nothing yet,
or three times the lowest mean of 30 in a row."""


@dataclass(frozen=True)
class Point:
    """A validation of the smoothed curve."""

    step: int
    loss: float


@dataclass(frozen=True)
class Overfitting:
    """The validation loss rises while the training loss does not.

    best: the lowest point. since_step: from there on it was always above that. rise: of the last validations
    above the lowest, 0.1 is 10 %. training: mean training loss around the lowest point, and now. bands: the
    noise levels at which it rises.
    """

    best: Point
    since_step: int
    last: Point
    rise: float
    training: tuple[float, float]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Plateau:
    """The validation loss stays where it is. improved: from step 0 to the lowest point, 0.1 is 10 %."""

    since_step: int
    last: Point
    improved: float


@dataclass(frozen=True)
class Divergence:
    """The training loss has climbed far above where it was. good_step: up to there all was well."""

    good_step: int
    since_step: int
    last_step: int
    before: float
    now: float


@dataclass(frozen=True)
class Harm:
    """The LoRA does worse than no LoRA, on clips kept out and on those that it learns. rise: above step 0."""

    first: Point
    last: Point
    rise: float


@dataclass(frozen=True)
class Best:
    """The checkpoint to keep. lowest: of the smoothed curve, whether or not it was saved.

    last: the curve at the last checkpoint. tie: the last one is as good as the best.
    """

    step: int
    loss: float
    lowest: Point
    last: Point
    tie: bool


class DivergenceWatch:
    """Takes the training losses one by one, and so costs the same at step 100,000 as at step 100."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._recent: deque[tuple[int, float]] = deque(maxlen=_WINDOW)
        self._lowest, self._good_step = math.inf, 0

    def add(self, step: int, loss: float) -> Divergence | None:
        """What the losses up to this one say. A loss that is no number is not counted."""
        if not math.isfinite(loss):
            return None
        if len(self._first) < _FIRST:
            self._first.append(loss)
        self._recent.append((step, loss))
        if len(self._recent) < _WINDOW:
            return None
        mean = math.fsum(value for _, value in self._recent) / _WINDOW
        if mean < self._lowest:
            self._lowest, self._good_step = mean, step
        return self._judged(step, mean)

    def _judged(self, step: int, mean: float) -> Divergence | None:
        start = median(self._first)
        limit = min(_ABOVE_START * start, _ABOVE_LOWEST * self._lowest)
        if mean <= limit or median(value for _, value in self._recent) <= limit:
            return None
        since = next(number for number, value in self._recent if value > limit)
        return Divergence(min(self._good_step, since - 1), since, step, min(start, self._lowest), mean)


def divergence(losses: Losses) -> Divergence | None:
    """Where the training loss stands at the end of these steps, and since when."""
    watch = DivergenceWatch()
    found: Divergence | None = None
    for step, loss in losses:
        now = watch.add(step, loss)
        found = replace(now, since_step=found.since_step, good_step=found.good_step) if now and found else now
    return found


def harm(validations: Sequence[Validated], losses: Losses) -> Harm | None:
    """Where the last two validations are clearly above that of step 0, and training is not below its start:
    what a far too high learning rate looks like once the first jump is over.
    """
    usable = _comparable(validations)
    if len(usable) < PATIENCE or usable[0].step:
        return None
    first, recent = usable[0], usable[-2:]
    if min(item.loss for item in recent) < first.loss * (1 + LEAST_RISE) or not _surely_above(
        recent, [first]
    ):
        return None
    start = [loss for _, loss in losses[:_FIRST] if math.isfinite(loss)]
    now = _window(losses, usable[-1].step)
    if len(start) < 2 or len(now) < _WINDOW or _mean(now) < median(start):
        return None
    return Harm(_point(first), _point(usable[-1]), _mean([item.loss for item in recent]) / first.loss - 1)


def overfitting(validations: Sequence[Validated], losses: Losses) -> Overfitting | None:
    """Where the validation loss has risen beyond doubt, and the training loss has not."""
    usable = [item for item in _comparable(validations) if not item.learnt]
    if len(usable) < PATIENCE + 2:
        return None
    recent = usable[-PATIENCE:]
    best = min(fitted(usable), key=lambda point: point.loss)
    lowest = next(index for index, item in enumerate(usable) if item.step == best.step)
    if lowest >= len(usable) - PATIENCE:
        return None
    curve = smoothed(usable)
    rise = _mean([item.loss for item in recent]) / best.loss - 1
    if min(item.loss for item in recent) < best.loss * (1 + LEAST_RISE):
        return None
    if rise * best.loss < _SURE_WOBBLE * wobble(usable):
        return None
    around = usable[max(0, lowest - 1) : lowest + 2]
    if not _surely_above(recent, around):
        return None
    training = _training_around(losses, best.step, usable[-1].step)
    if training is None:
        return None
    since = curve[-1].step
    for point in reversed(curve[lowest + 1 :]):
        if point.loss <= best.loss:
            break
        since = point.step
    return Overfitting(best, since, curve[-1], rise, training, _rising_bands(recent, around))


def plateau(validations: Sequence[Validated]) -> Plateau | None:
    """Where the validation loss has not moved over the last third of the run."""
    usable = _comparable(validations)
    if not usable:
        return None
    last_step = usable[-1].step
    curve = smoothed(usable)
    late = [point for point in curve if point.step * _LEVEL_PARTS >= last_step * (_LEVEL_PARTS - 1)]
    if len(late) < _FEWEST_LEVEL or len(late) == len(curve):
        return None
    losses = [point.loss for point in late]
    if max(losses) > min(losses) * (1 + _LEVEL):
        return None
    lowest = min(point.loss for point in curve)
    highest = max(losses)
    since = last_step
    for point in reversed(curve):
        if not lowest <= point.loss <= max(highest, lowest * (1 + _LEVEL)):
            break
        since = point.step
    return Plateau(since, curve[-1], 1 - lowest / usable[0].loss)


def best_checkpoint(validations: Sequence[Validated], saved_steps: Sequence[int]) -> Best | None:
    """Of the steps saved, the one with the lowest smoothed validation loss; the last one where it is as good.
    None where nothing was measured on held-out clips, or nothing saved.
    """
    usable = [item for item in _comparable(validations) if not item.learnt]
    saved = sorted(step for step in set(saved_steps) if step > 0)
    if not usable or not saved:
        return None
    curve = fitted(usable) or [_point(usable[-1])]
    points = [Point(step, _loss_at(curve, step)) for step in saved]
    best, last = min(points, key=lambda point: point.loss), points[-1]
    tie = last.loss <= best.loss * (1 + _TIE)
    chosen = last if tie else best
    return Best(chosen.step, chosen.loss, min(curve, key=lambda point: point.loss), last, tie)


def fitted(validations: Sequence[Validated]) -> list[Point]:
    """The curve through the losses: at each step a parabola in log(step), fitted to the losses near it.

    Where it is lowest is where a run should have ended. In three runs that the thresholds come from, with 8
    of 32 to 40 clips drawn as held out 60 times each, that was within 20 % of the lowest loss on the other
    clips in 100, 83 and 100 % of draws; the lowest single loss in 87, 47 and 93 %, since each wobbles by a
    percent or two and the valley is flat. Step 0 is left out.
    """
    points = _thinned([Point(item.step, item.loss) for item in validations if item.step > 0])
    logs = [math.log(point.step) for point in points]
    fits = [_fit(points, logs, centre) for centre in logs]
    return [point if fit is None else Point(point.step, fit) for point, fit in zip(points, fits, strict=True)]


def _fit(points: Sequence[Point], logs: Sequence[float], centre: float) -> float | None:
    """The parabola's value at a place; None where too few losses lie near it to fit one."""
    moments, right = [0.0] * 5, [0.0] * 3
    for point, place in zip(points, logs, strict=True):
        distance = place - centre
        if abs(distance) > 3 * _NEAR_IN_LOG:
            continue
        weight = math.exp(-0.5 * (distance / _NEAR_IN_LOG) ** 2)
        for power in range(5):
            moments[power] += weight * distance**power
        for power in range(3):
            right[power] += weight * point.loss * distance**power
    if moments[0] < _FEWEST_TO_FIT:
        return None
    return _first_of_solution(moments, right)


def _first_of_solution(m: Sequence[float], r: Sequence[float]) -> float | None:
    """c of the normal equations of c + b x + a x^2, by Cramer's rule. m: sums of w x^n; r: of w y x^n."""

    def determinant(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
        return (
            a[0] * (b[1] * c[2] - b[2] * c[1])
            - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
        )

    whole = determinant((m[0], m[1], m[2]), (m[1], m[2], m[3]), (m[2], m[3], m[4]))
    if abs(whole) < 1e-12:
        return None
    return determinant((r[0], m[1], m[2]), (r[1], m[2], m[3]), (r[2], m[3], m[4])) / whole


def _thinned(points: list[Point]) -> list[Point]:
    """At most 200, evenly: more would cost seconds and say no more."""
    every = math.ceil(len(points) / _MOST_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def smoothed(validations: Sequence[Validated]) -> list[Point]:
    """Each loss averaged with its two neighbours, itself counted twice."""
    values = [item.loss for item in validations]
    points: list[Point] = []
    for index, item in enumerate(validations):
        near = values[max(0, index - 1) : index + 2]
        whole = values[index] + sum(near)
        points.append(Point(item.step, whole / (len(near) + 1)))
    return points


def wobble(validations: Sequence[Validated]) -> float:
    """How far a validation loss lies from the line between its neighbours, typically: one standard deviation
    of chance, whatever the curve does at large.
    """
    values = [item.loss for item in validations]
    off = [
        abs(values[index] - (values[index - 1] + values[index + 1]) / 2)
        for index in range(1, len(values) - 1)
    ]
    return 1.4826 * median(off) / math.sqrt(1.5) if off else 0.0


def _point(validated: Validated) -> Point:
    return Point(validated.step, validated.loss)


def _surely_above(later: Sequence[Validated], earlier: Sequence[Validated]) -> bool:
    """Whether the losses are higher pair by pair. The noise levels are always the same and differ among each
    other, so chance is what lies within one. Events of earlier versions have no pairs: the wobble alone
    decides then.
    """
    pairs, levels = _pairs(later, earlier), len(later[0].bands)
    size = len(pairs) // levels if levels else 0
    if size < 2:
        return True
    groups = [pairs[start : start + size] for start in range(0, levels * size, size)]
    error = math.sqrt(sum(_variance(group) / size for group in groups)) / levels
    return _mean(pairs) > _SURE_PAIRED * error


def _pairs(later: Sequence[Validated], earlier: Sequence[Validated]) -> list[float]:
    """By how much the logarithm of each single loss has risen, so that clips with large losses count as
    others do.
    """
    count = len(later[0].each)
    if any(len(item.each) != count or item.fixed_set != later[0].fixed_set for item in (*later, *earlier)):
        return []
    return [
        _mean([math.log(max(item.each[index], 1e-12)) for item in later])
        - _mean([math.log(max(item.each[index], 1e-12)) for item in earlier])
        for index in range(count)
    ]


def _rising_bands(later: Sequence[Validated], earlier: Sequence[Validated]) -> tuple[str, ...]:
    names = [name for name in later[0].bands if all(name in item.bands for item in (*later, *earlier))]
    return tuple(
        name
        for name in names
        if _mean([item.bands[name] for item in later])
        > _mean([item.bands[name] for item in earlier]) * (1 + LEAST_RISE)
    )


def _training_around(losses: Losses, best_step: int, last_step: int) -> tuple[float, float] | None:
    """Mean training loss up to the best step and up to the last; None where it has risen beyond chance."""
    before = _window(losses, best_step)
    now = _window(losses, last_step)
    if len(before) < 2 or len(now) < 2:
        return None
    error = math.sqrt(_variance(before) / len(before) + _variance(now) / len(now))
    if _mean(now) - _mean(before) > 2 * error:
        return None
    return _mean(before), _mean(now)


def _window(losses: Losses, step: int) -> list[float]:
    """The last losses up to a step."""
    found: list[float] = []
    for number, loss in reversed(losses):
        if number <= step and math.isfinite(loss):
            found.append(loss)
            if len(found) == _WINDOW:
                break
    return found


def _loss_at(curve: Sequence[Point], step: int) -> float:
    """On the line between the validations before and after."""
    later = next((index for index, point in enumerate(curve) if point.step >= step), len(curve) - 1)
    after, before = curve[later], curve[max(0, later - 1)]
    if step >= after.step or after.step == before.step:
        return after.loss
    share = (step - before.step) / (after.step - before.step)
    return before.loss + share * (after.loss - before.loss)


def _comparable(validations: Sequence[Validated]) -> list[Validated]:
    """Those that measured what the last one did: a run that goes on with a changed dataset begins anew."""
    return [
        item
        for item in validations
        if math.isfinite(item.loss) and item.loss > 0 and item.fixed_set == validations[-1].fixed_set
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
