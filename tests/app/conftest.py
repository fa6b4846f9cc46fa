from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ltx_wizard.core.clip import Scene, SourceScenes
from ltx_wizard.core.project import Project


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's LTX Wizard folder: an empty one for each test."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def filmed(project: Project, make_video: Callable[..., Path]) -> Project:
    """A project with one video of 6 seconds, as two scenes of 3 seconds that are not cut yet."""
    from ltx_wizard.dataset.dataset import write_scenes
    from ltx_wizard.dataset.importing import import_files

    source = import_files(project, [make_video(frames=48, fps=8)]).added[0]
    halves = (
        Scene(start_frame=0, end_frame=24, start_s=0, end_s=3),
        Scene(start_frame=24, end_frame=48, start_s=3, end_s=6),
    )
    write_scenes(project, SourceScenes(source_id=source.id, scenes=halves, detector="edited"))
    return project
