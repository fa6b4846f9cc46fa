"""Every captioner on scenes of a real film, chosen and started in the window; and what the screen says when
it does not work. Small models of the real classes, a server on this computer, and nothing else reachable.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from caption_server import CAPTION, MODEL, Answer, CaptionServer, refused, said, serving
from tiny_captioners import put_in_cache

from ltx_wizard.app.supervisor import worker_process
from ltx_wizard.core.clip import CaptionState, Clip, Scene, SourceScenes
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, list_job_folders
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, write_scenes
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
expect.set_options(timeout=20_000)  # a worker that imports torch on a busy computer takes its time

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

CLIPS = 4
FLORENCE, QWEN = CAPTIONER_MODELS[0], CAPTIONER_MODELS[2]
CLOSED = "http://127.0.0.1:9"
KEY = "sk-not-for-files-42"
_JOB_MS = 120_000
AT_ONCE = ("Retry-After", "0")

NO_CARD_HERE = """
import os, sys
if os.path.exists({flag!r}) and "ltx_wizard.worker" in sys.orig_argv:
    import torch
    from transformers import Florence2ForConditionalGeneration

    def generate(self, **inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    Florence2ForConditionalGeneration.generate = generate
"""
"""A full card, for a computer without one. Python runs a sitecustomize that it finds on its path."""


@pytest.fixture
def full_card(tmp_path: Path) -> Path:
    """While this file is there, Florence-2 finds the card full."""
    flag = tmp_path / "full"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_CARD_HERE.format(flag=str(flag)), encoding="utf-8")
    return flag


@pytest.fixture
def environment(tmp_path: Path, full_card: Path) -> dict[str, str]:
    """A hub where nobody answers, and a cache of its own."""
    return {
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": CLOSED,
        "HF_TOKEN": "",
        "PYTHONPATH": os.pathsep.join([str(full_card.parent / "site"), os.environ.get("PYTHONPATH", "")]),
    }


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub"


@pytest.fixture
def small_models(cache: Path) -> None:
    """In the cache before the window opens."""
    for model in (FLORENCE, QWEN):
        put_in_cache(model, cache)


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with serving(CaptionServer()) as running:
        yield running


@pytest.fixture
def project(filmed: Path, tmp_path: Path) -> Project:
    return Project.open(Path(shutil.copytree(filmed, tmp_path / "home" / "projects" / "bunny")))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory, real_videos: Path) -> Path:
    """A project with four scenes of 0.9 s out of bigbuckbunny.mp4, cut by the app's own job."""
    made = Project.create(tmp_path_factory.mktemp("filmed") / "bunny", ProjectSettings(name="Bunny"))
    made.change_settings(scenes={"min_clip_s": 0.5})
    source = import_files(made, [real_videos / "bigbuckbunny.mp4"]).added[0]
    length = 22
    scenes = tuple(
        Scene(start_frame=start, end_frame=start + length, start_s=start / 25, end_s=(start + length) / 25)
        for start in range(0, CLIPS * 30, 30)
    )
    write_scenes(made, SourceScenes(source_id=source.id, scenes=scenes, detector="edited"))
    run_cut(made, CutJob(), SilentReport())
    assert len(read_clips(made)) == CLIPS
    return made.folder


STILL = """
HTMLMediaElement.prototype.play = async () => {};
Object.defineProperty(HTMLMediaElement.prototype, "autoplay", { set() {} });
"""
"""Previews that play took half of the processor time of these tests on a computer without a card."""


class Bench:
    """The step Captions as a person uses it."""

    def __init__(self, page: Any, project: Project, address: str) -> None:
        self.page = page
        self.project = project
        page.add_init_script(STILL)
        page.goto(f"{address}/?project={project.folder}&step=captions")
        page.locator("html[data-step='captions'][data-ready]").wait_for(state="attached")
        page.locator(".wz-clip").first.wait_for()
        self.report = page.locator(".wz-caption-report")
        self.open()

    def open(self) -> None:
        drawer = self.page.locator(".wz-drawer")
        if drawer.get_attribute("data-open") != "captioner":
            self.page.locator("[data-drawer='captioner']").click()
        expect(self.page.locator(".wz-captioner")).not_to_have_count(0)

    def row(self, name: str) -> Any:
        return self.page.locator(f"[data-captioner='{name}']")

    def choose(self, name: str) -> None:
        self.open()
        self.row(name).locator("input").check()

    def start(self, name: str, rewrite: bool = False) -> None:
        self.choose(name)
        self.page.locator("#captions-overwrite").set_checked(rewrite)
        self.page.locator("#captions-run").click()

    def set_server(self, address: str, model: str = MODEL, key: str = "") -> Any:
        """Gives the place of the answer."""
        self.choose("server")
        fold = self.page.locator("#captions-server")
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
        self.page.locator("#caption-server").fill(address)
        self.page.locator("#caption-model").fill(model)
        self.page.locator("#caption-key").fill(key)
        fold.get_by_role("button", name="Save and check").click()
        return self.page.locator(".wz-server-result")

    def says(self, headline: str | re.Pattern[str], *more: str) -> None:
        """The report of the job that ended, with problem and what to do."""
        expect(self.report.locator("strong")).to_have_text(headline, timeout=_JOB_MS)
        for text in more:
            expect(self.report).to_contain_text(text)

    def clips(self) -> list[Clip]:
        return read_clips(self.project)

    def captions(self) -> list[str]:
        return [clip.caption for clip in self.clips()]


@pytest.fixture
def bench(app: Any, window: Any, project: Project) -> Bench:
    return Bench(window.page, project, app.address)


def test_every_captioner_writes_captions_that_appear_as_they_come(
    small_models: None, server: CaptionServer, window: Any, bench: Bench
) -> None:
    page = bench.page

    # without a model
    bench.start("motion")
    bench.says(f"{CLIPS} captions are written with measured motion.", "press Accept (a)")
    assert all("camera" in caption.lower() for caption in bench.captions())
    assert {clip.caption_source for clip in bench.clips()} == {"motion"}
    bench.open()
    expect(page.locator("#captions-run-why")).to_have_text(f"all {CLIPS}: every clip has a caption.")
    expect(page.locator("#captions-run")).to_be_disabled()

    # models on this computer: asked for, they replace what is there
    bench.start(FLORENCE.id, rewrite=True)
    expect(page.locator(".wz-working")).to_contain_text("Writing captions with Florence-2 base")
    bench.says(f"{CLIPS} captions are written with Florence-2 base.")
    assert {clip.caption_source for clip in bench.clips()} == {FLORENCE.id}
    bench.open()
    expect(bench.row(FLORENCE.id)).to_contain_text("of memory (estimated)")
    if psutil.virtual_memory().available > QWEN.need_gib("float32") * 2**30:
        bench.start(QWEN.id, rewrite=True)
        bench.says(f"{CLIPS} captions are written with Qwen3-VL 2B.")
        assert {clip.caption_source for clip in bench.clips()} == {QWEN.id}
    assert {clip.caption_state for clip in bench.clips()} == {CaptionState.DRAFT}

    # a server: two answers come at once, two are held back until the job is stopped
    held, numbers = threading.Event(), itertools.count()

    def answer(_: dict[str, object]) -> Answer:
        number = next(numbers)
        if number >= 2:
            held.wait(300)
        return said(f"{CAPTION} Take {number}.")

    server.always = answer
    expect(bench.set_server(server.address)).to_contain_text(f"Captions will come from {MODEL}.")
    bench.start("server", rewrite=True)
    working = page.locator(".wz-working")
    expect(working).to_contain_text(re.compile(rf"2 of {CLIPS} · [\d.]+ a (second|minute) · \d+ s left"))
    expect(page.locator(".wz-clip-caption").filter(has_text="A dog runs to the left")).to_have_count(2)
    window.shot("captioner-working")
    working.get_by_role("button", name="Stop").click()
    bench.says(f"Stopped: 2 captions are written, {CLIPS - 2} clips to go.")
    done = {clip.id: clip.caption for clip in bench.clips() if clip.caption_source == "server"}
    assert len(done) == 2
    held.set()
    bench.report.get_by_role("button", name="Go on with 2 clips").click()
    bench.says(f"2 captions are written with {MODEL}.")
    assert {clip.caption_source for clip in bench.clips()} == {"server"}
    assert {clip.id: clip.caption for clip in bench.clips()}.items() >= done.items()
    assert len(set(bench.captions())) == CLIPS  # what was written before the stop was not asked for again
    window.shot("captioner-done")
    bench.report.get_by_role("button", name="Close").click()
    expect(bench.report).to_have_count(0)
    page.reload()
    expect(page.locator(".wz-clip")).to_have_count(CLIPS)
    expect(bench.report).to_have_count(0)


def test_a_server_that_does_not_help_says_what_to_do(
    server: CaptionServer, window: Any, bench: Bench, app: Any
) -> None:
    page = bench.page

    # set, but not there
    expect(bench.set_server(f"{CLOSED}/v1")).to_contain_text("No server answers at http://127.0.0.1:9/v1.")
    bench.start("server")
    bench.says("No server answers at http://127.0.0.1:9/v1.", "Start it (Ollama: ollama serve", "Try 4 clips")
    window.shot("captioner-server-down")

    # there, but it wants a key, then the right one
    server.key = KEY
    expect(bench.set_server(server.address)).to_contain_text("asks for a key (401). Enter the key")
    expect(bench.set_server(server.address, key="sk-wrong")).to_contain_text(
        "does not accept your key (401)."
    )
    bench.report.get_by_role("button", name="Try 4 clips again").click()
    bench.says(f"{server.address} does not accept your key (401).", "Enter the key of that server again.")
    expect(bench.set_server(server.address, "gpt-9", KEY)).to_contain_text("has no model gpt-9")
    server.models = [MODEL, "llava:7b"]
    expect(bench.set_server(server.address, "")).to_contain_text("is chosen. Choose one that sees pictures")
    page.locator(".wz-offered").get_by_role("button", name=MODEL).click()
    expect(page.locator(".wz-server-result")).to_contain_text(f"Captions will come from {MODEL}.")

    # too quick for it, for good: nothing is lost by that
    server.always = refused(429, "slow down", AT_ONCE)
    bench.report.get_by_role("button", name="Try 4 clips again").click()
    bench.says(f"{server.address} asks to slow down, again and again (429).", "Wait a few minutes")
    # nonsense, each clip in its own way
    server.always = None
    server.next_answers = [said("!" * 200), said("The cat and " * 60), said(""), said(CAPTION)]
    bench.report.get_by_role("button", name="Try 4 clips again").click()
    bench.says(
        f"3 clips got no caption from {MODEL}.", "1 caption is written.", "signs instead of words",
        "the same words over and over", "The model gave an empty answer.", "bigbuckbunny.mp4 at 0:0",
    )  # fmt: skip
    assert sorted(bench.captions()) == ["", "", "", CAPTION]
    window.shot("captioner-nonsense")
    # too quick for a moment: it waits, and all is well
    server.next_answers = [refused(429, "slow down", AT_ONCE)] * 3
    bench.report.get_by_role("button", name="Try 3 clips again").click()
    bench.says(f"3 captions are written with {MODEL}.")
    assert bench.captions() == [CAPTION] * CLIPS

    assert all("422" in complaint for complaint in window.complaints), window.complaints
    window.complaints.clear()  # the browser reports every answer that is a refusal
    assert [path.name for path in app.files_with(KEY)] == ["caption-keys.json"]


def test_a_model_that_does_not_help_says_what_to_do(
    cache: Path, full_card: Path, window: Any, bench: Bench
) -> None:
    page = bench.page

    # too large for this computer: not offered, with the reason
    page.locator("#captioners-large summary").click()
    expect(bench.row("qwen3vl-32b").locator("input")).to_be_disabled()
    expect(bench.row("qwen3vl-32b")).to_contain_text("of memory without a card (estimated); of your")

    # not here, and the hub cannot be reached
    bench.choose(FLORENCE.id)
    expect(page.locator("#captions-run")).to_be_disabled()
    expect(page.locator("#captions-run-why")).to_have_text("Download it first.")
    bench.row(FLORENCE.id).get_by_role("button", name="Download").click()
    problem = "There is no connection to 127.0.0.1:9. Check the network, or set a mirror in Hub settings"
    expect(bench.row(FLORENCE.id).get_by_role("alert")).to_contain_text(problem, timeout=60_000)
    expect(page.locator("#captioner-hub-mirror")).to_be_visible()
    window.shot("captioner-hub-unreachable")
    window.complaints.clear()

    # damaged: a tokenizer that broke off
    snapshot = put_in_cache(FLORENCE, cache)
    words = snapshot / "tokenizer.json"
    whole = words.read_bytes()
    words.write_bytes(whole[:4000])
    page.reload()
    bench.open()
    bench.start(FLORENCE.id)
    bench.says(
        re.compile("^The tokenizer of Florence-2 base cannot be loaded: "),
        "Under Captioner, delete its files, then download them again.",
    )
    window.shot("captioner-damaged")

    # the card is full
    words.write_bytes(whole)
    full_card.touch()
    bench.report.get_by_role("button", name="Try 4 clips again").click()
    bench.says("The card has too little free memory for Florence-2 base.", "choose a smaller captioner")

    # the system ends the worker, as Linux does where memory is full
    bench.report.get_by_role("button", name="Try 4 clips again").click()
    kill_worker(bench.project)
    bench.says(re.compile("ended from outside, most often because memory is full"), "a smaller captioner")

    # the way out of damaged files: delete, and fetch anew
    bench.open()
    delete = bench.row(FLORENCE.id).get_by_role("button", name=re.compile("Delete"))
    delete.click()
    expect(delete).to_have_text(re.compile(r"Delete \d+ MB\?"))
    delete.click()
    expect(bench.row(FLORENCE.id).get_by_role("button", name="Download 0.5 GB")).to_be_visible()
    assert not snapshot.exists()
    assert bench.captions() == [""] * CLIPS


def kill_worker(project: Project) -> None:
    """The newest job's, as soon as it is there."""
    folder = list_job_folders(project.jobs_folder)[-1]
    before = folder.name
    end = time.monotonic() + 60
    while time.monotonic() < end:
        folder = list_job_folders(project.jobs_folder)[-1]
        process = worker_process(folder) if folder.name != before or not folder.status().is_over else None
        if process is not None:
            process.kill()
            return
        time.sleep(0.05)
    raise AssertionError("no worker came")
