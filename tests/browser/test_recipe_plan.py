"""The memory plan on the step Recipe, with a card that only nvidia-smi knows of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from made_up import captioned_clips

from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project, ProjectSettings

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An RTX 4090, as the driver's tool would print it. Asked for before the app starts."""
    if os.name == "nt":
        pytest.skip("a shell script stands in for the driver's tool")
    tool = tmp_path / "driver" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4090, 24564, 812, 41, 580.10'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def project(app: Any) -> Project:
    """Twelve captioned clips for 13B, in bf16: too much for 24 GB."""
    settings = ProjectSettings.model_validate({"name": "My cat, running", "model": "ltxv-13b-0.9.7-dev"})
    made = Project.create(app.home / "projects" / "cat", settings)
    write_lines(made.clips_file, captioned_clips(12))
    return made


def test_a_recipe_that_does_not_fit_is_made_to_fit_with_one_click(
    card: None, app: Any, project: Project, window: Any
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=recipe")
    headline = page.locator(".wz-plan-line strong")
    expect(headline).to_contain_text("Fits: ")
    expect(headline).to_contain_text(" of 24 GB; about ")
    window.shot("recipe-fits")
    page.locator("#recipe-advanced > button").click()
    page.locator("#set-memory\\.quantization").select_option("none")
    expect(headline).to_contain_text("Does not fit: needs ")
    page.locator(".wz-plan-fold summary").click()
    window.shot("recipe-does-not-fit")
    page.locator("[data-do='remedy']").click()
    expect(headline).to_contain_text("Fits: ")
    expect(page.locator("#set-memory\\.quantization")).to_have_value("fp8-quanto")


def test_a_refused_setting_says_why_where_it_was_typed_and_one_that_cannot_train_on_the_plan(
    card: None, app: Any, project: Project, window: Any
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=recipe")
    headline = page.locator(".wz-plan-line strong")
    expect(headline).to_contain_text("Fits: ")
    page.locator("#recipe-advanced > button").click()
    field = page.locator("#set-checkpoints\\.keep")
    field.fill("2.5")
    field.press("Tab")
    refusal = page.locator("#recipe-notice [role=alert]")
    expect(refusal).to_contain_text("checkpoints.keep: 2.5 is not a whole number")
    expect(field).to_be_in_viewport()
    expect(refusal).to_be_in_viewport(ratio=1)
    row = page.locator("[data-key='checkpoints.keep']")
    expect(row.locator(".wz-refused")).to_have_text(
        "checkpoints.keep: 2.5 is not a whole number. In force: 10. Take it back"
    )
    window.shot("recipe-setting-refused")
    steps = page.locator("#set-steps")
    steps.fill("300")
    steps.press("Tab")
    expect(page.locator("#recipe-head .wz-status")).to_contain_text("300 steps")
    expect(field).to_have_value("2.5")  # still to be mended, and plainly not in force
    expect(row).to_have_class(re.compile("is-refused"))
    row.get_by_role("button", name="Take it back").click()
    expect(field).to_have_value("10")
    expect(row).not_to_have_class(re.compile("is-refused"))
    field.fill("0")
    field.press("Tab")
    expect(row.locator(".wz-refused")).to_contain_text("goes from 1")
    field.fill("4")
    field.press("Tab")
    expect(refusal).to_have_count(0)
    expect(row).not_to_have_class(re.compile("is-refused"))

    width = page.locator("#set-validation\\.width")
    width.fill("500")
    width.press("Tab")
    expect(headline).to_contain_text("draws no samples with a width of 500")
    page.locator("#recipe-primary").click()
    expect(page.locator("#train-work")).to_contain_text("Not ready yet")
    expect(page.locator("#train-work")).to_contain_text("Set validation.width to 512")
    page.locator("#train-primary").click()
    expect(page.locator("#train-notice [role=alert]")).to_contain_text("a width of 500")
    assert list(project.runs_folder.glob("*")) == []
