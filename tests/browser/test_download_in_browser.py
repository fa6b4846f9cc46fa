"""Downloading a model from a hub on this computer: refused, allowed, stopped, gone on with, complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fake_hub import FakeHub, running

from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.models.catalog import LTXV_2B_096_DEV

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

REPOSITORY = "Lightricks/LTX-Video"
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with running(FakeHub()) as fake:
        fake.fill(LTXV_2B_096_DEV, weights_bytes=2_000_000)
        yield fake


@pytest.fixture
def environment(server: FakeHub, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": server.address,
    }


def test_a_gated_model_is_downloaded_with_a_token_stopped_and_gone_on_with(
    server: FakeHub, window: Any, app: Any
) -> None:
    page, panel = window.page, window.page.locator(".wz-download")
    server.gated.add(REPOSITORY)
    expect(panel).to_be_hidden()  # the practice model is chosen
    page.locator(f"label:has(input[name=model][value='{LTXV_2B_096_DEV.id}'])").click()
    expect(panel).to_contain_text("MB download")
    expect(panel).to_contain_text("free at")
    window.shot("1-download-missing")

    download = panel.get_by_role("button", name="Download", exact=True)
    download.click()
    expect(panel.get_by_role("alert")).to_contain_text("accepted its terms", timeout=30_000)
    expect(panel.get_by_role("link", name=f"https://huggingface.co/{REPOSITORY}")).to_be_visible()

    panel.locator("summary").click()
    page.locator("#hub-token").fill("hf_wrong")
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_contain_text("does not know this token", timeout=30_000)
    window.shot("2-download-token")
    assert any("422" in complaint for complaint in window.complaints)
    window.complaints.clear()  # the browser complains about every refusal
    server.tokens.add(TOKEN)
    server.accepted.add(TOKEN)
    page.locator("#hub-token").fill(TOKEN)
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_contain_text("The hub knows this token", timeout=30_000)
    expect(page.locator("#hub-token")).to_have_value("")
    panel.locator("summary").click()

    server.bytes_per_s = 500_000
    download.click()
    expect(panel).to_contain_text("/s", timeout=30_000)
    expect(panel).to_contain_text(" left")
    window.shot("3-download-running")
    page.reload()
    page.locator(f"label:has(input[name=model][value='{LTXV_2B_096_DEV.id}'])").click()
    expect(panel).to_contain_text("/s", timeout=30_000)
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_contain_text("there already", timeout=30_000)

    server.bytes_per_s = 0
    download.click()
    expect(panel).to_contain_text("is on this computer", timeout=60_000)
    window.shot("4-download-done")
    assert app.files()
    assert not app.files_with(TOKEN)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    settings = ProjectSettings.model_validate({"name": "Neon rain", "model": "embedded"})
    return Project.create(tmp_path / "home" / "neon", settings)


def test_a_download_stands_at_the_side_on_every_step_with_stop_and_the_way_back(
    server: FakeHub, window: Any, app: Any, project: Project
) -> None:
    page, strip = window.page, window.page.locator("#wz-fetches .wz-fetch")
    server.bytes_per_s = 300_000
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=videos")
    page.locator("html[data-step='videos'][data-ready]").wait_for(state="attached")
    expect(strip).to_have_count(0)
    page.evaluate(
        """model => wizard.fetchJson("/wizard/live/download/do", { method: "POST", headers:
        { "Content-Type": "application/json" }, body: JSON.stringify({ model, do: "start" }) })""",
        LTXV_2B_096_DEV.id,
    )
    expect(strip).to_contain_text(LTXV_2B_096_DEV.title)
    expect(strip).to_contain_text("/s", timeout=30_000)
    expect(strip).to_contain_text(" left")
    expect(page.locator("#wz-strip")).to_contain_text("No job running")
    assert "% downloading" in page.title()
    window.shot("5-download-strip")
    page.locator("[data-go='train']").click()
    page.locator("html[data-step='train']").wait_for(state="attached")
    expect(strip).to_contain_text("/s")
    page.reload()
    expect(strip).to_contain_text("/s", timeout=30_000)
    strip.locator(".wz-fetch-title").click()
    page.locator("html[data-step='goal']").wait_for(state="attached")
    strip.get_by_role("button", name="Stop").click()
    expect(strip).to_have_count(0, timeout=30_000)

    server.bytes_per_s = 0
    server.corrupt.update({path: 2 for files in server.repositories.values() for path in files})
    page.locator("[data-go='captions']").click()
    page.evaluate(
        """model => wizard.fetchJson("/wizard/live/download/do", { method: "POST", headers:
        { "Content-Type": "application/json" }, body: JSON.stringify({ model, do: "start" }) })""",
        LTXV_2B_096_DEV.id,
    )
    page.evaluate("wizard.poll()")
    alert = strip.get_by_role("alert")
    expect(alert).to_contain_text("arrived wrong twice", timeout=30_000)
    expect(alert).to_contain_text("Try again later")
    window.shot("6-download-strip-failed")
    page.reload()
    strip.get_by_role("button", name="Go to Goal").click(timeout=30_000)
    page.locator("html[data-step='goal']").wait_for(state="attached")
    strip.get_by_role("button", name="Close").click()
    expect(strip).to_have_count(0)
    page.reload()
    page.locator("html[data-step='goal'][data-ready]").wait_for(state="attached")
    page.wait_for_timeout(1500)
    expect(strip).to_have_count(0)
    left_while_asking = "Connection errored out"  # as Gradio says of a reload before its answer
    window.complaints[:] = [said for said in window.complaints if left_while_asking not in said]
