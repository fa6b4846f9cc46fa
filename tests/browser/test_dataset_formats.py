"""A dataset of another trainer comes in on the step Videos and goes out on the step Export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.dataset.dataset import read_sources
from ltx_wizard.dataset.importing import whole_caption
from ltx_wizard.media.transcode import write_video

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def peer_dataset(tmp_path: Path) -> Path:
    """A finetrainers pair with a trigger word before each caption; the last video is missing."""
    folder = tmp_path / "cats"
    (folder / "videos").mkdir(parents=True)
    rows, columns = np.mgrid[0:192, 0:320]
    for number in range(4):
        frames = [
            np.stack([(rows + 4 * step) % 256, (columns + 60 * number) % 256, rows * 0 + 120], axis=-1)
            for step in range(25)
        ]
        write_video(np.stack(frames).astype(np.uint8), folder / "videos" / f"{number}.mp4", 24)
    texts = ["runs along a wall.", "sleeps in the sun.", "jumps over a box.", "looks up.", "is gone."]
    (folder / "videos.txt").write_text("".join(f"videos/{number}.mp4\n" for number in range(5)))
    (folder / "prompts.txt").write_text("".join(f"kozufel A cat {text}\n" for text in texts))
    return folder


def test_videos_are_dropped_along_with_their_captions(app: Any, window: Any, peer_dataset: Path) -> None:
    page, videos = window.page, peer_dataset / "videos"
    project = Project.create(app.home / "projects" / "cats", ProjectSettings(name="Cats"))
    for name in ("0.txt", "nobody.txt"):
        (videos / name).write_text("A cat runs along a wall.")
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=videos")
    page.locator("html[data-ready]").wait_for(state="attached")
    given = [videos / name for name in ("0.mp4", "0.txt", "nobody.txt")]
    page.locator("#videos-upload input[type=file]").set_input_files(given)
    expect(page.locator("#videos-notice")).to_contain_text("1 file added. 1 file could not be used")
    expect(page.locator(".wz-broken")).to_contain_text("nobody.txt")
    (source,) = read_sources(project)
    assert whole_caption(project, source.id) == "A cat runs along a wall."
    project.path(source.file).unlink()
    page.reload()
    expect(page.locator("#videos-table tbody tr")).to_contain_text("its file is gone")
    expect(page.locator("#videos-table .wz-badge.good")).to_have_count(0)
    window.complaints.clear()  # the browser may report that the picture is gone as well


def test_a_dataset_comes_in_and_goes_out(app: Any, window: Any, peer_dataset: Path) -> None:
    page = window.page
    project = Project.create(
        app.home / "projects" / "cats", ProjectSettings(name="Cats", trigger_word="pigirim")
    )
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=videos")
    page.locator("#videos-folder input, #videos-folder textarea").fill(str(peer_dataset))
    page.locator("#videos-add-folder").click()
    expect(page.locator("#videos-notice [role=alert]")).to_contain_text("but a dataset with captions")

    page.locator("#videos-dataset > button").click()
    field = page.locator("#videos-dataset-path input, #videos-dataset-path textarea")

    field.fill(str(peer_dataset / "nothing"))
    page.locator("#videos-dataset-look").click()
    expect(page.locator("#videos-notice [role=alert]")).to_contain_text("does not exist")

    field.fill(str(peer_dataset))
    page.locator("#videos-dataset-look").click()
    found = page.locator("#videos-dataset-found")
    expect(found).to_contain_text("finetrainers pair, videos.txt and prompts.txt: 4 videos, 4 captions.")
    expect(found).to_contain_text("Every caption begins with kozufel")
    expect(found).to_contain_text("1 file cannot be used")
    expect(page.locator("#videos-notice [role=alert]")).to_have_count(0)
    window.shot("2-videos-dataset")

    found.locator("button", has_text="Import 4 clips").click()
    expect(page.locator("#videos-dataset-state")).to_contain_text("4 clips added", timeout=60_000)
    expect(page.locator("#videos-table tbody tr")).to_have_count(4)
    expect(page.locator("#videos-table .wz-broken")).to_contain_text("videos/4.mp4")
    window.shot("2-videos-dataset-done")
    assert project.read_settings().trigger_word == "kozufel"

    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=export")
    page.locator("#export-dataset > button").click()
    expect(page.locator("#export-dataset-note")).to_contain_text("Captions do not hold kozufel")
    expect(page.locator("#export-dataset-start")).to_have_text("Export 4 clips")
    window.shot("8-export-dataset")
    page.locator("#export-dataset-start").click()
    expect(page.locator("#export-dataset-state")).to_contain_text("4 clips written", timeout=60_000)
    expect(page.locator("#export-dataset-state")).to_contain_text('--lora-trigger "kozufel"')
    window.shot("8-export-dataset-done")
    out = project.exports_folder / "dataset-ltx-trainer" / "dataset.json"
    assert json.loads(out.read_text())[0]["caption"] == "A cat runs along a wall."
