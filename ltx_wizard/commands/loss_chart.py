"""The loss of a run as a picture."""

from __future__ import annotations

import io
from pathlib import Path

from ltx_wizard.app.monitor import smooth
from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.run import JobStatus


def write_loss_chart(path: Path, status: JobStatus, title: str) -> None:
    """A PNG: every step's loss in a light line, smoothed in a strong one, and the validation loss as dots.

    Raises NotReady before the first step, NoSpace, NoPermission.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a third of a second, for one command

    if not status.losses:
        raise NotReady(problem="There is no loss to draw yet.", remedy="Train at least one step.")
    losses = [(event.step, event.loss) for event in status.losses]
    validations = [(event.step, event.loss) for event in status.validations]
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*losses, strict=True), color="#a9b8e8", linewidth=0.8, label="Loss of each step")
    axes.plot(*zip(*smooth(losses), strict=True), color="#2f4fc4", linewidth=2.2, label="Smoothed")
    if validations:
        axes.scatter(*zip(*validations, strict=True), color="#d9541e", zorder=3, label="Validation")
    axes.set(title=title, xlabel="Step", ylabel="Loss", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes_atomically(path, picture.getvalue())
