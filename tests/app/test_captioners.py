"""The choice of captioners, their downloads, and captions from a server, with real workers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from caption_server import CAPTION, MODEL, CaptionServer, said, serving
from fake_hub import FakeHub, running
from huggingface_hub import constants
from tiny_captioners import put_in_cache

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from captioners import Record  # pyright: ignore[reportMissingImports]

from ltx_wizard import cli
from ltx_wizard.app import captioner_measures, captioners, downloads, jobs, settings
from ltx_wizard.app.system import Gpu
from ltx_wizard.captioning.captioner import CAPTIONERS, INSTRUCTION, make_captioner
from ltx_wizard.captioning.server_key import ENVIRONMENT
from ltx_wizard.core import places
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadDocument, BadSetting, CaptionerFailed, NotFound, NotReady
from ltx_wizard.core.events import EventWriter, Progress
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import CaptionJob, Job, JobFolder, JobState
from ltx_wizard.dataset.dataset import add_clips, read_clips
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS
from ltx_wizard.models.weights import missing_parts

FLORENCE, QWEN = CAPTIONER_MODELS[0], CAPTIONER_MODELS[2]
SHIPPED = places.CAPTIONER_MEASURES
KEY = "sk-not-for-files-42"


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the hub's library and of the user, for this process and for workers."""
    place = tmp_path / "hf"
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(place))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads, "_listings", {})
    monkeypatch.setattr(places, "CAPTIONER_MEASURES", tmp_path / "captioners.json")
    return place / "hub"


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with serving(CaptionServer()) as running_server:
        yield running_server


@pytest.fixture
def with_clips(project: Project, make_video: Callable) -> Project:
    project.clips_folder.mkdir()
    for index in range(2):
        make_video(f"c{index}.mp4", frames=20, folder=project.clips_folder)
    clip = Clip(
        id="c0", source_id="s", file="clips/c0.mp4", kind=MediaKind.VIDEO,
        width=128, height=64, fps=8.0, frames=20, duration_s=2.5,
    )  # fmt: skip
    add_clips(project, [clip, clip.model_copy(update={"id": "c1", "file": "clips/c1.mp4"})])
    return project


def with_card(monkeypatch: pytest.MonkeyPatch, vram_gib: float, ram_gib: float = 32.0) -> None:
    card = Gpu("NVIDIA Test", vram_gib, 0.5, 40, "1") if vram_gib else None
    monkeypatch.setattr(captioners, "first_gpu", lambda: card)
    monkeypatch.setattr(captioners, "memory_gib", lambda: (4.0, ram_gib))


def by_name() -> dict[str, captioners.CaptionerChoice]:
    return {choice.name: choice for choice in captioners.choices()}


def wait(job: JobFolder, seconds: float = 180) -> JobFolder:
    end = time.monotonic() + seconds
    while jobs.is_active(job) or not job.status().is_over:
        assert time.monotonic() < end, job.status()
        time.sleep(0.05)
    return job


@pytest.mark.parametrize(
    ("vram_gib", "proposed"),
    [
        (4, "florence2-base"),
        (8, "qwen3vl-4b"),
        (12, "qwen3vl-8b"),
        (16, "qwen3vl-8b"),
        (24, "qwen3vl-8b"),
        (48, "qwen3vl-32b"),
    ],
)
def test_the_best_that_the_card_holds_is_proposed(
    monkeypatch: pytest.MonkeyPatch, vram_gib: float, proposed: str
) -> None:
    with_card(monkeypatch, vram_gib)
    assert [choice.name for choice in captioners.choices() if choice.proposed] == [proposed]
    assert by_name()[proposed].fits


def test_without_a_card_the_small_model_is_proposed_and_with_little_memory_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_card(monkeypatch, 0)
    assert captioners.proposed_captioner() == "florence2-base"
    assert not by_name()["qwen3vl-32b"].fits
    assert "a minute or more for each clip" in by_name()["qwen3vl-2b"].reason
    with_card(monkeypatch, 0, ram_gib=2.0)
    assert captioners.proposed_captioner() == "motion"


def test_a_choice_says_what_it_needs_and_that_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, 12)
    found = by_name()
    assert list(found) == list(CAPTIONERS)
    assert found["qwen3vl-8b"].reason == "Takes 9.2 of your card's 12 GB in 4 bits (estimated)."
    assert found["qwen3vl-32b"].reason == "Needs about 23 GB on the card (estimated); yours has 12."
    assert not found["qwen3vl-32b"].fits and not found["qwen3vl-32b"].ready
    assert found["motion"].ready and found["motion"].downloaded
    assert not found["server"].ready and "address" in found["server"].reason


def test_a_model_that_is_here_is_ready(monkeypatch: pytest.MonkeyPatch, own_places: Path) -> None:
    with_card(monkeypatch, 8)
    before = by_name()["qwen3vl-2b"]
    assert (before.downloaded, before.ready, before.download_gib) == (False, False, 4.0)
    put_in_cache(QWEN, own_places)
    after = by_name()["qwen3vl-2b"]
    assert (after.downloaded, after.ready, after.download_gib) == (True, True, 0.0)


def record(captioner: str, limit_gib: float, **more: object) -> dict[str, object]:
    """As benchmarks/captioners.py writes it: the real class, so that a change of the format is noticed."""
    values: dict[str, object] = {
        "captioner": captioner, "limit_gib": limit_gib, "precision": "nf4", "batch": 2, "weights_gib": 3.4,
        "peak_gib": 5.25, "clips_per_minute": 11.6, "load_s": 9.0, "words": 150.0,
        "card": "NVIDIA H100 80GB HBM3", "date": "2026-11-25",
        "command": "python benchmarks/captioners.py --measure", "ok": True,
    }  # fmt: skip
    return asdict(Record(**{**values, **more}))  # type: ignore[arg-type]


def write_measures(*records: dict[str, object]) -> None:
    places.CAPTIONER_MEASURES.write_text(json.dumps(list(records)))


MEASURED = [
    record("qwen3vl-4b", 8),
    record("qwen3vl-4b", 12, precision="bf16", peak_gib=11.2, clips_per_minute=30.4),
    record("qwen3vl-8b", 12, peak_gib=9.9, clips_per_minute=8.2),
    record("qwen3vl-8b", 24, precision="bf16", peak_gib=22.6, clips_per_minute=25.0),
    record("qwen3vl-8b", 0, precision="bf16", peak_gib=31.0, clips_per_minute=41.0),
    record("qwen3vl-32b", 48, peak_gib=27.5, clips_per_minute=3.9),
]


@pytest.mark.parametrize(
    ("vram_gib", "captioner", "memory", "speed"),
    [
        (8, "qwen3vl-4b", "5.2 of your card's 8 GB in 4 bits (measured)", "12 clips a minute (measured on"),
        (7.6, "qwen3vl-4b", "5.5 of your card's 8 GB in 4 bits (estimated)", "speed not measured yet"),
        (11.99, "qwen3vl-8b", "9.9 of your card's 12 GB in 4 bits (measured)", "8.2 clips a minute"),
        (16, "qwen3vl-8b", "9.9 of your card's 16 GB in 4 bits (measured)", "8.2 clips a minute"),
        (23.99, "qwen3vl-8b", "22.6 of your card's 24 GB in 16 bits (measured)", "25 clips a minute"),
        (48, "qwen3vl-8b", "22.6 of your card's 48 GB in 16 bits (measured)", "25 clips a minute"),
        (80, "qwen3vl-8b", "31.0 of your card's 80 GB in 16 bits (measured)", "41 clips a minute"),
        (48, "qwen3vl-32b", "27.5 of your card's 48 GB in 4 bits (measured)", "3.9 clips a minute"),
        (80, "qwen3vl-32b", "64.8 of your card's 80 GB in 16 bits (estimated)", "speed not measured yet"),
        (48, "qwen3vl-4b", "11.2 of your card's 48 GB in 16 bits (measured)", "30 clips a minute"),
        (24, "florence2-base", "2.3 of your card's 24 GB in 16 bits (estimated)", "speed not measured yet"),
    ],
)
def test_memory_and_speed_are_those_measured_on_a_card_like_this(
    monkeypatch: pytest.MonkeyPatch, vram_gib: float, captioner: str, memory: str, speed: str
) -> None:
    with_card(monkeypatch, vram_gib)
    write_measures(*MEASURED)
    found = by_name()[captioner]
    assert memory in found.reason
    assert found.speed.startswith(speed)


def test_speed_says_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, 8)
    write_measures(*MEASURED)
    assert by_name()["qwen3vl-4b"].speed == (
        "12 clips a minute (measured on an NVIDIA H100 held to 8 GB; yours may be slower)"
    )
    write_measures(*MEASURED, record("qwen3vl-4b", 8, card="NVIDIA Test", clips_per_minute=6.4))
    assert by_name()["qwen3vl-4b"].speed == "6.4 clips a minute (measured on this kind of card)"
    with_card(monkeypatch, 0)
    assert by_name()["florence2-base"].speed == "speed not measured yet"
    write_measures(record("florence2-base", 0, card="CPU", precision="float32", clips_per_minute=1.5))
    assert by_name()["florence2-base"].speed == (
        "1.5 clips a minute (measured on another computer without a card)"
    )


def test_what_did_not_fit_when_it_was_measured_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, 12)
    write_measures(record("qwen3vl-8b", 12, ok=False, precision="", error="CUDA out of memory"))
    found = by_name()
    assert found["qwen3vl-8b"].reason == (
        "Did not fit when it was measured on an NVIDIA H100 held to 12 GB; your card has 12 GB."
    )
    assert not found["qwen3vl-8b"].fits and found["qwen3vl-4b"].proposed


@pytest.mark.parametrize("content", ["{damaged", "{}", "[1, {}]", '[{"captioner": "qwen3vl-4b", "ok": 1}]'])
def test_damaged_measures_are_no_measures(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    with_card(monkeypatch, 8)
    places.CAPTIONER_MEASURES.write_text(content)
    assert by_name()["qwen3vl-4b"].speed == "speed not measured yet"
    assert "(estimated)" in by_name()["qwen3vl-4b"].reason


def test_the_file_of_measures_that_is_shipped_can_be_read() -> None:
    shipped = json.loads(SHIPPED.read_text()) if SHIPPED.is_file() else []
    places.CAPTIONER_MEASURES.write_text(json.dumps(shipped))
    assert len(captioner_measures.recorded()) == len(shipped)


def test_how_quick_it_was_here_counts_more(with_clips: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, 8)
    write_measures(*MEASURED)
    job = Job(settings=CaptionJob(captioner="qwen3vl-4b"), created=1.0, versions={})
    folder = JobFolder.create(with_clips.jobs_folder, "caption", job)
    writer = EventWriter(folder.events_file)
    writer.write(Progress(stage="Writing captions", done=2, total=9, per_second=9.0))
    found = {choice.name: choice for choice in captioners.choices(with_clips)}
    assert "H100" in found["qwen3vl-4b"].speed  # two clips say little
    writer.write(Progress(stage="Writing captions", done=9, total=9, per_second=0.07))
    found = {choice.name: choice for choice in captioners.choices(with_clips)}
    assert found["qwen3vl-4b"].speed == "4.2 clips a minute (measured here, on your clips)"


def test_a_models_files_are_deleted_and_fetched_anew(own_places: Path, tmp_path: Path) -> None:
    snapshot = put_in_cache(FLORENCE, tmp_path / "source")
    files = {path.name: path.read_bytes() for path in snapshot.iterdir()}
    with running(FakeHub()) as hub:
        hub.repositories[FLORENCE.repository] = files
        downloads.change_hub(hub.address, offline=False)
        wait(downloads.start(FLORENCE.id))
        weights = next(own_places.rglob("model.safetensors"))
        whole = weights.read_bytes()
        weights.write_bytes(b"\0" * len(whole))  # the size is right, so the cache takes it for whole
        with pytest.raises(CaptionerFailed, match="cannot be loaded"):
            make_captioner(CaptionJob(captioner=FLORENCE.id)).load()
        assert by_name()[FLORENCE.id].on_disk_gib > 0
        assert captioners.delete_model(FLORENCE.id).startswith("The files of Florence-2 base are deleted: ")
        assert not by_name()[FLORENCE.id].downloaded
        wait(downloads.start(FLORENCE.id))
    make_captioner(CaptionJob(captioner=FLORENCE.id)).load()
    with pytest.raises(NotFound):
        captioners.delete_model("motion")


def test_a_captioners_model_is_downloaded_as_a_base_model_is(own_places: Path, tmp_path: Path) -> None:
    snapshot = put_in_cache(FLORENCE, tmp_path / "source")
    files = {path.name: path.read_bytes() for path in snapshot.iterdir()}
    with running(FakeHub()) as hub:
        hub.repositories[FLORENCE.repository] = {
            **files,
            "README.md": b"about",
            "pytorch_model.bin": b"a pickle",
            "onnx/model.safetensors": b"another format",
        }
        downloads.change_hub(hub.address, offline=False)
        view = downloads.view(FLORENCE.id)
        assert view.state == "missing" and view.title == FLORENCE.title and view.missing == ("model",)
        assert view.plan is not None
        assert view.plan.total_bytes == sum(len(content) for content in files.values())
        job = wait(downloads.start(FLORENCE.id))
        assert job.status().state is JobState.FINISHED, job.status()
        assert downloads.view(FLORENCE.id).state == "here"
    assert missing_parts(FLORENCE) == ()
    fetched = {path.name for path in own_places.rglob("snapshots/*/*")}
    assert fetched == set(files)
    captioner = make_captioner(CaptionJob(captioner=FLORENCE.id))
    captioner.load()
    captioner.close()


def test_the_command_downloads_a_captioners_model(
    own_places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = put_in_cache(FLORENCE, tmp_path / "source")
    with running(FakeHub()) as hub:
        hub.repositories[FLORENCE.repository] = {p.name: p.read_bytes() for p in snapshot.iterdir()}
        downloads.change_hub(hub.address, offline=False)
        assert cli.main(["download", FLORENCE.id]) == 0
    assert "complete and verified" in capsys.readouterr().out
    assert cli.main(["download", FLORENCE.id]) == 0
    assert "on this computer already" in capsys.readouterr().out


def test_a_model_that_is_not_here_starts_no_job(with_clips: Project) -> None:
    with pytest.raises(NotFound) as caught:
        jobs.start_caption(with_clips, QWEN.id)
    assert f"ltx-wizard download {QWEN.id}" in caught.value.remedy
    assert jobs.last_job(with_clips, "caption") is None


def test_a_worker_captions_with_a_model_from_the_cache(with_clips: Project, own_places: Path) -> None:
    put_in_cache(FLORENCE, own_places)
    job = wait(jobs.start_caption(with_clips, FLORENCE.id), 360)
    assert job.status().result == {"captioned": 2, "skipped": 0, "failed": 0}, job.status()
    assert {clip.caption_source for clip in read_clips(with_clips)} == {FLORENCE.id}


def test_a_server_is_set_checked_and_used(server: CaptionServer, with_clips: Project) -> None:
    server.key = KEY
    captioners.set_server(server.address.removeprefix("http://"), MODEL, KEY)
    assert captioners.server() == captioners.ServerSettings(server.address, MODEL, True)
    assert captioners.server_models() == [MODEL]
    assert captioners.check_server() == (
        f"{server.address} answers and offers 1 model. Captions will come from {MODEL}."
    )
    assert by_name()["server"].ready
    job = wait(jobs.start_caption(with_clips, "server"))
    assert job.status().state is JobState.FINISHED, job.status()
    assert {clip.caption for clip in read_clips(with_clips)} == {CAPTION}


def test_the_key_is_in_no_settings_and_can_be_forgotten(server: CaptionServer) -> None:
    captioners.set_server(server.address, MODEL, KEY)
    assert KEY not in (places.home() / "settings.json").read_text()
    assert KEY not in repr(captioners.server()) and KEY not in repr(settings.read_app_settings())
    captioners.set_server(server.address, "another")  # an empty field keeps the key
    assert captioners.server() == captioners.ServerSettings(server.address, "another", True)
    captioners.forget_key()
    assert not captioners.server().has_key
    captioners.set_server("", "")
    assert captioners.server() == captioners.ServerSettings("", "", False)


def test_what_is_wrong_with_a_server_is_said(server: CaptionServer) -> None:
    with pytest.raises(BadSetting):
        captioners.check_server()
    with pytest.raises(BadSetting):
        captioners.set_server("not an address", "")
    captioners.set_server(server.address, "gpt-9")
    with pytest.raises(CaptionerFailed) as caught:
        captioners.check_server()
    assert "no model gpt-9" in caught.value.problem


def test_without_a_server_no_job_starts(with_clips: Project) -> None:
    with pytest.raises(NotReady) as caught:
        jobs.start_caption(with_clips, "server")
    assert caught.value.problem == "No caption server is set."


def test_a_server_that_goes_away_ends_the_job_with_what_to_do(
    server: CaptionServer, with_clips: Project
) -> None:
    captioners.set_server("http://127.0.0.1:9/v1", MODEL)
    status = wait(jobs.start_caption(with_clips, "server")).status()
    assert status.state is JobState.FAILED
    assert status.problem == "No server answers at http://127.0.0.1:9/v1."
    assert "Start it" in status.remedy


def test_the_command_asks_the_server_that_it_is_given_and_keeps_no_setting(
    server: CaptionServer,
    with_clips: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.key = KEY
    monkeypatch.setenv(ENVIRONMENT, KEY)
    words = ["--project", str(with_clips.folder), "--server", server.address, "--model", MODEL]
    assert cli.main(["caption", *words]) == 0
    shown = capsys.readouterr()
    assert "Captions written: 2." in shown.out
    assert KEY not in shown.err + shown.out
    assert captioners.server().address == ""
    held = [path for path in places.home().rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert held == []


def test_the_command_tells_a_failure(
    server: CaptionServer, with_clips: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always = said("I'm sorry, I cannot see videos.")
    words = ["--project", str(with_clips.folder), "--server", server.address]
    assert cli.main(["caption", *words]) == 0
    shown = capsys.readouterr().out
    assert "gave an excuse instead of a caption" in shown
    assert "Captions written: 0. Already there: 0. Failed: 2." in shown


def test_the_command_lists_captioners(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["caption", "--captioner", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in CAPTIONERS)
    assert "ltx-wizard download florence2-base" in shown and "not measured yet" in shown


def test_the_instruction_is_the_projects_own_or_ours(project: Project) -> None:
    assert captioners.instruction(project) == INSTRUCTION
    captioners.set_instruction(project, "  Say what you see. {facts} ")
    assert captioners.instruction(project) == "Say what you see. {facts}"
    captioners.set_instruction(project, INSTRUCTION)
    assert project.read_settings().caption_instruction == ""
    with pytest.raises(BadDocument):
        captioners.set_instruction(project, "x" * 9000)
