"""What is said of a worker that died before it could tell its end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ltx_wizard.app import supervisor
from ltx_wizard.app.deaths import explain_death, start_mark
from ltx_wizard.core.events import Progress
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.run import CutJob, Job, JobFolder, JobStatus, TrainJob

_CRASHED = """step 36
Fatal Python error: Segmentation fault

Thread 0x00007f (most recent call first):
  File "/home/me/.venv/lib/python3.11/site-packages/torch/nn/modules/conv.py", line 543 in forward
  File "/opt/ltx_wizard/training/loop.py", line 12 in step

Extension modules: numpy, torch (total: 2)
"""


def a_run(project: Project, log: str, *saved: int) -> JobFolder:
    settings = TrainJob(recipe=Recipe(name="mine", title="Mine"), dataset_fingerprint="f")
    run = JobFolder.create(project.runs_folder, "mine", Job(settings=settings, created=1.0))
    run.log_file.write_text(log, encoding="utf-8")
    for step in saved:
        run.checkpoint_folder(step).mkdir(parents=True)
    return run


def test_a_crash_is_told_from_the_log_after_the_app_was_restarted(project: Project) -> None:
    run = a_run(project, _CRASHED, 20, 30)
    problem, remedy = explain_death(run, JobStatus(step=36), None)
    assert problem == (
        "A library of the worker crashed after step 36: segmentation fault in forward (nn/modules/conv.py)."
    )
    assert "the checkpoint of step 30 is kept. Press Resume" in remedy
    assert "lines of the log" in remedy


def test_without_a_checkpoint_nothing_is_promised(project: Project) -> None:
    _, remedy = explain_death(a_run(project, ""), JobStatus(), None)
    assert "no checkpoint yet" in remedy and "Press Resume to begin again" in remedy


@pytest.mark.parametrize(("code", "words"), [(-11, "segmentation fault"), (0xC0000005, "access violation")])
def test_an_exit_code_tells_a_crash_where_the_log_does_not(project: Project, code: int, words: str) -> None:
    assert words in explain_death(a_run(project, "step 3\n"), JobStatus(step=3), code)[0]


def test_what_it_was_at_is_told_where_nothing_else_is_known(project: Project) -> None:
    at = JobStatus(progress=Progress(stage="Encoding clips", done=12, total=40))
    problem, _ = explain_death(a_run(project, "all well\n"), at, None)
    assert problem == "The worker ended without a word at 'Encoding clips', 12 of 40 (all well)."


def test_an_earlier_death_in_the_same_log_explains_no_later_one(project: Project) -> None:
    run = a_run(project, _CRASHED + "CUDA out of memory\n" + start_mark().decode() + "step 40\n")
    problem, _ = explain_death(run, JobStatus(step=40), None)
    assert problem == "The worker ended without a word after step 40 (step 40)."


@pytest.mark.skipif(sys.platform == "win32", reason="ctypes catches it there")
def test_a_worker_that_really_crashes_leaves_in_its_log_where_it_did(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = JobFolder.create(project.jobs_folder, "cut", Job(settings=CutJob(), created=1.0))
    (tmp_path / "sitecustomize.py").write_text("import ctypes\nctypes.string_at(0)\n", encoding="utf-8")
    monkeypatch.setattr(supervisor, "_python_path", lambda: str(tmp_path))
    child = supervisor.launch_worker(folder)
    code = child.wait(timeout=180)
    assert code != 0
    problem, remedy = explain_death(folder, JobStatus(), None)  # as after a restart of the app: no exit code
    assert "crashed" in problem and "string_at (" in problem
    assert "kept" in remedy
    assert "crashed" in explain_death(folder, JobStatus(), code)[0]
