"""How the last captioning ended, in words, and going on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltx_wizard.app import datasets, jobs
from ltx_wizard.app.captioners import SERVER
from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import NotReady, WizardError, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import CaptionJob, JobFolder, JobState, JobStatus
from ltx_wizard.models.captioner_models import captioner_model

KIND = "caption"
_SEEN = "seen"


@dataclass(frozen=True)
class Reason:
    """Why clips got no caption. text: problem and remedy, as the worker told them."""

    text: str
    clip_ids: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """A captioning that is over. left: clips of it that it did not caption."""

    state: JobState
    captioner: str
    written: int
    skipped: int
    left: tuple[str, ...]
    reasons: tuple[Reason, ...]
    problem: str = ""
    remedy: str = ""


def title_of(job: CaptionJob) -> str:
    """What writes the captions of a job, short: 'Qwen3-VL 4B'."""
    model = captioner_model(job.captioner)
    if model is not None:
        return model.title
    if job.captioner == SERVER:
        return job.model or "the model on the server"
    return "measured motion"


def running_title(project: Project) -> str:
    """As title_of, for the job that runs now."""
    job = jobs.active_job(project)
    return title_of(_settings(job)) if job is not None else ""


def outcome(project: Project) -> Outcome | None:
    """How the newest job ended, if it was a captioning that nobody has closed the report of."""
    job = _newest(project)
    if job is None or jobs.is_active(job) or (job.folder / _SEEN).exists():
        return None
    status, settings = jobs.status(job), _settings(job)
    left = [clip.id for clip in _left(settings, status, datasets.clips(project))]
    skipped = status.result.get("skipped", 0)
    return Outcome(
        state=status.state,
        captioner=title_of(settings),
        written=len(status.done_clips),
        skipped=skipped if isinstance(skipped, int) else 0,
        left=tuple(left),
        reasons=_reasons(status.warnings, left),
        problem=status.problem,
        remedy=status.remedy,
    )


def go_on(project: Project) -> JobFolder:
    """Caption what the last job left, with the same captioner; a server as it is set now. Raises NotReady."""
    job = _newest(project)
    if job is None:
        raise NotReady(
            problem="There is no captioning to go on with.", remedy="Choose a captioner and start it."
        )
    settings = _settings(job)
    left = _left(settings, jobs.status(job), datasets.clips(project))
    if not left:
        raise NotReady(problem="Every clip of it has a caption.", remedy="Read the drafts and accept them.")
    ids = tuple(clip.id for clip in left)
    return jobs.start_caption(project, settings.captioner, settings.overwrite, clip_ids=ids)


def close_report(project: Project) -> None:
    """Show the outcome no more. What was written stays."""
    job = _newest(project)
    if job is None:
        return
    try:
        (job.folder / _SEEN).touch()
    except OSError as error:
        raise explain_os_error(error, job.folder) from error


def _newest(project: Project) -> JobFolder | None:
    job = jobs.last_job(project, KIND)
    return job if job is not None and jobs.is_newest(project, job) else None


def _settings(job: JobFolder) -> CaptionJob:
    """A job of another kind, or one that cannot be read, is taken for one without a captioner."""
    try:
        settings = job.read_job().settings
    except WizardError:
        settings = None
    return settings if isinstance(settings, CaptionJob) else CaptionJob()


def _left(job: CaptionJob, status: JobStatus, clips: Sequence[Clip]) -> list[Clip]:
    """Of the clips that it was to caption: those that it did not, and that still want a caption."""
    done = set(status.done_clips)
    wanted = [clip for clip in clips if not job.clip_ids or clip.id in job.clip_ids]
    return [clip for clip in wanted if clip.id not in done and (job.overwrite or not clip.caption.strip())]


def _reasons(warnings: Sequence[str], left: Sequence[str]) -> tuple[Reason, ...]:
    """Clips that failed for the same reason together, in the order in which they did; without those that got
    a caption since.
    """
    found: dict[str, list[str]] = {}
    for warning in warnings:
        clip_id, _, text = warning.partition(": ")
        if clip_id not in left:
            continue
        found.setdefault(text, []).append(clip_id)
    return tuple(Reason(text, tuple(clip_ids)) for text, clip_ids in found.items())
