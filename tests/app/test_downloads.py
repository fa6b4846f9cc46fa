"""With real workers, against a hub on this computer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, noise, running
from huggingface_hub import constants

from ltx_wizard import cli
from ltx_wizard.app import downloads, jobs, settings
from ltx_wizard.app.supervisor import kill
from ltx_wizard.core.errors import BadInput, BadSetting, Busy, DownloadFailed, NoSpace, NotFound, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import JobFolder, JobState
from ltx_wizard.models import download_plan
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.models.weights import missing_parts

MODEL = LTXV_2B_096_DEV.id
MAIN = "Lightricks/LTX-Video"
BIG = LTXV_2B_096_DEV.address("transformer")[1]
BIG_SIZE = 400_000
TOKEN = "hf_secretsecretsecret"


@pytest.fixture(autouse=True)
def hf_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub library's folder, for this process and for workers."""
    place = tmp_path / "hf"
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(place))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(place / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads, "_listings", {})
    return place


@pytest.fixture
def server(hf_home: Path) -> Iterator[FakeHub]:
    with running(FakeHub()) as fake:
        fake.fill(LTXV_2B_096_DEV)
        fake.repositories[MAIN][BIG] = noise("big", BIG_SIZE)
        downloads.change_hub(fake.address, offline=False)
        yield fake


def wait(job: JobFolder, seconds: float = 180) -> JobFolder:
    end = time.monotonic() + seconds
    while jobs.is_active(job) or not downloads.status(job).is_over:
        assert time.monotonic() < end, downloads.status(job)
        time.sleep(0.05)
    return job


def wait_for_bytes(model: str, count: int) -> None:
    end = time.monotonic() + 180
    while (progress := downloads.view(model).progress) is None or progress.done < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_model_is_planned_fetched_and_then_here(server: FakeHub, home: Path) -> None:
    before = downloads.view(MODEL)
    assert before.state == "missing" and before.plan is not None and before.problem == ""
    assert before.missing == ("transformer", "vae", "text encoder", "tokenizer", "scheduler")
    assert before.plan.have_bytes == 0
    job = wait(downloads.start(MODEL))
    status = downloads.status(job)
    assert status.state is JobState.FINISHED
    assert status.result["bytes"] == before.plan.total_bytes
    assert job.folder.is_relative_to(home / "downloads")
    assert missing_parts(LTXV_2B_096_DEV) == ()
    assert downloads.view(MODEL).state == "here"
    with pytest.raises(NotReady):
        downloads.start(MODEL)


def test_the_practice_model_needs_no_hub(server: FakeHub) -> None:
    assert downloads.view("embedded").state == "local"
    with pytest.raises(NotReady):
        downloads.start("embedded")
    assert server.asked == []


def test_a_running_download_is_seen_by_others_stopped_and_gone_on_with(server: FakeHub) -> None:
    server.bytes_per_s = 150_000
    job = downloads.start(MODEL)
    with pytest.raises(Busy):
        downloads.start(MODEL)
    wait_for_bytes(MODEL, 100_000)
    seen = downloads.view(MODEL)
    assert seen.state == "running" and seen.progress is not None
    assert seen.progress.unit == "bytes" and seen.progress.total > BIG_SIZE
    downloads.stop(MODEL)
    wait(job)
    assert downloads.status(job).state is JobState.STOPPED
    stopped = downloads.view(MODEL)
    assert stopped.stopped and stopped.plan is not None and stopped.plan.have_bytes >= 100_000
    server.bytes_per_s = 0
    again = wait(downloads.start(MODEL))
    assert downloads.status(again).result["fetched"] == stopped.plan.remaining_bytes
    assert not job.folder.exists()  # only the newest of a model is kept


def test_a_killed_download_is_explained_and_gone_on_with(server: FakeHub) -> None:
    server.bytes_per_s = 150_000
    job = downloads.start(MODEL)
    wait_for_bytes(MODEL, 100_000)
    kill(job)
    wait(job)
    view = downloads.view(MODEL)
    assert "without a word" in view.problem and "goes on" in view.remedy
    server.bytes_per_s = 0
    server.asked.clear()
    wait(downloads.start(MODEL))
    assert missing_parts(LTXV_2B_096_DEV) == ()
    assert server.fetched(BIG)[0].first > 0


def test_a_refusal_of_the_hub_reaches_the_page(server: FakeHub) -> None:
    server.gated.add(MAIN)
    wait(downloads.start(MODEL))
    view = downloads.view(MODEL)
    assert view.state == "missing" and "terms" in view.problem
    assert f"https://huggingface.co/{MAIN}" in view.remedy


def test_too_little_space_starts_nothing(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(download_plan, "free_space", lambda _: 1000)
    with pytest.raises(NoSpace) as failed:
        downloads.start(MODEL)
    view = downloads.view(MODEL)
    assert view.plan is not None and (view.problem, view.remedy) == (
        failed.value.problem,
        failed.value.remedy,
    )
    assert not (home / "downloads").exists()


def test_an_unreachable_hub_is_said_by_the_view_and_stops_the_start(server: FakeHub) -> None:
    downloads.change_hub("http://127.0.0.1:9", offline=False)
    view = downloads.view(MODEL)
    assert view.state == "missing" and view.plan is None and "no connection" in view.problem
    with pytest.raises(DownloadFailed):
        downloads.start(MODEL)


def test_set_offline_nothing_is_asked_and_what_is_missing_is_said(server: FakeHub) -> None:
    downloads.change_hub(server.address, offline=True)
    view = downloads.view(MODEL)
    assert "transformer" in view.missing and "offline" in view.problem
    with pytest.raises(NotReady):
        downloads.start(MODEL)
    with pytest.raises(NotReady):
        downloads.store_token(TOKEN)
    assert server.asked == []


def test_the_hub_is_asked_once_for_what_a_model_consists_of(server: FakeHub) -> None:
    for _ in range(3):
        downloads.view(MODEL)
    listings = [asked.path for asked in server.asked if asked.path.startswith("/api/models")]
    assert listings and len(listings) == len(set(listings))


def test_hub_settings_are_kept_and_checked(home: Path) -> None:
    downloads.change_hub(" https://mirror.example.com/ ", offline=True)
    assert downloads.hub_settings() == downloads.HubSettings("https://mirror.example.com", True, False)
    assert settings.read_app_settings().hub_offline
    with pytest.raises(BadSetting):
        downloads.change_hub("mirror", offline=False)
    downloads.change_hub("", offline=False)
    assert downloads.hub_settings().endpoint == ""


def test_a_token_is_checked_by_the_hub_and_kept_by_its_library_only(
    server: FakeHub, hf_home: Path, home: Path
) -> None:
    with pytest.raises(BadInput):
        downloads.store_token(TOKEN)  # the hub does not know it
    assert not downloads.hub_settings().has_token
    server.tokens.add(TOKEN)
    server.gated.add(MAIN)
    server.accepted.add(TOKEN)
    downloads.store_token(f" {TOKEN}\n")
    assert downloads.hub_settings().has_token
    assert (hf_home / "token").read_text() == TOKEN
    wait(downloads.start(MODEL))
    assert missing_parts(LTXV_2B_096_DEV) == ()
    written = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "events.jsonl" for path in written)
    assert any(path.name == "worker.log" for path in written)
    assert not any(TOKEN.encode() in path.read_bytes() for path in written)


@pytest.mark.parametrize("typed", ["", "  ", "hf_a b", "hf_\u00e9", "api_org_abc"])
def test_what_is_no_token_is_refused_and_not_repeated(server: FakeHub, typed: str) -> None:
    with pytest.raises(BadInput) as failed:
        downloads.store_token(typed)
    assert not typed.strip() or typed not in failed.value.problem + failed.value.remedy


def test_a_token_is_not_sent_to_a_mirror_in_the_clear(home: Path) -> None:
    downloads.change_hub("http://mirror.example.com", offline=False)
    with pytest.raises(BadInput) as failed:
        downloads.store_token(TOKEN)
    assert "https" in failed.value.problem


def test_training_does_not_download_by_itself(server: FakeHub, project: Project) -> None:
    from ltx_wizard.app import projects

    projects.update(project, model=MODEL)
    with pytest.raises(NotFound) as failed:
        jobs.refuse_unready(project)
    assert f"ltx-wizard download {MODEL}" in failed.value.remedy
    assert server.asked == []


def test_the_command_downloads_and_says_so(server: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["download", MODEL, "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out.splitlines()[-1])
    assert result["model"] == MODEL and result["fetched"] == result["bytes"] > BIG_SIZE
    assert "complete and verified" in said.err
    assert cli.main(["download", MODEL]) == 0
    assert "already" in capsys.readouterr().out


def test_the_command_says_what_the_hub_refuses(server: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    server.gated.add(MAIN)
    assert cli.main(["download", MODEL]) == 1
    assert "Accept them at" in capsys.readouterr().err
    assert cli.main(["download", "no-such-model"]) == 1


def test_a_job_folder_of_another_kind_is_no_download(server: FakeHub, home: Path) -> None:
    (home / "downloads" / "0001-x").mkdir(parents=True)
    (home / "downloads" / "0001-x" / "job.json").write_text("{}")
    os.utime(home / "downloads" / "0001-x" / "job.json", (1, 1))
    assert downloads.last(MODEL) is None
