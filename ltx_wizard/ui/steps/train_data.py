"""A training as JSON for assets/js/train.js: only what is new since the step that the page has already."""

from __future__ import annotations

from ltx_wizard.app import monitor
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder
from ltx_wizard.core.units import duration_text
from ltx_wizard.ui import media

_MOST_POINTS = 2000
"""More than a chart has pixels: longer curves are thinned when a page loads them whole."""


def run_json(project: Project, job: JobFolder, after: int = 0) -> dict[str, object]:
    """after: the last step whose loss the page has."""
    view = monitor.run_view(project, job)
    return {
        "run": job.name,
        "state": view.state.value,
        "step": view.step,
        "steps": view.steps,
        "fraction": view.fraction,
        "losses": _thinned([(step, loss) for step, loss in view.losses if step > after]),
        "smoothed": _thinned([(step, loss) for step, loss in view.smoothed if step > after]),
        "validations": list(view.validations),
        "figures": _figures(view),
        "now": view.now,
        "health": view.health,
        "samples": [_sample_json(project, job, sample) for sample in view.samples],
        "checkpoints": [step for step, _ in view.checkpoints],
        "warnings": list(view.warnings),
        "changes": [item.text for item in view.changes],
        "problem": view.problem,
        "remedy": view.remedy,
        "log": view.log_tail,
        "paused": job.pause_file.exists(),
        "stopping": job.stop_file.exists(),
    }


def _figures(view: monitor.RunView) -> list[tuple[str, str]]:
    figures = [
        ("Step", f"{view.step:,} of {view.steps:,}"),
        ("Time left", duration_text(view.seconds_left) if view.seconds_left else "–"),
        ("Loss, smoothed", f"{view.smoothed[-1][1]:.4f}" if view.smoothed else "–"),
        ("Validation loss", f"{view.validations[-1][1]:.4f}" if view.validations else "–"),
        ("Learning rate", f"{view.learning_rate:.2e}" if view.learning_rate else "–"),
        ("One step", f"{view.step_s:.2f} s" if view.step_s else "–"),
    ]
    return [*figures, ("Memory", f"{view.memory_gib:.1f} GB")] if view.memory_gib else figures


def _sample_json(project: Project, job: JobFolder, sample: monitor.SampleView) -> dict[str, object]:
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
    }


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = max(1, len(points) // _MOST_POINTS)
    return points[::stride] if stride == 1 else [*points[::stride], points[-1]]
