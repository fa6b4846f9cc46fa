"""runs, plot, sweep: what came of trainings, as lists, pictures and tables; and several in a row."""

from __future__ import annotations

import time
from argparse import Namespace

from ltx_wizard.app import compare, jobs, memory_plan, plots, sweep_plan, sweeps
from ltx_wizard.app.compare import Comparison, RunFacts
from ltx_wizard.app.curves import curves_of
from ltx_wizard.app.sweeps import SweepView
from ltx_wizard.commands.console import Console
from ltx_wizard.commands.dataset import opened
from ltx_wizard.commands.following import JobStopped
from ltx_wizard.core.errors import BadSetting, NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import duration_text, plural

_POLL_S = 1.0


def runs(given: Namespace, console: Console) -> int:
    """List all runs, or compare some: what their recipes differ in, and what came of it."""
    project = opened(given.project)
    if given.runs:
        compared = compare.compare(project, given.runs)
        _tell_compared(compared, console)
        console.result(_compared_json(compared))
        return 0
    found = compare.run_facts(project)
    if not found:
        raise NotFound(problem="This project has no run yet.", remedy="Make one with: ltx-wizard train")
    for run in found:
        console.say(_line(run))
    console.result({"runs": [_run_json(run) for run in found]})
    return 0


def plot(given: Namespace, console: Console) -> int:
    """Write picture and tables of a run into its folder; of several runs, one picture of all."""
    project = opened(given.project)
    names = list(given.runs) or [run.name for run in jobs.runs(project)][-1:]
    if not names:
        raise NotFound(problem="This project has no run yet.", remedy="Make one with: ltx-wizard train")
    chosen = [jobs.find_run(project, name) for name in names]
    title = project.read_settings().name
    if len(chosen) == 1 and given.out is None:
        files = plots.save_plots(chosen[0], f"{title}: {compare.facts_of(chosen[0]).title}")
    else:
        files = [(given.out or project.folder / "runs" / "compared.png").expanduser().resolve()]
        lines = [plots.Line(run.name, curves_of(run)) for run in chosen]
        plots.write_plot(files[0], lines, title)
    for path in files:
        console.say(str(path))
    console.result({"files": [str(path) for path in files]})
    return 0


def sweep(given: Namespace, console: Console) -> int:
    """Train every combination of some values, one after another, and say which was best."""
    project = opened(given.project)
    if given.go_on:
        name = _last_sweep(project)
        sweeps.go_on(project, name)
    else:
        axes = sweep_plan.parse_axes([_axis(text) for text in given.vary])
        planned = sweep_plan.plan(project, axes)
        time_text = memory_plan.about_text(planned.seconds) if planned.seconds is not None else ""
        about = f": {time_text}, {planned.source}" if time_text else ""
        console.say(f"{plural(len(planned.recipes), 'run')}{about}.")
        name = sweeps.start(project, axes, given.anyway)
    try:
        while sweeps.advance(project):
            _tell_progress(sweeps.view(project, name), console)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        sweeps.stop(project, name)
        raise JobStopped(
            problem=f"The sweep {name} is stopped. The run that trains finishes its step and saves.",
            remedy="Go on with: ltx-wizard sweep --go-on",
        ) from None
    shown = sweeps.view(project, name)
    _tell_sweep(shown, console)
    console.result(_sweep_json(project, shown))
    return 0 if shown.sweep.state == "done" else 1


def _last_sweep(project: Project) -> str:
    known = sweeps.names(project)
    if not known:
        raise NotFound(
            problem="This project has no sweep yet.",
            remedy="Start one with: ltx-wizard sweep --vary lora.rank=16,32",
        )
    return known[-1]


def _axis(text: str) -> tuple[str, str]:
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals:
        raise BadSetting(
            problem=f"'{text}' is not of the form key=values.", remedy="Write it as lora.rank=16,32."
        )
    return key, values


def _line(run: RunFacts) -> str:
    best = f", validation loss {run.best[1]:.4f} at step {run.best[0]:,}" if run.best else ""
    time_text = f", {duration_text(run.training_s)}" if run.training_s else ""
    return f"{run.name}  {run.title}: {run.state.value}, {run.step:,} of {run.steps:,} steps{time_text}{best}"


def _tell_compared(compared: Comparison, console: Console) -> None:
    for run in compared.runs:
        console.say(_line(run) + ("  (best)" if run.name == compared.best else ""))
    for item in compared.differences:
        values = ", ".join("-" if value is None else str(value) for value in item.values)
        console.say(f"  {item.key}: {values}")
    if not compared.differences and len(compared.runs) > 1:
        console.say("  The recipes are the same.")
    if compared.caution:
        console.say(compared.caution)


def _tell_progress(shown: SweepView, console: Console) -> None:
    for number, entry in enumerate(shown.entries, start=1):
        if entry.state == "running":
            step = f", step {entry.facts.step:,} of {entry.facts.steps:,}" if entry.facts else ""
            left = (
                f"; {memory_plan.about_text(shown.seconds_left)} left in all, {shown.left_source}"
                if shown.seconds_left
                else ""
            )
            console.update(entry.run, f"Run {number} of {len(shown.entries)}: {entry.run}{step}{left}")
            return


def _tell_sweep(shown: SweepView, console: Console) -> None:
    for entry in shown.entries:
        words = _line(entry.facts) if entry.facts else f"{entry.values}: {entry.state}"
        console.say(words + ("  (best)" if entry.run and entry.run == shown.best else ""))
    for sentence in (shown.sweep.note, shown.caution):
        if sentence:
            console.say(sentence)


def _run_json(run: RunFacts) -> dict[str, object]:
    return {
        "run": run.name,
        "recipe": run.title,
        "state": run.state.value,
        "steps": run.step,
        "planned_steps": run.steps,
        "best_validation_loss": run.best[1] if run.best else None,
        "best_step": run.best[0] if run.best else None,
        "last_validation_loss": run.last[1] if run.last else None,
        "training_s": round(run.training_s, 1),
        "peak_gib": run.peak_gib,
    }


def _compared_json(compared: Comparison) -> dict[str, object]:
    return {
        "runs": [_run_json(run) for run in compared.runs],
        "differences": {
            item.key: [list(value) if isinstance(value, tuple) else value for value in item.values]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            for item in compared.differences
        },
        "best": compared.best,
        "caution": compared.caution,
    }


def _sweep_json(project: Project, shown: SweepView) -> dict[str, object]:
    return {
        "sweep": shown.name,
        "folder": str(project.folder / "sweeps" / shown.name),
        "state": shown.sweep.state,
        "note": shown.sweep.note,
        "runs": [
            {**(_run_json(entry.facts) if entry.facts else {"state": entry.state}), "values": entry.values}
            for entry in shown.entries
        ],
        "best": shown.best,
        "caution": shown.caution,
    }
