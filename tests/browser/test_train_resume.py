"""A run that was stopped and is resumed while another training holds the card."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from filelock import FileLock
from made_up import add_trained_run, captioned_clips

from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.events import EventWriter, Stopped
from ltx_wizard.core.project import Project, ProjectSettings

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def project(app: Any) -> Project:
    made = Project.create(app.home / "projects" / "cat", ProjectSettings(name="My cat", model="embedded"))
    write_lines(made.clips_file, captioned_clips(3))
    writer = EventWriter(add_trained_run(made).events_file)
    writer.write(Stopped(step=10))
    writer.close()
    return made


def test_a_resumed_run_is_followed_waits_for_its_turn_and_cannot_be_started_twice(
    app: Any, project: Project, window: Any
) -> None:
    page = window.page
    now = page.locator("#wz-train .wz-now")
    with FileLock(app.home / ".gpu.lock"):
        page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=train")
        expect(now).to_have_text("Stopped")
        page.wait_for_timeout(1500)  # the page has looked and asks no more
        page.locator("#train-resume").click()
        expect(page.locator("#train-primary")).to_have_text("Training ...")
        expect(now).to_have_text("Waiting for another job to finish")
        expect(page.locator("#wz-nav [data-job-text], #wz-nav .wz-strip-text").first).to_have_text(
            "Waiting for another job to finish"
        )
        page.reload()
        page.locator("html[data-ready]").wait_for(state="attached")
        expect(now).to_have_text("Waiting for another job to finish")
        expect(page.locator("#train-resume")).to_be_hidden()
        expect(page.locator("#train-primary")).to_be_disabled()
        window.shot("train-waits")
        page.locator("#train-stop").click()
        expect(now).to_have_text("Stopped")
    expect(page.locator("#train-resume")).to_be_visible()


def test_an_older_run_can_be_chosen_resumed_stopped_and_stays_in_sight(
    app: Any, project: Project, window: Any
) -> None:
    add_trained_run(project)
    page = window.page
    now, run = page.locator("#wz-train .wz-now"), page.locator("#train-run input")
    with FileLock(app.home / ".gpu.lock"):
        page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=train")
        expect(page.locator("#train-primary")).to_have_text("Compare in the Lab", timeout=30_000)
        expect(page.locator("#train-resume")).to_be_hidden()
        run.click()
        page.get_by_role("option", name="0001-test").click()
        expect(now).to_have_text("Stopped", timeout=30_000)
        expect(page.locator("#train-primary")).to_have_text("Start training")
        page.locator("#train-resume").click()
        expect(now).to_have_text("Waiting for another job to finish", timeout=30_000)
        page.reload()
        page.locator("html[data-ready]").wait_for(state="attached")
        expect(run).to_have_value("0001-test", timeout=30_000)
        expect(page.locator("#train-pause")).to_be_visible()
        page.locator("#train-stop").click()
        expect(page.locator("#train-resume")).to_be_visible(timeout=30_000)
        expect(run).to_have_value("0001-test")
