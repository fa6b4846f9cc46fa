"""Runs as pictures and tables on disk: a PNG to show, CSV files to go on with elsewhere."""

# pyright: reportUnknownMemberType=false
# matplotlib leaves the keywords of its methods without types.

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app.curves import COLUMNS, Curves, Point, curves_of, smooth, smoothing_of
from ltx_wizard.core.documents import write_bytes_atomically, write_text_atomically
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.run import JobFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTS = "plots"
"""The folder for them in that of a run."""

COLOURS = ("#5046e5", "#d9730d", "#0f8a5f", "#c2347b", "#0b7fc0", "#8a6d00", "#7a4bc9", "#4f5b6b")
"""Of the lines, in their order; they stay apart for eyes that do not see red and green apart."""

_INK, _FAINT, _GRID, _BEST = "#171a22", "#5f6878", "#e2e5eb", "#1a7f4e"
_MOST_DRAWN = 4000
"""More points than the picture has columns: longer lines are drawn as the lowest and highest of each."""

_OUTLIERS = 0.015


@dataclass(frozen=True)
class Line:
    """One run in a picture. note: behind its name in the legend."""

    name: str
    curves: Curves
    note: str = ""


def save_plots(job: JobFolder, title: str) -> list[Path]:
    """Write loss.png, steps.csv and validation.csv into the run's folder `plots`; earlier ones are replaced.

    Raises NotReady before the first step, NoSpace, NoPermission.
    """
    curves, folder = curves_of(job), job.folder / PLOTS
    written = [folder / "loss.png", folder / "steps.csv"]
    write_plot(written[0], [Line("Training", curves)], title)
    write_text_atomically(written[1], steps_csv(curves))
    if curves.validations:
        written.append(folder / "validation.csv")
        write_text_atomically(written[-1], validation_csv(curves))
    return written


def write_plot(path: Path, lines: Sequence[Line], title: str, subtitle: str = "") -> None:
    """A PNG of 1500 x 900 pixels. One run: each step light, smoothed strong, the validation loss as dots, and
    the learning rate below. Several: smoothed and validation of each.

    Raises NotReady where no run has a step yet.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a third of a second, only where it is drawn

    drawn = [line for line in lines if line.curves.steps]
    if not drawn:
        raise NotReady(problem="There is no loss to draw yet.", remedy="Train at least one step.")
    figure = Figure(figsize=(10, 6), dpi=150, layout="constrained", facecolor="white")
    if len(drawn) == 1:
        loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        _one_run(loss, drawn[0].curves)
        _learning_rate(rate, drawn[0].curves)
        rate.set_xlabel("Step", color=_FAINT, fontsize=10)
    else:
        loss = figure.subplots()
        _several_runs(loss, drawn)
        loss.set_xlabel("Step", color=_FAINT, fontsize=10)
    loss.set_ylabel("Loss", color=_FAINT, fontsize=10)
    loss.set_ylim(*_height(drawn))
    _titles(loss, title, subtitle or (_best_words(drawn[0].curves) if len(drawn) == 1 else ""))
    loss.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="upper right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes_atomically(path, picture.getvalue())


def steps_csv(curves: Curves) -> str:
    """One line a step, with the smoothed loss and the time in UTC."""
    smoothed = dict(_smoothed(curves))
    columns = [name for name in COLUMNS if name != "time"]
    rows = (
        [
            step,
            *(_cell(curves.columns[name][index]) for name in columns),
            _cell(smoothed.get(step, float("nan"))),
            _utc(curves.columns["time"][index]),
        ]
        for index, step in enumerate(list(curves.steps))
    )
    return table(["step", *columns, "loss_smoothed", "time_utc"], rows)


def validation_csv(curves: Curves) -> str:
    """One line for each time that the validation loss was measured."""
    bands = band_names(curves)
    rows = (
        [item.step, _cell(item.loss), *(_cell(item.bands.get(name, float("nan"))) for name in bands)]
        for item in curves.validations
    )
    return table(["step", "loss", *(f"loss_at_{name}" for name in bands)], rows)


def band_names(curves: Curves) -> list[str]:
    return list(dict.fromkeys(name for item in curves.validations for name in item.bands))


def best_validation(curves: Curves) -> Point | None:
    """(step, loss) of the lowest validation loss after the first step; None where there is none."""
    measured = [point for point in curves.validation_points() if point[0] > 0]
    return min(measured, key=lambda point: point[1], default=None)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _one_run(axes: Axes, curves: Curves) -> None:
    points = curves.points("loss")
    axes.plot(*_split(_thinned(points)), color=COLOURS[0], alpha=0.28, linewidth=0.8, label="Each step")
    axes.plot(
        *_split(_thinned(_smoothed(curves))),
        color=COLOURS[0],
        linewidth=2.2,
        label=f"Mean of {_smoothing(curves)}",
    )
    validations = curves.validation_points()
    if validations:
        axes.plot(*_split(validations), color=COLOURS[1], linewidth=1.2, alpha=0.7)
        axes.scatter(*_split(validations), color=COLOURS[1], s=20, zorder=3, label="Validation")
    best = best_validation(curves)
    if best:
        axes.plot(*best, "o", color=_BEST, markersize=11, markerfacecolor="none", markeredgewidth=2)
        axes.annotate(
            f"lowest {best[1]:.4f}", best, xytext=(0, -20), textcoords="offset points", ha="center",
            fontsize=9, color=_BEST, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def _several_runs(axes: Axes, lines: Sequence[Line]) -> None:
    """The validation loss is what is compared: it is strong where there is one, and training faint then."""
    for index, line in enumerate(lines):
        colour, dash = COLOURS[index % len(COLOURS)], "-" if index < len(COLOURS) else "--"
        name, validations = f"{line.name}  {line.note}".strip(), line.curves.validation_points()
        points = _thinned(_smoothed(line.curves))
        alpha, width, label = (0.4, 1.1, None) if validations else (1.0, 2.0, name)
        axes.plot(*_split(points), dash, color=colour, linewidth=width, alpha=alpha, label=label)
        if validations:
            axes.plot(
                *_split(validations), f"o{dash}", label=name, color=colour, linewidth=2, markersize=4,
                markeredgecolor="white",
            )  # fmt: skip


def _learning_rate(axes: Axes, curves: Curves) -> None:
    axes.plot(*_split(_thinned(curves.points("learning_rate"))), color=_FAINT, linewidth=1.4)
    axes.set_ylabel("Learning rate", color=_FAINT, fontsize=9)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    axes.set_ylim(bottom=0)
    _plain(axes)


def _titles(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=_INK, pad=26 if subtitle else 10)
    if subtitle:
        axes.text(0, 1.02, subtitle, transform=axes.transAxes, fontsize=10, color=_FAINT, va="bottom")
    _plain(axes)


def _plain(axes: Axes) -> None:
    """No frame, a quiet grid."""
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=9, length=0)
    axes.margins(x=0.01)


def _best_words(curves: Curves) -> str:
    best = best_validation(curves)
    trained = f"{len(curves.steps):,} steps"
    return f"{trained}; lowest validation loss {best[1]:.4f} at step {best[0]:,}" if best else trained


def _height(lines: Sequence[Line]) -> tuple[float, float]:
    """What the losses lie between, without the wildest single steps."""
    values: list[float] = []
    for line in lines:
        losses = sorted(value for _, value in line.curves.points("loss"))
        if len(lines) == 1 and losses:
            cut = int(len(losses) * _OUTLIERS)
            values += [losses[cut], losses[-1 - cut]]
        smoothed = [value for _, value in _smoothed(line.curves)]
        values += [
            *smoothed[min(20, len(smoothed) // 2) :],
            *(loss for _, loss in line.curves.validation_points()),
        ]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = max((high - low) * 0.08, abs(high) * 1e-3, 1e-9)
    return max(0.0, low - margin), high + margin


def _smoothing(curves: Curves) -> int:
    return smoothing_of(max(curves.planned_steps, len(curves.steps)))


def _smoothed(curves: Curves) -> list[Point]:
    return smooth(curves.points("loss"), _smoothing(curves))


def _thinned(points: Sequence[Point]) -> list[Point]:
    """The lowest and the highest of each of a few thousand stretches, in their order."""
    stride = max(1, 2 * len(points) // _MOST_DRAWN)
    if stride < 3:
        return list(points)
    kept: list[Point] = []
    for first in range(0, len(points), stride):
        part = points[first : first + stride]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _split(points: Sequence[Point]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _cell(value: float) -> str:
    """'' for what is not a number: programs read that as a gap."""
    return f"{value:.10g}" if value == value and abs(value) != float("inf") else ""


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds") if seconds else ""
