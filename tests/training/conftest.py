"""A project for the tests that train for real, a few steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.dataset.dataset import add_clips

COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 170, 50)}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


@pytest.fixture
def dataset(tmp_path: Path, encoded: Path) -> Project:
    """Three clips of a square that moves, 64x64, and one ordinary clip; latents and captions are encoded."""
    return Project.open(Path(shutil.copytree(encoded, tmp_path / "project")))


@pytest.fixture
def not_encoded(dataset: Project) -> Project:
    shutil.rmtree(dataset.cache_folder)
    return dataset


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from short_runs import new_run, short_recipe

    from ltx_wizard.worker import main

    project = _with_clips(tmp_path_factory.mktemp("encoded") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTX_WIZARD_HOME", str(project.folder.parent / "home"))
        assert main([str(new_run(project, short_recipe(1)).folder)]) == 0
    shutil.rmtree(project.runs_folder)
    return project.folder


def _with_clips(folder: Path) -> Project:
    import numpy as np

    from ltx_wizard.media.transcode import write_video

    settings = ProjectSettings.model_validate(
        {"name": "Test", "model": "embedded", "trigger_word": "zib style."}
    )
    project = Project.create(folder, settings)
    clips = []
    for index, (name, colour) in enumerate([*COLOURS.items(), ("red", (250, 0, 0))]):
        frames = np.full((17, 64, 64, 3), 200, np.uint8)
        for frame in range(17):
            frames[frame, 20:44, frame : frame + 24] = colour
        path = project.clips_folder / f"clip-{index}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(frames, path, 8)
        clips.append(
            Clip(
                id=f"clip-{index}", source_id="source", file=project.relative(path), kind=MediaKind.VIDEO,
                width=64, height=64, fps=8, frames=17, duration_s=17 / 8,
                caption=f"A {name} square moves to the right.", caption_state=CaptionState.WRITTEN,
                regularisation=index == 3,
            )
        )  # fmt: skip
    add_clips(project, clips)
    return project
