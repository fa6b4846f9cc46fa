"""Against a real server on this computer."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from caption_server import CAPTION, MODEL, PAGE, Answer, CaptionServer, pictures_of, refused, said, serving

from ltx_wizard.captioning import openai_api
from ltx_wizard.captioning.captioner import ToCaption, run_caption
from ltx_wizard.captioning.openai_api import ServerCaptioner, list_models
from ltx_wizard.captioning.server_key import ENVIRONMENT, checked_address, has_key, key_for, store_key
from ltx_wizard.core import places
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadInput, BadSetting, CaptionerFailed, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import add_clips, read_clips

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home folder of its own, no key in the environment, and short pauses."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr(openai_api, "WAITS_S", (0.05, 0.1))


@pytest.fixture
def server() -> Iterator[CaptionServer]:
    with serving(CaptionServer()) as running:
        yield running


@pytest.fixture
def clip(make_video: Callable) -> ToCaption:
    return ToCaption(make_video(frames=40), MediaKind.VIDEO, None, "Describe it.")


@pytest.fixture
def with_clips(project: Project, make_video: Callable) -> Project:
    project.clips_folder.mkdir()
    clips: list[Clip] = []
    for index in range(4):
        make_video(f"c{index}.mp4", frames=20, folder=project.clips_folder)
        clips.append(
            Clip(
                id=f"c{index}",
                source_id="s",
                file=f"clips/c{index}.mp4",
                kind=MediaKind.VIDEO,
                width=128,
                height=64,
                fps=8.0,
                frames=20,
                duration_s=2.5,
            )
        )
    add_clips(project, clips)
    return project


def caption(server: CaptionServer, clip: ToCaption, model: str = MODEL) -> str:
    captioner = ServerCaptioner(server.address, model)
    try:
        captioner.load()
        return captioner.caption([clip])[0]
    finally:
        captioner.close()


def failure(server: CaptionServer, clip: ToCaption, model: str = MODEL) -> WizardError:
    with pytest.raises(WizardError) as caught:
        caption(server, clip, model)
    return caught.value


def test_the_answer_of_the_model_is_the_caption(server: CaptionServer, clip: ToCaption) -> None:
    assert caption(server, clip) == CAPTION
    assert server.asked[0]["model"] == MODEL
    assert server.asked[0]["messages"][0]["content"][0] == {"type": "text", "text": "Describe it."}


def test_frames_are_real_pictures_in_order_each_after_its_time(
    server: CaptionServer, clip: ToCaption, number_of: Callable
) -> None:
    caption(server, clip)
    found = pictures_of(server.asked[0])
    times = [float(text.removeprefix("Frame at ").removesuffix(" s:")) for text, _ in found]
    numbers = [number_of(np.asarray(picture)) for _, picture in found]
    assert len(found) == 8
    assert times == sorted(times) and times[0] == 0.0
    assert numbers == sorted(numbers) and numbers[0] == 0 and numbers[-1] == 39
    assert all(abs(time_s - number / 8) < 0.06 for time_s, number in zip(times, numbers, strict=True))


def test_a_still_picture_is_sent_without_a_time(server: CaptionServer, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (900, 600), "teal").save(tmp_path / "still.png")
    caption(server, ToCaption(tmp_path / "still.png", MediaKind.IMAGE, None, "Describe it."))
    ((before, picture),) = pictures_of(server.asked[0])
    assert before == "Describe it."
    assert picture.size == (512, 341)


def test_the_only_model_is_taken_where_none_is_chosen(server: CaptionServer, clip: ToCaption) -> None:
    assert caption(server, clip, "") == CAPTION
    assert server.asked[0]["model"] == MODEL


def test_several_models_have_to_be_chosen_from(server: CaptionServer, clip: ToCaption) -> None:
    server.models = ["llama3", MODEL]
    error = failure(server, clip, "")
    assert "No model" in error.problem and f"llama3, {MODEL}" in error.remedy


def test_a_wrong_model_is_told_with_those_there_are(server: CaptionServer, clip: ToCaption) -> None:
    error = failure(server, clip, "gpt-9")
    assert isinstance(error, CaptionerFailed)
    assert error.problem == f"{server.address} has no model gpt-9."
    assert MODEL in error.remedy


def test_a_server_without_a_list_is_asked_all_the_same(server: CaptionServer, clip: ToCaption) -> None:
    server.models = None
    assert list_models(server.address, "") == []
    assert caption(server, clip) == CAPTION
    server.always = refused(404, f"model '{MODEL}' not found")
    assert failure(server, clip).problem == f"{server.address} has no model {MODEL} (404)."


def test_ollamas_latest_is_meant(server: CaptionServer, clip: ToCaption) -> None:
    server.models = ["llava:latest"]
    assert caption(server, clip, "llava") == CAPTION


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failure_that_passes_is_waited_out(server: CaptionServer, clip: ToCaption, status: int) -> None:
    server.next_answers = [refused(status, "overloaded")]
    assert caption(server, clip) == CAPTION
    assert len(server.asked) == 2


def test_a_failure_that_stays_is_told_with_the_servers_words(server: CaptionServer, clip: ToCaption) -> None:
    server.always = refused(500, "CUDA error: out of memory")
    error = failure(server, clip)
    assert error.problem == "The server failed (500): CUDA error: out of memory."
    assert len(server.asked) == 3  # first try and one for each pause


def test_a_server_that_says_how_long_is_heeded(server: CaptionServer, clip: ToCaption) -> None:
    server.next_answers = [refused(429, "slow down", ("Retry-After", "1"))]
    assert caption(server, clip) == CAPTION
    assert 1.0 <= server.times[1] - server.times[0] < 3


def test_a_date_to_wait_for_is_understood(server: CaptionServer, clip: ToCaption) -> None:
    from email.utils import formatdate

    soon = formatdate(time.time() + 2, usegmt=True)  # whole seconds: between one and two from now
    server.next_answers = [refused(429, "slow down", ("Retry-After", soon))]
    assert caption(server, clip) == CAPTION
    assert 0.7 < server.times[1] - server.times[0] < 4


def test_a_server_that_asks_for_hours_stops_the_job(server: CaptionServer, clip: ToCaption) -> None:
    server.next_answers = [refused(429, "slow down", ("Retry-After", "7200"))]
    error = failure(server, clip)
    assert isinstance(error, CaptionerFailed) and "120 minutes" in error.problem


def test_a_limit_that_stays_stops_the_job(server: CaptionServer, clip: ToCaption) -> None:
    server.always = refused(429, "rate limit")
    error = failure(server, clip)
    assert isinstance(error, CaptionerFailed) and "slow down" in error.problem


def test_an_empty_account_is_not_asked_again(server: CaptionServer, clip: ToCaption) -> None:
    server.always = refused(429, "You exceeded your current quota, check your billing details")
    error = failure(server, clip)
    assert isinstance(error, CaptionerFailed) and "no credit" in error.problem
    assert len(server.asked) == 1


def test_a_missing_and_a_wrong_key_are_told_apart(server: CaptionServer, clip: ToCaption) -> None:
    server.key = KEY
    assert failure(server, clip).problem == f"{server.address} asks for a key (401)."
    store_key(server.address, "sk-wrong-key-987")
    error = failure(server, clip)
    assert error.problem == f"{server.address} does not accept your key (401)."
    assert "sk-wrong" not in str(error)
    store_key(server.address, KEY)
    assert caption(server, clip) == CAPTION


def test_a_web_page_is_not_taken_for_an_answer(server: CaptionServer, clip: ToCaption) -> None:
    server.always = PAGE
    error = failure(server, clip)
    assert isinstance(error, CaptionerFailed)
    assert error.problem == f"{server.address} answers with a web page."
    assert "/v1" in error.remedy


def test_an_address_with_nothing_there_is_told(server: CaptionServer, clip: ToCaption) -> None:
    server.models = None
    wrong = ServerCaptioner(server.address.replace("/v1", "/api"), MODEL)
    wrong.load()
    with pytest.raises(CaptionerFailed) as caught:
        wrong.caption([clip])
    assert "nothing at this address (404)" in caught.value.problem
    wrong.close()


def test_a_server_that_is_down_is_told_at_once(clip: ToCaption) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    with pytest.raises(CaptionerFailed) as caught:
        ServerCaptioner(address, MODEL).load()
    assert caught.value.problem == f"No server answers at {address}."
    assert "ollama serve" in caught.value.remedy


def test_a_slow_server_is_given_up_after_a_second_try(
    server: CaptionServer, clip: ToCaption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_api, "ANSWER_S", 0.3)
    server.always = said(CAPTION, after_s=1.0)
    error = failure(server, clip)
    assert error.problem == "The server took too long for this clip."
    assert not isinstance(error, CaptionerFailed)  # others may be shorter
    assert len(server.asked) == 2


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_answer_is_told(server: CaptionServer, clip: ToCaption, text: str | None) -> None:
    server.always = said(text)
    assert failure(server, clip).problem == "The model gave an empty answer."


def test_thoughts_are_left_out(server: CaptionServer, clip: ToCaption) -> None:
    server.always = said(f"<think>The user wants a caption.</think>\n{CAPTION}")
    assert caption(server, clip) == CAPTION
    server.always = said(f"So it is a dog.</think>{CAPTION}")
    assert caption(server, clip) == CAPTION


@pytest.mark.parametrize(
    "answer",
    [
        said("<think>A dog, I suppose, and then"),
        said("<think>Only this.</think>"),
        said("", reasoning_content="A dog, I suppose."),
        said(None, reasoning="A dog, I suppose."),
    ],
)
def test_thoughts_alone_are_no_caption(server: CaptionServer, clip: ToCaption, answer: Answer) -> None:
    server.always = answer
    error = failure(server, clip)
    assert error.problem == "The model only thought aloud and gave no caption."
    assert "Instruct" in error.remedy


def test_an_error_that_comes_as_an_answer_is_told(server: CaptionServer, clip: ToCaption) -> None:
    server.always = Answer(200, b'{"error": {"message": "model crashed\\nat load"}}')
    assert failure(server, clip).problem == "The server failed: model crashed at load."


def test_an_answer_of_another_shape_is_told(server: CaptionServer, clip: ToCaption) -> None:
    server.always = Answer(200, b'{"result": "ok"}')
    assert failure(server, clip).problem == "The server's answer holds no text."


def test_a_model_that_cannot_see_is_told(server: CaptionServer, clip: ToCaption) -> None:
    server.always = refused(400, "This model does not support image input")
    error = failure(server, clip)
    assert isinstance(error, CaptionerFailed)
    assert error.problem.startswith(f"{MODEL} does not take pictures (400)")


def test_a_model_with_other_names_for_its_settings_is_asked_its_way(
    server: CaptionServer, clip: ToCaption
) -> None:
    def picky(body: dict) -> Answer:
        if "max_tokens" in body:
            return refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return refused(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return said(CAPTION)

    server.always = picky
    assert caption(server, clip) == CAPTION


def test_the_key_goes_to_its_own_server_in_a_header_and_is_in_no_file_of_the_project(
    server: CaptionServer, with_clips: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltx_wizard.app import captioners, jobs
    from ltx_wizard.core.run import JobState

    server.key = KEY
    captioners.set_server(server.address, MODEL, KEY)
    job = jobs.start_caption(with_clips, "server")
    end = time.monotonic() + 60
    while jobs.is_active(job) or not job.status().is_over:
        assert time.monotonic() < end
        time.sleep(0.05)
    status = job.status()
    assert status.state is JobState.FINISHED, status
    assert status.result == {"captioned": 4, "skipped": 0, "failed": 0}
    assert {clip.caption for clip in read_clips(with_clips)} == {CAPTION}
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert all(KEY not in json.dumps(body) for body in server.asked)
    holding = [path for path in _files(with_clips.folder) if KEY.encode() in path.read_bytes()]
    assert holding == []
    holding = [path for path in _files(places.home()) if KEY.encode() in path.read_bytes()]
    assert [path.name for path in holding] == ["caption-keys.json"]
    assert job.log_file.is_file()
    with serving(CaptionServer()) as other:
        ServerCaptioner(other.address, MODEL).load()
        assert other.keys == [""]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_messages(
    server: CaptionServer, with_clips: Project
) -> None:
    store_key(server.address, KEY)
    server.always = refused(422, f"bad request with Bearer {KEY}")
    report = SilentReport()
    job = CaptionJob(captioner="server", server=server.address, model=MODEL)
    with pytest.raises(CaptionerFailed) as caught:
        run_caption(with_clips, job, report)
    assert "bad request with Bearer ***" in caught.value.problem
    assert KEY not in str(caught.value) and KEY not in str(report.events) and KEY not in repr(report.events)


def test_clips_are_asked_for_at_once(server: CaptionServer, with_clips: Project) -> None:
    server.always = said(CAPTION, after_s=0.4)
    job = CaptionJob(captioner="server", server=server.address, model=MODEL)
    assert run_caption(with_clips, job, SilentReport())["captioned"] == 4
    assert server.most_at_once == 4


def test_a_server_that_goes_down_stops_the_job_with_what_is_written(
    server: CaptionServer, with_clips: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerCaptioner, "parallel", 1)
    server.next_answers = [said("First caption, with a dog.")]
    server.always = refused(401, "expired")
    job = CaptionJob(captioner="server", server=server.address, model=MODEL)
    with pytest.raises(CaptionerFailed) as caught:
        run_caption(with_clips, job, SilentReport())
    assert "asks for a key" in caught.value.problem
    assert "1 caption is written; started again" in caught.value.remedy
    server.always = None
    assert run_caption(with_clips, job, SilentReport()) == {"captioned": 3, "skipped": 1, "failed": 0}


def test_stopping_ends_a_long_pause(
    server: CaptionServer, with_clips: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = refused(429, "slow down", ("Retry-After", "60"))

    class StopsOnceAsked(SilentReport):
        def stop_requested(self) -> bool:
            return bool(server.asked)

    began = time.monotonic()
    job = CaptionJob(captioner="server", server=server.address, model=MODEL)
    with pytest.raises(Cancelled):
        run_caption(with_clips, job, StopsOnceAsked())
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("localhost:11434", "http://localhost:11434/v1"),
        (" http://localhost:1234/v1/ ", "http://localhost:1234/v1"),
        ("192.168.1.7:8000", "http://192.168.1.7:8000/v1"),
        ("api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api/v1"),
    ],
)
def test_an_address_is_understood_as_people_type_it(typed: str, meant: str) -> None:
    assert checked_address(typed) == meant


@pytest.mark.parametrize(
    "typed", ["", "ftp://x/v1", "http://", "http://a b/v1", "http://u:p@host/v1", "https://x/v1?k=1"]
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(BadSetting):
        checked_address(typed)


def test_the_key_file_may_be_read_by_its_owner_only() -> None:
    store_key("https://one.example/v1", KEY)
    store_key("https://two.example/v1", "sk-two")
    assert (key_for("https://one.example/v1"), key_for("https://two.example/v1")) == (KEY, "sk-two")
    file = places.home() / "caption-keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store_key("https://one.example/v1", "")
    assert not has_key("https://one.example/v1") and has_key("https://two.example/v1")
    assert KEY not in file.read_text()


def test_a_key_of_the_environment_is_used_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, KEY)
    assert key_for("https://one.example/v1") == KEY
    assert not (places.home() / "caption-keys.json").exists()


def test_a_key_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting):
        store_key("http://api.example.com/v1", KEY)
    monkeypatch.setenv(ENVIRONMENT, KEY)
    with pytest.raises(BadSetting) as caught:
        key_for("http://api.example.com/v1")
    assert KEY not in str(caught.value)
    assert key_for("http://192.168.1.7:8000/v1") == KEY  # the own network


def test_what_is_no_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        store_key("https://one.example/v1", "sk two\nlines")
    assert "sk two" not in str(caught.value)
