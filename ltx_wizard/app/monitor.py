"""A training as a page shows it, put together from its status. Cheap: it is asked for every second."""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import datasets, jobs
from ltx_wizard.app.advisor import Advice, RecommendedCheckpoint, advise, recommended_checkpoint
from ltx_wizard.app.curves import Curves, Point, curves_of
from ltx_wizard.app.time_left import training_seconds_left
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.events import CheckpointSaved, SampleReady, SettingChanged
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobFolder, JobState, JobStatus, TrainJob

TREND_STEPS = 200
"""The trend is judged over so many of the last steps."""

FEWEST_STEPS = 20
"""Below that the noise of single steps hides any trend. Not measured."""

_RECENT_STEPS = 20
_LOG_LINES = 60
_LOG_BYTES = 16 * 1024
_ADVICE_S = 5.0
_ADVICE_SHARE = 0.02
"""Advice is thought over again after so many seconds, or so many that it takes this share of the time: the
page asks each second, and the advisor reads the whole run.
"""


@dataclass(frozen=True)
class SampleView:
    """One sample video of a run."""

    step: int
    prompt_index: int
    prompt: str
    path: Path


@dataclass(frozen=True)
class RunView:
    """curves: grow while the run goes on. health and now: one sentence each. advice: the worst first."""

    state: JobState
    step: int
    steps: int
    fraction: float
    curves: Curves
    seconds_left: float
    learning_rate: float
    step_s: float
    memory_gib: float
    now: str
    health: str
    advice: tuple[Advice, ...]
    recommended: RecommendedCheckpoint | None
    checkpoints: tuple[tuple[int, Path], ...]
    warnings: tuple[str, ...]
    changes: tuple[SettingChanged, ...]
    problem: str
    remedy: str
    log_tail: str


def run_view(project: Project, job: JobFolder) -> RunView:
    """Everything that the page shows of a run. With a damaged job file its length is unknown."""
    status, curves = jobs.status(job), curves_of(job)
    recipe = recipe_of(job)
    steps = status.steps or (recipe.steps if recipe else 0)
    columns = curves.columns
    step_s = _mean(columns["step_s"][-_RECENT_STEPS:])
    thought = _thought_over(project, job, status, recipe, curves)
    return RunView(
        state=status.state,
        step=status.step,
        steps=steps,
        fraction=min(1.0, status.step / steps) if steps else 0.0,
        curves=curves,
        seconds_left=0.0 if status.is_over else training_seconds_left(curves, recipe, status.step, steps),
        learning_rate=_last(columns["learning_rate"]),
        step_s=step_s,
        memory_gib=_last(columns["memory_gib"]),
        now=_now(status),
        health=f"{thought.advice[0].title}."
        if thought.advice
        else health(columns["loss"][-TREND_STEPS:], curves.validation_points()),
        advice=thought.advice,
        recommended=thought.recommended,
        checkpoints=_checkpoints(job, status.checkpoints),
        warnings=status.warnings,
        changes=status.changes,
        problem=status.problem,
        remedy=status.remedy,
        log_tail=log_tail(job.log_file),
    )


def seconds_left(job: JobFolder, status: JobStatus) -> float:
    """Until a training ends; 0: unknown, or it is over."""
    if status.is_over:
        return 0.0
    return training_seconds_left(curves_of(job), recipe_of(job), status.step, status.steps)


def sample_view(job: JobFolder, event: SampleReady) -> SampleView:
    return SampleView(event.step, event.prompt_index, event.prompt, job.folder / event.file)


def recipe_of(job: JobFolder) -> Recipe | None:
    """The recipe that a run was started with; None where its job file is damaged."""
    try:
        settings = job.read_job().settings
    except WizardError:
        return None
    return settings.recipe if isinstance(settings, TrainJob) else None


def health(losses: Sequence[float], validations: Sequence[Point]) -> str:
    """How the training loss goes, in one sentence, where the advisor has nothing to say yet.

    losses: of the last steps. Their two halves are compared: falling or rising when their means are further
    apart than twice the standard error of the difference; otherwise flat.
    """
    recent = losses[-TREND_STEPS:]
    if any(not math.isfinite(loss) for loss in recent[-_RECENT_STEPS:]):
        return "A loss among the last steps was not a number."
    recent = [loss for loss in recent if math.isfinite(loss)]
    if len(recent) < FEWEST_STEPS:
        return f"Too early to tell: the loss says something after {FEWEST_STEPS} steps."
    trend = _trend(recent)
    if trend > 0:
        return "The loss is rising: if it goes on, stop and lower the learning rate."
    kept_out = _validation_words(validations)
    if trend < 0:
        return f"The loss is falling{f'; that {kept_out}' if kept_out else ''}."
    level = "The training loss is level now: single steps differ more than it moves."
    return f"Its loss {kept_out}. {level}" if kept_out else level


def log_tail(path: Path, lines: int = _LOG_LINES) -> str:
    """The last lines of a log, read from its end: never the whole file."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES)
            file.seek(start)
            text = file.read(_LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    whole = text.splitlines()[1 if start else 0 :]  # the first one may be cut
    return "\n".join((whole or text.splitlines())[-lines:])


def _trend(losses: Sequence[float]) -> int:
    """-1 falling, 0 flat, 1 rising."""
    half = len(losses) // 2
    before, after = losses[:half], losses[half:]
    error = math.sqrt(_variance(before) / len(before) + _variance(after) / len(after))
    difference = _mean(after) - _mean(before)
    if abs(difference) <= 2 * error:
        return 0
    return 1 if difference > 0 else -1


def _validation_words(validations: Sequence[Point]) -> str:
    if len(validations) < 2:
        return ""
    first, last = validations[0][1], validations[-1][1]
    return f"on clips that it never trains on went from {first:.3f} to {last:.3f}"


def _now(status: JobStatus) -> str:
    ended = {
        JobState.WAITING: "Starting",
        JobState.FINISHED: "Finished",
        JobState.STOPPED: "Stopped",
        JobState.FAILED: "Failed",
    }
    if status.progress and not status.is_over:
        done, total = status.progress.done, status.progress.total
        stage = status.progress.message or status.progress.stage
        return f"{stage}: {done:,} of {total:,}" if total > 1 else stage
    return ended.get(status.state, "Training" if status.losses else "Starting")


def _checkpoints(job: JobFolder, events: Sequence[CheckpointSaved]) -> tuple[tuple[int, Path], ...]:
    """Those that are still there: older ones are deleted as new ones come."""
    told = {item.step for item in events}
    return tuple((step, job.checkpoint_folder(step)) for step in job.saved_steps() if step in told)


@dataclass(frozen=True)
class _Thought:
    """What the advisor said, of how much, and until when that is new enough."""

    advice: tuple[Advice, ...]
    recommended: RecommendedCheckpoint | None
    holds_until: float
    of: tuple[JobState, int, int]


_thoughts: OrderedDict[Path, _Thought] = OrderedDict()
_KEPT_THOUGHTS = 12


def _thought_over(
    project: Project, job: JobFolder, status: JobStatus, recipe: Recipe | None, curves: Curves
) -> _Thought:
    """The advisor is asked every few seconds, and when the run has ended."""
    of, now = (status.state, len(status.losses), len(status.validations)), time.monotonic()
    known = _thoughts.get(job.folder)
    if known and (known.of == of or (known.of[0] == of[0] and now < known.holds_until)):
        return known
    clips = [clip for clip in datasets.clips(project) if not clip.regularisation]
    advice = advise(status, recipe, len(clips), curves.points("loss")) if recipe else []
    recommended = recommended_checkpoint(status, job.saved_steps())
    took_s = time.monotonic() - now
    holds_until = now + max(_ADVICE_S, took_s / _ADVICE_SHARE)
    thought = _Thought(tuple(advice), recommended, holds_until, of)
    _thoughts[job.folder] = thought
    while len(_thoughts) > _KEPT_THOUGHTS:
        _thoughts.popitem(last=False)
    return thought


def _last(values: Sequence[float]) -> float:
    return values[-1] if values else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
