"""Waiting for a job in the foreground, telling what it does. The worker outlives this console."""

from __future__ import annotations

import signal
import time

from ltx_wizard.app import jobs, monitor
from ltx_wizard.app.curves import curves_of
from ltx_wizard.app.supervisor import kill
from ltx_wizard.app.time_left import training_seconds_left
from ltx_wizard.commands.console import Console
from ltx_wizard.core.errors import JobFailed, WizardError
from ltx_wizard.core.events import (
    CheckpointSaved,
    Event,
    EventReader,
    Progress,
    SampleReady,
    SettingChanged,
    StepDone,
    StepSkipped,
    Validated,
    Warned,
    WentBack,
)
from ltx_wizard.core.run import JobFolder, JobState, JobStatus, TrainJob
from ltx_wizard.core.units import duration_text

_POLL_S = 0.1


class JobStopped(WizardError):
    """The job was stopped, here or in the app. What it did so far is kept."""


def follow(folder: JobFolder, console: Console, known: int = 0) -> JobStatus:
    """Print what a started job does until it has finished, and give its status.

    Ctrl+C asks the worker to finish its step, save and stop; a second one ends it at once. known: how many
    events of a resumed run are old. Raises JobFailed with the job's own problem and remedy, or JobStopped.
    """
    printer = _EventPrinter(folder, console)
    reader = EventReader(folder.events_file)
    with _Interrupts() as interrupts:
        while True:
            status = jobs.status(folder)  # before the events: those that it knows of are then in the file
            events = reader.read_new()
            for event in events[known:]:
                printer.show(event)
            known = max(0, known - len(events))
            if status.is_over:
                return _finished(status, folder)
            if interrupts.are_new():
                _stop_or_kill(folder, interrupts.count, console)
            time.sleep(_POLL_S)


def event_count(folder: JobFolder) -> int:
    """How many events a job has so far: those that a resumed run need not show again."""
    return len(EventReader(folder.events_file).read_new())


class _Interrupts:
    """Counts Ctrl+C, and requests of the system to end, instead of raising wherever the program just is."""

    def __init__(self) -> None:
        self.count = 0
        self._seen = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> _Interrupts:
        for kind in (signal.SIGINT, signal.SIGTERM):
            self._before[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)  # pyright: ignore[reportArgumentType] - it came from there

    def are_new(self) -> bool:
        new, self._seen = self.count > self._seen, self.count
        return new

    def _note(self, *_: object) -> None:
        self.count += 1


def _stop_or_kill(folder: JobFolder, interrupts: int, console: Console) -> None:
    if interrupts > 1:
        kill(folder)
        raise JobStopped("Ended before the step was done.", "What was saved before that is kept.")
    jobs.stop(folder)
    console.say("Stopping after this step, and saving. Press Ctrl+C again to end at once.")


def _finished(status: JobStatus, folder: JobFolder) -> JobStatus:
    if status.state is JobState.FAILED:
        raise JobFailed(status.problem, f"{status.remedy} The log is {folder.log_file}.")
    if status.state is JobState.STOPPED:
        where = f" at step {status.step}" if status.step else ""
        is_training = isinstance(folder.read_job().settings, TrainJob)
        raise JobStopped(
            f"Stopped{where}: {jobs.describe(folder)}.",
            "Go on with: ltx-wizard resume" if is_training else "Start it again; what was done is kept.",
        )
    return status


class _EventPrinter:
    """One line for what is worth keeping; the updating line for the rest."""

    def __init__(self, folder: JobFolder, console: Console) -> None:
        self._console = console
        self._folder, self._recipe = folder, monitor.recipe_of(folder)

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._console.progress(event)
        elif isinstance(event, StepDone):
            self._console.update("Training", self._step_text(event))
        else:
            text = _event_text(event)
            if text:
                self._console.say(text)

    def _step_text(self, event: StepDone) -> str:
        seconds = training_seconds_left(curves_of(self._folder), self._recipe, event.step, event.steps)
        left = duration_text(seconds)
        return f"Training: step {event.step} of {event.steps}, loss {event.loss:.4f}, {left} left"


def _event_text(event: Event) -> str:
    if isinstance(event, Validated):
        return f"  step {event.step}: validation loss {event.loss:.4f}"
    if isinstance(event, SampleReady):
        return f"  step {event.step}: sample {event.file}"
    if isinstance(event, CheckpointSaved):
        return f"  step {event.step}: checkpoint saved"
    if isinstance(event, (SettingChanged, WentBack)):
        return f"  {event.text}"
    if isinstance(event, StepSkipped):
        return f"  step {event.step}: skipped, its {event.what} was not a number"
    if isinstance(event, Warned):
        return f"  Note: {event.message}"
    return ""
