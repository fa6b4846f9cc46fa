"""The start screen: a project of one's own, with a model of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ltx_wizard.app.projects import propose_trigger
from ltx_wizard.core.places import EMBEDDED_MODEL

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_project_is_created_with_the_goal_and_the_model_that_were_chosen(
    app: Any, window: Any, tmp_path: Path
) -> None:
    page = window.page
    own = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "my-model"))
    name = page.locator("#goal-name input, #goal-name textarea")
    placeholder = name.evaluate("field => getComputedStyle(field, '::placeholder').color")
    assert placeholder != name.evaluate("field => getComputedStyle(field).color")
    name.fill("My cat")  # as pasted: no key is pressed
    trigger = page.locator("#goal-trigger input, #goal-trigger textarea")
    expect(trigger).to_have_value(propose_trigger("My cat"))
    page.locator("label:has(input[name=goal][value=character])").click()

    field = page.locator("#goal-own-model input, #goal-own-model textarea")
    field.fill(str(tmp_path / "nothing"))
    page.locator("#goal-recognise").click()
    expect(page.locator("#goal-own-result [role=alert]")).to_contain_text("There is no file")
    field.fill(str(own))
    page.locator("#goal-recognise").click()
    expect(page.locator("#goal-own-result")).to_contain_text("the practice model, diffusers folder")
    expect(page.locator("input[name=model]:checked")).to_have_value(str(own))
    window.shot("1-goal-own-model")

    page.locator("#goal-primary").click()
    expect(page.locator("html")).to_have_attribute("data-step", "videos", timeout=20_000)
    settings = json.loads(next(app.home.rglob("project.json")).read_text())
    assert (settings["name"], settings["goal"], settings["model"]) == ("My cat", "character", str(own))

    page.locator("[data-go='goal']").click()
    expect(page.locator("#goal-primary")).to_have_text("Add videos")
    name.fill(" ")
    name.press("Tab")
    refusal = page.locator("#goal-notice [role=alert]")
    expect(refusal).to_contain_text("Not taken: ' '. The field shows what is in force.")
    expect(name).to_have_value("My cat")
    trigger.press("Tab")  # left as it was: it takes no message away
    page.wait_for_timeout(500)
    expect(refusal).to_be_visible()

    page.goto(app.address)
    expect(page.locator("#goal-recent .wz-recent")).to_contain_text("My cat")
    expect(page.locator("#goal-recent .wz-recent")).to_be_in_viewport(ratio=1)
