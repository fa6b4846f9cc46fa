"""How long work tells what it does, and learns that it should stop."""

from __future__ import annotations

from typing import Protocol

from ltx_wizard.core.events import Event, Progress


class Cancelled(Exception):
    """The user asked to stop. Not an error: what is done so far is kept."""


class Report(Protocol):
    """What every job gets: a place for events, and the question whether to stop."""

    def emit(self, event: Event) -> None:
        """Append an event to the job's events."""
        ...

    def stop_requested(self) -> bool:
        """True once the user asked to stop. Cheap enough to ask between frames."""
        ...


class SilentReport:
    """For callers who want no events, such as scripts and tests: keeps them in a list, never stops."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def stop_requested(self) -> bool:
        return False


def progress(report: Report, stage: str, done: int, total: int, message: str = "") -> None:
    """Report how far a stage is. Raises Cancelled if the user asked to stop."""
    report.emit(Progress(stage=stage, done=done, total=total, message=message))
    if report.stop_requested():
        raise Cancelled
