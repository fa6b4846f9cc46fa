from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ltx_wizard.core.events import EventWriter, Failed, Finished, Started, Stopped
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe, write_recipe
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, FindScenesJob, Job, JobFolder, TrainJob
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, set_caption
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.scenes import run_find_scenes
from ltx_wizard.ui.overview import step_states


def kinds(project: Project) -> dict[str, str]:
    return {name: state.kind for name, state in step_states(project).items()}


def test_a_new_project_has_everything_to_do(project: Project) -> None:
    assert kinds(project) == {"goal": "done"} | dict.fromkeys(
        ("videos", "scenes", "captions", "check", "recipe", "train", "lab", "export"), "todo"
    )


def test_the_steps_are_those_of_the_window(project: Project, window: object) -> None:
    from ltx_wizard.ui.wizard import STEPS

    assert list(step_states(project)) == [step.__name__.rsplit(".", 1)[-1] for step in STEPS]


def test_marks_follow_the_road(project: Project, make_video: Callable[..., Path], tmp_path: Path) -> None:
    project.change_settings(scenes={"min_clip_s": 1.0})
    import_files(project, [make_video(frames=np.full((24, 64, 128, 3), 90, np.uint8))])
    assert kinds(project)["videos"] == "done"
    assert step_states(project)["videos"].note == "1"
    run_find_scenes(project, FindScenesJob(), SilentReport())
    assert kinds(project)["scenes"] == "todo"
    run_cut(project, CutJob(), SilentReport())
    assert kinds(project)["scenes"] == "done"
    assert kinds(project)["captions"] == "todo"
    set_caption(project, read_clips(project)[0].id, "A dog runs.")
    assert (kinds(project)["captions"], step_states(project)["captions"].note) == ("done", "1/1")
    (tmp_path / "broken.mp4").write_text("no video")
    import_files(project, [tmp_path / "broken.mp4"])
    assert (kinds(project)["videos"], step_states(project)["videos"].note) == ("warn", "1 broken")
    write_recipe(project.recipe_file, Recipe())
    assert kinds(project)["recipe"] == "done"


def test_images_alone_need_no_scenes(project: Project, tmp_path: Path) -> None:
    Image.new("RGB", (128, 96), "red").save(tmp_path / "picture.png")
    import_files(project, [tmp_path / "picture.png"])
    assert kinds(project)["scenes"] == "done"


def test_the_mark_of_training_is_that_of_the_newest_run(project: Project) -> None:
    job = Job(settings=TrainJob(recipe=Recipe(), dataset_fingerprint="x"), created=1.0)
    for end, kind in (
        (Finished(step=3), "done"),
        (Failed(problem="Full.", remedy="Free."), "warn"),
        (Stopped(step=3), "todo"),
    ):
        run = JobFolder.create(project.runs_folder, "practice", job)
        writer = EventWriter(run.events_file)
        writer.write(Started(pid=1))
        writer.write(end)
        writer.close()
        assert kinds(project)["train"] == kind
        assert kinds(project)["recipe"] == "done"


def test_a_damaged_part_is_a_mark_and_the_rest_still_shows(project: Project) -> None:
    project.clips_file.write_text("{")
    states = kinds(project)
    assert (states["captions"], states["scenes"], states["check"]) == ("warn", "warn", "warn")
    assert (states["goal"], states["videos"], states["export"]) == ("done", "todo", "todo")
