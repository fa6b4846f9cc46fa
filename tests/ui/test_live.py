from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.core.clip import CaptionState
from ltx_wizard.core.events import (
    CheckpointSaved,
    EventWriter,
    Failed,
    SampleReady,
    Started,
    StepDone,
    Stopped,
    Validated,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, FindScenesJob, Job, JobFolder, TrainJob
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.dataset.scenes import run_find_scenes
from ltx_wizard.ui.live import live_routes, revision

ODD_CAPTIONS = (
    "<b>A dog</b> runs & \"barks\" 'loudly'.",
    "</script><script>alert(1)</script>",
    "two\nlines\r\nand three\u2028four",
    "👩‍👩‍👧 犬が走る ❤️",
    "{{7*7}} ${x} %s \\n",
)


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=live_routes()), raise_server_exceptions=False)


@pytest.fixture
def with_clip(project: Project, make_video: Callable[..., Path]) -> Project:
    project.change_settings(scenes={"min_clip_s": 1.0, "max_clip_s": 8.0})
    import_files(project, [make_video(frames=np.full((24, 64, 128, 3), 90, np.uint8))])
    run_find_scenes(project, FindScenesJob(), SilentReport())
    run_cut(project, CutJob(), SilentReport())
    return project


@pytest.fixture
def run(project: Project) -> JobFolder:
    job = Job(settings=TrainJob(recipe=Recipe(steps=8), dataset_fingerprint="x"), created=1.0)
    return JobFolder.create(project.runs_folder, "practice", job)


def write(run: JobFolder, *events: object) -> None:
    writer = EventWriter(run.events_file)
    for event in events:
        writer.write(event)  # pyright: ignore[reportArgumentType]
    writer.close()


def step(number: int, loss: float) -> StepDone:
    return StepDone(step=number, steps=8, loss=loss, learning_rate=1e-4, grad_norm=loss, step_s=0.5)


def save(client: TestClient, project: Project, text: str, clip: str = "") -> tuple[int, dict[str, object]]:
    clip = clip or read_clips(project)[0].id
    answer = client.post(
        "/wizard/live/caption", json={"project": str(project.folder), "clip": clip, "text": text}
    )
    return answer.status_code, answer.json()


@pytest.mark.parametrize("text", ODD_CAPTIONS)
def test_a_typed_caption_is_on_disk_before_the_answer(
    client: TestClient, with_clip: Project, text: str
) -> None:
    status, answer = save(client, with_clip, text)
    (clip,) = read_clips(with_clip)
    assert status == 200
    assert answer["saved"] == clip.caption
    assert clip.caption_state is CaptionState.WRITTEN
    assert " ".join(clip.caption.split()) == " ".join(text.split())
    assert Project.open(with_clip.folder).read_settings().name == "Test"


def test_a_caption_shows_what_training_will_see(client: TestClient, with_clip: Project) -> None:
    with_clip.change_settings(trigger_word="blorp")
    _, answer = save(client, with_clip, "A dog\nruns.")
    assert answer["trained"] == "blorp A dog runs."


def test_a_caption_of_a_clip_that_is_gone_says_so_and_changes_nothing(
    client: TestClient, with_clip: Project
) -> None:
    before = with_clip.clips_file.read_bytes()
    status, answer = save(client, with_clip, "text", clip="gone")
    assert status == 422
    assert answer["problem"]
    assert answer["remedy"]
    assert with_clip.clips_file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'"text"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b'{"project": "x\\u0000y", "clip": "a", "text": "b"}', "application/json"),
        (b'{"text": "' + b"x" * 70_000 + b'"}', "application/json"),
        (b'{"project": "x"}', "text/plain"),
    ],
)
def test_what_is_no_caption_is_refused_in_words(
    client: TestClient, with_clip: Project, content: bytes, kind: str
) -> None:
    before = with_clip.clips_file.read_bytes()
    answer = client.post("/wizard/live/caption", content=content, headers={"content-type": kind})
    assert answer.status_code in (413, 422)
    assert answer.json()["problem"]
    assert answer.json()["remedy"]
    assert with_clip.clips_file.read_bytes() == before


def test_a_full_disk_keeps_the_old_caption_and_says_so(
    client: TestClient, with_clip: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(client, with_clip, "The old one.")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, answer = save(client, with_clip, "The new one.")
    assert status == 422
    assert "full" in str(answer["problem"])
    assert read_clips(with_clip)[0].caption == "The old one."


def test_the_status_without_a_project_is_the_machine(client: TestClient) -> None:
    machine = client.get("/wizard/live/status").json()["machine"]
    assert 0 < machine["used"] < machine["total"]


def test_the_revision_changes_with_what_is_on_disk(client: TestClient, with_clip: Project) -> None:
    asked = {"project": str(with_clip.folder)}
    before = client.get("/wizard/live/status", params=asked).json()
    assert before["job"] is None
    assert before["revision"] == revision(with_clip)
    save(client, with_clip, "Another.")
    assert client.get("/wizard/live/status", params=asked).json()["revision"] != before["revision"]


def get_run(client: TestClient, project: Project, run: str, **had: object) -> dict[str, Any]:
    answer = client.get(
        "/wizard/live/run", params={"project": str(project.folder), "run": run, **had}
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_run_shows_its_curve_samples_and_checkpoints(
    client: TestClient, project: Project, run: JobFolder
) -> None:
    run.samples_folder.mkdir()
    (run.samples_folder / "a.mp4").write_bytes(b"")
    (run.checkpoints_folder / "step-000004").mkdir(parents=True)
    write(
        run,
        Started(pid=1, steps=8),
        SampleReady(step=0, prompt_index=0, prompt="<b>x</b>", seed=1, file="samples/a.mp4"),
        Validated(step=0, loss=1.0),
        *(step(number, 1 / number) for number in range(1, 5)),
        CheckpointSaved(step=4, file="checkpoints/step-000004"),
        Stopped(step=4),
    )
    shown = get_run(client, project, run.name)
    assert (shown["state"], shown["step"], shown["steps"]) == ("stopped", 4, 8)
    assert shown["rows"]["step"] == [1, 2, 3, 4]
    assert shown["checkpoints"] == [4]
    assert shown["samples"][0]["prompt"] == "<b>x</b>"
    assert shown["samples"][0]["url"].startswith("/wizard/media/")


def test_a_page_is_sent_only_what_it_lacks(client: TestClient, project: Project, run: JobFolder) -> None:
    write(run, Started(pid=1, steps=8), *(step(number, 1 / number) for number in range(1, 5)))
    first = get_run(client, project, run.name)
    had = {"gen": first["generation"], "rows": 2, "validations": 0, "samples": 0}
    rest = get_run(client, project, run.name, **had)
    assert (rest["from"], rest["rows"]["step"], rest["more"]) == (2, [3, 4], False)
    write(run, Started(pid=1, step=1, steps=8), step(2, 0.7))  # it goes on from a checkpoint
    again = get_run(client, project, run.name, **{**had, "rows": 4})
    assert again["generation"] != first["generation"]
    assert (again["from"], again["rows"]["loss"]) == (0, [1.0, 0.7])


def test_the_plot_of_a_run_is_saved_beside_it(client: TestClient, project: Project, run: JobFolder) -> None:
    write(
        run, Started(pid=1, steps=8), step(1, 0.5), step(2, 0.4), Validated(step=2, loss=0.3), Stopped(step=2)
    )
    answer = client.post("/wizard/live/run/plot", json={"project": str(project.folder), "run": run.name})
    assert [file["name"] for file in answer.json()["files"]] == ["loss.png", "steps.csv", "validation.csv"]
    assert (run.folder / "plots" / "steps.csv").read_text().splitlines()[2].startswith("2,0.4,")
    assert (run.folder / "plots" / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_training_that_goes_wrong_can_still_be_watched(
    client: TestClient, project: Project, run: JobFolder, loss: float
) -> None:
    write(
        run,
        Started(pid=1, steps=8),
        step(1, 0.5),
        step(2, loss),
        Validated(step=2, loss=loss),
        Failed(problem="The loss is not a number.", remedy="Lower the learning rate.", step=2),
    )
    shown = get_run(client, project, run.name)
    assert (shown["state"], shown["step"]) == ("failed", 2)
    assert shown["rows"]["loss"] == [0.5, None]
    assert shown["validations"] == [{"step": 2, "loss": None, "bands": {}, "learnt": False}]


@pytest.mark.parametrize("name", ["", "..", "../..", "0009-missing", "/etc", "..\\..", "a\0b", "x" * 500])
def test_a_run_that_is_not_there_says_so(
    client: TestClient, project: Project, run: JobFolder, name: str
) -> None:
    answer = client.get("/wizard/live/run", params={"project": str(project.folder), "run": name})
    assert answer.status_code == 422
    assert answer.json()["problem"]


@pytest.mark.parametrize("had", ["", "many", "-1", "1.5", "9" * 5000])
def test_an_odd_wish_where_to_go_on_is_answered(
    client: TestClient, project: Project, run: JobFolder, had: str
) -> None:
    write(run, Started(pid=1, steps=8), step(1, 0.5), Stopped(step=1))
    assert get_run(client, project, run.name, gen=had, rows=had, samples=had)["rows"]["step"] == [1]
