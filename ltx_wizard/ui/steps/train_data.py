"""A training as JSON for assets/js/train.js and compare.js: only what the page does not have yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from ltx_wizard.app import jobs, monitor, plots
from ltx_wizard.app.advisor import Advice, Mark
from ltx_wizard.app.curves import COLUMNS, Curves, curves_of
from ltx_wizard.app.lab_figures import figures
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.events import SampleReady, Validated
from ltx_wizard.core.measures import readings
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder
from ltx_wizard.core.units import duration_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import opened

_MOST_ROWS = 8_000
"""Rows of one answer: a page that has none yet asks again at once, and stays quick meanwhile."""

_LONGEST_NUMBER = 10


class Had:
    """What a page has already: the generation of the curves, and how many rows, validations and samples."""

    def __init__(self, query: Mapping[str, str] | None = None) -> None:
        asked = query or {}
        self.generation = _whole(asked.get("gen", ""))
        self.rows = _whole(asked.get("rows", ""))
        self.validations = _whole(asked.get("validations", ""))
        self.samples = _whole(asked.get("samples", ""))

    def of(self, curves: Curves) -> Had:
        """Nothing counts that is of another generation."""
        return self if self.generation == curves.generation else Had()


def run_json(project: Project, job: JobFolder, had: Had) -> dict[str, object]:
    """A run as the step Train shows it, with the rows that the page lacks."""
    view = monitor.run_view(project, job)
    samples = view.curves.samples[had.of(view.curves).samples :]
    return {
        **curves_json(view.curves, had),
        "run": job.name,
        "state": view.state.value,
        "step": view.step,
        "steps": view.steps,
        "fraction": view.fraction,
        "figures": _figures(view),
        "now": view.now,
        "health": view.health,
        "advice": [_advice_json(item) for item in view.advice],
        "recommended": _recommended_json(view),
        "samples": [_sample_json(project, job, event) for event in samples],
        "checkpoints": [step for step, _ in view.checkpoints],
        "warnings": list(view.warnings),
        "changes": [item.text for item in view.changes],
        "problem": view.problem,
        "remedy": view.remedy,
        "log": view.log_tail,
        "paused": job.pause_file.exists(),
        "stopping": job.stop_file.exists(),
    }


def run_curves_json(job: JobFolder, had: Had) -> dict[str, object]:
    """The curves of a run alone, as they are laid over those of others. over: whether it has ended."""
    curves = curves_of(job)
    return {**curves_json(curves, had), "over": curves.others.is_over}


def save_plots(sent: Mapping[str, object]) -> dict[str, object]:
    """Write the plot and the numbers of a run to its folder, and say where they are."""
    project = opened(str(sent.get("project", "")))
    job = jobs.find_run(project, str(sent.get("run", "")))
    recipe = monitor.recipe_of(job)
    name = project.read_settings().name
    files = plots.save_plots(job, f"{name}: {recipe.title or recipe.name}" if recipe else name)
    urls = [media.download_url(project, project.relative(path)) for path in files]
    return {
        "folder": str(files[0].parent),
        "files": [{"name": path.name, "url": url} for path, url in zip(files, urls, strict=True)],
    }


def curves_json(curves: Curves, had: Had) -> dict[str, object]:
    """rows: columns by name, from the row `from` on. more: whether there are further ones right now.

    A number that is none is null.
    """
    known, count = had.of(curves), len(curves.steps)
    first = min(known.rows, count)
    end = min(count, first + _MOST_ROWS)
    rows: dict[str, list[float | None]] = {"step": list(curves.steps[first:end])}
    for name in COLUMNS:
        rows[name] = [_short(value) for value in curves.columns[name][first:end]]
    return {
        "generation": curves.generation,
        "from": first,
        "rows": rows,
        "more": end < count,
        "validations_from": known.validations,
        "validations": [_validation_json(item) for item in curves.validations[known.validations :]],
        "samples_from": known.samples,
    }


def _figures(view: monitor.RunView) -> list[tuple[str, str]]:
    validations = view.curves.validation_points()
    figures = [
        ("Step", f"{view.step:,} of {view.steps:,}"),
        ("Time left", duration_text(view.seconds_left) if view.seconds_left else "–"),
        ("Validation loss", f"{validations[-1][1]:.4f}" if validations else "–"),
        ("Learning rate", f"{view.learning_rate:.2e}" if view.learning_rate else "–"),
        ("One step", f"{view.step_s:.2f} s" if view.step_s else "–"),
    ]
    return [*figures, ("Memory", f"{view.memory_gib:.1f} GB")] if view.memory_gib else figures


def _validation_json(item: Validated) -> dict[str, object]:
    bands = {name: _short(loss) for name, loss in item.bands.items()}
    return {"step": item.step, "loss": _short(item.loss), "bands": bands, "learnt": item.learnt}


def _advice_json(item: Advice) -> dict[str, object]:
    return {
        "id": item.id,
        "severity": item.severity,
        "title": item.title,
        "text": item.text,
        "to_do": list(item.to_do),
        "marks": [_mark_json(mark) for mark in item.marks],
        "changes": sorted(item.changes),
    }


def _mark_json(mark: Mark) -> dict[str, object]:
    return {
        "series": mark.series,
        "from": mark.from_step,
        "to": mark.to_step,
        "label": mark.label,
        "value": _short(mark.value) if mark.value is not None else None,
        "band": mark.band,
    }


def _recommended_json(view: monitor.RunView) -> dict[str, object] | None:
    found = view.recommended
    if found is None:
        return None
    return {"step": found.step, "why": found.why, "loss": found.loss, "basis": found.basis}


def _sample_json(project: Project, job: JobFolder, event: SampleReady) -> dict[str, object]:
    sample = monitor.sample_view(job, event)
    try:
        relative = project.relative(sample.path)
        version = str(sample.path.stat().st_mtime_ns)
    except (OSError, ValueError, WizardError):
        relative, version = "", ""
    return {
        "step": sample.step,
        "prompt_index": sample.prompt_index,
        "prompt": sample.prompt,
        "url": media.file_url(project, relative, version) if relative else "",
        "measures": [asdict(figure) for figure in figures(event.measures)] if event.measures else [],
        "readings": readings(event.measures) if event.measures else [],
    }


def _short(value: float) -> float | None:
    """Six digits are more than a plot shows, and half of what would be sent."""
    return float(f"{value:.10g}" if abs(value) > 1e6 else f"{value:.6g}") if math.isfinite(value) else None


def _whole(text: str) -> int:
    """A count from an address; anything else is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER else 0
