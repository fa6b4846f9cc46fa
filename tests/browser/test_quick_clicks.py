"""Clicks that follow each other faster than the app answers: each counts, once, in its order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Scene, Source, SourceScenes
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import read_recipe
from ltx_wizard.dataset.dataset import read_scenes, write_scenes
from ltx_wizard.media.transcode import write_video

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCENES, FRAMES, FPS = 8, 12, 8
SLOW_S = 0.7
WAIT_MS = 30_000
SLOW = f"""
import time
from ltx_wizard.app import datasets, recipes

def slow(module, name):
    really = getattr(module, name)
    def later(project, *given):
        time.sleep({SLOW_S})
        with (project.folder / "calls").open("a") as calls:
            calls.write(name + " " + " ".join(str(item) for item in given[1:]) + chr(10))
        return really(project, *given)
    setattr(module, name, later)

for name in ("toggle_scene", "merge_scene"):
    slow(datasets, name)
slow(recipes, "change_setting")
"""
WATCH_OFF = """() => {
  window.seen = [];
  const count = () => document.querySelectorAll("#wz-scenes .wz-scene.is-off").length;
  new MutationObserver(() => { if (window.seen.at(-1) !== count()) window.seen.push(count()); })
    .observe(document.querySelector("#wz-scenes"), { childList: true, subtree: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def app(slowed_app: Any) -> Iterator[Any]:
    """Changes of scenes and settings take their time, and are written down."""
    with slowed_app(SLOW) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One video of eight scenes."""
    settings = ProjectSettings.model_validate({"name": "Quick", "model": "embedded"})
    made = Project.create(tmp_path / "quick", settings)
    picture = np.random.default_rng(1).integers(0, 255, (SCENES * FRAMES, 64, 96, 3), dtype=np.uint8)
    (made.folder / "sources").mkdir(exist_ok=True)
    write_video(picture, made.folder / "sources" / "reel.mp4", FPS)
    length = SCENES * FRAMES
    source = Source(
        id="reel", file="sources/reel.mp4", original_name="reel.mp4", kind=MediaKind.VIDEO, width=96,
        height=64, fps=FPS, frames=length, duration_s=length / FPS,
    )  # fmt: skip
    write_lines(made.sources_file, [source])
    scenes = tuple(
        Scene(start_frame=first, end_frame=first + FRAMES, start_s=first / FPS, end_s=(first + FRAMES) / FPS)
        for first in range(0, length, FRAMES)
    )
    write_scenes(made, SourceScenes(source_id="reel", scenes=scenes, detector="adaptive"))
    return made


@pytest.fixture
def opening(app: Any, project: Project) -> str:
    return f"{app.address}/?project={quote(str(project.folder))}&step=scenes"


def starts(project: Project, keep: bool) -> list[int]:
    return [item.start_frame for item in read_scenes(project)["reel"].scenes if item.keep == keep]


def calls(project: Project) -> list[str]:
    return (project.folder / "calls").read_text(encoding="utf-8").splitlines()


def click_at_once(page: Any, *selectors: str) -> None:
    """Faster than a hand: all of them before the page has answered the first."""
    page.evaluate("all => all.forEach((one) => document.querySelector(one).click())", list(selectors))


def keep_button(frame: int) -> str:
    return f".wz-scene-keep[data-frame='{frame}']"


def test_scenes_left_out_one_after_the_other_are_all_left_out(window: Any, project: Project) -> None:
    page = window.page
    expect(page.locator(".wz-scene")).to_have_count(SCENES)
    page.evaluate(WATCH_OFF)
    click_at_once(page, *(keep_button(frame) for frame in (0, 24, 36)))
    window.shot("quick-clicks-waiting", settled_ms=0)
    expect(page.locator(".wz-scene.is-off")).to_have_count(3, timeout=WAIT_MS)
    assert starts(project, keep=False) == [0, 24, 36]
    assert calls(project) == ["toggle_scene 0", "toggle_scene 2", "toggle_scene 3"]
    assert page.evaluate("window.seen.filter((count) => count)") == [3], "it drew what was older than a click"
    expect(page.locator(".is-busy")).to_have_count(0)


def test_the_same_click_twice_before_its_answer_is_one(window: Any, project: Project) -> None:
    page = window.page
    page.locator(keep_button(12)).dblclick(no_wait_after=True)
    expect(page.locator(".wz-scene.is-off")).to_have_count(1, timeout=WAIT_MS)
    page.wait_for_timeout(2000 * SLOW_S)
    assert starts(project, keep=False) == [12]
    assert calls(project) == ["toggle_scene 1"]


def test_merging_with_the_next_counts_each_click_and_clicks_after_it_mean_their_own_scene(
    window: Any, project: Project
) -> None:
    page = window.page
    page.locator(".wz-scene").first.click()
    merge = ".wz-inspector [data-do='merge']"
    click_at_once(page, merge, merge, keep_button(60))
    expect(page.locator(".wz-scene")).to_have_count(SCENES - 2, timeout=WAIT_MS)
    assert [item.start_frame for item in read_scenes(project)["reel"].scenes] == [0, 36, 48, 60, 72, 84]
    assert starts(project, keep=False) == [60]
    expect(page.locator(".wz-inspector h3")).to_have_text("Scene 1")


def test_a_click_on_a_scene_that_was_merged_away_says_so(window: Any, project: Project) -> None:
    page = window.page
    page.locator(".wz-scene").first.click()
    click_at_once(page, ".wz-inspector [data-do='merge']", keep_button(12), keep_button(24))
    expect(page.locator(".wz-scene.is-off")).to_have_count(1, timeout=WAIT_MS)
    assert starts(project, keep=False) == [24], "what came after the refused click was lost"
    expect(page.locator("#scenes-notice")).to_contain_text("not there any more")
    page.locator(keep_button(36)).click()
    expect(page.locator(".wz-scene.is-off")).to_have_count(2, timeout=WAIT_MS)
    expect(page.locator("#scenes-notice")).not_to_contain_text("not there any more")


def test_two_settings_changed_quickly_are_both_saved(app: Any, window: Any, project: Project) -> None:
    page = window.page
    clip = Clip(
        id="c", source_id="reel", file="clips/c.mp4", kind=MediaKind.VIDEO, width=192, height=192, fps=8,
        frames=17, duration_s=2.1, caption="A red circle moves up.", caption_state=CaptionState.WRITTEN,
    )  # fmt: skip
    write_lines(project.clips_file, [clip])
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=recipe")
    page.locator("#recipe-advanced > button").click()
    for field, value in (("#set-steps", "30"), ("#set-seed", "7"), ("#set-steps", "40")):
        page.locator(field).fill(value)
        page.locator(field).press("Tab")
    until = time.monotonic() + WAIT_MS / 1000
    while not (project.folder / "calls").exists() or len(calls(project)) < 3:
        assert time.monotonic() < until
        page.wait_for_timeout(100)
    assert calls(project) == [f"change_setting {change}" for change in ("30", "7", "40")]
    expect(page.locator("#recipe-head .wz-status")).to_contain_text("40 steps", timeout=WAIT_MS)
    recipe = read_recipe(project.recipe_file)
    assert (recipe.steps, recipe.seed) == (40, 7)
    expect(page.locator("#set-steps")).to_have_value("40")
    expect(page.locator("#set-seed")).to_have_value("7")
