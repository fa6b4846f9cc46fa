"""The numbers of a run for TensorBoard, Weights & Biases and trackio, through accelerate's trackers. Off
unless the recipe switches one on.

They hear the very events that LTX Wizard's own plots are drawn from. A tracker that fails is let go of, and
said; it never ends a training.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import Event, StepDone, Validated, Warned
from ltx_wizard.core.recipe import Recipe, TrackerSettings, recipe_settings, setting_value
from ltx_wizard.core.report import Report
from ltx_wizard.core.run import JobFolder

# ruff: noqa: PLC0415 - accelerate and what it drives are loaded only where a tracker is wanted

TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "trackio": "trackio"}
"""Of each package that a recipe can ask for."""

_LOSS, _VALIDATION = "train", "validation"


class Tracker(Protocol):
    """What accelerate's trackers have in common."""

    def start(self) -> None: ...
    def store_init_configuration(self, values: dict[str, object]) -> None: ...
    def log(self, values: dict[str, object], step: int | None = None) -> None: ...
    def finish(self) -> None: ...


def wanted(settings: TrackerSettings) -> list[str]:
    """The packages that are switched on."""
    return [name for name in TITLES if getattr(settings, name)]


def refuse_missing(settings: TrackerSettings) -> None:
    """Raise NotReady naming every package that is switched on and not installed. Nothing is imported."""
    missing = [name for name in wanted(settings) if importlib.util.find_spec(name) is None]
    if missing:
        titles = " and ".join(TITLES[name] for name in missing)
        raise NotReady(
            problem=f"The recipe reports to {titles}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed.",
            remedy=f"Install with: {sys.executable} -m pip install {' '.join(missing)}. Or switch it off in "
            "the step Recipe, under Advanced, Trackers.",
        )


@contextmanager
def tracked(report: Report, folder: JobFolder, recipe: Recipe) -> Iterator[Report]:
    """The report, heard by the recipe's trackers too, which are closed at the end."""
    if not wanted(recipe.trackers):
        yield report
        return
    reporting = _Tracked(report, folder, recipe)
    try:
        yield reporting
    finally:
        reporting.close()


def numbers_of(event: Event) -> tuple[int, dict[str, object]] | None:
    """The step of an event and its numbers as trackers show them; None for what has none."""
    if isinstance(event, StepDone):
        values = {
            "loss": event.loss,
            "learning_rate": event.learning_rate,
            "grad_norm": event.grad_norm,
            "step_s": event.step_s,
            "memory_gib": event.memory_gib,
        }
        return event.step, {f"{_LOSS}/{name}": value for name, value in values.items()}
    if isinstance(event, Validated):
        bands = {f"{_VALIDATION}/loss_at_{name}": loss for name, loss in event.bands.items()}
        return event.step, {f"{_VALIDATION}/loss": event.loss, **bands}
    return None


def flat_settings(recipe: Recipe) -> dict[str, object]:
    """{'lora.rank': 32, ...}: trackers take plain values only."""
    values: dict[str, object] = {"model": recipe.model, "recipe": recipe.name}
    for info in recipe_settings():
        value = setting_value(recipe, info.key)
        values[info.key] = " ".join(map(str, value)) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return values


class _Tracked:
    """A report that trackers hear."""

    def __init__(self, report: Report, folder: JobFolder, recipe: Recipe) -> None:
        self._report = report
        self._trackers: dict[str, Tracker] = {}
        settings = flat_settings(recipe)
        for name in wanted(recipe.trackers):
            self._attempt(name, lambda name=name: self._open(name, folder, recipe.trackers, settings))

    def emit(self, event: Event) -> None:
        self._report.emit(event)
        numbers = numbers_of(event)
        if numbers is None:
            return
        step, values = numbers
        for name, tracker in list(self._trackers.items()):
            self._attempt(name, lambda tracker=tracker: tracker.log(_finite(values), step=step))

    def stop_requested(self) -> bool:
        return self._report.stop_requested()

    def close(self) -> None:
        for name, tracker in list(self._trackers.items()):
            self._attempt(name, tracker.finish)

    def _open(
        self, name: str, folder: JobFolder, settings: TrackerSettings, recipe: dict[str, object]
    ) -> None:
        tracker = _make(name, folder, settings)
        tracker.start()
        self._trackers[name] = tracker
        tracker.store_init_configuration(recipe)

    def _attempt(self, name: str, act: object) -> None:
        """A program of others reports what it likes: it must not end a training of hours."""
        try:
            act()  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
        except Exception as error:
            self._trackers.pop(name, None)
            self._report.emit(
                Warned(
                    message=f"{TITLES[name]} gets no more numbers: {type(error).__name__}: "
                    f"{str(error)[:200]}. The training goes on, and LTX Wizard keeps its own."
                )
            )


def _make(name: str, folder: JobFolder, settings: TrackerSettings) -> Tracker:
    """A tracker of accelerate. A run that goes on later goes on in the same record."""
    from accelerate import PartialState
    from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker

    PartialState()  # the logs of accelerate's trackers need it
    place = folder.folder / "trackers"
    place.mkdir(exist_ok=True)
    if name == "tensorboard":
        return TensorBoardTracker("tensorboard", logging_dir=place)
    run_id = re.sub(r"[^A-Za-z0-9_-]", "-", f"{folder.folder.parent.parent.name}-{folder.name}")
    if name == "wandb":
        return WandBTracker(
            settings.project,
            mode=settings.wandb_mode,
            dir=str(place),
            id=run_id,
            name=run_id,
            resume="allow",
        )
    return TrackioTracker(settings.project, name=run_id, resume="allow", embed=False)


def _finite(values: Mapping[str, object]) -> dict[str, object]:
    """What is no number is a gap: some trackers refuse it."""
    return {
        key: value for key, value in values.items() if not isinstance(value, float) or math.isfinite(value)
    }
