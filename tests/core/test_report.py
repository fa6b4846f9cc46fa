from __future__ import annotations

from pathlib import Path

import pytest

from ltx_wizard.core.events import Event, Progress, read_events
from ltx_wizard.core.report import Cancelled, SilentReport, progress
from ltx_wizard.core.run import FindScenesJob, Job, JobFolder
from ltx_wizard.worker import FolderReport


class StoppedReport(SilentReport):
    def stop_requested(self) -> bool:
        return True


def test_progress_is_an_event() -> None:
    report = SilentReport()
    progress(report, "Cutting", 2, 5, "clip 3")
    (event,) = report.events
    assert isinstance(event, Progress)
    assert (event.stage, event.done, event.total, event.message) == ("Cutting", 2, 5, "clip 3")


def test_progress_tells_first_and_then_stops() -> None:
    report = StoppedReport()
    with pytest.raises(Cancelled):
        progress(report, "Cutting", 2, 5)
    assert len(report.events) == 1


def test_cancelling_is_no_error_that_a_user_sees() -> None:
    from ltx_wizard.core.errors import WizardError

    assert not issubclass(Cancelled, WizardError)


def test_a_job_folder_is_a_report(tmp_path: Path) -> None:
    folder = JobFolder.create(tmp_path, "scenes", Job(settings=FindScenesJob(), created=1.0))
    report = FolderReport(folder)
    event: Event = Progress(stage="Cutting", done=1, total=2)
    report.emit(event)
    assert read_events(folder.events_file) == [event]  # flushed, while the worker goes on
    assert not report.stop_requested()
    folder.stop_file.touch()
    assert report.stop_requested()
