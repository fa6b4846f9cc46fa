"""An answer that comes late does not take the user back to the step where it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project, ProjectSettings

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW_S = 3
SLOW = f"""
import time
from ltx_wizard.app import recipes

really = recipes.change_setting

def change_setting(*given):
    time.sleep({SLOW_S})
    return really(*given)

recipes.change_setting = change_setting

cards = recipes.preset_cards

def preset_cards(project):
    if (project.folder / "busy").exists():
        time.sleep({SLOW_S})
    return cards(project)

recipes.preset_cards = preset_cards
"""


CLIP = Clip(
    id="c", source_id="s", file="clips/c.mp4", kind=MediaKind.VIDEO, width=192, height=192, fps=8,
    frames=17, duration_s=2.1, caption="A red circle moves up.", caption_state=CaptionState.WRITTEN,
)  # fmt: skip


@pytest.fixture(scope="module")
def app(slowed_app: Any) -> Iterator[Any]:
    """Changes of a setting take their time, as on a computer that is busy; so does the step Recipe where the
    project holds a file 'busy'.
    """
    with slowed_app(SLOW) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Project:
    settings = ProjectSettings.model_validate({"name": "Late", "model": "embedded"})
    made = Project.create(tmp_path / "late", settings)
    write_lines(made.clips_file, [CLIP])
    return made


def test_who_went_on_while_a_setting_was_saved_stays_there(app: Any, window: Any, project: Project) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=recipe")
    page.locator("#recipe-advanced > button").click()
    page.locator("#set-steps").fill("30")
    page.locator("#set-steps").press("Tab")
    page.locator("#recipe-primary").click()
    page.locator("html[data-step='train'][data-ready]").wait_for(state="attached")
    page.wait_for_timeout(1000 * (SLOW_S + 2))
    expect(page.locator("html")).to_have_attribute("data-step", "train")
    expect(page.locator("#train-head h1")).to_be_visible()

    page.locator("[data-go='recipe']").click()
    expect(page.locator("#recipe-head .wz-status")).to_contain_text("30 steps")


def test_who_went_on_while_the_page_looked_again_stays_there(app: Any, window: Any, project: Project) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=recipe")
    page.locator("html[data-step='recipe'][data-ready]").wait_for(state="attached")
    (project.folder / "busy").touch()
    with page.expect_request("**/queue/join*"):  # the clips changed: the page asks for the step again
        write_lines(project.clips_file, [CLIP.model_copy(update={"caption": "A blue square moves up."})])
    (project.folder / "busy").unlink()
    page.locator("[data-go='train']").click()
    page.wait_for_timeout(1000 * (SLOW_S + 2))
    expect(page.locator("html")).to_have_attribute("data-step", "train")
    expect(page.locator("#train-head h1")).to_be_visible()
