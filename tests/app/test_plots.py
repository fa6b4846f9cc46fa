from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.app import plots
from ltx_wizard.app.curves import Curves, curves_of
from ltx_wizard.core.errors import NotReady
from ltx_wizard.core.events import Event, EventWriter, StepDone, Validated
from ltx_wizard.core.run import JobFolder


def step(number: int, loss: float) -> StepDone:
    return StepDone(step=number, steps=50, loss=loss, learning_rate=1e-3, grad_norm=1, step_s=0.1, time=60)


def curves(folder: Path, *events: Event) -> Curves:
    job = JobFolder(folder)
    writer = EventWriter(job.events_file)
    for event in events:
        writer.write(event)
    writer.close()
    return curves_of(job)


def colours_of(path: Path) -> set[tuple[int, ...]]:
    from PIL import Image

    return {tuple(pixel) for pixel in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3).tolist()}


def test_the_plot_of_a_run_is_a_picture_with_its_lines_and_dots(tmp_path: Path) -> None:
    steps = [step(number, 2 / number) for number in range(1, 51)]
    run = curves(tmp_path / "run", Validated(step=0, loss=2.0), *steps, Validated(step=50, loss=0.5))
    path = tmp_path / "loss.png"
    plots.write_plot(path, [plots.Line("Training", run)], "Fifty steps")
    assert {(0x50, 0x46, 0xE5), (0xD9, 0x73, 0x0D), (0x1A, 0x7F, 0x4E)} <= colours_of(path)


def test_runs_over_each_other_have_colours_of_their_own(tmp_path: Path) -> None:
    lines = [
        plots.Line(name, curves(tmp_path / name, *(step(n, 1 / n + shift) for n in range(1, 51))))
        for name, shift in (("a", 0.0), ("b", 0.5))
    ]
    path = tmp_path / "several.png"
    plots.write_plot(path, lines, "Two runs")
    assert {(0x50, 0x46, 0xE5), (0xD9, 0x73, 0x0D)} <= colours_of(path)


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotReady):
        plots.save_plots(JobFolder(tmp_path / "none"), "Nothing")


def test_the_numbers_are_a_table_that_leaves_out_what_is_no_number(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "run")
    curves(job.folder, step(1, 0.5), step(2, float("nan")), Validated(step=2, loss=0.25, bands={"0.2": 0.5}))
    plots.save_plots(job, "Two steps")
    rows = list(csv.DictReader((job.folder / "plots" / "steps.csv").open()))
    assert [(row["step"], row["loss"]) for row in rows] == [("1", "0.5"), ("2", "")]
    assert rows[0]["time_utc"] == "1970-01-01T00:01:00.000+00:00"
    assert (job.folder / "plots" / "validation.csv").read_text().splitlines() == [
        "step,loss,loss_at_0.2",
        "2,0.25,0.5",
    ]


def test_the_best_validation_is_not_that_of_the_untrained_model(tmp_path: Path) -> None:
    run = curves(
        tmp_path / "run", *(Validated(step=n, loss=loss) for n, loss in ((0, 0.1), (50, 0.4), (100, 0.5)))
    )
    assert plots.best_validation(run) == (50, 0.4)
