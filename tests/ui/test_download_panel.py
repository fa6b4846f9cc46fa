"""What the download panel is told, over its own routes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, running
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.app import downloads
from ltx_wizard.models.catalog import LTXV_2B_096_DEV
from ltx_wizard.ui.live import live_routes

MODEL = LTXV_2B_096_DEV.id
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=live_routes()), raise_server_exceptions=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads, "_listings", {})
    with running(FakeHub()) as fake:
        fake.fill(LTXV_2B_096_DEV)
        downloads.change_hub(fake.address, offline=False)
        yield fake


def shown(client: TestClient, ask: int = 1, model: str = MODEL) -> dict[str, object]:
    answer = client.get("/wizard/live/download", params={"model": model, "ask": ask})
    assert answer.status_code == 200, answer.text
    return answer.json()


def do(client: TestClient, **what: object) -> tuple[int, dict[str, object]]:
    answer = client.post("/wizard/live/download/do", json={"model": MODEL, **what})
    return answer.status_code, answer.json()


def wait_for(client: TestClient, state: str) -> dict[str, object]:
    end = time.monotonic() + 60
    while (now := shown(client))["state"] != state:
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def test_the_practice_model_shows_nothing(client: TestClient, server: FakeHub) -> None:
    assert shown(client, model="embedded")["state"] == "local"
    assert server.asked == []


def test_size_and_free_space_stand_before_the_button(client: TestClient, server: FakeHub) -> None:
    now = shown(client)
    assert now["title"] == "Needs 977 KB download"
    assert "free at" in str(now["text"]) and "there already" not in str(now["text"])
    assert (now["button"], now["share"], now["problem"]) == ("Download", 0.0, "")


def test_looking_without_asking_leaves_the_hub_alone(client: TestClient, server: FakeHub) -> None:
    now = shown(client, ask=0)
    assert "Missing: transformer, vae, text encoder" in str(now["text"])
    assert server.asked == []


def test_it_starts_shows_progress_stops_and_is_complete_in_the_end(
    client: TestClient, server: FakeHub
) -> None:
    server.bytes_per_s = 150_000
    status, now = do(client, do="start")
    assert status == 200 and now["state"] == "running"
    end = time.monotonic() + 60
    while "B/s" not in str(now["text"]):
        assert time.monotonic() < end
        time.sleep(0.1)
        now = shown(client)
    assert " of 977 KB" in str(now["text"]) and " left" in str(now["text"])
    assert 0 < float(str(now["share"])) < 1
    assert now["title"] == "Downloading" and str(now["file"]).endswith((".safetensors", ".json"))
    do(client, do="stop")
    stopped = wait_for(client, "missing")
    assert "there already" in str(stopped["text"]) and stopped["button"] == "Download"
    server.bytes_per_s = 0
    do(client, do="start")
    assert wait_for(client, "here")["button"] == ""


def test_a_refusal_stands_in_the_panel(client: TestClient, server: FakeHub) -> None:
    downloads.change_hub("http://127.0.0.1:9", offline=False)
    now = shown(client)
    assert now["button"] == "Ask again" and "no connection" in str(now["problem"])
    status, refused = do(client, do="start")
    assert status == 422 and "no connection" in str(refused["problem"]) and refused["remedy"]


def test_hub_settings_are_shown_and_changed_and_a_token_never_comes_back(
    client: TestClient, server: FakeHub
) -> None:
    status, _ = do(client, do="token", token=TOKEN)
    assert status == 422
    server.tokens.add(TOKEN)
    status, now = do(client, do="token", token=TOKEN)
    assert status == 200 and now["hub"] == {"endpoint": server.address, "offline": False, "token": True}
    assert TOKEN not in str(now)
    status, now = do(client, do="hub", endpoint="", offline=True)
    assert now["hub"] == {"endpoint": "", "offline": True, "token": True}
    assert "offline" in str(now["problem"])
    status, refused = do(client, do="hub", endpoint="nowhere", offline=False)
    assert status == 422 and "not the address" in str(refused["problem"])


def test_pages_of_others_cannot_post_and_nonsense_is_refused(client: TestClient, server: FakeHub) -> None:
    form = client.post("/wizard/live/download/do", data={"do": "start", "model": MODEL})
    assert form.status_code == 413
    assert do(client, do="format_disk")[0] == 422
    assert client.post("/wizard/live/download/do", json=[1]).status_code == 422
    assert downloads.last(MODEL) is None
    answer = client.get("/wizard/live/download", params={"model": "no-such-model", "ask": 1})
    assert answer.status_code == 422


def at_the_side(client: TestClient) -> list[dict[str, object]]:
    return client.get("/wizard/live/status").json()["downloads"]


def test_a_running_download_stands_at_the_side_of_every_step_and_goes_when_it_is_stopped(
    client: TestClient, server: FakeHub
) -> None:
    assert at_the_side(client) == []
    server.bytes_per_s = 150_000
    do(client, do="start")
    end = time.monotonic() + 60
    while "B/s" not in str((now := at_the_side(client))[0]["text"]):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert now[0]["title"] == LTXV_2B_096_DEV.title and now[0]["step"] == "goal"
    assert " of 977 KB" in str(now[0]["text"]) and str(now[0]["left"]).endswith(" left")
    assert 0 < float(str(now[0]["share"])) < 1 and not now[0]["problem"]
    do(client, do="stop")
    wait_for(client, "missing")
    assert at_the_side(client) == []


def test_a_failed_download_stands_at_the_side_with_what_to_do_until_it_is_tried_again(
    client: TestClient, server: FakeHub
) -> None:
    server.corrupt[LTXV_2B_096_DEV.address("transformer")[1]] = 2
    do(client, do="start")
    wait_for(client, "missing")
    (failed,) = at_the_side(client)
    assert "arrived wrong twice" in str(failed["problem"]) and "Try again" in str(failed["remedy"])
    do(client, do="start")
    wait_for(client, "here")
    assert at_the_side(client) == []
