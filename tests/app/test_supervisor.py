"""With real worker processes: started, followed, stopped, killed, and found again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ltx_wizard.app import datasets, supervisor
from ltx_wizard.app.supervisor import Supervisor
from ltx_wizard.core.documents import read_document, write_document
from ltx_wizard.core.events import Event, EventWriter, Failed, Finished, Started, StepDone, Stopped
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import (
    CutJob,
    Job,
    JobFolder,
    JobSettings,
    JobState,
    JobStatus,
    TrainJob,
    WorkerIdentity,
)

SLOW_JOB = """
import time, os
from pathlib import Path
import ltx_wizard.dataset.cutting as cutting
from ltx_wizard.core.report import Cancelled, progress

def run_slowly(project, settings, report):
    print("cutting now", flush=True)
    for second in range(600):
        progress(report, "Cutting", second, 600)
        if report.stop_requested():
            raise Cancelled
        time.sleep(0.05)

cutting.run_cut = run_slowly
"""
"""Put in the way of a real worker, so that there is time to stop or kill it."""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers started by this test cut slowly: Python runs a sitecustomize that it finds on its path."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SLOW_JOB, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.fixture(autouse=True)
def no_worker_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for file in tmp_path.rglob("worker.json"):
        process = supervisor.worker_process(JobFolder(file.parent))
        if process and process.pid != os.getpid():
            process.kill()


def a_job(project: Project, settings: JobSettings | None = None) -> JobFolder:
    job = Job(settings=settings or CutJob(), created=time.time())
    return JobFolder.create(project.jobs_folder, "cut", job)


def an_old_job(project: Project) -> JobFolder:
    """One whose worker has had all the time to start."""
    folder = a_job(project)
    os.utime(folder.job_file, (1, 1))
    return folder


def write(folder: JobFolder, *events: Event) -> None:
    writer = EventWriter(folder.events_file)
    for event in events:
        writer.write(event)
    writer.close()


def wait_for(
    look: Callable[[], JobStatus], good: Callable[[JobStatus], bool], seconds: float = 120
) -> JobStatus:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = look()
        if good(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {look()}")


def over(status: JobStatus) -> bool:
    return status.is_over


def working(status: JobStatus) -> bool:
    return status.state is JobState.RUNNING and status.progress is not None


def test_a_worker_cuts_a_video_and_its_end_is_seen(filmed: Project) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    status = wait_for(lambda: watching.status(folder), over)
    assert (status.state, status.problem) == (JobState.FINISHED, "")
    assert len(datasets.clips(filmed)) == 2
    assert Supervisor().status(folder).state is JobState.FINISHED


def test_a_worker_has_a_process_group_of_its_own(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    process = supervisor.worker_process(folder)
    assert process is not None
    if os.name != "nt":
        assert os.getpgid(process.pid) != os.getpgid(os.getpid())


def test_a_running_job_stops_when_it_is_asked_to(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    supervisor.request_stop(folder)
    assert wait_for(lambda: watching.status(folder), over).state is JobState.STOPPED


def test_a_killed_worker_is_a_failure_that_says_what_to_do(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    process = supervisor.worker_process(folder)
    assert process is not None
    process.kill()  # SIGKILL: it cannot say a word
    status = wait_for(lambda: watching.status(folder), over)
    assert status.state is JobState.FAILED
    assert status.problem == (
        "The worker was ended from outside, most often because memory is full (cutting now)."
    )
    assert status.remedy.startswith("Close other programs") and "kept" in status.remedy
    assert "Resume" not in status.remedy  # that is for trainings
    assert Supervisor().status(folder).state is JobState.FAILED


def test_another_supervisor_finds_a_running_job_and_sees_its_end(filmed: Project, slow: None) -> None:
    """The app was closed and opened again."""
    folder = a_job(filmed)
    Supervisor().start(folder)
    again = Supervisor()
    wait_for(lambda: again.status(folder), working)
    supervisor.kill(folder)
    assert wait_for(lambda: again.status(folder), over).state is JobState.FAILED


def test_a_finished_job_reads_the_same_after_a_restart(project: Project) -> None:
    folder = an_old_job(project)
    write(folder, Started(pid=1), Finished(result={"clips": 3}))
    status = Supervisor().status(folder)
    assert (status.state, status.result) == (JobState.FINISHED, {"clips": 3})


def test_a_number_that_was_given_to_another_process_is_not_the_worker(project: Project) -> None:
    folder = an_old_job(project)
    write(folder, Started(pid=os.getpid()))
    mine = psutil.Process()
    identity = WorkerIdentity(
        pid=mine.pid, process_start_time=mine.create_time() - 100, host=socket.gethostname()
    )
    write_document(folder.worker_file, identity)
    assert supervisor.worker_process(folder) is None
    assert Supervisor().status(folder).state is JobState.FAILED
    supervisor.kill(folder)  # and ends nobody: this test goes on
    same = identity.model_copy(update={"process_start_time": mine.create_time()})
    write_document(folder.worker_file, same)
    assert supervisor.worker_process(folder) == mine


def test_a_worker_of_another_computer_is_not_looked_for_here(project: Project) -> None:
    folder = an_old_job(project)
    mine = psutil.Process()
    write_document(
        folder.worker_file,
        WorkerIdentity(pid=mine.pid, process_start_time=mine.create_time(), host="elsewhere"),
    )
    assert supervisor.worker_process(folder) is None


def test_a_process_that_is_dead_but_not_collected_is_not_alive(project: Project) -> None:
    folder = an_old_job(project)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    identity = WorkerIdentity(
        pid=child.pid, process_start_time=process.create_time(), host=socket.gethostname()
    )
    write_document(folder.worker_file, identity)
    assert supervisor.worker_process(folder) is not None
    child.kill()
    end = time.monotonic() + 60
    while supervisor.worker_process(folder) is not None and time.monotonic() < end:
        time.sleep(0.02)
    assert supervisor.worker_process(folder) is None
    child.communicate()


def test_a_job_that_was_written_just_now_may_still_start(project: Project) -> None:
    folder = a_job(project)
    assert Supervisor().status(folder).state is JobState.WAITING
    os.utime(folder.job_file, (1, 1))
    assert Supervisor().status(folder).state is JobState.FAILED


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "ran out of memory"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("first\nSegmentation fault", "crashed: segmentation fault"),
        ("first\nlast", "without a word (last)"),
        ("", "it left no message"),
    ],
)
def test_a_death_is_explained_from_the_log(project: Project, log: str, problem: str) -> None:
    folder = an_old_job(project)
    write(folder, Started(pid=1))
    folder.log_file.write_text(log, encoding="utf-8")
    os.utime(folder.log_file, (1, 1))
    status = Supervisor().status(folder)
    assert problem in status.problem
    assert "kept" in status.remedy


def test_a_worker_that_told_its_end_is_not_judged_again(project: Project) -> None:
    folder = an_old_job(project)
    write(folder, Started(pid=1), Failed(problem="The file is broken.", remedy="Take another."))
    status = Supervisor().status(folder)
    assert (status.problem, status.remedy) == ("The file is broken.", "Take another.")


def test_a_resumed_run_is_not_over_because_of_its_old_end(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    write(folder, Started(pid=1), Stopped())
    assert watching.status(folder).state is JobState.STOPPED
    watching.start(folder)
    assert watching.status(folder).state in (JobState.WAITING, JobState.RUNNING)
    wait_for(lambda: watching.status(folder), working)


def test_a_death_is_known_with_its_cause_at_the_first_look_after_it(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    worker = supervisor.worker_process(folder)
    assert worker is not None
    worker.send_signal(signal.SIGKILL)
    while not _has_ended(worker.pid):
        time.sleep(0.001)
    status = watching.status(folder)
    assert status.state is JobState.FAILED
    assert "ended from outside" in status.problem


def _has_ended(pid: int) -> bool:
    """Whether the last of its threads is gone: a process whose first one is gone looks dead before."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # the follower was quicker
        return True


def test_a_run_that_is_resumed_by_another_program_is_followed_again(filmed: Project, slow: None) -> None:
    folder, mine, other = an_old_job(filmed), Supervisor(), Supervisor()
    write(folder, Started(pid=1), Stopped())
    assert mine.status(folder).state is JobState.STOPPED
    other.start(folder)
    assert mine.status(folder).state in (JobState.WAITING, JobState.RUNNING), "its old end is shown"
    wait_for(lambda: mine.status(folder), working)
    supervisor.request_stop(folder)
    assert wait_for(lambda: mine.status(folder), over).state is JobState.STOPPED


def test_a_new_start_takes_away_what_would_stop_it(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    supervisor.request_stop(folder)
    supervisor.request_pause(folder, True)
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    assert not folder.stop_file.exists()
    assert not folder.pause_file.exists()


def test_pause_is_a_file_that_comes_and_goes(project: Project) -> None:
    folder = a_job(project)
    supervisor.request_pause(folder, True)
    assert folder.pause_file.exists()
    supervisor.request_pause(folder, False)
    assert not folder.pause_file.exists()


def test_the_command_line_follows_every_event_to_the_end(filmed: Project) -> None:
    told: list[Event] = []
    status = supervisor.follow(a_job(filmed), told.append)
    assert status.state is JobState.FINISHED
    assert isinstance(told[0], Started)
    assert isinstance(told[-1], Finished)


def test_a_damaged_job_fails_with_a_message(project: Project) -> None:
    folder, watching = a_job(project), Supervisor()
    folder.job_file.write_text("{", encoding="utf-8")
    watching.start(folder)
    status = wait_for(lambda: watching.status(folder), over)
    assert status.state is JobState.FAILED
    assert "job.json is damaged" in status.problem


def test_steps_since_the_last_look_are_added_to_those_before(project: Project) -> None:
    folder, watching = a_job(project, TrainJob(recipe=Recipe(), dataset_fingerprint="f")), Supervisor()
    write(folder, Started(pid=1, steps=9))
    assert watching.status(folder).losses == ()
    one = StepDone(step=1, steps=9, loss=0.5, learning_rate=1, grad_norm=1, step_s=1)
    write(folder, one)
    write(folder, one.model_copy(update={"step": 2}))
    status = wait_for(lambda: watching.status(folder), lambda status: len(status.losses) == 2)
    assert (status.step, status.steps) == (2, 9)


def test_the_worker_is_named_in_its_folder(filmed: Project, slow: None) -> None:
    folder, watching = a_job(filmed), Supervisor()
    watching.start(folder)
    wait_for(lambda: watching.status(folder), working)
    identity = read_document(folder.worker_file, WorkerIdentity)
    with contextlib.suppress(psutil.Error):
        assert psutil.Process(identity.pid).create_time() == identity.process_start_time
    assert identity.host == socket.gethostname()
