"""Several settings tried one after another: a queue of runs, with one summary.

A sweep is a folder with sweep.json, written before and after everything that happens: which run belongs to
which settings is known although app or computer die at any moment. Whoever is there, the window or the
command line, calls `advance`; a lock file lets one do it at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from ltx_wizard.app import compare, datasets, jobs, memory_plan, plots
from ltx_wizard.app.compare import RunFacts
from ltx_wizard.app.curves import curves_of
from ltx_wizard.app.refusals import refuse_recipe
from ltx_wizard.app.settings import recent_projects
from ltx_wizard.app.supervisor import STARTING_GRACE_S
from ltx_wizard.app.sweep_plan import Axis, Entry, Sweep, Value, new_sweep
from ltx_wizard.app.sweep_time import SweepRun, TimeLeft, sweep_time_left
from ltx_wizard.core.documents import (
    make_folder,
    read_document,
    write_document,
    write_text_atomically,
)
from ltx_wizard.core.errors import Busy, NotFound, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobState

SWEEP_FILE = "sweep.json"
_TRIES = 2
"""A run whose worker died without a word, as with the computer, goes on from its checkpoint once."""

_FAILURES = 2
"""So many failed runs in a row end the sweep: the next would most likely fail in the same way."""

_POLL_S = 2.0

EntryState = Literal["queued", "running", "finished", "stopped", "failed"]

_LOG = logging.getLogger("ltx_wizard")


@dataclass(frozen=True)
class EntryView:
    """One run of a sweep as it stands. facts: None before it was made."""

    values: tuple[Value, ...]
    run: str
    state: EntryState
    facts: RunFacts | None


@dataclass(frozen=True)
class SweepView:
    """best: the run with the lowest validation loss, '' where that says nothing, with the reason in caution.
    seconds_left: with samples, validations and what comes before the first step; None where it is not known.
    left_source: what it was computed from.
    """

    name: str
    sweep: Sweep
    entries: tuple[EntryView, ...]
    best: str
    caution: str
    seconds_left: float | None
    left_source: str = ""

    @property
    def done(self) -> int:
        return sum(entry.state in ("finished", "failed") for entry in self.entries)


def start(project: Project, axes: Sequence[Axis], anyway: bool = False) -> str:
    """Queue the runs; the first starts at once. Gives the sweep's name.

    Raises Busy while another sweep or a job runs, NotReady or BadSetting where one of its runs could not
    start: before the first, not in the middle of the night. anyway: whatever the memory plan says.
    """
    active = active_sweep(project)
    if active:
        raise Busy(
            problem=f"The sweep {active} of this project is not done yet.",
            remedy="Stop it first, or wait until it is done.",
        )
    jobs.refuse_while_running(project)
    made = new_sweep(project, axes)
    jobs.training_job(project, made.recipe_of(made.entries[0]))
    for entry in made.entries:
        recipe = made.recipe_of(entry)
        refuse_recipe(recipe, datasets.model_spec(project))
        if not anyway:
            memory_plan.refuse_unfit(project, recipe)
    folder = _make_folder(project)
    write_document(folder / SWEEP_FILE, made)
    advance(project)
    return folder.name


def stop(project: Project, name: str) -> None:
    """No further run; the one that runs finishes its step, saves and ends."""
    with _lock(project):
        sweep = _read(project, name)
        _write(project, name, sweep.model_copy(update={"state": "stopped", "note": "You stopped it."}))
    for entry in sweep.entries:
        if entry.run and _entry_state(project, entry) == "running":
            jobs.stop(jobs.find_run(project, entry.run))


def go_on(project: Project, name: str) -> None:
    """Go on with what is left; a run that was stopped goes on from its checkpoint, one that failed begins
    again. Raises Busy while another sweep or a job runs.
    """
    active = active_sweep(project)
    if active and active != name:
        raise Busy(problem=f"The sweep {active} is not done yet.", remedy="Stop it first.")
    jobs.refuse_while_running(project)
    with _lock(project):
        sweep = _read(project, name)
        entries = tuple(_to_go_on(project, entry) for entry in sweep.entries)
        _write(project, name, sweep.model_copy(update={"state": "running", "note": "", "entries": entries}))
    advance(project)


def advance(project: Project) -> bool:
    """Do what is next in the project's sweep. Whether there is more to do, now or later."""
    name = active_sweep(project)
    if not name:
        return False
    try:
        with _lock(project, wait_s=0):
            return _advance(project, name)
    except Timeout:  # another window does it
        return True


def advance_all() -> None:
    """The sweeps of all projects that this app knows. A project that cannot be read is left out."""
    for folder in recent_projects():
        project = Project(folder)
        try:
            advance(project)
        except WizardError as error:
            _LOG.warning("A sweep of %s waits: %s", folder.name, error.problem)


def keep_going() -> None:
    """Go on with sweeps in the background for as long as this app lives."""
    jobs.every(_POLL_S, advance_all)


def names(project: Project) -> list[str]:
    """All sweeps, oldest first."""
    folder = project.folder / "sweeps"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / SWEEP_FILE).is_file())


def active_sweep(project: Project) -> str:
    """The sweep that still has to start runs; '' where there is none. A damaged one is left alone."""
    for name in reversed(names(project)):
        try:
            if _read(project, name).state == "running":
                return name
        except WizardError:
            continue
    return ""


def views(project: Project) -> list[SweepView]:
    """All sweeps, newest first. A damaged one is left out: it must not hide the others."""
    found: list[SweepView] = []
    for name in reversed(names(project)):
        try:
            found.append(view(project, name))
        except WizardError as error:
            _LOG.warning("The sweep %s cannot be shown: %s", name, error.problem)
    return found


def view(project: Project, name: str) -> SweepView:
    """Raises NotFound or BadDocument."""
    sweep = _read(project, name)
    entries = tuple(_entry_view(project, entry) for entry in sweep.entries)
    runs = [entry.run for entry in entries if entry.facts]
    compared = compare.compare(project, runs) if runs else None
    left = _time_left(project, sweep, entries)
    return SweepView(
        name,
        sweep,
        entries,
        compared.best if compared else "",
        compared.caution if compared else "",
        left.seconds if left else None,
        left.source if left else "",
    )


def save_summary(project: Project, name: str) -> list[Path]:
    """Write summary.csv and summary.png into the sweep's folder. Raises NotReady before the first step."""
    shown, folder = view(project, name), _folder(project, name)
    table, picture = folder / "summary.csv", folder / "summary.png"
    write_text_atomically(table, summary_csv(shown))
    lines = [
        plots.Line(
            _values_text(shown.sweep.axes, entry.values),
            curves_of(jobs.find_run(project, entry.run)),
            "best" if entry.run == shown.best else "",
        )
        for entry in shown.entries
        if entry.facts
    ]
    varied = " x ".join(axis.key for axis in shown.sweep.axes)
    plots.write_plot(picture, lines, f"{project.read_settings().name}: {varied}")
    return [table, picture]


def summary_csv(shown: SweepView) -> str:
    """One line a run, in the order of the sweep."""
    keys = [axis.key for axis in shown.sweep.axes]
    header = [
        *keys, "run", "state", "steps", "best_validation_loss", "at_step", "last_validation_loss",
        "training_s", "peak_gib", "best",
    ]  # fmt: skip
    rows: list[list[object]] = []
    for entry in shown.entries:
        facts = entry.facts
        best, last = (facts.best, facts.last) if facts else (None, None)
        rows.append(
            [
                *entry.values,
                entry.run,
                entry.state,
                facts.step if facts else "",
                best[1] if best else "",
                best[0] if best else "",
                last[1] if last else "",
                round(facts.training_s, 1) if facts else "",
                facts.peak_gib if facts else "",
                "yes" if entry.run and entry.run == shown.best else "",
            ]
        )
    return plots.table(header, rows)


def _advance(project: Project, name: str) -> bool:
    sweep = _read(project, name)
    failed_in_a_row = 0
    for index, entry in enumerate(sweep.entries):
        state = _entry_state(project, entry)
        if state == "running":
            return True
        if state == "queued" or entry.resume or _died(project, entry, state):
            return _begin(project, name, sweep, index)
        failed_in_a_row = failed_in_a_row + 1 if state == "failed" else 0
        if failed_in_a_row >= _FAILURES and any(not later.run for later in sweep.entries[index + 1 :]):
            note = f"{_FAILURES} runs in a row failed: {_problem(project, entry)}"
            _write(project, name, sweep.model_copy(update={"state": "stopped", "note": note}))
            return False
    _save_quietly(project, name)  # before it counts as done: what breaks off here is done again
    _write(project, name, sweep.model_copy(update={"state": "done", "note": ""}))
    return False


def _begin(project: Project, name: str, sweep: Sweep, index: int) -> bool:
    """Start or go on with the run of an entry. Its folder is made and written down before its worker starts.

    A reason why it cannot start stops the sweep, in words.
    """
    if jobs.active_job(project) is not None:
        return True
    entry = sweep.entries[index]
    try:
        run = (
            entry.run
            or jobs.create_job(
                project, jobs.training_job(project, sweep.recipe_of(entry)), _run_name(sweep, entry)
            ).name
        )
        begun = entry.model_copy(
            update={"run": run, "tries": entry.tries + 1, "begun": time.time(), "resume": False}
        )
        entries = (*sweep.entries[:index], begun, *sweep.entries[index + 1 :])
        _write(project, name, sweep.model_copy(update={"entries": entries}))
        jobs.launch(jobs.find_run(project, run))
    except Busy:
        return True
    except WizardError as error:
        note = f"The next run could not start. {error.problem} {error.remedy}"
        _write(project, name, _read(project, name).model_copy(update={"state": "stopped", "note": note}))
        return False
    return True


def _entry_state(project: Project, entry: Entry) -> EntryState:
    if not entry.run:
        return "queued"
    try:
        facts = compare.facts_of(jobs.find_run(project, entry.run))
    except NotFound:  # its folder was deleted: what came of it is gone
        return "failed"
    if facts.updated < entry.begun and time.time() - entry.begun < STARTING_GRACE_S:
        return "running"  # its worker starts: until it reports, an older end is the last that was heard
    words: dict[JobState, EntryState] = {
        JobState.WAITING: "running",
        JobState.RUNNING: "running",
        JobState.FINISHED: "finished",
        JobState.STOPPED: "stopped",
        JobState.FAILED: "failed",
    }
    return words[facts.state]


def _died(project: Project, entry: Entry, state: EntryState) -> bool:
    """Whether its worker ended without a word and it has tries left."""
    if state != "failed" or entry.tries >= _TRIES:
        return False
    try:
        return not curves_of(jobs.find_run(project, entry.run)).others.is_over
    except WizardError:
        return False


def _to_go_on(project: Project, entry: Entry) -> Entry:
    state = _entry_state(project, entry)
    if state == "stopped":
        return entry.model_copy(update={"resume": True})
    if state == "failed":
        return Entry(values=entry.values)
    return entry


def _entry_view(project: Project, entry: Entry) -> EntryView:
    facts = None
    if entry.run:
        try:
            facts = compare.facts_of(jobs.find_run(project, entry.run))
        except NotFound:
            facts = None
    return EntryView(entry.values, entry.run, _entry_state(project, entry), facts)


def _time_left(project: Project, sweep: Sweep, entries: Sequence[EntryView]) -> TimeLeft | None:
    """A run that was stopped by itself is not gone on with, unless the whole sweep was stopped and may be."""
    if sweep.state == "done" or not any(shown.facts for shown in entries):
        return None
    runs: list[SweepRun] = []
    for entry, shown in zip(sweep.entries, entries, strict=True):
        stopped_alone = shown.state == "stopped" and sweep.state == "running" and not entry.resume
        to_do = shown.state not in ("finished", "failed") and not stopped_alone
        job = jobs.find_run(project, shown.run) if shown.facts else None
        recipe = sweep.recipe_of(entry) if to_do else sweep.recipe
        runs.append(SweepRun(recipe, job, shown.facts.step if shown.facts else 0, to_do))
    return sweep_time_left(runs)


def _problem(project: Project, entry: Entry) -> str:
    try:
        return jobs.status(jobs.find_run(project, entry.run)).problem
    except WizardError as error:
        return error.problem


def _save_quietly(project: Project, name: str) -> None:
    """The summary can be written again at any time: a full disk must not keep a sweep from being done."""
    try:
        save_summary(project, name)
    except WizardError as error:
        _LOG.warning("The summary of %s was not written: %s", name, error.problem)


def _run_name(sweep: Sweep, entry: Entry) -> str:
    """'rank-32-lr-0.0001': what tells the runs of a sweep apart."""
    return "-".join(
        f"{axis.key.rpartition('.')[2].replace('_', '-')}-{_text(value)}"
        for axis, value in zip(sweep.axes, entry.values, strict=True)
    )


def _values_text(axes: Sequence[Axis], values: Sequence[Value]) -> str:
    return ", ".join(
        f"{axis.key.rpartition('.')[2]} {_text(value)}" for axis, value in zip(axes, values, strict=True)
    )


def _text(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _folder(project: Project, name: str) -> Path:
    """Raises NotFound for a name that is no sweep of this project."""
    folder = project.folder / "sweeps" / (name.replace("\\", "/").rsplit("/", 1)[-1] or "-")
    if name in ("", ".", "..") or not (folder / SWEEP_FILE).is_file():
        raise NotFound(problem=f"There is no sweep {name} in this project.", remedy="Choose another one.")
    return folder


def _make_folder(project: Project) -> Path:
    parent = project.folder / "sweeps"
    make_folder(parent)
    number = 1 + max((int(name) for name in names(project) if name.isdigit()), default=0)
    while True:
        folder = parent / f"{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            continue
        return folder


def _lock(project: Project, wait_s: float = 10) -> FileLock:
    make_folder(project.folder / "sweeps")
    return FileLock(project.folder / "sweeps" / ".lock", timeout=wait_s)


def _read(project: Project, name: str) -> Sweep:
    return read_document(_folder(project, name) / SWEEP_FILE, Sweep)


def _write(project: Project, name: str, sweep: Sweep) -> None:
    write_document(_folder(project, name) / SWEEP_FILE, sweep)
