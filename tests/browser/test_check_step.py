"""The step Check by clicking: clips are looked at, left out and brought back, kept for validation, drawn."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Goal, Project, ProjectSettings
from ltx_wizard.core.recipe import read_recipe
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.left_out import read_left_out
from ltx_wizard.media.transcode import write_video

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

CLIPS, FILES, FRAMES, FPS = 24, 6, 30, 12
CAPTIONS = (
    "A red bus drives from left to right along a wide street with trees. The camera is static. It is noon.",
    "A grey rabbit hops over a green hill and stops. The camera is static. The morning sun is low and warm.",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """24 clips that are hard links of six videos: each is there four times."""
    settings = ProjectSettings(name="Two dozen clips", goal=Goal.STYLE, trigger_word="xyz")
    made = Project.create(tmp_path / "home" / "projects" / "check", settings)
    made.clips_folder.mkdir(parents=True)
    originals = [_video(tmp_path / f"original-{number}.mp4", number) for number in range(FILES)]
    clips: list[Clip] = []
    for number in range(CLIPS):
        os.link(originals[number % FILES], made.clips_folder / f"clip-{number:02d}.mp4")
        clips.append(
            Clip(
                id=f"clip-{number:02d}", source_id="s", file=f"clips/clip-{number:02d}.mp4",
                kind=MediaKind.VIDEO, width=192, height=128, fps=FPS, frames=FRAMES, end_frame=FRAMES,
                duration_s=FRAMES / FPS, start_s=number, caption=f"{CAPTIONS[number % 2]} Take {number}.",
                caption_state=CaptionState.WRITTEN, caption_source="you",
            )
        )  # fmt: skip
    write_lines(made.clips_file, clips)
    source = Source(
        id="s", file="sources/street.mp4", original_name="street.mp4", kind=MediaKind.VIDEO, width=192,
        height=128, fps=FPS, frames=FRAMES, duration_s=FRAMES / FPS,
    )  # fmt: skip
    write_lines(made.sources_file, [source])
    return made


def _video(path: Path, number: int) -> Path:
    """A window that moves over blotches; every number has its own."""
    dice = np.random.default_rng(number)
    picture = cv2.resize(dice.integers(40, 250, (10, 18, 3)).astype(np.uint8), (320, 180))
    write_video(np.stack([picture[20:148, 2 * i : 2 * i + 192] for i in range(FRAMES)]), path, FPS)
    return path


def on_disk(project: Project, is_so: Callable[[], bool]) -> None:
    """The page's answer may be there before or after: what counts is on disk before long."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, [clip.id for clip in read_clips(project)]
        time.sleep(0.05)


def test_a_dataset_is_checked_by_clicking_and_nothing_is_lost(
    app: Any, window: Any, project: Project
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={project.folder}&step=check")
    page.locator("[data-finding=measured] .wz-btn").click()
    expect(page.locator("#check-work [data-job-text]")).to_have_text(re.compile(r"\d+ of 24|starting"))
    expect(page.locator("[data-finding=doubles]")).to_contain_text("18 clips", timeout=120_000)
    before = read_clips(project)

    page.locator("[data-finding=doubles] .wz-btn").click()  # the question, with a picture of each
    expect(page.locator(".wz-choose.stays")).to_have_count(FILES)
    page.wait_for_function("document.querySelector('.wz-choose img').naturalWidth > 0")
    page.locator(".wz-choose").nth(1).hover()
    expect(page.locator(".wz-choose video.is-playing")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".wz-chooser")).to_have_count(0)
    assert read_clips(project) == before

    page.locator("[data-finding=doubles] .wz-btn").click()
    page.locator(".wz-choose:has([data-clip='clip-06'])").click()
    page.get_by_role("button", name="Leave 17 clips out").click()
    expect(page.locator(".wz-undo")).to_contain_text("17 clips left out.")
    assert [clip.id for clip in read_clips(project)] == [f"clip-{number:02d}" for number in range(7)]
    page.reload()
    page.locator(".wz-undo [data-do=bring_back]").click()
    on_disk(project, lambda: read_clips(project) == before)
    assert read_left_out(project) == []
    expect(page.locator(".wz-undo")).to_be_hidden()

    page.locator("[data-part=held] > summary").click()
    expect(page.locator("[data-part=held]")).to_contain_text("2 clips, chosen by the app")
    page.locator("[data-pick-held]").click()
    expect(page.locator(".wz-choose.is-on")).to_have_count(2)
    page.get_by_role("button", name="None", exact=True).click()
    expect(page.locator(".wz-main")).to_be_disabled()
    for number in (3, 4, 8):
        page.locator(f".wz-choose:has([data-clip='clip-{number:02d}'])").click()
    page.get_by_role("button", name="Keep 3 clips").click()
    expect(page.locator("[data-part=held]")).to_contain_text("3 clips, your choice")
    page.locator("[data-part=held] [data-clip=clip-08]").hover()
    page.get_by_role("button", name="Train on street.mp4 at 0:08.0 instead").click()
    expect(page.locator("[data-part=held]")).to_contain_text("2 clips, your choice")
    assert [clip.id for clip in read_clips(project) if clip.held_out] == ["clip-03", "clip-04"]
    page.get_by_role("button", name="Let the app choose again").click()
    expect(page.locator("[data-part=held]")).to_contain_text("2 clips, chosen by the app")
    assert not any(clip.held_out for clip in read_clips(project))

    page.locator("[data-part=copies] > summary").click()
    page.get_by_text("Where it is safe", exact=True).click()
    expect(page.locator("[data-part=copies]")).to_contain_text("these clips are not mirrored")
    page.wait_for_function(
        "[...document.querySelectorAll('.wz-example img')].some((one) => one.naturalWidth)"
    )
    assert read_recipe(project.recipe_file).data.mirror == "safe"

    page.locator("[data-part=sheet] > summary").click()
    page.get_by_role("button", name="Draw 24 clips").click()
    with page.expect_download() as download:
        page.locator("[data-part=sheet] a[download]").click(timeout=60_000)
    with Image.open(download.value.path()) as sheet:
        assert sheet.width > 900 and sheet.height > 700
    page.locator("[data-part=variety] > summary").click()
    expect(page.locator(".wz-tally")).to_have_count(7)
    expect(page.locator("[data-part=variety]")).to_contain_text("All clips come from street.mp4.")
    page.evaluate("window.scrollTo(0, 0)")
    window.shot("check-parts")
