"""The whole road on videos that nobody here made, through the services behind window and command line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ltx_wizard.app import datasets, jobs, projects, recipes, workbench
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import JobFolder, JobState, JobStatus, SampleJob
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import cover, read_frames

STEPS = 8


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def long_video(real_videos: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bunny and bikes.mp4"
    names = ("bigbuckbunny.mp4", "bikes.mp4")
    write_video(
        (cover(frame, 320, 192) for name in names for frame in read_frames(real_videos / name)), path, 25
    )
    return path


@pytest.mark.slow
def test_real_videos_become_a_lora(long_video: Path, tmp_path: Path) -> None:
    project = projects.create_project("Bunny", Goal.STYLE, "bunz style.", "embedded", tmp_path / "project")
    assert len(datasets.import_paths(project, [long_video]).added) == 1
    _done(jobs.start_find_scenes(project))
    _done(jobs.start_cut(project))
    _done(jobs.start_caption(project))
    for clip in datasets.clips(project):
        workbench.save(project, clip.id, clip.caption.replace("[subject]", "A rabbit on a bike"))
    assert not [finding for finding in datasets.check(project) if finding.level == "must"]

    run = jobs.start_training(project, _recipe(project))
    trained = _done(run)
    assert trained.step == STEPS
    assert [item.step for item in trained.validations] == [0, STEPS]
    assert len(trained.samples) == 2

    lora = run.folder / str(trained.result["lora"])
    sampled = _done(jobs.start_sample(project, _sample(project, lora)))
    assert sampled.result["samples"]

    exported = _done(jobs.start_export(project, run.name, STEPS, "bunny"))
    for key in ("lora", "lora_comfyui"):
        assert (project.folder / str(exported.result[key])).stat().st_size > 10_000


def _recipe(project: Project) -> Recipe:
    recipes.choose_preset(project, "practice-draft")
    return with_settings(
        recipes.current_recipe(project),
        {
            "steps": STEPS,
            "data.buckets": ("96x64x17",),
            "data.batch_size": 1,
            "validation.every": STEPS,
            "validation.loss_every": STEPS,
            "validation.prompts": ("{trigger} A rabbit jumps.",),
            "validation.sampling_steps": 2,
        },
    )


def _sample(project: Project, lora: Path) -> SampleJob:
    return SampleJob(
        model="embedded", lora_file=str(lora), prompts=("bunz style. A rabbit jumps.",),
        width=192, height=128, frames=9, fps=8, sampling_steps=2, guidance=2.0,
    )  # fmt: skip


def _done(job: JobFolder, patience_s: float = 1200) -> JobStatus:
    """The status of a job once it has finished well."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        status = jobs.status(job)
        if status.is_over and not jobs.is_active(job):
            assert status.state is JobState.FINISHED, f"{job.name}: {status.problem} {status.remedy}"
            return status
        time.sleep(0.2)
    raise AssertionError(f"{job.name} does not end")
