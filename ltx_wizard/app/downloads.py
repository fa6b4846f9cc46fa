"""Models from the hub: what a download takes, starting, following, stopping it; how the hub is reached.

A download belongs to no project. Its job folder lies in the user's LTX Wizard folder, and a worker does it,
so it goes on when the window is closed.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ltx_wizard.app import datasets, jobs
from ltx_wizard.app.settings import read_app_settings, set_hub
from ltx_wizard.app.system import versions
from ltx_wizard.core import places
from ltx_wizard.core.errors import Busy, NotReady, WizardError, explain_os_error
from ltx_wizard.core.events import Progress
from ltx_wizard.core.run import DownloadJob, Job, JobFolder, JobState, JobStatus, list_job_folders
from ltx_wizard.models import hub
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, find_downloadable
from ltx_wizard.models.download_plan import DownloadPlan, plan_of, refuse_without_space, wanted_files
from ltx_wizard.models.hub import HubFile
from ltx_wizard.models.spec import Downloadable
from ltx_wizard.models.weights import hub_parts, missing_parts

_LISTING_HOLDS_S = 600.0
"""So long a listing of the hub is not asked for again; sizes on this disk are looked at every time."""

_TOLD_FAILED_S = 24 * 3600.0
"""So long a download that failed is told at the side of the window."""

_listings: dict[tuple[str, str], tuple[float, tuple[HubFile, ...]]] = {}


@dataclass(frozen=True)
class HubSettings:
    """endpoint: a mirror; empty: the hub itself. has_token: whether the hub's library knows one."""

    endpoint: str
    offline: bool
    has_token: bool


@dataclass(frozen=True)
class DownloadView:
    """A model's files as a page shows them.

    state: 'local' needs no hub; 'here' is whole; 'missing' is not, and nothing runs; 'running'.
    plan is None where the hub was not asked or gave no answer; problem and remedy then say why, and after a
    download that failed. progress: the last that a running download told. missing: parts, in words.
    """

    title: str
    state: str
    missing: tuple[str, ...] = ()
    plan: DownloadPlan | None = None
    progress: Progress | None = None
    stopping: bool = False
    stopped: bool = False
    problem: str = ""
    remedy: str = ""

    @property
    def seconds_left(self) -> float:
        """0: unknown."""
        if self.progress is None or self.progress.per_second <= 0:
            return 0.0
        return (self.progress.total - self.progress.done) / self.progress.per_second


@dataclass(frozen=True)
class Ongoing:
    """A download that runs, or that failed and was not tried again. id: of this very try. step: where in the
    window its model is downloaded.
    """

    id: str
    model: str
    step: str
    view: DownloadView


def folder() -> Path:
    """Where the jobs of downloads lie."""
    return places.home() / "downloads"


def hub_settings() -> HubSettings:
    settings = read_app_settings()
    return HubSettings(settings.hub_endpoint, settings.hub_offline or hub.is_offline(), hub.has_token())


def change_hub(endpoint: str, offline: bool) -> None:
    """Raises BadSetting for what is no address."""
    set_hub(hub.checked_endpoint(endpoint), offline)


def store_token(token: str) -> None:
    """Have the hub check a token and its library keep it; here it is not kept. Raises WizardError."""
    settings = hub_settings()
    if settings.offline:
        raise _offline()
    hub.store_token(token, settings.endpoint)


def recognise(text: str) -> str:
    """The id of what a person typed: a captioner's, or as recognise_model takes it. Raises WizardError."""
    known = {spec.id for spec in CAPTIONER_MODELS}
    return text.strip() if text.strip() in known else datasets.recognise_model(text).id


def plan(model: str) -> DownloadPlan:
    """What fetching a model takes. Asks the hub, at most every ten minutes. Raises WizardError."""
    settings = hub_settings()
    if settings.offline:
        raise _offline()
    key = (model, settings.endpoint)
    asked_at, files = _listings.get(key, (0.0, ()))
    if not files or time.monotonic() - asked_at > _LISTING_HOLDS_S:
        files = wanted_files(find_downloadable(model), settings.endpoint)
        _listings[key] = (time.monotonic(), files)
    return plan_of(files)


def start(model: str) -> JobFolder:
    """Fetch what is missing, in a worker. Raises Busy, NoSpace, NotReady, or what the hub refuses."""
    spec = find_downloadable(model)
    if not hub_parts(spec):
        raise NotReady(problem=f"{spec.title} needs no download.", remedy="Choose it and go on.")
    if not missing_parts(spec):
        raise NotReady(problem=f"{spec.title} is on this computer already.", remedy="Choose it and go on.")
    refuse_without_space(spec, plan(model))
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with FileLock(folder() / ".lock", timeout=10):
            return _start_alone(spec)
    except OSError as error:
        raise explain_os_error(error, folder()) from error


def last(model: str) -> JobFolder | None:
    """The newest download of a model, running or over."""
    known = find_downloadable(model).id
    return next((job for job in reversed(list_job_folders(folder())) if _model_of(job) == known), None)


def active(model: str) -> JobFolder | None:
    """The running download of a model, whichever window or command line started it."""
    job = last(model)
    return job if job is not None and jobs.is_active(job) else None


def stop(model: str) -> None:
    """What came so far is kept."""
    job = active(model)
    if job is not None:
        jobs.stop(job)


def ongoing() -> list[Ongoing]:
    """Those that run, and after them those that failed lately; the newest first."""
    newest: dict[str, JobFolder] = {}
    for job in reversed(list_job_folders(folder())):
        newest.setdefault(_model_of(job), job)
    found = [item for model, job in newest.items() if (item := _ongoing(model, job)) is not None]
    return sorted(found, key=lambda item: item.view.state != "running")


def status(job: JobFolder) -> JobStatus:
    return jobs.status(job)


def view(model: str, ask_hub: bool = True) -> DownloadView:
    """A model's files now. ask_hub: also how much there is to fetch, where something is missing."""
    spec = find_downloadable(model)
    if not hub_parts(spec):
        return DownloadView(spec.title, "local")
    job = last(model)
    if job is not None and jobs.is_active(job):
        return _running(spec, job)
    missing = tuple(part.replace("_", " ") for part in missing_parts(spec))
    if not missing:
        return DownloadView(spec.title, "here")
    problem, remedy = _end_of(job)
    found: DownloadPlan | None = None
    if ask_hub:
        try:
            found = plan(model)
            refuse_without_space(spec, found)
        except WizardError as error:
            problem, remedy = error.problem, error.remedy
    stopped = job is not None and jobs.status(job).state is JobState.STOPPED
    return DownloadView(
        spec.title, "missing", missing, found, stopped=stopped, problem=problem, remedy=remedy
    )


def _running(spec: Downloadable, job: JobFolder) -> DownloadView:
    now = jobs.status(job).progress
    return DownloadView(spec.title, "running", progress=now, stopping=job.stop_file.exists())


def _ongoing(model: str, job: JobFolder) -> Ongoing | None:
    try:
        spec, tried = find_downloadable(model), job.read_job().created
    except WizardError:
        return None
    tried_at = f"{job.name}-{tried:.0f}"
    if jobs.is_active(job):
        return Ongoing(tried_at, model, spec.step, _running(spec, job))
    problem, remedy = _end_of(job)
    ended_at = max(tried, jobs.status(job).updated_at)
    if not problem or time.time() - ended_at > _TOLD_FAILED_S or not missing_parts(spec):
        return None
    return Ongoing(
        tried_at, model, spec.step, DownloadView(spec.title, "missing", problem=problem, remedy=remedy)
    )


def _start_alone(spec: Downloadable) -> JobFolder:
    if active(spec.id) is not None:
        raise Busy(
            problem=f"{spec.title} is being downloaded already.",
            remedy=f"Wait until it is done: the step {spec.step} shows how far it is.",
        )
    settings = DownloadJob(model=spec.id, endpoint=hub_settings().endpoint)
    job = JobFolder.create(
        folder(), Path(spec.id).name, Job(settings=settings, created=time.time(), versions=versions())
    )
    _forget_older(job, spec.id)
    jobs.launch(job)
    return job


def _forget_older(newest: JobFolder, model: str) -> None:
    for job in list_job_folders(folder()):
        if job.name != newest.name and _model_of(job) == model:
            shutil.rmtree(job.folder, ignore_errors=True)


def _model_of(job: JobFolder) -> str:
    try:
        settings = job.read_job().settings
    except WizardError:
        return ""
    return settings.model if isinstance(settings, DownloadJob) else ""


def _end_of(job: JobFolder | None) -> tuple[str, str]:
    """Problem and remedy of a download that failed."""
    if job is None:
        return "", ""
    now = jobs.status(job)
    if now.state is not JobState.FAILED:
        return "", ""
    if not job.status().is_over:  # killed, or the computer was switched off
        return "The download ended without a word.", "Press Download: it goes on where it stopped."
    return now.problem, now.remedy


def _offline() -> WizardError:
    if hub.is_offline():
        return hub.offline_error()
    return NotReady(
        problem="LTX Wizard is set offline.",
        remedy="Turn off 'Work offline' in Hub settings to download, or choose a model folder here.",
    )
