"""The worker as the app runs it: a process of its own, judged by what it leaves in the job folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard import worker
from ltx_wizard.app.supervisor import Supervisor, launch_worker, worker_process
from ltx_wizard.core.documents import read_document
from ltx_wizard.core.events import FINAL_EVENTS, Failed, Finished, Started, Stopped, read_events
from ltx_wizard.core.places import ROOT
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import (
    CaptionJob,
    CutJob,
    FindScenesJob,
    Job,
    JobFolder,
    JobSettings,
    JobState,
    WorkerIdentity,
)
from ltx_wizard.dataset.dataset import read_scenes
from ltx_wizard.dataset.importing import import_files

WEDGE = """
import time
from pathlib import Path
Path({flag!r}).touch()
time.sleep(600)
"""

FULL_DISK = """
from ltx_wizard.core.events import EventWriter

class Full:
    def write(self, text):
        raise OSError(28, "No space left on device")

really_write = EventWriter.write

def write(self, event):
    self._file = Full()
    really_write(self, event)

EventWriter.write = write
raise RuntimeError("a bug on top")
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def with_video(project: Project, make_video: Callable[..., Path]) -> Project:
    import_files(project, [make_video(frames=24)])
    return project


def new_job(project: Project, settings: JobSettings) -> JobFolder:
    return JobFolder.create(project.jobs_folder, settings.kind, Job(settings=settings, created=1.0))


def run_worker(folder: Path, library: Path | None = None) -> int:
    """Run it to its end, with its output in the log; modules in `library` come first."""
    path = os.pathsep.join(str(part) for part in (library, ROOT) if part)
    with (folder / "worker.log" if folder.is_dir() else Path(os.devnull)).open("ab") as log:
        return subprocess.run(
            [sys.executable, "-m", "ltx_wizard.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            timeout=360,
            check=False,
        ).returncode


def library_that(tmp_path: Path, does: str) -> Path:
    """A folder whose `scenedetect` does this when the worker loads it."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "scenedetect.py").write_text(does)
    return folder


def final_events(folder: JobFolder) -> list[object]:
    """All ends that were reported, and a check that nothing came after."""
    events = read_events(folder.events_file)
    ends = [event for event in events if isinstance(event, FINAL_EVENTS)]
    assert not ends or events[-1] is ends[-1]
    return list(ends)


def test_a_library_does_not_advise_in_the_log_what_nobody_needs(tmp_path: Path) -> None:
    """On processors with AVX-512 bitsandbytes asks for another package each time it is imported."""
    script = f"from ltx_wizard import worker; worker.main([{str(tmp_path)!r}]); import bitsandbytes"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "kernels" not in done.stderr


def test_a_job_that_works_starts_reports_and_finishes_once(with_video: Project) -> None:
    job = new_job(with_video, FindScenesJob())
    assert run_worker(job.folder) == 0
    events = read_events(job.events_file)
    assert isinstance(events[0], Started)
    (end,) = final_events(job)
    assert isinstance(end, Finished)
    assert len(read_scenes(with_video)) == 1
    identity = read_document(job.worker_file, WorkerIdentity)
    assert identity.pid == events[0].pid
    assert worker_process(job) is None


def test_an_error_of_the_user_becomes_problem_and_remedy_and_no_traceback(project: Project) -> None:
    job = new_job(project, FindScenesJob())
    assert run_worker(job.folder) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert end.problem
    assert end.remedy
    assert "Traceback" not in job.log_file.read_text()


def test_an_unknown_captioner_is_named(with_video: Project) -> None:
    job = new_job(with_video, CaptionJob(captioner="oracle"))
    assert run_worker(job.folder) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert "oracle" in end.problem
    assert "motion" in end.remedy


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "damaged"),
        ('{"schema_version": 1, "settings": {"kind": "dance"}, "created": 1}', "dance"),
        ('{"schema_version": 9, "settings": {"kind": "cut"}, "created": 1}', "newer"),
        ('{"settings": {"kind": "cut", "speed": 3}, "created": 1}', "speed"),
    ],
)
def test_a_job_file_that_cannot_be_understood_fails_with_the_reason(
    project: Project, text: str, word: str
) -> None:
    job = new_job(project, CutJob())
    job.job_file.write_text(text)
    assert run_worker(job.folder) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert word in end.problem
    assert end.remedy


def test_a_folder_without_a_job_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "missing"):
        done = subprocess.run(
            [sys.executable, "-m", "ltx_wizard.worker", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 1
        assert "no job" in done.stderr
        assert "Traceback" not in done.stderr
    assert list(empty.iterdir()) == []
    assert not (tmp_path / "missing").exists()


def test_without_a_folder_it_says_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ltx_wizard.worker"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode != 0
    assert "job folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_that_is_damaged_fails_with_the_reason(project: Project) -> None:
    job = new_job(project, CutJob())
    project.settings_file.write_text("{")
    assert run_worker(job.folder) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert "project.json" in end.problem


@pytest.mark.skipif(sys.platform == "win32", reason="torch has no expandable segments on Windows")
@pytest.mark.parametrize(
    ("chosen", "expected"), [(None, "expandable_segments:True"), ("backend:native", "backend:native")]
)
def test_the_card_is_allotted_as_when_presets_were_measured(
    project: Project, monkeypatch: pytest.MonkeyPatch, chosen: str | None, expected: str
) -> None:
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")  # so that it is put back afterwards
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    if chosen:
        monkeypatch.setenv("PYTORCH_ALLOC_CONF", chosen)
    worker.main([str(project.folder / "no such job")])
    assert os.environ["PYTORCH_ALLOC_CONF"] == expected


def test_a_bug_becomes_a_failure_and_its_traceback_goes_to_the_log(
    with_video: Project, tmp_path: Path
) -> None:
    job = new_job(with_video, FindScenesJob())
    library = library_that(tmp_path, "raise RuntimeError('the rabbit is late')")
    assert run_worker(job.folder, library) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert "the rabbit is late" in end.problem
    assert "worker.log" in end.remedy
    log = job.log_file.read_text()
    assert "Traceback" in log
    assert "the rabbit is late" in log


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        ("MemoryError()", "ran out of memory"),
        ("RuntimeError('CUDA out of memory. Tried to allocate 20 GiB')", "graphics card ran out of memory"),
        ("OSError(28, 'No space left on device', 'clips/a.mp4')", "full"),
        ("PermissionError(13, 'Permission denied', 'clips/a.mp4')", "does not let"),
    ],
)
def test_what_the_machine_lacks_is_said_in_words(
    with_video: Project, tmp_path: Path, error: str, problem: str
) -> None:
    job = new_job(with_video, FindScenesJob())
    assert run_worker(job.folder, library_that(tmp_path, f"raise {error}")) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert problem in end.problem
    assert end.remedy


def test_an_error_whose_text_is_no_text_is_still_a_failure(with_video: Project, tmp_path: Path) -> None:
    job = new_job(with_video, FindScenesJob())
    assert run_worker(job.folder, library_that(tmp_path, r"raise RuntimeError('name \udcff')")) == 1
    (end,) = final_events(job)
    assert isinstance(end, Failed)
    assert "name" in end.problem


def test_the_stop_file_stops_the_job_and_keeps_what_is_done(with_video: Project) -> None:
    job = new_job(with_video, FindScenesJob())
    job.stop_file.touch()
    assert run_worker(job.folder) == 0
    (end,) = final_events(job)
    assert isinstance(end, Stopped)
    assert with_video.settings_file.exists()


def test_a_job_that_ends_by_leaving_python_is_a_failure_too(with_video: Project, tmp_path: Path) -> None:
    job = new_job(with_video, FindScenesJob())
    run_worker(job.folder, library_that(tmp_path, "import sys; sys.exit('gone')"))
    assert Supervisor().status(job).state is JobState.FAILED


def test_a_full_disk_is_explained_although_no_event_can_be_written(
    with_video: Project, tmp_path: Path
) -> None:
    job = new_job(with_video, FindScenesJob())
    assert run_worker(job.folder, library_that(tmp_path, FULL_DISK)) == 1
    assert final_events(job) == []
    status = Supervisor().status(job)
    assert status.state is JobState.FAILED
    assert "full" in status.problem


def test_a_killed_worker_leaves_no_end_and_the_app_explains_it(
    with_video: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(with_video, FindScenesJob())
    flag = tmp_path / "working"
    monkeypatch.setenv("PYTHONPATH", str(library_that(tmp_path, WEDGE.format(flag=str(flag)))))
    child = launch_worker(job)
    wait_until(flag.exists)
    assert Supervisor().status(job).state is JobState.RUNNING
    child.kill()
    child.wait(timeout=120)
    assert final_events(job) == []
    status = Supervisor().status(job)
    assert status.state is JobState.FAILED
    assert status.problem
    assert status.remedy


def test_a_job_after_a_killed_one_ends_as_its_own_events_say(with_video: Project) -> None:
    """A kill leaves half a line; the next worker of this folder starts on a new one."""
    job = new_job(with_video, FindScenesJob())
    job.events_file.write_bytes(b'{"kind": "started", "pid": 1}\n{"kind": "progr')
    assert run_worker(job.folder) == 0
    (end,) = final_events(job)
    assert isinstance(end, Finished)
    assert job.status().state is JobState.FINISHED


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
