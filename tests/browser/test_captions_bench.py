"""The workbench of the step Captions with 500 clips in a real browser: how fast, and what it does."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pace import slowdown

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.dataset.dataset import read_clips, remove_clips
from ltx_wizard.media.transcode import write_video

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

CLIPS = 500
FILES = 6
OPEN_S = 2.0
SAVE_S = 1.0
ROUNDS = 6
MIB = 2**20
SCENES = (
    "A tabby cat trots along a garden wall from left to right and jumps down into the grass. It has grey and "
    "black stripes and a white chest. Ivy covers the brick house behind it. The camera is static. Late "
    "afternoon sun falls through the leaves.",
    "The video shows a man who walks along a wide avenue and buys a newspaper at a kiosk. Plane trees line "
    "the pavement. The camera is static.",
    "Two swans swim across a pond and bend their necks towards each other. Reeds sway at the shore. Mist "
    "hangs over the water in the first sunlight.",
    "A dog runs.",
    "",
    "[subject] moves slowly to the left in [setting]. The camera is static. The light is warm and dim.",
)


@pytest.fixture(scope="module")
def app(running_app: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_app(tmp_path_factory.mktemp("bench") / "home", {"HF_HUB_OFFLINE": "1"}) as running:
        yield running


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("originals")
    return [_video(folder / f"original-{number}.mp4", number) for number in range(FILES)]


@pytest.fixture
def project(tmp_path: Path, originals: list[Path]) -> Project:
    """500 clips that are hard links of six small videos, most with a caption, every tenth as a draft."""
    made = Project.create(tmp_path / "many", ProjectSettings(name="Five hundred clips"))
    made.clips_folder.mkdir(parents=True)
    clips: list[Clip] = []
    for number in range(CLIPS):
        os.link(originals[number % FILES], made.clips_folder / f"clip-{number:03d}.mp4")
        text = SCENES[number % len(SCENES)]
        scene = text and f"{text} Take {number}." if number % 3 else text
        state = (
            CaptionState.MISSING
            if not scene
            else CaptionState.DRAFT
            if number % 10 == 5
            else CaptionState.WRITTEN
        )
        clips.append(
            Clip(
                id=f"clip-{number:03d}", source_id=f"s{number % FILES}", file=f"clips/clip-{number:03d}.mp4",
                kind=MediaKind.VIDEO, width=192, height=128, fps=12, frames=24, duration_s=2.0,
                start_s=number * 2.0, caption=scene, caption_state=state,
                caption_source="you" if scene else "",
            )
        )  # fmt: skip
    write_lines(made.clips_file, clips)
    names = ("garden", "avenue", "pond", "dog", "empty", "draft")
    write_lines(
        made.sources_file,
        [
            Source(
                id=f"s{number}", file=f"sources/{name}.mp4", original_name=f"{name}.mp4",
                kind=MediaKind.VIDEO, width=192, height=128, fps=12, frames=24, duration_s=2.0,
            )
            for number, name in enumerate(names)
        ],
    )  # fmt: skip
    return made


def _video(path: Path, number: int) -> Path:
    """Two seconds of a bright ball that crosses a coloured hill."""
    rows, columns = np.mgrid[0:128, 0:192]
    frames: list[np.ndarray] = []
    for index in range(24):
        picture = np.zeros((128, 192, 3), np.uint8)
        picture[:] = (40 + 30 * number, 90, 200 - 25 * number)
        picture[rows > 90 + 10 * np.sin(columns / 25 + number)] = (60, 120 + 15 * number, 70)
        picture[(rows - 50) ** 2 + (columns - 10 - 7 * index) ** 2 < 220] = (250, 230, 120)
        frames.append(picture)
    write_video(frames, path, 12)
    return path


@pytest.fixture
def opening(app: Any, project: Project) -> str:
    return f"{app.address}/?project={project.folder}&step=captions"


@pytest.fixture
def bench(window: Any) -> Any:
    """The page at the step Captions."""
    window.page.locator("html[data-step='captions'][data-ready]").wait_for(state="attached")
    window.page.locator(".wz-clip").first.wait_for()
    return window.page


def clip(project: Project, number: int) -> Clip:
    return read_clips(project)[number]


def chosen(page: Any) -> str:
    return str(page.locator(".wz-clip.is-chosen").get_attribute("data-clip"))


def leave_field(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")


def test_500_clips_open_quickly_and_an_edit_is_on_disk_within_a_second(
    app: Any, window: Any, project: Project
) -> None:
    page = window.page
    page.goto(f"{app.address}/?project={project.folder}&step=scenes")
    page.locator("html[data-step='scenes'][data-ready]").wait_for(state="attached")
    slower = slowdown()
    began = time.perf_counter()
    page.locator(".wz-step[data-go='captions']").click()
    page.locator(".wz-clip .wz-clip-caption").first.wait_for()
    expect(page.locator(".wz-caption-text")).to_have_value(SCENES[0])
    opened_s = time.perf_counter() - began
    elements = page.locator(".wz-clip").count()
    print(f"opened {CLIPS} clips in {opened_s:.2f} s, {elements} rows in the page")
    assert opened_s < OPEN_S * max(slower, slowdown())
    assert elements < 40

    saved_s = [seconds_to_disk(page, project, f"A grey cat walks on wall {take}.") for take in range(3)]
    print(f"edits were on disk after {', '.join(f'{seconds:.2f}' for seconds in saved_s)} s")
    assert min(saved_s) < SAVE_S * max(slower, slowdown()), (
        "each of three: not what else this computer did in one moment"
    )
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")


def seconds_to_disk(page: Any, project: Project, caption: str) -> float:
    page.locator(".wz-caption-text").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(caption)
    typed = time.perf_counter()
    while clip(project, 0).caption != caption:
        assert time.perf_counter() - typed < 60
        time.sleep(0.02)
    return time.perf_counter() - typed


def test_memory_does_not_grow_while_paging_through(window: Any, bench: Any, project: Project) -> None:
    """JavaScript heap and nodes after each of six rounds through all clips, garbage collected before."""
    page = bench
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")

    def now() -> dict[str, float]:
        page.wait_for_timeout(300)
        for _ in range(2):
            session.send("HeapProfiler.collectGarbage")
        return {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}

    leave_field(page)
    measured: list[dict[str, float]] = []
    for round_ in range(ROUNDS):
        page.evaluate(
            """async () => {
              const list = document.querySelector('.wz-clips');
              for (const down of [true, false])
                for (let step = 0; step <= 40; step += 1) {
                  list.scrollTop = (down ? step : 40 - step) / 40 * list.scrollHeight;
                  await new Promise((done) => setTimeout(done, 25));
                }
            }"""
        )
        for key in "jjjjkkkk":
            page.keyboard.press(key)
        page.keyboard.press("g" if round_ in (2, 3) else "j")
        measured.append(now())
    heap = [round(item["JSHeapUsedSize"] / MIB, 2) for item in measured]
    nodes = [int(item["Nodes"]) for item in measured]
    listeners = [int(item["JSEventListeners"]) for item in measured]
    print(f"heap after each round, MiB: {heap}; nodes: {nodes}; listeners: {listeners}")
    # Measured over ten rounds: 0.04 MiB and 10 nodes up and down, where no grid was opened.
    assert heap[-1] < heap[1] + 0.5
    assert nodes[-1] < nodes[1] + 400
    assert page.locator(".wz-clip").count() < 60


def test_only_what_is_visible_plays(bench: Any) -> None:
    page = bench
    page.wait_for_function("document.querySelectorAll('.wz-clip.is-playing').length > 3")
    playing = page.evaluate(
        """() => {
          const list = document.querySelector('.wz-clips').getBoundingClientRect();
          return [...document.querySelectorAll('.wz-clip video[src]')].map((video) => {
            const box = video.getBoundingClientRect();
            return { seen: box.bottom > list.top && box.top < list.bottom, quiet: video.muted && video.loop };
          });
        }"""
    )
    assert playing
    assert all(item["seen"] and item["quiet"] for item in playing)
    page.locator(".wz-step[data-go='scenes']").click()
    page.wait_for_function("document.querySelectorAll('.wz-page-captions video[src]').length === 0")


def test_keys_move_edit_accept_and_undo(bench: Any, project: Project) -> None:
    page = bench
    leave_field(page)
    assert chosen(page) == "clip-000"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert chosen(page) == "clip-002"
    page.keyboard.press("k")
    assert chosen(page) == "clip-001"
    page.keyboard.press("e")
    expect(page.locator(".wz-caption-text")).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(" Warm light.")
    page.keyboard.press("Escape")
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")
    assert clip(project, 1).caption.endswith("Warm light.")

    page.locator("[data-filter='draft']").click()
    first = page.locator(".wz-clip").first.get_attribute("data-clip")
    page.locator(".wz-clip").first.click()
    page.keyboard.press("a")
    expect(page.locator(f".wz-clip[data-clip='{first}']")).to_have_count(0)
    assert {item.id: item.caption_state for item in read_clips(project)}[str(first)] is CaptionState.WRITTEN

    page.keyboard.press("u")
    expect(page.locator(f".wz-clip[data-clip='{first}']")).to_have_count(1)
    page.keyboard.press("u")
    expect(page.locator(".wz-told")).to_contain_text("Undone: typed a caption")
    assert not clip(project, 1).caption.endswith("Warm light.")
    page.keyboard.press("U")
    expect(page.locator(".wz-told")).to_contain_text("Done again: typed a caption")
    assert clip(project, 1).caption.endswith("Warm light.")


def test_findings_are_filtered_and_fixed_by_one_click(bench: Any, project: Project) -> None:
    page = bench
    page.locator("select[aria-label='Findings']").select_option("opener")
    expect(page.locator(".wz-target")).to_have_text(re.compile(r"^8\d shown$"))
    page.locator(".wz-clip").first.click()
    page.locator("[data-fix='opener']").click()
    expect(page.locator(".wz-caption-text")).to_have_value(re.compile("^A man who walks"))
    page.locator("#captions-fix-all").click()
    expect(page.locator(".wz-told")).to_contain_text(re.compile(r"8\d captions changed"))
    assert not [item for item in read_clips(project) if item.caption.startswith("The video shows")]
    page.locator(".wz-told").get_by_role("button", name="Undo").click()
    expect(page.locator(".wz-target")).to_have_text(re.compile(r"^8\d shown$"))
    assert len([item for item in read_clips(project) if item.caption.startswith("The video shows")]) >= 80


def test_search_and_replace_shows_what_would_change_and_can_be_undone(
    window: Any, bench: Any, project: Project
) -> None:
    page = bench
    before = project.clips_file.read_text()
    page.locator("[data-drawer='replace']").click()
    page.locator("#captions-find").fill(r"(\w+) cat")
    page.locator("#captions-regex").check()
    page.locator("#captions-replace").fill(r"\1 kitten")
    expect(page.locator("#captions-replace-go")).to_have_text("Replace in 84 captions")
    expect(page.locator(".wz-change").first).to_contain_text("kitten")
    page.locator("#captions-replace-go").click()
    expect(page.locator(".wz-told")).to_contain_text("84 captions changed")
    assert "tabby kitten" in clip(project, 0).caption
    page.locator("#captions-undo").click()
    expect(page.locator(".wz-told")).to_contain_text("Undone")
    assert project.clips_file.read_text() == before
    page.locator("#captions-find").fill("(")
    expect(page.locator(".wz-wrong")).to_contain_text("not a valid search pattern")
    window.complaints.clear()  # the browser reports the refused pattern as well


def test_what_is_replaced_is_what_was_shown(bench: Any, project: Project) -> None:
    """The choice of clips changes while the drawer is open, and the pattern just before the click."""
    page = bench
    page.locator("[data-drawer='replace']").click()
    page.locator("#captions-find").fill("cat")
    page.locator("#captions-replace").fill("kitten")
    go = page.locator("#captions-replace-go")
    expect(go).to_have_text("Replace in 84 captions")
    page.locator(".wz-clip[data-clip='clip-000']").click(modifiers=["Control"])
    expect(go).to_have_text("Replace in 1 caption")
    go.click()
    expect(page.locator(".wz-told")).to_contain_text("1 caption changed")
    expect(page.locator(".wz-changes")).to_contain_text("No caption of 1 selected holds that.")
    page.locator("#captions-undo").click()
    expect(go).to_have_text("Replace in 1 caption")
    expect(go).to_be_enabled()
    enabled = page.evaluate(
        """() => { const find = document.querySelector('#captions-find'); find.value = 'a';
          find.dispatchEvent(new Event('input'));
          return !document.querySelector('#captions-replace-go').disabled; }"""
    )
    assert not enabled, "the button would replace what nobody has seen yet"
    assert [item.caption for item in read_clips(project) if "kitten" in item.caption] == []


def test_boxes_and_circles_work_by_keyboard(bench: Any) -> None:
    page = bench
    page.locator("[data-drawer='replace']").click()
    page.locator("#captions-regex").focus()
    page.keyboard.press("Space")
    expect(page.locator("#captions-regex")).to_be_checked()
    page.locator("[data-drawer='captioner']").click()
    page.locator("input[name='captioner'][value='motion']").focus()
    page.keyboard.press("Space")
    expect(page.locator("input[name='captioner'][value='motion']")).to_be_checked()
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[name='captioner'][value='motion']")).not_to_be_checked()
    assert chosen(page) == "clip-000"


def test_two_windows_on_one_caption_lose_nothing(
    window: Any, bench: Any, opening: str, project: Project
) -> None:
    """The other window's caption is shown even while the field has the focus; typed over unseen, it stays."""
    page, field = bench, ".wz-caption-text"
    other = window.page.context.new_page()
    other.goto(opening)
    expect(other.locator(field)).to_have_value(SCENES[0])
    other.locator(field).focus()
    page.locator(field).fill("The first window wrote this.")
    expect(other.locator(field)).to_have_value("The first window wrote this.")
    other.keyboard.press("End")
    other.keyboard.type(" And the second this.")
    expect(page.locator(field)).to_have_value("The first window wrote this. And the second this.")

    other.route("**/wizard/live/status*", lambda route: route.abort())  # it does not look any more
    page.locator(field).fill("Something quite different.")
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")
    other.keyboard.type(" Unseen.")
    expect(other.locator(".wz-told")).to_contain_text("Another window had changed this caption")
    assert clip(project, 0).caption.endswith("And the second this. Unseen.")
    other.get_by_text("Earlier captions", exact=True).click()
    expect(other.locator(".wz-past")).to_contain_text("Something quite different.")
    other.close()


def test_what_is_typed_never_goes_to_another_clip(window: Any, bench: Any, project: Project) -> None:
    """The clip whose caption has the focus is removed by another program."""
    page = bench
    page.locator(".wz-caption-text").click()
    before = read_clips(project)
    remove_clips(project, [before[0].id])
    expect(page.locator(".wz-clip[data-clip='clip-000']")).to_have_count(0)
    page.keyboard.type("more")  # nor are these keys taken for commands
    page.wait_for_timeout(1000)
    assert read_clips(project) == before[1:]
    assert not project.jobs_folder.exists()
    page.locator(".wz-caption-text").click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" Now meant.")
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")
    assert read_clips(project)[0].caption == f"{before[1].caption} Now meant."
    window.complaints.clear()  # the browser reports that the removed clip was asked for


def test_prefix_goes_to_the_selected_clips_only(bench: Any, project: Project) -> None:
    page = bench
    page.locator(".wz-clip[data-clip='clip-000']").click(modifiers=["Control"])
    page.locator(".wz-clip[data-clip='clip-002']").click(modifiers=["Shift"])
    expect(page.locator(".wz-target")).to_have_text("3 selected")
    page.locator("[data-drawer='around']").click()
    page.locator("#captions-prefix").fill("Clay animation.")
    page.locator("#captions-around-go").click()
    expect(page.locator(".wz-told")).to_contain_text("3 captions changed")
    starts = [item.id for item in read_clips(project) if item.caption.startswith("Clay animation.")]
    assert starts == ["clip-000", "clip-001", "clip-002"]


def test_clips_are_tagged_found_by_tag_and_the_tags_undone(bench: Any, project: Project) -> None:
    page = bench
    expect(page.locator("select[aria-label='Tags']")).to_be_hidden()
    leave_field(page)
    page.keyboard.press("t")
    page.keyboard.type("harbour")
    page.keyboard.press("Enter")
    expect(page.locator(".wz-clip-detail .wz-tag")).to_have_text("harbour")
    page.keyboard.press("Escape")
    page.locator(".wz-clip[data-clip='clip-002']").click(modifiers=["Control"])
    page.locator(".wz-clip[data-clip='clip-004']").click(modifiers=["Shift"])
    page.locator("[data-drawer='tags']").click()
    page.locator("#captions-tag").fill("Night, harbour")
    page.locator("#captions-tag-add").click()
    expect(page.locator(".wz-told")).to_contain_text("3 clips changed")
    assert [clip(project, number).tags for number in (0, 3, 5)] == [("harbour",), ("night", "harbour"), ()]
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("select[aria-label='Tags']").select_option("=night")
    expect(page.locator(".wz-target")).to_have_text("3 shown")
    page.locator("select[aria-label='Tags']").select_option("none")
    expect(page.locator(".wz-target")).to_have_text("496 shown")
    page.locator("#captions-undo").click()
    expect(page.locator(".wz-target")).to_have_text("499 shown")
    assert clip(project, 3).tags == ()
    page.locator(".wz-clip-detail .wz-tag").click()
    expect(page.locator(".wz-clip-detail .wz-tag")).to_have_count(0)
    expect(page.locator(".wz-target")).to_have_text("all 500")


def test_at_1024_by_768_the_caption_is_beside_the_player_and_in_sight(bench: Any) -> None:
    page = bench
    page.set_viewport_size({"width": 1024, "height": 768})
    page.locator(".wz-clip[data-clip='clip-001']").click()
    page.locator(".wz-clip-view video").wait_for()
    page.wait_for_timeout(300)
    video, text, foot = (
        page.locator(name).bounding_box()
        for name in (".wz-clip-view", ".wz-caption-text", ".wz-page-captions .wz-footer")
    )
    assert video["x"] + video["width"] < text["x"]
    assert video["y"] + video["height"] < foot["y"]
    assert text["y"] + text["height"] < foot["y"]
    assert text["height"] > 200
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_was_typed_while_the_app_was_down_is_saved_when_it_is_back(
    app: Any, window: Any, bench: Any, project: Project
) -> None:
    page = bench
    app.kill()
    page.locator(".wz-caption-text").fill("Typed while nobody listened.")
    expect(page.locator("[data-save-text]")).to_contain_text("Not saved yet")
    kept = page.evaluate("localStorage.getItem('wizard-unsaved-captions')")
    assert json.loads(kept)[str(project.folder)] == {"clip-000": "Typed while nobody listened."}
    app.start()
    expect(page.locator("#wz-lost")).to_have_count(0)
    expect(page.locator(".wz-caption-text")).to_have_value("Typed while nobody listened.")
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")
    page.wait_for_function("localStorage.getItem('wizard-unsaved-captions') === null")
    assert clip(project, 0).caption == "Typed while nobody listened."
    window.complaints.clear()


def test_earlier_captions_of_a_clip_can_be_brought_back(bench: Any, project: Project) -> None:
    page = bench
    page.locator(".wz-caption-text").fill("Something else entirely.")
    expect(page.locator("[data-save-text]")).to_have_text("All changes saved")
    page.reload()
    page.locator(".wz-clip").first.wait_for()
    page.get_by_text("Earlier captions").click()
    page.locator(".wz-past").get_by_role("button", name="Bring back").first.click()
    expect(page.locator(".wz-caption-text")).to_have_value(SCENES[0])
    assert clip(project, 0).caption == SCENES[0]


def test_pictures_of_the_workbench(window: Any, bench: Any) -> None:
    page = bench
    window.shot("captions-list", settled_ms=1500)
    page.locator(".wz-clip[data-clip='clip-001']").click()
    window.shot("captions-findings", settled_ms=1500)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator(".wz-clip[data-clip='clip-002']").click()
    page.locator(".wz-caption-text").fill(" ".join([SCENES[0]] * 5)[:1180])  # 200 words
    window.shot("captions-long")
    words, high, inside = page.evaluate(
        """() => { const box = document.querySelector('.wz-caption-text');
          return [box.value.split(' ').length, box.scrollHeight, box.clientHeight]; }"""
    )
    print(f"{words} words are {high} px high, the box has {inside}")
    assert high <= inside
    page.locator("[data-drawer='captioner']").click()
    expect(page.locator(".wz-captioner")).not_to_have_count(0)
    window.shot("captions-captioner")
    page.locator("[data-drawer='replace']").click()
    page.locator("#captions-find").fill("cat")
    page.locator("#captions-replace").fill("dog")
    expect(page.locator(".wz-change")).not_to_have_count(0)
    window.shot("captions-replace")
    page.locator("[data-drawer='replace']").click()
    leave_field(page)
    page.keyboard.press("g")
    window.shot("captions-grid", settled_ms=1500)
    # nothing of the fold 'Advanced' hides behind the foot
    page.keyboard.press("g")
    fold, foot = (
        page.locator(name).bounding_box()
        for name in (".wz-page-captions .wz-advanced", ".wz-page-captions .wz-footer")
    )
    assert fold["y"] + fold["height"] <= foot["y"]
