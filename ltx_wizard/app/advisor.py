"""What a training's curves say, in plain words, and which checkpoint to keep. No torch here.

The same code judges a run that goes on and one that is over. What is seen comes from training/health.py;
here are the words, and what the training guide's table of mistakes and remedies says to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ltx_wizard.core.measures import COPIED, STATIC_SHARE, STILL, SampleMeasures
from ltx_wizard.core.recipe import Recipe, largest
from ltx_wizard.core.run import JobFolder, JobState, JobStatus
from ltx_wizard.core.units import plural
from ltx_wizard.training.health import (
    LEAST_RISE,
    NOTHING_LEARNT,
    Best,
    Divergence,
    Losses,
    Overfitting,
    best_checkpoint,
    divergence,
    harm,
    overfitting,
    plateau,
    smoothed,
)

Severity = Literal["good", "note", "warning", "problem"]
"""good: as it should be. note: worth knowing. warning: the result will be better otherwise. problem: the run
is broken or wasted."""

Series = Literal["loss", "validation", "grad_norm", "samples"]
"""Which line of the plot a mark belongs to."""


@dataclass(frozen=True)
class Mark:
    """Evidence on the plot: a point where both steps are equal, else a stretch.

    value: the height of the point or the end of the stretch, None where the whole height is meant.
    band: the noise level, for a line of the validation loss by noise levels ('' for the mean of all).
    """

    series: Series
    from_step: int
    to_step: int
    label: str
    value: float | None = None
    band: str = ""


@dataclass(frozen=True)
class Advice:
    """One finding about a run. id is stable, e.g. 'overfitting'. text: what was seen, with its figures.

    to_do: what to do about it, best first, one sentence each. changes: settings of the next recipe that do
    it, as in {'lora.rank': 32}; empty where no setting helps.
    """

    id: str
    severity: Severity
    title: str
    text: str
    to_do: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    changes: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class RecommendedCheckpoint:
    """The checkpoint to keep. why: one or two sentences. loss: its validation loss, smoothed; None where none
    was measured. lowest_step: where the curve is lowest, saved or not.

    basis: 'validation' where the loss on held-out clips decides, 'last' where there is nothing to decide by.
    """

    step: int
    why: str
    loss: float | None
    basis: Literal["validation", "last"]
    lowest_step: int | None = None


def advise(status: JobStatus, recipe: Recipe, clips: int = 0, losses: Losses | None = None) -> list[Advice]:
    """The worst first; empty as long as it is too early to tell.

    clips: how many are trained on, 0 if unknown. losses: (step, loss) of every step, for callers who have
    them at hand; None: those of the status.
    """
    given = [(item.step, item.loss) for item in status.losses] if losses is None else losses
    run = _Run(status, recipe, clips, given)
    found = [advice for rule in _RULES if (advice := rule(run)) is not None]
    if all(advice.severity == "note" and advice.id != "plateau" for advice in found):
        found += [advice for rule in _GOOD if (advice := rule(run)) is not None]
    return sorted(found, key=lambda advice: _WORST_FIRST.index(advice.severity))


def recommended_checkpoint(status: JobStatus, saved_steps: Sequence[int]) -> RecommendedCheckpoint | None:
    """Of the checkpoints on disk (JobFolder.saved_steps()), the one to keep; None where there is none."""
    if not saved_steps:
        return None
    last = max(saved_steps)
    best = best_checkpoint(status.validations, saved_steps)
    if best is None:
        why = "It is the last one: there is no loss on clips kept out of training to tell by."
        return RecommendedCheckpoint(last, why, None, "last")
    return RecommendedCheckpoint(best.step, _why(best), best.loss, "validation", best.lowest.step)


def recommended_step(run: JobFolder, status: JobStatus) -> int | None:
    """The step of the checkpoint to keep, of a run's folder; None where it has no checkpoint."""
    found = recommended_checkpoint(status, run.saved_steps())
    return found.step if found else None


def _why(best: Best) -> str:
    last = best.last
    if best.tie and best.step == last.step:
        return f"Its loss on clips kept out of training ({best.loss:.3f}) is the lowest, or as good as it."
    risen = last.loss / best.loss - 1
    sentence = (
        f"Its loss on clips kept out of training ({best.loss:.3f}) is the lowest of all checkpoints; at the "
        f"last one, step {last.step:,}, it is {risen:.0%} higher."
    )
    if abs(best.lowest.step - best.step) > _NEAR * best.lowest.step:
        sentence += f" It was lowest near step {best.lowest.step:,}: this is the nearest that is on disk."
    return sentence


@dataclass(frozen=True)
class _Run:
    """What a rule judges."""

    status: JobStatus
    recipe: Recipe
    clips: int
    losses: Losses

    @cached_property
    def divergence(self) -> Divergence | None:
        return divergence(self.losses)

    @cached_property
    def overfitting(self) -> Overfitting | None:
        return overfitting(self.status.validations, self.losses)


def _broken(run: _Run) -> Advice | None:
    """Losses that are no numbers, from the worst: the run failed, went back, or skipped steps."""
    status, lr = run.status, run.recipe.optimizer.lr
    if not status.returns and not status.skipped:
        return None
    scale = status.returns[-1].learning_rate_scale if status.returns else 1.0
    lower = _rate(lr * scale)
    lower_rate = f"Lower the learning rate to {lower:g} in the next run."
    damaged = "If it comes back, look for a damaged clip in the step Check."
    if status.state is JobState.FAILED:
        quarter = _rate(lr * scale / 4)
        return Advice(
            "broken", "problem", "The training broke", status.problem,
            (f"Lower the learning rate to {quarter:g} and train again.", damaged),
            _marks_of_returns(run), {"optimizer.lr": quarter},
        )  # fmt: skip
    if status.returns:
        return Advice(
            "went-back", "warning", "The run went back and goes on more slowly", status.returns[-1].text,
            (lower_rate, damaged), _marks_of_returns(run), {"optimizer.lr": lower},
        )  # fmt: skip
    count = len(status.skipped)
    many = count > _MANY_SKIPPED * max(1, status.step)
    return Advice(
        "skipped", "warning" if many else "note", f"{plural(count, 'step')} skipped",
        f"The loss or the gradient of {plural(count, 'step')} of {status.step:,} was not a number. These "
        "steps changed nothing; the rest is good.",
        (damaged, lower_rate) if many else ("Nothing, as long as it stays rare.",),
        tuple(Mark("loss", item.step, item.step, "skipped") for item in status.skipped[-_MOST_MARKS:]),
    )  # fmt: skip


def _marks_of_returns(run: _Run) -> tuple[Mark, ...]:
    return tuple(Mark("loss", item.step, item.step, "went back to here") for item in run.status.returns)


def _diverging(run: _Run) -> Advice | None:
    found = run.divergence
    if found is None:
        return None
    half = _rate(run.recipe.optimizer.lr / 2)
    return Advice(
        "diverging", "problem", "The loss climbs away",
        f"It was {found.before:.3f} and is {found.now:.3f} over the last steps: since step "
        f"{found.since_step:,} training makes the LoRA worse.",
        (
            "Stop the run: it does not recover by itself.",
            f"Lower the learning rate to {half:g}, and warm up longer.",
            f"The checkpoints up to step {found.good_step:,} are good.",
        ),
        (Mark("loss", found.since_step, found.last_step, "climbs", found.now),),
        {"optimizer.lr": half},
    )  # fmt: skip


def _harmful(run: _Run) -> Advice | None:
    found = harm(run.status.validations, run.losses)
    if found is None or run.divergence is not None:
        return None
    quarter = _rate(run.recipe.optimizer.lr / 4)
    return Advice(
        "harmful", "problem", "Worse than without the LoRA",
        f"The validation loss is {found.rise:.0%} above that of the base model, {found.first.loss:.3f}, "
        "and the training loss is no lower than at the start: the learning rate is too high.",
        (
            f"Lower the learning rate to {quarter:g} and train again.",
            "Warm up over 5 to 10 % of the steps.",
        ),
        (Mark("validation", found.first.step, found.last.step, "above the base model", found.last.loss),),
        {"optimizer.lr": quarter},
    )  # fmt: skip


def _overfitting(run: _Run) -> Advice | None:
    """The guide: 'reduce steps, add caption dropout, diversify data', 'lower rank, or add more training
    data', 'add pose and background diversity'.
    """
    found = run.overfitting
    if found is None:
        return None
    steps = _two_digits(found.best.step)
    before, now = found.training
    training = f"has fallen from {before:.3f} to {now:.3f}" if now < before else "has not risen"
    to_do = [f"Stop near step {steps:,.0f}: take the checkpoint there, and give the next run so many steps."]
    changes: dict[str, object] = {"steps": int(steps)}
    rank = _rank_for(run)
    if rank < run.recipe.lora.rank:
        to_do.append(f"Lower the rank to {rank}: {_rank_reason(run)}.")
        changes["lora.rank"] = rank
        if run.recipe.lora.alpha == run.recipe.lora.rank:
            changes["lora.alpha"] = rank
    to_do.append("Add clips that differ from those you have: other poses, backgrounds and distances.")
    if run.recipe.data.caption_dropout < _CAPTION_DROPOUT:
        to_do.append(f"Raise caption dropout to {_CAPTION_DROPOUT:g}.")
        changes["data.caption_dropout"] = _CAPTION_DROPOUT
    return Advice(
        "overfitting", "warning", "The LoRA learns its clips by heart",
        f"The loss on clips that it never trains on was lowest near step {found.best.step:,} "
        f"({found.best.loss:.3f}) and is {found.rise:.0%} above that now, while the training loss {training}."
        f"{_band_words(found.bands, run)}",
        tuple(to_do),
        (
            Mark("validation", found.best.step, found.best.step, "lowest", found.best.loss),
            Mark("validation", found.since_step, found.last.step, "rises", found.last.loss),
            Mark("loss", found.last.step, found.last.step, "training loss", now),
        ),
        changes,
    )  # fmt: skip


def _band_words(bands: Sequence[str], run: _Run) -> str:
    """What rises, if not everything does: low noise holds the detail, high noise layout and motion."""
    all_bands = list(run.status.validations[-1].bands)
    if not bands or len(bands) == len(all_bands):
        return ""
    what = " and ".join(bands) if len(bands) < 3 else f"{bands[0]} to {bands[-1]}"
    if all_bands[0] in bands and all_bands[-1] not in bands:
        return f" It rises at noise {what}, where detail is learnt, and not where layout and motion are."
    if all_bands[-1] in bands and all_bands[0] not in bands:
        return f" It rises at noise {what}, where layout and motion are learnt; in detail it does not."
    return f" It rises at noise {what}."


def _rank_for(run: _Run) -> int:
    """The guide's rank for so many clips; half of the present one where that is no more."""
    rank, allowed = run.recipe.lora.rank, _guide_rank(run.clips)
    return allowed if run.clips and allowed < rank else max(_SMALLEST_RANK, rank // 2)


def _rank_reason(run: _Run) -> str:
    if run.clips and _guide_rank(run.clips) < run.recipe.lora.rank:
        return f"for {plural(run.clips, 'clip')} the guide gives {_guide_rank(run.clips)}"
    return "a smaller LoRA can learn less by heart"


def _guide_rank(clips: int) -> int:
    return next(rank for most, rank in _RANKS if clips < most)


def _level(run: _Run) -> Advice | None:
    """No more to learn, or nothing learnt at all."""
    found = plateau(run.status.validations)
    if found is None or run.overfitting is not None:
        return None
    marks = (Mark("validation", found.since_step, found.last.step, "level", found.last.loss),)
    if found.improved < NOTHING_LEARNT:
        rate = run.recipe.optimizer.lr
        double = _rate(rate * 2)
        raised = (f"Raise the learning rate to {double:g}.",) if double > rate else ()
        return Advice(
            "nothing-learnt", "warning", "Nothing is learnt",
            f"After {found.last.step:,} steps the validation loss is where it began.",
            (
                *raised,
                "See whether each caption describes its own clip: splitting scenes can mix them up.",
                "Make sure that the trigger word stands in the captions.",
            ),
            marks, {"optimizer.lr": double} if raised else {},
        )  # fmt: skip
    return Advice(
        "plateau", "note", "No more to gain",
        f"The validation loss has stayed at {found.last.loss:.3f} since about step {found.since_step:,}, "
        f"after an improvement of {found.improved:.0%}.",
        (
            f"Stop if the samples please you: a run of about {_two_digits(found.since_step):,.0f} steps does "
            "as well.",
            "If likeness is missing, more steps will not bring it: add clips, or raise the rank.",
        ),
        marks,
    )  # fmt: skip


def _static(run: _Run) -> Advice | None:
    """The guide on static output: 'blur input images slightly, add motion to prompts'."""
    latest = _latest_measures(run)
    moving = [item for item in latest if item.motion is not None and (item.motion_of_base or 0) >= STILL]
    still = [item for item in moving if (item.motion or 0) < STATIC_SHARE * (item.motion_of_base or 0)]
    if not still or 2 * len(still) < len(moving):
        return None
    step = _latest_sample_step(run)
    return Advice(
        "static", "warning", "The videos barely move",
        f"{len(still)} of {plural(len(moving), 'sample')} of step {step:,} move less than half as much as "
        "the base model's from the same seed.",
        (
            "Write into the captions and the prompts what moves and how.",
            "Take an earlier checkpoint: motion goes before likeness comes.",
            "Where videos start from an image, blur the given first frame a little.",
        ),
        (Mark("samples", step, step, "barely move"),),
        {"data.first_frame_blur": 1.0} if run.recipe.data.first_frame_blur == 0 else {},
    )  # fmt: skip


def _memorised(run: _Run) -> Advice | None:
    """Samples that are training frames, and not because the clips or the base model's videos are so alike."""
    measured = [item for item in _latest_measures(run) if item.likeness is not None]
    copies = [
        item
        for item in measured
        if (item.likeness or 0) >= COPIED
        and (item.likeness or 0) > max(item.likeness_of_base or 0, item.likeness_of_clips or 0)
    ]
    if not copies or 2 * len(copies) < len(measured):
        return None
    step, worst = _latest_sample_step(run), max(copies, key=lambda item: item.likeness or 0)
    rank = _rank_for(run)
    lower = (f"Lower the rank to {rank}: {_rank_reason(run)}.",) if rank < run.recipe.lora.rank else ()
    return Advice(
        "memorised", "warning", "The samples repeat training frames",
        f"{len(copies)} of {plural(len(measured), 'sample')} of step {step:,} are nearly the same as a frame "
        f"that was learnt, the nearest {worst.likeness:.2f} of 1 like {worst.nearest}.",
        (
            "Take an earlier checkpoint.",
            "Add clips that differ from those you have: other poses, backgrounds and distances.",
            *lower,
        ),
        (Mark("samples", step, step, "like training frames"),),
    )  # fmt: skip


def _latest_sample_step(run: _Run) -> int:
    return max((item.step for item in run.status.samples if item.measures is not None), default=0)


def _latest_measures(run: _Run) -> list[SampleMeasures]:
    """Of the samples of the newest step that has some; the base model's own say nothing."""
    step = _latest_sample_step(run)
    return [item.measures for item in run.status.samples if item.step == step and item.measures and step]


def _nothing_held_out(run: _Run) -> Advice | None:
    seen = run.status.validations
    if not seen or not seen[-1].learnt:
        return None
    return Advice(
        "nothing-held-out", "note", "Overfitting cannot be seen",
        "There are too few clips to keep one out of training, so the validation loss is measured on clips "
        "that are learnt.",
        (
            "Add clips, or mark one of three or more as kept out.",
            "Until then compare the samples of several checkpoints by eye.",
        ),
    )  # fmt: skip


def _saved_too_seldom(run: _Run) -> Advice | None:
    """The guide: save every 100 to 200 steps and test several, for quality does not rise in a line."""
    steps = [item.step for item in run.status.checkpoints]
    best = best_checkpoint(run.status.validations, steps)
    if best is None or best.tie or abs(best.step - best.lowest.step) <= _FAR * best.lowest.step:
        return None
    every = max(1, int(_two_digits(best.lowest.step / 4)))
    if every >= run.recipe.checkpoints.every:
        return None
    return Advice(
        "saved-too-seldom", "note", "The best moment was not saved",
        f"The validation loss was lowest near step {best.lowest.step:,}; the nearest checkpoint is that of "
        f"step {best.step:,}.",
        (f"Save a checkpoint every {every:,} steps in the next run.",),
        (Mark("validation", best.lowest.step, best.lowest.step, "lowest", best.lowest.loss),),
        {"checkpoints.every": every},
    )  # fmt: skip


def _still_learning(run: _Run) -> Advice | None:
    curve = smoothed([item for item in run.status.validations if math.isfinite(item.loss)])
    if run.status.state is not JobState.FINISHED or len(curve) < _FEWEST:
        return None
    late = next(point for point in curve if point.step >= _LATE * curve[-1].step)
    gain = 1 - curve[-1].loss / late.loss
    if gain < _STILL:
        return None
    more = min(_two_digits(1.5 * run.status.step), largest("steps"))
    if more <= run.status.step:
        return None
    return Advice(
        "still-learning", "good", "It was still learning at the end",
        f"Over the last fifth of the run the validation loss fell by {gain:.0%}.",
        (f"A run of {more:,.0f} steps may be better still.",),
        (Mark("validation", late.step, curve[-1].step, "falls", curve[-1].loss),),
        {"steps": int(more)},
    )  # fmt: skip


def _learning(run: _Run) -> Advice | None:
    """All is well so far."""
    curve = smoothed([item for item in run.status.validations if math.isfinite(item.loss)])
    if len(curve) < _FEWEST or run.status.is_over:
        return None
    gain = 1 - curve[-1].loss / curve[0].loss
    lowest = min(point.loss for point in curve)
    if gain < NOTHING_LEARNT or curve[-1].loss > lowest * (1 + LEAST_RISE):
        return None
    return Advice(
        "learning", "good", "It learns well",
        f"The validation loss has fallen by {gain:.0%}, from {curve[0].loss:.3f} to {curve[-1].loss:.3f}.",
        marks=(Mark("validation", curve[0].step, curve[-1].step, "falls", curve[-1].loss),),
    )  # fmt: skip


def _rate(value: float) -> float:
    """A learning rate that a recipe may have."""
    return min(_two_digits(value), largest("optimizer.lr"))


def _two_digits(value: float) -> float:
    """1,437 -> 1,400, 0.000123 -> 0.00012."""
    return float(f"{value:.1e}")


_WORST_FIRST: tuple[Severity, ...] = ("problem", "warning", "note", "good")

_RULES: tuple[Callable[[_Run], Advice | None], ...] = (
    _broken,
    _diverging,
    _harmful,
    _overfitting,
    _memorised,
    _static,
    _level,
    _saved_too_seldom,
    _nothing_held_out,
)
_GOOD: tuple[Callable[[_Run], Advice | None], ...] = (_still_learning, _learning)

_RANKS = ((20, 32), (50, 64), (math.inf, 128))
"""The guide: 32 under 20 clips, 128 from 50; between them the middle."""

_SMALLEST_RANK = 4
_CAPTION_DROPOUT = 0.1
_MANY_SKIPPED = 0.02
_MOST_MARKS = 20
_NEAR = 0.1
_FAR = 0.25
_FEWEST = 3
_LATE = 0.8
_STILL = 0.03
