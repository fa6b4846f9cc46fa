"""The whole road on the sample project, by clicking only: from the first screen to files that others load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

_JOB_MS = 240_000
STEPS, EVERY = 160, 40
_CAPTION = "A large pink square floats up quickly against a plain slate background. The camera stays still."


def test_the_sample_project_becomes_an_exported_lora_though_the_app_is_killed_meanwhile(
    app: Any, window: Any
) -> None:
    """By clicking only. Training goes on without the app, and the app finds it again."""
    page = window.page
    window.shot("1-goal")
    open_sample_project(page)
    window.shot("2-videos")
    window.fits_small()

    go_to_scenes(page)
    find_scenes(page)
    page.locator(".wz-scene").first.click()
    expect(page.locator(".wz-inspector")).to_be_visible()
    window.shot("3-scenes")
    window.fits_small()
    cut_clips(page)

    page.locator("#scenes-primary").click()
    at_step(page, "captions")
    write_caption(page, _CAPTION)
    reload(window)
    expect(page.locator(".wz-caption-text")).to_have_value(_CAPTION)
    window.shot("4-captions")
    window.fits_small()

    page.locator("#captions-primary").click()
    at_step(page, "check")
    expect(page.locator(".wz-finding")).not_to_have_count(0)
    expect(page.locator(".wz-finding.is-must")).to_have_count(0)
    expect(page.locator(".wz-bucket")).not_to_have_count(0)
    window.shot("5-check")
    window.fits_small()

    page.locator("#check-primary").click()
    at_step(page, "recipe")
    choose_practice_draft(page)
    window.shot("6-recipe")
    window.fits_small()
    shorten_recipe(page, small=not window.wanted)

    start_training(page)
    expect(page.locator(".wz-sample[data-step='0']")).not_to_have_count(0, timeout=_JOB_MS)
    samples = page.locator(".wz-sample").count()
    app.kill()
    assert app.workers(), "the training ended with the app"
    expect(page.locator("#wz-lost")).to_contain_text("LTX Wizard is not running")
    app.start()
    expect(page.locator("#wz-lost")).to_have_count(0)
    page.locator("html[data-ready]").wait_for(state="attached")
    window.complaints.clear()  # the browser reports every answer that it missed while nobody served

    at_step(page, "train")
    expect(page.locator("#train-primary")).to_have_text("Training ...")
    expect(page.locator(".wz-sample").nth(samples - 1)).to_be_attached()
    expect(page.locator(f".wz-sample[data-step='{EVERY}']")).not_to_have_count(0, timeout=_JOB_MS)
    page.locator("#train-pause").click()  # so that it is in the middle, however fast the computer
    expect(page.locator("#train-pause")).to_have_text("Go on")
    samples = page.locator(".wz-sample").count()
    losses_shown(page, at_least=EVERY)

    reload(window)
    at_step(page, "train")
    expect(page.locator("#train-primary")).to_have_text("Training ...")
    expect(page.locator("#train-pause")).to_have_text("Go on")
    expect(page.locator(".wz-sample").nth(samples - 1)).to_be_attached()
    losses_shown(page, at_least=EVERY)
    page.locator("#train-pause").click()
    expect(page.locator("#train-pause")).to_have_text("Pause")
    page.mouse.wheel(0, 90)  # the chart and the samples in one picture
    window.shot("7-train")
    wait_until_trained(page)
    losses_shown(page, at_least=STEPS)
    reload(window)
    expect(page.locator(f".wz-sample[data-step='{STEPS}']")).not_to_have_count(0)
    expect(page.locator("#train-notice, #train-work").filter(has_text="Training is finished")).to_be_visible()
    window.fits_small()  # the row of samples too

    page.locator("#train-primary").click()
    at_step(page, "lab")
    expect(page.locator(".wz-lab-cell")).not_to_have_count(0)
    page.locator("#lab-primary").click()
    at_step(page, "export")
    page.locator("#export-primary").click()
    expect(page.locator(".wz-export")).to_have_count(1, timeout=_JOB_MS)
    expect(page.locator(".wz-verified li")).not_to_have_count(0)
    expect(page.locator(".wz-lora-file")).to_have_count(2)
    window.shot("9-export")
    window.fits_small()
    with page.expect_download() as download:
        page.locator(".wz-lora-file").first.click()
    assert Path(download.value.path()).stat().st_size > 10_000


def open_sample_project(page: Any) -> None:
    page.get_by_role("button", name="Try the sample project").click()
    at_step(page, "videos")
    expect(page.locator("#videos-table tbody tr")).not_to_have_count(0)


def go_to_scenes(page: Any) -> None:
    page.locator("#videos-primary").click()
    at_step(page, "scenes")


def find_scenes(page: Any) -> None:
    page.locator("#scenes-find").click()
    expect(page.locator("#scenes-primary")).to_have_text(re.compile(r"Cut \d+ clips?"), timeout=_JOB_MS)


def cut_clips(page: Any) -> None:
    page.locator("#scenes-primary").click()
    expect(page.locator("#scenes-primary")).to_have_text("Write captions", timeout=_JOB_MS)


def write_caption(page: Any, text: str) -> None:
    """Typed as a person does; returns once the page says that it is saved."""
    box = page.locator(".wz-caption-text")
    box.click()
    box.press("Control+a")
    box.press_sequentially(text)
    expect(page.locator(".wz-trained")).to_contain_text(text)
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")


def choose_practice_draft(page: Any) -> None:
    page.locator(".wz-preset", has=page.locator("input[value='practice-draft']")).click()
    expect(page.locator("#recipe-head .wz-status")).to_contain_text("Practice, in a minute")


def shorten_recipe(page: Any, small: bool) -> None:
    """Few steps with rough samples, small where nobody looks at them: enough to see all of it on two slow
    cores, and still long beside a start of the app.
    """
    page.locator("#recipe-advanced > button").click()
    if small:
        change(page, "data.buckets", "96x96x9")
    change(page, "validation.sampling_steps", "5")
    change(page, "validation.every", str(EVERY))
    change(page, "validation.loss_every", str(EVERY))
    change(page, "checkpoints.every", str(EVERY))
    change(page, "steps", str(STEPS))
    expect(page.locator("#recipe-head .wz-status")).to_contain_text(f"{STEPS} steps")


def change(page: Any, key: str, value: str) -> None:
    field = page.locator(f"[id='set-{key}']")
    field.fill(value)
    field.press("Tab")
    expect(page.locator(f".wz-setting[data-key='{key}']")).to_have_class(re.compile("is-changed"))


def start_training(page: Any) -> None:
    page.locator("#recipe-primary").click()
    at_step(page, "train")
    page.locator("#train-primary").click()
    expect(page.locator("#train-primary")).to_have_text("Training ...")


def wait_until_trained(page: Any) -> None:
    expect(page.locator("#train-primary")).to_have_text("Compare in the Lab", timeout=_JOB_MS)


def at_step(page: Any, name: str) -> None:
    page.locator(f"html[data-step='{name}'][data-ready]").wait_for(state="attached")
    expect(page.locator(f"#{name}-head h1")).to_be_visible()


def reload(window: Any) -> None:
    """What the page before says of answers that it will not get is no complaint."""
    window.page.reload()
    window.page.locator("html[data-ready]").wait_for(state="attached")
    window.complaints[:] = [said for said in window.complaints if "Connection errored out" not in said]


def losses_shown(page: Any, at_least: int) -> None:
    """The plot holds that many steps or more."""
    page.wait_for_function(
        "least => +document.querySelector('#wz-train .wz-plot')?.dataset.points >= least", arg=at_least
    )
