"""Where each step of a project stands, for the marks at the side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ltx_wizard.app import datasets, exports, jobs, lab
from ltx_wizard.core.clip import CaptionState, MediaKind
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project


@dataclass(frozen=True)
class StepState:
    """kind: done, warn (something to look at) or todo. note: a short count."""

    kind: Literal["done", "warn", "todo"]
    note: str = ""


_TODO = StepState("todo")


def step_states(project: Project) -> dict[str, StepState]:
    """One state for each step; a part of the project that cannot be read is a warning, not a failed page."""
    states: dict[str, Callable[[Project], StepState]] = {
        "goal": lambda _: StepState("done"),
        "videos": _videos,
        "scenes": _scenes,
        "captions": _captions,
        "check": _check,
        "recipe": _recipe,
        "train": _train,
        "lab": _lab,
        "export": _export,
    }
    return {name: _safely(state, project) for name, state in states.items()}


def _safely(state: Callable[[Project], StepState], project: Project) -> StepState:
    try:
        return state(project)
    except WizardError:
        return StepState("warn")


def _videos(project: Project) -> StepState:
    count = len(datasets.sources(project))
    broken = len(datasets.rejected(project))
    if broken:
        return StepState("warn", f"{broken} broken")
    return StepState("done", str(count)) if count else _TODO


def _scenes(project: Project) -> StepState:
    videos = [
        source for source in datasets.sources(project) if source.kind is MediaKind.VIDEO and not source.whole
    ]
    clips = datasets.clips(project)
    if not clips:
        return _TODO
    found = datasets.scenes(project)
    return StepState("done" if all(video.id in found for video in videos) else "warn", str(len(clips)))


def _captions(project: Project) -> StepState:
    clips = datasets.clips(project)
    written = sum(clip.caption_state is CaptionState.WRITTEN for clip in clips)
    if not clips:
        return _TODO
    if written == len(clips):
        return StepState("done", f"{written}/{len(clips)}")
    return StepState("warn" if any(clip.caption for clip in clips) else "todo", f"{written}/{len(clips)}")


def _check(project: Project) -> StepState:
    if not datasets.clips(project):
        return _TODO
    levels = [finding.level for finding in datasets.check(project)]
    must, should = levels.count("must"), levels.count("should")
    return (
        StepState("warn", f"{must} to fix")
        if must
        else StepState("done", f"{should} notes" if should else "")
    )


def _recipe(project: Project) -> StepState:
    """A run has had one, also where it came from the command line."""
    return StepState("done") if project.recipe_file.exists() or jobs.runs(project) else _TODO


def _train(project: Project) -> StepState:
    runs = jobs.runs(project)
    if not runs:
        return _TODO
    state = jobs.status(runs[-1]).state.value
    if state == "finished":
        return StepState("done")
    return StepState("warn" if state == "failed" else "todo", state)


def _lab(project: Project) -> StepState:
    chosen = lab.kept(project)
    return StepState("done", chosen[0].title) if chosen else _TODO


def _export(project: Project) -> StepState:
    count = len(exports.exports(project))
    return StepState("done", str(count)) if count else _TODO
