"""The worker process: `python -m ltx_wizard.worker <job folder>`.

Reads job.json, does the work, appends to events.jsonl, and ends with exactly one of Finished, Stopped or
Failed.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import JsonValue

from ltx_wizard.core import places
from ltx_wizard.core.caption import storable
from ltx_wizard.core.documents import write_document
from ltx_wizard.core.errors import WizardError, explain_os_error
from ltx_wizard.core.events import (
    Event,
    EventWriter,
    Failed,
    Finished,
    Progress,
    Started,
    Stopped,
    read_events,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, Report
from ltx_wizard.core.run import (
    CaptionJob,
    CheckClipsJob,
    ConformJob,
    ContactSheetJob,
    CropJob,
    CutJob,
    DownloadJob,
    ExportDatasetJob,
    ExportJob,
    FindScenesJob,
    ImportDatasetJob,
    Job,
    JobFolder,
    LabJob,
    MeasureJob,
    SampleJob,
    TrainJob,
    WorkerIdentity,
    fold,
)

Result = dict[str, JsonValue]

_GPU_JOBS = (TrainJob, SampleJob, ExportJob, MeasureJob, LabJob)
_QUEUE_POLL_S = 0.5


class FolderReport:
    """Reports into a job folder."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._writer = EventWriter(folder.events_file)

    def emit(self, event: Event) -> None:
        self._writer.write(event)

    def stop_requested(self) -> bool:
        return self._folder.stop_file.exists()


def main(arguments: list[str] | None = None) -> int:
    """Run one job. Returns the exit code: 0 finished or stopped, 1 failed, 2 wrong use."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        sys.stderr.write("Usage: python -m ltx_wizard.worker <job folder>\n")
        return 2
    if sys.platform != "win32":  # torch cannot do it there
        # Clips of many sizes leave no holes that nothing fits into. Presets are measured with it.
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    # It advises to install a package that nothing here needs, and the last line of a log explains a death.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        folder = JobFolder.open(Path(given[0]).resolve())
    except WizardError as error:
        sys.stderr.write(f"{error.problem}\n{error.remedy}\n")
        return 1
    return _run_and_report(folder)


def _run_and_report(folder: JobFolder) -> int:
    process = psutil.Process()
    write_document(
        folder.worker_file,
        WorkerIdentity(pid=os.getpid(), process_start_time=process.create_time(), host=socket.gethostname()),
    )
    report = FolderReport(folder)
    try:
        return _run(folder, report)
    except Cancelled:
        report.emit(Stopped(step=_last_step(folder)))
        return 0
    except WizardError as error:
        report.emit(_failed(error, folder))
        return 1
    except Exception as error:
        traceback.print_exc()
        report.emit(_failed(_explain(error, folder), folder))
        return 1


def _run(folder: JobFolder, report: Report) -> int:
    job = folder.read_job()
    work = _work(folder, job, report)
    with _Turn(job, report):
        report.emit(Started(pid=os.getpid(), step=_first_step(folder, job), steps=_steps(job)))
        result = work()
    report.emit(Finished(step=_last_step(folder), result=result))
    return 0


class _Turn:
    """One job holds the GPU at a time, over all apps and command lines of this user."""

    def __init__(self, job: Job, report: Report) -> None:
        self._needed = isinstance(job.settings, _GPU_JOBS) or _captions_on_card(job)
        self._report = report
        places.home().mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(places.home() / ".gpu.lock")

    def __enter__(self) -> None:
        told = False
        while self._needed:
            try:
                self._lock.acquire(timeout=_QUEUE_POLL_S)
                return
            except Timeout:
                if not told:
                    self._report.emit(Progress(stage="Waiting for another job to finish", done=0, total=1))
                    told = True
                if self._report.stop_requested():
                    raise Cancelled from None

    def __exit__(self, *_: object) -> None:
        if self._needed:
            self._lock.release()


def _captions_on_card(job: Job) -> bool:
    if not isinstance(job.settings, CaptionJob):
        return False
    from ltx_wizard.captioning.captioner import uses_card

    return uses_card(job.settings)


def _work(folder: JobFolder, job: Job, report: Report) -> Callable[[], Result]:
    """What to do. Every job but a download belongs to the project that its folder lies in."""
    settings = job.settings
    if isinstance(settings, DownloadJob):
        from ltx_wizard.models.download import run_download

        return lambda: run_download(settings, report)
    project = Project.open(folder.folder.parent.parent)
    return lambda: _handler(job)(project, folder, job, report)


def _handler(job: Job) -> Callable[[Project, JobFolder, Job, Report], Result]:
    """Imports what the job needs and nothing else: cutting a video starts without waiting for torch."""
    settings = job.settings
    if isinstance(settings, FindScenesJob):
        from ltx_wizard.dataset.scenes import run_find_scenes

        return lambda project, _folder, _job, report: run_find_scenes(project, settings, report)
    if isinstance(settings, CutJob):
        from ltx_wizard.dataset.cutting import run_cut

        return lambda project, _folder, _job, report: run_cut(project, settings, report)
    if isinstance(settings, CaptionJob):
        from ltx_wizard.captioning.captioner import run_caption

        return lambda project, _folder, _job, report: run_caption(project, settings, report)
    if isinstance(settings, ConformJob):
        from ltx_wizard.dataset.conform import run_conform

        return lambda project, _folder, _job, report: run_conform(project, settings, report)
    if isinstance(settings, CheckClipsJob):
        from ltx_wizard.captioning.measured import camera_moves
        from ltx_wizard.dataset.quality import run_check_clips

        return lambda project, _folder, _job, report: run_check_clips(project, settings, report, camera_moves)
    if isinstance(settings, CropJob):
        from ltx_wizard.dataset.repairs import run_crop

        return lambda project, _folder, _job, report: run_crop(project, settings, report)
    if isinstance(settings, ContactSheetJob):
        from ltx_wizard.dataset.contact_sheet import run_contact_sheet

        return lambda project, _folder, _job, report: run_contact_sheet(project, settings, report)
    if isinstance(settings, ImportDatasetJob):
        from ltx_wizard.dataset.formats.bring_in import run_import_dataset

        return lambda project, _folder, _job, report: run_import_dataset(project, settings, report)
    if isinstance(settings, ExportDatasetJob):
        from ltx_wizard.dataset.formats.hand_out import run_export_dataset

        return lambda project, _folder, _job, report: run_export_dataset(project, settings, report)
    if isinstance(settings, TrainJob):
        from ltx_wizard.training.loop import run_train
        from ltx_wizard.training.trackers import tracked

        def train(project: Project, folder: JobFolder, _job: Job, report: Report) -> Result:
            with tracked(report, folder, settings.recipe) as heard:
                return run_train(project, folder, settings, heard)

        return train
    if isinstance(settings, SampleJob):
        from ltx_wizard.sampling.sample import run_sample

        return lambda project, folder, _job, report: run_sample(project, folder, settings, report)
    if isinstance(settings, MeasureJob):
        from ltx_wizard.sampling.concept import run_measure

        return lambda project, folder, _job, report: run_measure(project, folder, settings, report)
    if isinstance(settings, LabJob):
        from ltx_wizard.sampling.lab import run_lab

        return lambda project, folder, _job, report: run_lab(project, folder, report)
    assert not isinstance(settings, DownloadJob)  # _work does it: it needs no project
    from ltx_wizard.sampling.verify import run_export

    return lambda project, folder, _job, report: run_export(project, folder, settings, report)


def _steps(job: Job) -> int:
    return job.settings.recipe.steps if isinstance(job.settings, TrainJob) else 0


def _first_step(folder: JobFolder, job: Job) -> int:
    """A resumed run goes on from its newest checkpoint; the loop corrects this if that one is damaged."""
    if not isinstance(job.settings, TrainJob):
        return 0
    checkpoints = fold(read_events(folder.events_file)).checkpoints
    return max((item.step for item in checkpoints), default=0)


def _last_step(folder: JobFolder) -> int:
    return fold(read_events(folder.events_file)).step


def _failed(error: WizardError, folder: JobFolder) -> Failed:
    """The end of a job that failed; names of files in it may be no text."""
    return Failed(problem=storable(error.problem), remedy=storable(error.remedy), step=_last_step(folder))


def _explain(error: Exception, folder: JobFolder) -> WizardError:
    if isinstance(error, OSError):
        return explain_os_error(error, Path(error.filename or folder.folder))
    if isinstance(error, MemoryError):
        return WizardError(
            "This computer ran out of memory.", "Close other programs, or choose a smaller preset."
        )
    if "out of memory" in str(error).lower():
        return WizardError(
            "The graphics card ran out of memory.",
            "Choose a smaller preset or size, or close other programs that use the card. "
            "Your checkpoints are kept.",
        )
    return WizardError(
        f"Something went wrong that LTX Wizard did not expect: {type(error).__name__}: {error}",
        f"Your work is kept. The details are in {folder.log_file.name}; please report them.",
    )


if __name__ == "__main__":
    sys.exit(main())
