"""The step Scenes by clicking and by keyboard: every way to change a number counts, and only what can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from ltx_wizard.core.clip import Scene, SourceScenes
from ltx_wizard.core.project import Project, ProjectSettings, SceneSettings
from ltx_wizard.dataset.dataset import read_sources, write_scenes
from ltx_wizard.dataset.importing import import_files

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def app(running_app: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One for all tests: each has a project of its own, and an app takes seconds to start."""
    with running_app(tmp_path_factory.mktemp("scenes") / "home", {"HF_HUB_OFFLINE": "1"}) as running:
        yield running


@pytest.fixture
def project(app: Any, tmp_path: Path) -> Project:
    return Project.create(app.home / "projects" / tmp_path.name, ProjectSettings(name="Scenes"))


@pytest.fixture
def opening(app: Any, project: Project) -> str:
    return f"{app.address}/?project={project.folder}&step=scenes"


def on_disk(page: Any, project: Project, **wanted: object) -> None:
    """Within ten seconds, and after that the page shows it as well."""
    for _ in range(100):
        scenes = project.read_settings().scenes
        if {name: getattr(scenes, name) for name in wanted} == wanted:
            return
        page.wait_for_timeout(100)
    assert {name: getattr(project.read_settings().scenes, name) for name in wanted} == wanted


def test_a_number_counts_however_it_was_changed(window: Any, project: Project) -> None:
    page = window.page
    number = page.locator("#scenes-min input[type=number]")
    page.locator("#scenes-min input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    on_disk(page, project, min_clip_s=1.8)
    number.fill("1.5")
    page.keyboard.press("Enter")
    on_disk(page, project, min_clip_s=1.5)
    number.fill("1")
    page.keyboard.press("Tab")
    on_disk(page, project, min_clip_s=1.0)
    page.locator("#scenes-min input[type=range]").click(position={"x": 5, "y": 5})
    expect(number).not_to_have_value("1")
    on_disk(page, project, min_clip_s=float(number.input_value()))


@pytest.mark.parametrize(("typed", "counts"), [("9", 8.0), ("0", 0.2), ("", 2.0)])
@pytest.mark.parametrize("key", ["Tab", "Enter"])
def test_a_number_outside_its_limits_becomes_the_nearest_and_none_what_it_was(
    window: Any, project: Project, typed: str, counts: float, key: str
) -> None:
    page = window.page
    number = page.locator("#scenes-min input[type=number]")
    expect(number).to_have_value("2")
    number.fill(typed)
    page.keyboard.press(key)
    on_disk(page, project, min_clip_s=counts)
    expect(number).to_have_value(f"{counts:g}")
    expect(page.locator(".toast-body")).to_have_count(0)


def test_the_reset_button_gives_the_usual_value_of_each_detector(window: Any, project: Project) -> None:
    page, usual = window.page, SceneSettings()
    page.locator("#scenes-adaptive input[type=number]").fill("5")
    page.keyboard.press("Tab")
    on_disk(page, project, adaptive_threshold=5.0)
    page.locator("#scenes-detector input").click()
    page.get_by_role("option", name="Content").click()
    on_disk(page, project, detector="content", adaptive_threshold=5.0)
    expect(page.locator("#scenes-adaptive")).to_be_hidden()
    page.locator("#scenes-content input[type=number]").fill("40")
    page.keyboard.press("Tab")
    on_disk(page, project, content_threshold=40.0, adaptive_threshold=5.0)
    for name in ("content", "min", "max"):
        page.locator(f"#scenes-{name}").get_by_role("button").click()
    on_disk(page, project, content_threshold=usual.content_threshold, adaptive_threshold=5.0)
    on_disk(page, project, min_clip_s=usual.min_clip_s, max_clip_s=usual.max_clip_s)


def test_numbers_of_the_command_line_that_no_slider_reaches_stay(window: Any, project: Project) -> None:
    page = window.page
    project.change_settings(scenes={"min_clip_s": 12.0, "max_clip_s": 40.0})
    page.reload()
    number = page.locator("#scenes-max input[type=number]")
    expect(number).to_have_value("40")
    expect(page.locator("#scenes-min input[type=number]")).to_have_value("12")
    number.fill("30")
    page.keyboard.press("Tab")
    on_disk(page, project, min_clip_s=12.0, max_clip_s=30.0)


def test_a_file_that_the_browser_cannot_play_shows_its_picture(
    window: Any, project: Project, numbered: Callable[..., Any]
) -> None:
    path = project.folder / "animation.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", rate=8)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "rgb24"
        for picture in numbered(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    import_files(project, [path])
    (source,) = read_sources(project)
    scene = Scene(start_frame=0, end_frame=24, start_s=0, end_s=3)
    write_scenes(project, SourceScenes(source_id=source.id, scenes=(scene,)))
    window.page.reload()
    window.page.locator(".wz-scene").click()
    expect(window.page.locator(".wz-inspector-view img")).to_be_visible()
    expect(window.page.locator(".wz-inspector")).to_contain_text("Your browser cannot play this file")


def test_a_shortest_clip_longer_than_the_longest_is_said_beside_the_numbers_that_are_to_be_changed(
    window: Any, project: Project, make_video: Callable[..., Path]
) -> None:
    page = window.page
    import_files(project, [make_video()])
    (source,) = read_sources(project)
    scene = Scene(start_frame=0, end_frame=24, start_s=0, end_s=3)
    write_scenes(project, SourceScenes(source_id=source.id, scenes=(scene,)))
    project.change_settings(scenes={"min_clip_s": 5.0, "max_clip_s": 3.0, "adaptive_threshold": 4.0})
    page.reload()
    expect(page.locator("#scenes-work")).to_contain_text("The shortest clip (5 s) is longer than the longest")
    expect(page.locator("#scenes-primary")).to_be_disabled()
    number = page.locator("#scenes-min input[type=number]")
    expect(number).to_have_value("5")
    number.fill("1")
    page.keyboard.press("Tab")
    expect(page.locator("#scenes-primary")).to_have_text("Cut 1 clip")
    expect(page.locator("#scenes-primary")).to_be_enabled()
    on_disk(page, project, min_clip_s=1.0, max_clip_s=3.0, adaptive_threshold=4.0)
