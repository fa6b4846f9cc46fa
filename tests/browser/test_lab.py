"""The Lab in a browser: a grid of 4 x 5 x 2 fills in live, through a restart of the app and the end of a
killed worker; two of its videos are compared and one is kept.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ltx_wizard.core.events import CheckpointSaved, EventWriter, Finished, Started
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import LoraSettings, Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

_JOB_MS = 240_000
_STEPS = (10, 20, 30, 40)
_CELLS = 2 * (1 + 4 * 4)
"""Of each prompt the base model once, for strength 0, and 4 checkpoints at the 4 other strengths."""


def test_a_grid_fills_in_live_survives_a_restart_and_a_kill_and_finishes(
    app: Any, window: Any, trained: Project
) -> None:
    page = window.page
    made = page.locator(".wz-lab-cell[data-state='made']")
    open_lab(app, page, trained)
    expect(page.locator(".wz-lab-cell[data-state='waiting']")).to_have_count(_CELLS)
    window.shot("8-lab-empty")
    page.get_by_role("button", name=f"Make {_CELLS} videos").click()
    expect(page.locator(".wz-lab-cell[data-state='now']")).not_to_have_count(0, timeout=_JOB_MS)
    expect(made.nth(1)).to_be_attached(timeout=_JOB_MS)
    expect(page.locator(".wz-lab-bar")).to_contain_text(re.compile(r"of 34 videos . about .* left"))

    pause(page)  # so that it is in the middle, however long the app takes to start
    before = made.count()
    assert before < _CELLS
    app.kill()
    assert app.workers(), "the Lab's job ended with the app"
    app.start()
    page.locator("html[data-step='lab'][data-ready]").wait_for(state="attached")
    expect(page.locator("#wz-lost")).to_have_count(0)
    expect(made.nth(before - 1)).to_be_attached()
    assert made.count() <= before + 1, "it was paused: only the video that was being made came to its end"
    window.complaints.clear()  # the browser reports every answer that it missed while nobody served
    go_on = page.locator(".wz-lab-bar").get_by_role("button", name="Go on", exact=True)
    go_on.click()
    expect(made.nth(before + 1)).to_be_attached(timeout=_JOB_MS)
    pause(page)
    window.shot("8-lab-half")

    for worker in app.workers():
        if "ltx_wizard.worker" in worker.cmdline():
            worker.kill()
    kept = page.locator(".wz-notice.wz-bad")
    expect(kept).to_contain_text("Every video that was made is kept", timeout=_JOB_MS)
    page.get_by_role("button", name=re.compile(r"^Go on: \d+ videos?")).click()
    expect(made).to_have_count(_CELLS, timeout=_JOB_MS)
    expect(page.locator(".wz-lab-bar")).to_contain_text("Every video is made")
    expect(page.locator(".wz-notice.wz-bad")).to_have_count(0)
    window.shot("8-lab")

    pictures_that_did_not_come_are_asked_for_again(window)
    a_wider_grid_asks_for_what_is_new_only(page)
    two_are_compared_and_one_is_kept(window)
    a_sheet_is_written(page)
    page.locator("#lab-primary").click()
    page.locator("html[data-step='export']").wait_for(state="attached")
    expect(page.locator("#export-step input")).to_have_value(re.compile("step 20"))
    expect(page.locator("#export-strength input[type=number]")).to_have_value("0.75")


def pause(page: Any) -> None:
    page.locator(".wz-lab-bar").get_by_role("button", name="Pause").click()
    expect(page.locator(".wz-lab-bar strong")).to_have_text("Paused")


def pictures_that_did_not_come_are_asked_for_again(window: Any) -> None:
    """As where the app is restarted while the page asks for them."""
    lost: list[str] = []

    def lose(route: Any) -> None:
        lost.append(route.request.url)
        route.abort()

    window.page.route(re.compile(r"/cells/[^/]+\.jpg"), lose, times=3)
    window.page.reload()
    all_show_the_same_moment(window.page)
    assert len(lost) == 3
    window.complaints.clear()  # the browser reports the three


def all_show_the_same_moment(page: Any) -> None:
    frames = """[...document.querySelectorAll("#wz-lab canvas")].filter((canvas) => {
      const box = canvas.getBoundingClientRect();
      return box.width && box.bottom > 0 && box.top < innerHeight;
    }).map((canvas) => canvas.dataset.frame)"""
    page.locator(".wz-lab-grid .wz-lab-cell").nth(3).scroll_into_view_if_needed()
    there = "(shown) => shown.length > 4 && shown.every((frame) => frame !== undefined)"
    page.wait_for_function(f"() => ({there})({frames})")
    seen: set[str] = set()
    for _ in range(8):
        shown = page.evaluate(frames)
        assert len(shown) > 4
        assert len(set(shown)) == 1
        seen.add(shown[0])
        page.wait_for_timeout(130)
    assert len(seen) > 2, "they do not play"


def a_wider_grid_asks_for_what_is_new_only(page: Any) -> None:
    page.locator(".wz-lab-setup > summary").click()
    page.get_by_label("Another strength").fill("1.5")
    page.get_by_label("Another strength").press("Enter")
    expect(page.get_by_role("button", name="Go on: 8 videos")).to_be_visible()
    page.locator(".wz-chip[data-strength='1.5']").click()
    expect(page.locator(".wz-lab-bar")).to_contain_text("Every video is made")
    page.locator(".wz-lab-setup > summary").click()


def two_are_compared_and_one_is_kept(window: Any) -> None:
    page = window.page
    page.locator(".wz-lab-grid .wz-lab-cell[data-cell$='@20|0.55'] .wz-lab-open").first.click()
    zoom, handle = page.locator(".wz-zoom"), page.locator(".wz-zoom-handle")
    expect(zoom).to_contain_text("step 20 at 0.55")
    expect(handle).to_have_attribute("aria-valuenow", "50")
    handle.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", "45")
    box = page.locator(".wz-zoom-stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuenow", "80")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.wz-zoom video')].every((video) => video.readyState >= 2)"
    )
    page.screenshot(path=window.shots / "8-lab-wipe.png")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_label("Video on the right")).to_have_value(re.compile(r"@20\|0\.75$"))
    page.keyboard.press("k")
    expect(zoom.get_by_role("button", name="★ Kept")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(zoom).to_be_hidden()
    expect(page.locator(".wz-lab-grid .wz-lab-cell.is-kept")).to_have_count(2)
    expect(page.locator("#lab-primary")).to_have_text("Export step 20 at 0.75")


def a_sheet_is_written(page: Any) -> None:
    page.get_by_role("button", name="Sheet as PNG").click()
    with page.expect_download() as download:
        page.locator(".wz-lab-sheet").first.click()
    with Image.open(Path(download.value.path())) as picture:
        assert picture.format == "PNG"
        assert picture.width > 5 * 64
        assert picture.height > 8 * 64


def open_lab(app: Any, page: Any, project: Project) -> None:
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=lab")
    page.locator("html[data-step='lab'][data-ready]").wait_for(state="attached")


@pytest.fixture
def trained(app: Any) -> Project:
    """A project with one run of four checkpoints, each a little further than the one before."""
    settings = ProjectSettings.model_validate(
        {"name": "Lab", "model": "embedded", "trigger_word": "zib style."}
    )
    project = Project.create(app.home / "projects" / "lab", settings)
    validation = {
        "prompts": ("{trigger} A red circle moves up.", "{trigger} A blue square moves to the right."),
        **{"width": 64, "height": 64, "frames": 9, "sampling_steps": 2, "guidance": 2.0},
    }
    recipe = with_settings(
        Recipe(model="embedded", lora=LoraSettings(rank=4, alpha=4)),
        {f"validation.{name}": value for name, value in validation.items()},
    )
    job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint=""), created=time.time())
    run = JobFolder.create(project.runs_folder, "test", job)
    writer = EventWriter(run.events_file)
    saved = [CheckpointSaved(step=step, file=f"checkpoints/step-{step:06d}") for step in _STEPS]
    for event in (Started(pid=1, steps=40), *saved, Finished(step=40)):
        writer.write(event)
    writer.close()
    random = np.random.default_rng(1)
    weights = {
        f"transformer.transformer_blocks.{block}.{attention}.{layer}.lora_{half}.weight": (
            random.normal(size=(4, 192) if half == "A" else (192, 4)).astype(np.float32) * 0.04
        )
        for block in range(6)
        for attention in ("attn1", "attn2")
        for layer in ("to_q", "to_v")
        for half in "AB"
    }
    for step in _STEPS:
        folder = run.checkpoint_folder(step)
        folder.mkdir(parents=True)
        scaled = {key: value * step / 20 if "_B" in key else value for key, value in weights.items()}
        save_file(scaled, folder / "lora.safetensors")
    return project
