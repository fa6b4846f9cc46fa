"""The step Train with finished runs: its plot is zoomed and read, runs are compared, one is trained again."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.events import EventWriter, Finished, Started, StepDone, Validated
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEPS = 400
MANY = 100_000
_SLOW_MS = 30_000
_LARGE_PLOT = """async (many) => {
  const box = document.createElement("div");
  document.querySelector("#wz-train").append(box);
  const plot = window.wizard.plot(box, { label: "Many points" });
  const keys = ["a", "b", "c", "d"];
  plot.define(keys.map((key, at) => ({ key, label: key, colour: `--wz-plot-${at + 1}`, smoothed: true })));
  const xs = Array.from({ length: many }, (_, i) => i + 1);
  for (const key of keys) plot.add(key, xs, xs.map((x) => 0.5 + Math.sin(x * 12.9898) * 0.2));
  box.scrollIntoView();
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const shows = async (points) => { while (+box.dataset.points !== points) await pause(20); };
  await shows(many);
  const pen = box.querySelector("canvas").getContext("2d"), clear = pen.clearRect.bind(pen);
  let drawings = 0;
  pen.clearRect = (...area) => { drawings += 1; clear(...area); };
  for (let second = 1; second <= 3; second += 1) {
    for (const key of keys) { plot.add(key, [many + second], [0.4]); await pause(40); }
    await shows(many + second);
  }
  const drawn = +box.dataset.drawMs;
  box.remove();
  return { points: +box.dataset.points, drawings, drawn };
}"""
_COLUMNS = """async ({ ys, zoom, smoothed }) => {
  const box = document.createElement("div");
  document.querySelector("#wz-train").append(box);
  const plot = window.wizard.plot(box, { label: "Columns" });
  plot.define([{ key: "a", label: "a", colour: "#ff0000", smoothed }]);
  plot.add("a", ys.map((_, at) => at + 1), ys);
  box.scrollIntoView({ block: "center" });
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())));
  await drawn();
  const stage = box.querySelector(".wz-plot-stage"), canvas = box.querySelector("canvas");
  for (let press = 0; press < zoom; press += 1) {
    stage.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
    await drawn();
  }
  const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const columns = [];
  for (let x = 62; x < width - 20; x += 1) {
    let from = -1, to = -1, filled = 0;
    for (let y = 0; y < height; y += 1) {
      const at = (y * width + x) * 4, red = data[at] > 200 && data[at + 1] < 60 && data[at + 3] > 120;
      if (red) { if (from < 0) from = y; to = y; filled += 1; }
    }
    columns.push([from, to, filled]);
  }
  box.remove();
  return columns;
}"""


@pytest.fixture
def project(app: Any) -> Project:
    """Captioned clips and two finished runs, of rank 16 and 32."""
    settings = ProjectSettings.model_validate({"name": "My cat, running", "model": "ltxv-2b-0.9.6-dev"})
    made = Project.create(app.home / "projects" / "cat", settings)
    clips = [
        Clip(
            id=f"c{n}", source_id="s", file=f"clips/c{n}.mp4", kind=MediaKind.VIDEO, width=768, height=512,
            fps=24, frames=49, duration_s=2.04, caption=f"A cat {n} runs over a meadow.",
            caption_state=CaptionState.WRITTEN,
        )
        for n in range(12)
    ]  # fmt: skip
    write_lines(made.clips_file, clips)
    for rank, level in ((16, 0.4), (32, 0.3)):
        changes = {"lora.rank": rank, "lora.alpha": rank}
        recipe = with_settings(Recipe(name="mine", title="Mine", model="ltxv-2b-0.9.6-dev"), changes)
        job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="f"), created=1)
        _train(JobFolder.create(made.runs_folder, "mine", job), level)
    return made


def _train(run: JobFolder, level: float) -> None:
    draw, writer = random.Random(1), EventWriter(run.events_file)
    writer.write(Started(pid=1, steps=STEPS))
    for number in range(1, STEPS + 1):
        loss = level + 0.3 * 0.99**number + draw.gauss(0, 0.05)
        writer.write(
            StepDone(step=number, steps=STEPS, loss=loss, learning_rate=1e-4, grad_norm=1, step_s=1.5)
        )
        if number % 50 == 0:
            writer.write(Validated(step=number, loss=level, bands={"0.2": level, "0.8": 0.1}, fixed_set="a"))
    writer.write(Finished(step=STEPS))
    writer.close()


def test_a_run_is_read_saved_compared_and_trained_again(app: Any, window: Any, project: Project) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=train")
    page.locator("html[data-step='train'][data-ready]").wait_for(state="attached")
    plot = page.locator("#wz-train .wz-plot")
    expect(plot).to_have_attribute("data-points", str(STEPS), timeout=_SLOW_MS)
    stage = plot.locator(".wz-plot-stage")

    stage.focus()
    for _ in range(3):
        stage.press("ArrowLeft")
    expect(plot.locator(".wz-plot-tip")).to_contain_text(
        re.compile(r"step 3\d\d.*Training.*Validation", re.S)
    )
    expect(plot.locator("[aria-live]")).to_contain_text(re.compile(r"step 3\d\d: Training 0\.\d+"))
    stage.press("Escape")
    expect(plot.locator(".wz-plot-tip")).to_be_hidden()

    box = stage.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 105, steps=4)
    page.mouse.up()
    show_all = plot.get_by_role("button", name="Show all")
    expect(show_all).to_be_visible()
    plot.get_by_text("Values as a table").click()
    first = int(plot.locator("tbody td").first.inner_text().replace(",", ""))
    assert 60 < first < 180, "the table shows what is zoomed in"
    stage.dblclick()
    expect(show_all).to_be_hidden()
    expect(plot.get_by_role("button", name="noise 0.8")).to_have_attribute("aria-pressed", "false")
    window.shot("train-plot")

    page.get_by_role("button", name="Save plot and numbers").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="steps.csv").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == STEPS + 1

    measured = page.evaluate(_LARGE_PLOT, MANY)
    assert measured["points"] == MANY + 3 and measured["drawings"] == 3, "one drawing for four answers"
    assert measured["drawn"] < 100, "200 ms of page work are the limit for all that an update costs"

    page.locator("#wz-runs summary").first.click()
    expect(page.locator("#wz-runs .wz-plot")).to_have_attribute("data-points", str(STEPS), timeout=_SLOW_MS)
    expect(page.locator("#wz-runs .wz-plot-key")).to_have_count(2)
    rank = page.locator(".wz-differences tr", has=page.get_by_role("rowheader", name="Rank"))
    expect(rank.locator("td")).to_have_text(["32", "16"])
    expect(page.locator(".wz-run-table tr", has_text="best")).to_contain_text("0002-mine")
    page.locator("#sweep-fold summary").click()
    expect(page.locator("#sweep-start")).to_have_text("Start 6 runs", timeout=_SLOW_MS)
    window.shot("train-compare")

    page.locator("[data-again='0001-mine']").click()
    page.locator("html[data-step='recipe']").wait_for(state="attached")
    expect(page.locator("#recipe-notice")).to_contain_text(
        "This is the recipe of 0001-mine", timeout=_SLOW_MS
    )
    expect(page.locator("#recipe-head .wz-status")).to_contain_text("rank 16")


def test_many_points_are_drawn_from_the_lowest_to_the_highest_of_each_column(
    app: Any, window: Any, project: Project
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={quote(str(project.folder))}&step=train")
    page.locator("html[data-step='train'][data-ready]").wait_for(state="attached")
    page.locator("#wz-train .wz-plot").wait_for()

    def columns(ys: list[float | None], zoom: int = 0, smoothed: bool = False) -> list[list[int]]:
        return page.evaluate(_COLUMNS, {"ys": ys, "zoom": zoom, "smoothed": smoothed})

    zigzag: list[float | None] = [0.2 if number % 2 else 0.8 for number in range(20_000)]
    drawn = columns(zigzag)
    assert len({(start, end) for start, end, _ in drawn}) == 1, "each column holds lows and highs"
    assert all(end - start > 100 and filled == end - start + 1 for start, end, filled in drawn), "no seams"

    missing = columns([None if 8000 <= number < 12_000 else y for number, y in enumerate(zigzag)])
    empty = [at for at, (_, _, filled) in enumerate(missing) if not filled]
    assert empty == list(range(empty[0], empty[-1] + 1)), "one gap, where values are missing"
    assert 0.18 < len(empty) / len(missing) < 0.22

    slope = columns([number / 20_000 for number in range(20_000)])
    assert all(1 <= filled <= 4 for _, _, filled in slope), "what does not jump is a thin line"
    assert all(after[0] <= before[1] + 1 for before, after in pairwise(slope)), "without a break"

    strong = columns(zigzag, smoothed=True)
    later = strong[len(strong) // 2 :]
    assert all(1 <= filled <= 4 for _, _, filled in later), "the mean of many steps is a thin line"

    near = columns(zigzag, zoom=13)
    assert all(1 <= filled <= 15 for _, _, filled in near), "few points: a thin line from point to point"
