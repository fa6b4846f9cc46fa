"""What a training's curves say, in plain words, and which checkpoint to keep. No torch here.

The same code judges a run that goes on and one that is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import JobStatus

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
    """The checkpoint to keep. why: one sentence. loss: its validation loss, None where none was measured.

    basis: 'validation' where the loss on held-out clips decides, 'last' where there is nothing to decide by.
    """

    step: int
    why: str
    loss: float | None
    basis: Literal["validation", "last"]


def advise(status: JobStatus, recipe: Recipe, clips: int = 0) -> list[Advice]:
    """The worst first. clips: how many are trained on, 0 if unknown."""
    return []


def recommended_checkpoint(status: JobStatus, saved_steps: Sequence[int]) -> RecommendedCheckpoint | None:
    """Of the checkpoints on disk (JobFolder.saved_steps()), the one to keep; None where there is none."""
    if not saved_steps:
        return None
    return RecommendedCheckpoint(max(saved_steps), "It is the last checkpoint.", None, "last")
