"""The Lab as a page shows it: what is made, what is being made, how long the rest takes. No torch here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.app import jobs
from ltx_wizard.app.lab import current
from ltx_wizard.app.lab_loras import Checkpoint, checkpoints, is_there
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.lab import Lab, LabCell, LabFolder, Wanted, in_order_of_use, missing, wanted
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder, JobState, JobStatus

_RECENT_CELLS = 12


@dataclass(frozen=True)
class Place:
    """One place of a grid. state: made, now (being made), waiting, gone (its LoRA's file is not there)."""

    wanted: Wanted
    state: str
    cell: LabCell | None


@dataclass(frozen=True)
class LabView:
    """Everything that a page shows. seconds_left: None while nothing comparable was made yet.

    left: videos that can be made and are not; those of a LoRA whose file is gone cannot. untouched: nothing
    was chosen yet; the grid is a proposal.
    """

    lab: Lab
    untouched: bool
    checkpoints: tuple[Checkpoint, ...]
    places: tuple[Place, ...]
    total: int
    made: int
    left: int
    seconds_left: float | None
    job: JobFolder | None
    running: bool
    paused: bool
    stopping: bool
    now: str
    problem: str
    remedy: str
    warnings: tuple[str, ...]


def view(project: Project) -> LabView:
    """Raises NotReady where there is no LoRA to look at yet."""
    folder = LabFolder(project)
    lab = current(project)
    job, running = _job(project)
    status = jobs.status(job) if job else None
    trigger = project.read_settings().trigger_word
    ordered = in_order_of_use(lab, trigger)
    todo = [item for item in missing(folder, ordered) if is_there(project, item.lora)]
    rendering = running and status is not None and status.progress is not None
    now_key = todo[0].key if todo and rendering else ""
    cells = {item.key: _cell(folder, item.key) for item in ordered}
    places = tuple(_place(project, item, cells[item.key], now_key) for item in wanted(lab, trigger))
    failed = status is not None and status.state is JobState.FAILED and not running
    return LabView(
        lab=lab,
        untouched=not folder.exists(),
        checkpoints=tuple(checkpoints(project)),
        places=places,
        total=len(ordered),
        made=len(ordered) - len(missing(folder, ordered)),
        left=len(todo),
        seconds_left=_seconds_left(lab, [cell for cell in cells.values() if cell], len(todo)),
        job=job,
        running=running,
        paused=running and job is not None and job.pause_file.exists(),
        stopping=running and job is not None and job.stop_file.exists(),
        now=_now(status) if running and status else "",
        problem=status.problem if failed and status and todo else "",
        remedy=status.remedy if failed and status and todo else "",
        warnings=status.warnings if status and running else (),
    )


def _job(project: Project) -> tuple[JobFolder | None, bool]:
    """The newest job of the Lab, and whether it runs."""
    job = jobs.last_job(project, "lab")
    return job, job is not None and jobs.is_active(job)


def _place(project: Project, item: Wanted, cell: LabCell | None, now_key: str) -> Place:
    if cell is not None:
        return Place(item, "made", cell)
    if not is_there(project, item.lora):
        return Place(item, "gone", None)
    return Place(item, "now" if item.key == now_key else "waiting", None)


def _seconds_left(lab: Lab, cells: Sequence[LabCell], missing_count: int) -> float | None:
    """By the last videos of the same size and steps that were made: nothing is guessed."""
    sampling = lab.sampling
    alike = [
        cell
        for cell in cells
        if (cell.request.width, cell.request.height, cell.request.frames, cell.request.steps)
        == (sampling.width, sampling.height, sampling.frames, sampling.steps)
    ]
    newest = sorted(alike, key=lambda cell: cell.created)[-_RECENT_CELLS:]
    if not newest:
        return 0.0 if not missing_count else None
    return missing_count * sum(cell.seconds for cell in newest) / len(newest)


def _now(status: JobStatus) -> str:
    if status.progress is None:
        return "Starting"
    text = status.progress.message or status.progress.stage
    done, total = status.progress.done, status.progress.total
    return f"{text} {done:,} of {total:,}" if total > 1 else text


def _cell(folder: LabFolder, key: str) -> LabCell | None:
    try:
        changed = folder.cell_file(key).stat().st_mtime_ns
    except OSError:
        return None
    if not (folder.video(key).is_file() and folder.strip(key).is_file()):
        return None
    return _read_cell(folder.cell_file(key).parent.parent, key, changed)


@functools.lru_cache(maxsize=4096)
def _read_cell(lab_folder: Path, key: str, _changed_ns: int) -> LabCell | None:
    """Read again only when the file has changed: the page asks every second."""
    folder = LabFolder(Project(lab_folder.parent))
    try:
        return folder.read_cell(key)
    except WizardError:
        return None
