"""A LoRA made elsewhere and kept in the Lab: Export writes it for both programs, or says why it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from made_up import add_trained_run
from safetensors.numpy import save_file

from ltx_wizard.app import lab
from ltx_wizard.core.events import CheckpointSaved, EventWriter
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.models.headers import read_header

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NAME = "lora_unet_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def project(tmp_path: Path, app: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A run of the practice model, and a LoRA of kohya's trainer, kept beyond the slider's usual end."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(app.home))
    made = Project.create(
        app.home / "neon", ProjectSettings.model_validate({"name": "Neon rain", "model": "embedded"})
    )
    events = EventWriter(add_trained_run(made).events_file)
    events.write(CheckpointSaved(step=20, file="checkpoints/step-000020"))
    events.close()
    lora = lab.bring_in(made, kohya_lora(tmp_path / "city-at-night.safetensors", 192))
    lab.keep(made, lora.id, 2.5)
    return made


def kohya_lora(path: Path, width: int) -> Path:
    halves = {"down": np.full((4, width), 0.1, np.float16), "up": np.full((width, 4), 0.1, np.float16)}
    weights = {f"{NAME}.lora_{half}.weight": value for half, value in halves.items()}
    save_file({**weights, f"{NAME}.alpha": np.full((), 2, np.float32)}, path, {"modelspec.author": "Ada"})
    return path


def test_it_is_written_for_both_programs_and_refused_where_it_does_not_fit(
    app: Any, window: Any, project: Project
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=lab")
    primary = page.locator("#lab-primary")
    expect(primary).to_have_text("Export city-at-night at 2.5", timeout=30_000)
    primary.click()
    page.locator("html[data-step='export'][data-ready]").wait_for(state="attached")
    expect(page.locator("#export-run input")).to_have_value("city-at-night (file)", timeout=30_000)
    expect(page.locator("#export-step input")).to_have_value("the file as it is")
    expect(page.locator("#export-name input, #export-name textarea").first).to_have_value("city-at-night")
    expect(page.locator("#export-strength input[type=number]")).to_have_value("2.5")
    expect(page.locator("#export-why")).to_contain_text("rank 4, 1 layer, kohya names")
    window.shot("9-export-elsewhere")

    page.locator("#export-run input").click()
    page.get_by_role("option", name=re.compile("^0001")).click()
    expect(page.locator("#export-step input")).to_have_value(re.compile("step 20"), timeout=30_000)
    expect(page.locator("#export-name input, #export-name textarea").first).to_have_value("Neon-rain")
    page.locator("#export-run input").click()
    page.get_by_role("option", name="city-at-night (file)").click()
    expect(page.locator("#export-step input")).to_have_value("the file as it is", timeout=30_000)

    page.locator("#export-primary").click()
    card = page.locator(".wz-export")
    expect(card).to_contain_text("from city-at-night.safetensors", timeout=120_000)
    expect(card).to_contain_text("diffusers loads it")
    expect(card.locator(".wz-lora-file")).to_have_count(2)
    window.shot("9-export-elsewhere-done")
    written = read_header(project.exports_folder / "city-at-night-comfyui.safetensors")
    assert written.metadata["modelspec.author"] == "Ada"
    assert sorted(written.shapes) == [
        f"diffusion_model.transformer_blocks.0.attn1.to_q.lora_{half}.weight" for half in "AB"
    ]

    kohya_lora(project.folder / "lab" / "loras" / "city-at-night.safetensors", 2048)
    page.reload()
    why = page.locator("#export-why")
    expect(why).to_contain_text("for another size of model", timeout=30_000)
    expect(why).to_contain_text("the model that it was trained on")
    window.shot("9-export-elsewhere-misfit")
    page.locator("#export-primary").click()
    expect(page.locator("#export-notice [role=alert]")).to_contain_text("another size", timeout=30_000)
    expect(card).to_have_count(1)
