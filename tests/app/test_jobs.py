from __future__ import annotations

import os
import time

import pytest

from ltx_wizard.app import checking, datasets, jobs, recipes, settings, workbench
from ltx_wizard.core.clip import CaptionState
from ltx_wizard.core.errors import BadSetting, Busy, NotFound, NotReady
from ltx_wizard.core.events import CheckpointSaved, EventWriter, Finished, Started, Stopped
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, JobFolder, JobState, TrainJob
from ltx_wizard.dataset.checks import Finding
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import fingerprint, update_clip


@pytest.fixture
def cut(filmed: Project) -> Project:
    """A project with two captioned clips."""
    run_cut(filmed, CutJob(), SilentReport())
    for clip in datasets.clips(filmed):
        workbench.save(filmed, clip.id, "A white stripe blinks on a dark wall. The camera is static.")
    return filmed


def wait(job: JobFolder, seconds: float = 180) -> JobFolder:
    end = time.monotonic() + seconds
    while not jobs.status(job).is_over:
        assert time.monotonic() < end, jobs.status(job)
        time.sleep(0.05)
    return job


def old(job: JobFolder) -> JobFolder:
    """As if its worker had had all the time to start."""
    os.utime(job.job_file, (1, 1))
    return job


def end(job: JobFolder, *events: object) -> JobFolder:
    writer = EventWriter(job.events_file)
    for event in (Started(pid=1), *events):
        writer.write(event)  # pyright: ignore[reportArgumentType]
    writer.close()
    return job


def test_cutting_leaves_clips_and_the_project_free_again(filmed: Project) -> None:
    job = wait(jobs.start_cut(filmed))
    assert jobs.status(job).state is JobState.FINISHED
    assert len(datasets.clips(filmed)) == 2
    assert jobs.active_job(filmed) is None
    found = jobs.last_job(filmed, "cut")
    assert found is not None and found.folder == job.folder
    assert jobs.last_job(filmed, "caption") is None


def test_a_second_job_is_refused_while_one_runs(filmed: Project) -> None:
    first = jobs.create_job(filmed, CutJob())  # written just now: its worker may be starting
    with pytest.raises(Busy, match="cutting clips"):
        jobs.start_find_scenes(filmed)
    with pytest.raises(Busy):
        jobs.refuse_while_running(filmed)
    old(first)
    assert jobs.active_job(filmed) is None
    jobs.refuse_while_running(filmed)


def test_a_job_of_another_window_counts_as_running(filmed: Project) -> None:
    settings.remember_project(filmed.folder)
    job = jobs.create_job(filmed, CutJob())
    [(project, active)] = jobs.active_jobs()
    assert (project.folder, active.folder) == (filmed.folder, job.folder)
    end(job, Finished())
    assert jobs.active_jobs() == []


def test_each_step_says_what_is_missing_before_it(project: Project) -> None:
    for start in (jobs.start_find_scenes, jobs.start_cut, jobs.start_caption, jobs.start_conform):
        with pytest.raises(NotReady) as caught:
            start(project)
        assert caught.value.remedy
    assert not project.jobs_folder.exists()


def test_training_is_refused_without_clips(project: Project) -> None:
    with pytest.raises(NotReady, match="clip"):
        jobs.training_job(project, recipes.current_recipe(project))
    assert jobs.runs(project) == []


def test_training_is_refused_for_a_model_that_cannot_be_trained(cut: Project) -> None:
    cut.change_settings(model="ltxv-2b-0.9.6-distilled")
    with pytest.raises(NotReady, match="dev model"):
        jobs.refuse_unready(cut)


def test_training_is_refused_with_what_the_check_says_must_be_fixed(cut: Project) -> None:
    cut.path(datasets.clips(cut)[0].file).unlink()
    with pytest.raises(NotReady) as caught:
        jobs.refuse_unready(cut)
    assert "without a file" in caught.value.problem


def test_training_is_refused_with_settings_that_do_not_go_together(cut: Project) -> None:
    recipes.change_setting(cut, "memory.gradient_checkpointing", False)
    recipe = recipes.change_setting(cut, "memory.offload", "blocks")
    with pytest.raises(BadSetting, match="only together with gradient checkpointing"):
        jobs.training_job(cut, recipe)
    jobs.training_job(cut, recipes.change_setting(cut, "memory.gradient_checkpointing", True))


def test_why_a_training_would_not_start_is_known_before_the_click(cut: Project) -> None:
    recipe = recipes.current_recipe(cut)
    assert jobs.why_not_trained(cut, recipe) is None
    recipe = recipes.change_setting(cut, "validation.width", 500)
    refused = jobs.why_not_trained(cut, recipe)
    assert refused is not None and "a width of 500" in refused.problem
    with pytest.raises(BadSetting, match="a width of 500"):
        jobs.start_training(cut, recipe)
    assert jobs.runs(cut) == []


def test_a_training_freezes_recipe_model_and_dataset(cut: Project) -> None:
    recipe = recipes.change_setting(cut, "steps", 7)
    frozen = jobs.training_job(cut, recipe)
    assert (frozen.recipe.steps, frozen.recipe.model) == (7, "embedded")
    assert frozen.dataset_fingerprint == fingerprint(cut)
    assert frozen.held_out == tuple(sorted(checking.held_out(cut)))
    checking.choose_held_out(cut, [datasets.clips(cut)[0].id])
    assert jobs.training_job(cut, recipe).held_out == (datasets.clips(cut)[0].id,)
    checking.choose_held_out(cut, [])
    update_clip(cut, datasets.clips(cut)[0].id, caption="Another one.")
    assert frozen.dataset_fingerprint != fingerprint(cut)


def test_runs_are_numbered_and_named_after_their_recipe(cut: Project) -> None:
    frozen = jobs.training_job(cut, recipes.current_recipe(cut))
    first = end(jobs.create_job(cut, frozen, frozen.recipe.name), Stopped())
    second = jobs.create_job(cut, frozen, frozen.recipe.name)
    assert [run.name for run in jobs.runs(cut)] == ["0001-practice-style", "0002-practice-style"]
    assert jobs.find_run(cut, "0002-practice-style").folder == second.folder
    assert jobs.status(first).state is JobState.STOPPED
    assert isinstance(second.read_job().settings, TrainJob)
    assert second.read_job().versions["python"]


@pytest.mark.parametrize("name", ["", "nowhere", "../jobs/0001-cut", "..", "/etc", "..\\jobs\\0001-cut"])
def test_a_run_name_never_leads_out_of_the_runs(project: Project, name: str) -> None:
    jobs.create_job(project, CutJob())
    with pytest.raises(NotFound):
        jobs.find_run(project, name)


def test_a_run_that_goes_on_cannot_be_resumed_twice(cut: Project) -> None:
    frozen = jobs.training_job(cut, recipes.current_recipe(cut))
    run = jobs.create_job(cut, frozen, "a")
    with pytest.raises(Busy, match="training"):
        jobs.resume_training(cut, run.name)


def test_exporting_asks_for_a_run_that_is_there(cut: Project) -> None:
    with pytest.raises(NotFound):
        jobs.start_export(cut, "0009-none", 1, "lora")


def test_checkpoints_of_a_run_are_in_its_status(cut: Project) -> None:
    frozen = jobs.training_job(cut, recipes.current_recipe(cut))
    run = old(jobs.create_job(cut, frozen, "a"))
    end(run, CheckpointSaved(step=5, file="checkpoints/step-000005"), Finished(step=5))
    assert [item.step for item in jobs.status(run).checkpoints] == [5]


def test_stop_and_pause_leave_their_files(cut: Project) -> None:
    job = jobs.create_job(cut, CutJob())
    jobs.pause(job, True)
    jobs.stop(job)
    assert job.pause_file.exists() and job.stop_file.exists()
    jobs.pause(job, False)
    assert not job.pause_file.exists()


def test_drafting_captions_is_a_fix_that_runs_as_a_job(cut: Project) -> None:
    first = datasets.clips(cut)[0]
    workbench.save(cut, first.id, "")
    finding = Finding("captions", "must", "t", "w", clip_ids=(first.id,), fix="draft_captions")
    job = jobs.apply_fix(cut, finding)
    assert job is not None
    assert jobs.status(wait(job)).state is JobState.FINISHED
    drafted = next(clip for clip in datasets.clips(cut) if clip.id == first.id)
    assert drafted.caption_state is CaptionState.DRAFT


def test_removing_clips_without_a_file_is_a_fix_that_is_done_at_once(cut: Project) -> None:
    clip = datasets.clips(cut)[0]
    cut.path(clip.file).unlink()
    finding = Finding("files", "must", "t", "w", clip_ids=(clip.id,), fix="remove_missing")
    assert jobs.apply_fix(cut, finding) is None
    assert clip.id not in {item.id for item in datasets.clips(cut)}


def test_a_conform_job_takes_the_sizes_of_the_plan(cut: Project) -> None:
    job = jobs.conform_job(cut)
    assert job.buckets == ("192x192x17",)
    assert job.fps == 8


def test_a_job_with_a_damaged_file_is_named_by_its_folder(project: Project) -> None:
    first = old(jobs.create_job(project, CutJob()))
    job = old(jobs.create_job(project, CutJob()))
    assert jobs.describe(job) == "cutting clips"
    job.job_file.write_text("{", encoding="utf-8")
    assert jobs.describe(job) == job.name
    found = jobs.last_job(project, "cut")
    assert found is not None and found.folder == first.folder


def test_captioners_have_titles() -> None:
    assert "motion" in dict(jobs.captioners())
