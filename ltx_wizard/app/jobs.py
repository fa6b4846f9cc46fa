"""Starting, stopping and finding jobs. A job is a folder; a worker process does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ltx_wizard.app import captioners as caption_servers
from ltx_wizard.app import checking, datasets, memory_plan
from ltx_wizard.app.refusals import refuse_recipe
from ltx_wizard.app.settings import recent_projects
from ltx_wizard.app.supervisor import (
    Supervisor,
    is_starting_or_alive,
    last_sign,
    request_pause,
    request_stop,
)
from ltx_wizard.app.system import versions
from ltx_wizard.core.errors import Busy, NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import (
    CaptionJob,
    CheckClipsJob,
    ConformJob,
    ContactSheetJob,
    CropJob,
    CutJob,
    ExportJob,
    FindScenesJob,
    Job,
    JobFolder,
    JobSettings,
    JobStatus,
    MeasureJob,
    SampleJob,
    TrainJob,
    list_job_folders,
)
from ltx_wizard.models.captioner_models import captioner_model
from ltx_wizard.models.weights import find_files, find_parts

if TYPE_CHECKING:
    from ltx_wizard.dataset.checks import Finding

# ruff: noqa: PLC0415 - the video library is loaded where it is used

_SUPERVISOR = Supervisor()


def create_job(project: Project, settings: JobSettings, name: str = "") -> JobFolder:
    """Write the job folder; nothing runs yet. Raises Busy while another job of this project runs."""
    running = active_job(project)
    if running is not None:
        raise Busy(
            problem=f"A job of this project is still running: {describe(running)}.",
            remedy="Wait until it is done, or stop it first.",
        )
    parent = project.runs_folder if isinstance(settings, TrainJob) else project.jobs_folder
    job = Job(settings=settings, created=time.time(), versions=versions())
    return JobFolder.create(parent, name or settings.kind.replace("_", "-"), job)


def start(project: Project, settings: JobSettings, name: str = "") -> JobFolder:
    """Create a job and start its worker."""
    folder = create_job(project, settings, name)
    _SUPERVISOR.start(folder)
    return folder


def launch(folder: JobFolder) -> None:
    """Start the worker of a job that belongs to no project, and follow it."""
    _SUPERVISOR.start(folder)


def every(seconds: float, chore: Callable[[], None]) -> None:
    """Do something in the background for as long as the app lives."""
    _SUPERVISOR.every(seconds, chore)


def start_find_scenes(project: Project) -> JobFolder:
    if not datasets.sources(project):
        raise NotReady(problem="There are no videos yet.", remedy="Add some in the step Videos.")
    return start(project, FindScenesJob())


def start_cut(project: Project) -> JobFolder:
    if not datasets.planned_clips(project):
        raise NotReady(
            problem="There is nothing to cut: no scene is kept, or all are too short.",
            remedy="Find scenes first, keep at least one, or lower the shortest clip length.",
        )
    return start(project, CutJob())


def start_caption(
    project: Project,
    captioner: str = "motion",
    overwrite: bool = False,
    clip_ids: tuple[str, ...] = (),
    server: str = "",
    server_model: str = "",
) -> JobFolder:
    """Write captions in a worker. server, server_model: instead of those in the user's settings.

    Raises NotReady without clips, or where no server is set; NotFound for a model that is not downloaded yet.
    """
    if not datasets.clips(project):
        raise NotReady(problem="There are no clips to caption.", remedy="Cut your videos in the step Scenes.")
    local = captioner_model(captioner)
    if local is not None:
        find_parts(local)
    job = CaptionJob(captioner=captioner, clip_ids=clip_ids, overwrite=overwrite)
    if captioner == caption_servers.SERVER:
        address, model = caption_servers.server_for_job(server, server_model)
        job = job.model_copy(update={"server": address, "model": model})
    return start(project, job)


def start_conform(project: Project) -> JobFolder:
    return start(project, conform_job(project))


def conform_job(project: Project) -> ConformJob:
    """The job that writes every clip at its bucket's size."""
    plan = datasets.bucket_plan(project)
    buckets = tuple(dict.fromkeys(plan.assignment.values()))
    if not buckets:
        raise NotReady(
            problem="No clip fits a training size.", remedy="Look at the findings in the step Check."
        )
    return ConformJob(buckets=buckets, fps=datasets.model_spec(project).fps)


def start_training(project: Project, recipe: Recipe, anyway: bool = False) -> JobFolder:
    """Freeze the recipe and train. Raises NotReady naming what must be fixed first, also where the memory
    plan says that the card cannot hold it. anyway: the user wants to try all the same.
    """
    if not anyway:
        memory_plan.refuse_unfit(project, recipe)
    return start(project, training_job(project, recipe), recipe.name)


def why_not_trained(project: Project, recipe: Recipe) -> WizardError | None:
    """What start_training would refuse now; None where it would start."""
    try:
        memory_plan.refuse_unfit(project, recipe)
        refuse_recipe(recipe, datasets.model_spec(project))
        refuse_unready(project)
    except WizardError as error:
        return error
    return None


def training_job(project: Project, recipe: Recipe) -> TrainJob:
    """The frozen recipe with the fingerprint of the dataset and the clips kept out of it. Raises NotReady,
    also where a tracker is not installed, or BadSetting for settings that do not go together.
    """
    from ltx_wizard.dataset.dataset import fingerprint

    refuse_recipe(recipe, datasets.model_spec(project))
    refuse_unready(project)
    model = recipe.model or datasets.model_spec(project).id
    return TrainJob(
        recipe=recipe.model_copy(update={"model": model}),
        dataset_fingerprint=fingerprint(project),
        held_out=tuple(sorted(checking.held_out(project, recipe))),
    )


def refuse_unready(project: Project) -> None:
    """Raise NotReady if the model cannot be trained or the check has findings that must be fixed, NotFound if
    the model is not on this computer.
    """
    spec = datasets.model_spec(project)
    if not spec.trainable:
        raise NotReady(
            problem=f"{spec.title} cannot be trained. {spec.why_not_trainable}", remedy="Choose a dev model."
        )
    find_files(spec)
    must = [finding for finding in datasets.check(project) if finding.level == "must"]
    if must:
        raise NotReady(problem=f"{must[0].title}: {must[0].why}", remedy=must[0].remedy)


def resume_training(project: Project, run_name: str) -> JobFolder:
    """Go on from the newest checkpoint of a run."""
    folder = find_run(project, run_name)
    refuse_while_running(project)
    _SUPERVISOR.start(folder)
    return folder


def refuse_while_running(project: Project) -> None:
    running = active_job(project)
    if running is not None:
        raise Busy(
            problem=f"A job of this project is still running: {describe(running)}.",
            remedy="Wait until it is done, or stop it first.",
        )


def find_run(project: Project, run_name: str) -> JobFolder:
    """Raises NotFound for a name that is not a run of this project."""
    return JobFolder.open(project.runs_folder / _plain_name(run_name))


def start_export(project: Project, run_name: str, step: int, name: str, strength: float = 1.0) -> JobFolder:
    find_run(project, run_name)
    return start(project, ExportJob(run=run_name, step=step, strength=strength, name=name))


def start_sample(project: Project, settings: SampleJob) -> JobFolder:
    return start(project, settings)


def start_measure(project: Project, settings: MeasureJob) -> JobFolder:
    return start(project, settings)


def start_contact_sheet(project: Project) -> JobFolder:
    if not datasets.clips(project):
        raise NotReady(problem="There are no clips yet.", remedy="Cut your videos in the step Scenes.")
    return start(project, ContactSheetJob())


def apply_fix(project: Project, finding: Finding) -> JobFolder | None:
    """Do what a finding's button says: a job that runs on, or None when it is done at once."""
    from ltx_wizard.dataset.checks import apply_fix as apply_at_once

    if finding.fix == "conform":
        return start_conform(project)
    if finding.fix == "draft_captions":
        return start_caption(project, clip_ids=finding.clip_ids)
    if finding.fix == "check_clips":
        return start(project, CheckClipsJob())
    if finding.fix == "crop_bars":
        return start(project, CropJob(clip_ids=finding.clip_ids))
    if finding.fix == "uncrop":
        return start(project, CropJob(clip_ids=finding.clip_ids, whole=True))
    if finding.fix == "leave_out":
        checking.leave_out(project, finding, finding.clip_ids)
        return None
    if finding.fix == "swap_held_out":
        checking.swap_doubles(project)
        return None
    if finding.fix == "split_at_cuts":
        refuse_while_running(project)  # before anything changes
        apply_at_once(project, finding.fix, finding.clip_ids)
        return start_cut(project)
    apply_at_once(project, finding.fix, finding.clip_ids)
    return None


def status(job: JobFolder) -> JobStatus:
    """Where a job stands now, followed by the background thread."""
    return _SUPERVISOR.status(job)


def stop(job: JobFolder) -> None:
    """Ask the worker to finish its step, save and exit."""
    request_stop(job)


def pause(job: JobFolder, paused: bool) -> None:
    request_pause(job, paused)


def runs(project: Project) -> list[JobFolder]:
    """All trainings, oldest first."""
    return list_job_folders(project.runs_folder)


def last_at_work(folders: Sequence[JobFolder]) -> JobFolder | None:
    """The one that was started or reported last, which may be an older one that was resumed."""
    return max(reversed(folders), key=last_sign, default=None)


def active_job(project: Project) -> JobFolder | None:
    """The job of this project that waits or runs now, whichever window or command line started it."""
    for folder in reversed(list_job_folders(project.jobs_folder) + runs(project)):
        if is_active(folder):
            return folder
    return None


def active_jobs() -> list[tuple[Project, JobFolder]]:
    """Running jobs of all recent projects."""
    found: list[tuple[Project, JobFolder]] = []
    for folder in recent_projects():
        project = Project(folder)
        job = active_job(project)
        if job is not None:
            found.append((project, job))
    return found


def is_active(folder: JobFolder) -> bool:
    """Whether its worker lives and has not reported its end, as it does a moment before it is gone."""
    return is_starting_or_alive(folder) and not _SUPERVISOR.status(folder).is_over


def last_job(project: Project, kind: str) -> JobFolder | None:
    """The newest job of one kind, such as 'cut'."""
    parent = project.runs_folder if kind == "train" else project.jobs_folder
    for folder in reversed(list_job_folders(parent)):
        try:
            if folder.read_job().settings.kind == kind:
                return folder
        except WizardError:
            continue
    return None


def newest_job(project: Project) -> JobFolder | None:
    """The job of this project that was started last; trainings aside."""
    folders = list_job_folders(project.jobs_folder)
    return folders[-1] if folders else None


def is_newest(project: Project, job: JobFolder) -> bool:
    """Whether no job of this project was started after this one; trainings aside."""
    folders = list_job_folders(project.jobs_folder)
    return bool(folders) and folders[-1].name == job.name


def captioners() -> list[tuple[str, str]]:
    """(name, title) of every way to write captions."""
    from ltx_wizard.captioning.captioner import CAPTIONERS

    return [(name, entry.title) for name, entry in CAPTIONERS.items()]


def describe(folder: JobFolder) -> str:
    """What a job does, in words."""
    names = {
        "find_scenes": "finding scenes",
        "cut": "cutting clips",
        "caption": "writing captions",
        "conform": "fitting clips to the training size",
        "check_clips": "looking at clips",
        "crop": "cropping clips",
        "contact_sheet": "drawing the contact sheet",
        "import_dataset": "importing a dataset",
        "export_dataset": "writing a dataset",
        "train": "training",
        "sample": "making sample videos",
        "measure": "measuring the LoRA",
        "lab": "rendering the Lab",
        "export": "exporting the LoRA",
        "download": "downloading a model",
    }
    try:
        return names[folder.read_job().settings.kind]
    except WizardError:
        return folder.name


def _plain_name(name: str) -> str:
    """The last part only: a run's name comes from a page and must not lead elsewhere."""
    return name.replace("\\", "/").rsplit("/", 1)[-1] or "-"
