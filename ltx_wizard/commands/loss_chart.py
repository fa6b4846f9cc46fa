"""The loss of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.run import JobStatus

_SMOOTHING = 0.95
"""Share of the past in each smoothed value: an average over about the last 20 steps."""


def write_loss_chart(path: Path, status: JobStatus, title: str) -> None:
    """A PNG: every step's loss in a light line, smoothed in a strong one, and the validation loss as dots.

    Raises NotReady before the first step, NoSpace, NoPermission.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a third of a second, for one command

    if not status.losses:
        raise NotReady(problem="There is no loss to draw yet.", remedy="Train at least one step.")
    steps = [event.step for event in status.losses]
    losses = [event.loss for event in status.losses]
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="#a9b8e8", linewidth=0.8, label="Loss of each step")
    axes.plot(steps, smoothed(losses), color="#2f4fc4", linewidth=2.2, label="Smoothed")
    axes.plot(
        [event.step for event in status.validations],
        [event.loss for event in status.validations],
        color="#d9541e",
        linewidth=0,
        marker="o",
        markersize=6,
        label="Validation",
    )
    axes.set(title=title, xlabel="Step", ylabel="Loss", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes_atomically(path, picture.getvalue())


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average, without the pull towards zero at the start."""
    sums = accumulate(values, lambda past, value: _SMOOTHING * past + value, initial=0.0)
    weights = accumulate(values, lambda past, _: _SMOOTHING * past + 1.0, initial=0.0)
    return [total / weight for total, weight in zip(sums, weights, strict=True) if weight]
