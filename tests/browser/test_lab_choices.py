"""What the Lab is asked for, with quick clicks, from two sides at once, and with nothing left to make."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from made_up import add_trained_run

from ltx_wizard.app import lab
from ltx_wizard.core.project import Project, ProjectSettings

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

_JOB_MS = 120_000
_LATE = """() => {
  const now = window.fetch;
  window.fetch = async (...asked) => {
    if (String(asked[0]).includes("/lab/do")) await new Promise((go) => setTimeout(go, 800));
    return now(...asked);
  };
}"""
"""Every change arrives a little later, as on a busy computer."""


@pytest.fixture
def trained(app: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Checkpoints of steps 10 and 20, one prompt, few steps: a video takes a second."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(app.home))
    project = Project.create(app.home / "lab", ProjectSettings(name="Lab", model="embedded"))
    add_trained_run(project)
    lab.choose(project, loras=["0001-test@20"], strengths=[0.55, 1, 2], sampling={"steps": 2})
    return project


@pytest.fixture
def opening(app: Any, trained: Project) -> str:
    return f"{app.address}/?project={quote(str(trained.folder))}&step=lab"


def test_quick_clicks_all_count_and_what_is_refused_is_not_saved(window: Any, trained: Project) -> None:
    page = window.page
    saved, told = page.locator("[data-save-text]"), page.locator(".wz-lab-told")
    page.evaluate(_LATE)
    page.locator(".wz-chip[data-strength='0.55']").click()
    page.locator(".wz-chip[data-strength='2']").click()
    page.locator(".wz-chip[data-lora='0001-test@10']").click()
    page.get_by_label("Another strength").fill("-0.5")
    page.get_by_label("Another strength").press("Enter")
    page.get_by_label("Another strength").fill("1.5")
    page.get_by_label("Another strength").press("Enter")
    expect(page.locator(".wz-lab-setup > summary")).to_contain_text("2 LoRAs × 3 strengths", timeout=30_000)
    grid = lab.current(trained).grid
    assert (grid.strengths, grid.loras) == ((-0.5, 0.0, 1.0, 1.5), ("0001-test@10", "0001-test@20"))
    cells = page.locator(".wz-lab-grid .wz-lab-cell")
    expect(cells.and_(page.locator("[data-cell$='|1.5']")).first.locator(".wz-lab-star")).to_be_attached()
    expect(cells.and_(page.locator("[data-cell$='|-0.5']")).locator(".wz-lab-star")).to_have_count(0)

    page.get_by_label("Prompt 1", exact=True).fill("<b>long</b> " * 400)
    page.get_by_label("Prompt 1", exact=True).blur()
    expect(told).to_contain_text("4000")
    window.complaints.clear()  # the browser reports the refusal itself
    expect(saved).not_to_have_text("All changes saved")
    expect(page.get_by_label("Prompt 1", exact=True)).to_have_value(re.compile("^<b>long"))
    page.get_by_label("Prompt 1", exact=True).fill("<b>short</b>")
    page.get_by_label("Prompt 1", exact=True).blur()
    expect(saved).to_have_text("All changes saved")
    expect(page.locator(".wz-lab-prompt").first).to_contain_text("<b>short</b>")

    page.get_by_label("Prompt 1", exact=True).fill("")
    page.get_by_label("Prompt 1", exact=True).blur()
    expect(page.locator(".wz-lab-bar")).to_contain_text("There is no prompt yet")
    window.shot("8-lab-no-prompt")


def test_a_change_from_elsewhere_comes_into_what_is_typed_and_into_the_large_view(
    window: Any, trained: Project
) -> None:
    page = window.page
    another = page.get_by_label("Another prompt")
    another.focus()
    lab.choose(trained, prompts=[{"text": "one"}, {"text": "two"}])
    another.fill("three")
    another.blur()
    expect(page.locator(".wz-lab-prompt")).to_have_count(3)
    assert [prompt.text for prompt in lab.current(trained).grid.prompts] == ["one", "two", "three"]

    lab.choose(trained, prompts=[{"text": "one"}])
    page.get_by_role("button", name="Make 4 videos").click(timeout=30_000)
    expect(page.locator(".wz-lab-cell[data-state='made']")).to_have_count(4, timeout=_JOB_MS)
    page.locator(".wz-lab-grid .wz-lab-cell[data-cell$='|0.55'] .wz-lab-open").click()
    expect(page.locator(".wz-zoom")).to_be_visible()
    lab.choose(trained, strengths=[1, 2])
    expect(page.locator(".wz-zoom")).to_be_hidden(timeout=30_000)
    expect(page.locator(".wz-lab-grid .wz-lab-cell[data-cell$='|0.55']")).to_have_count(0)
