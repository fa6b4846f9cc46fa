"""What the workbench's page is answered: short lists, only the rows that changed, and refusals in words."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.ui.live import live_routes

TEXTS = (
    "The video shows a cat that jumps over a red wall. The camera is static. Warm light from the left side.",
    "A dog runs over a meadow with tall grass. It is brown. The camera is static. Low evening sun.",
    "",
)


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=live_routes()), raise_server_exceptions=False)


@pytest.fixture
def three(project: Project) -> Project:
    clips = [
        Clip(
            id=f"c{index}", source_id="s", file=f"clips/c{index}.mp4", kind=MediaKind.VIDEO, width=64,
            height=64, fps=8, frames=9, duration_s=1.1, caption=text,
            caption_state=CaptionState.DRAFT if text else CaptionState.MISSING,
            caption_source="motion" if text else "",
        )
        for index, text in enumerate(TEXTS)
    ]  # fmt: skip
    write_lines(project.clips_file, clips)
    return project


def post(client: TestClient, project: Project, route: str, **sent: object) -> dict[str, Any]:
    answer = client.post(f"/wizard/live/{route}", json={"project": str(project.folder), **sent})
    return {"status": answer.status_code, **answer.json()}


def get(client: TestClient, project: Project, route: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/wizard/live/{route}", params={"project": str(project.folder), **query})
    return {"status": answer.status_code, **answer.json()}


def test_the_list_holds_every_clip_with_its_findings(client: TestClient, three: Project) -> None:
    answer = get(client, three, "captions")
    assert [clip["rules"] for clip in answer["clips"]] == [["opener"], ["short"], ["missing"]]
    assert answer["clips"][0]["parts"] == "111110"
    assert answer["summary"]["findings"] == {"opener": 1, "short": 1, "missing": 1}
    assert answer["summary"]["captioned"] == 2


def test_a_change_answers_with_the_rows_that_changed(client: TestClient, three: Project) -> None:
    answer = post(client, three, "captions/do", do="fix", rule="opener", clips=["c0", "c1", "c2"])
    assert [row["id"] for row in answer["rows"]] == ["c0"]
    assert answer["rows"][0]["caption"].startswith("A cat that jumps")
    assert answer["told"] == "1 caption changed."
    assert answer["summary"]["undo"] == "fixed 1 caption: opener"
    back = post(client, three, "captions/do", do="undo")
    assert back["rows"][0]["caption"] == TEXTS[0]
    assert post(client, three, "captions/do", do="redo")["status"] == 200


def test_a_caption_that_another_window_changed_meanwhile_is_not_lost(
    client: TestClient, three: Project
) -> None:
    old, mine, theirs = TEXTS[1], "A dog sleeps on a bed.", "A dog runs over a meadow in the snow."
    assert post(client, three, "caption", clip="c1", was=old, text=theirs)["replaced"] is False
    assert post(client, three, "caption", clip="c1", was=old, text=theirs)["replaced"] is False
    assert post(client, three, "caption", clip="c1", was=old, text=mine)["replaced"] is True
    assert post(client, three, "caption", clip="c1", was=mine, text=f"{mine} Snow.")["replaced"] is False
    assert theirs in [was["text"] for was in get(client, three, "captions/clip", clip="c1")["past"]]
    for _ in range(2):
        post(client, three, "captions/do", do="undo")
    assert read_clips(three)[1].caption == theirs


def test_a_thousand_clips_can_be_named_one_by_one(client: TestClient, three: Project) -> None:
    clips = [f"a-video-with-a-long-name-0123456789-{number:06d}-{number + 120:06d}" for number in range(1000)]
    clips += [f"{clip}-again" for clip in clips]
    assert (
        post(client, three, "captions/do", do="accept", clips=[*clips, "c0"])["told"] == "1 draft accepted."
    )


def test_all_clips_need_no_list_of_ids(client: TestClient, three: Project) -> None:
    assert post(client, three, "captions/do", do="accept", clips="all")["told"] == "2 drafts accepted."
    assert post(client, three, "captions/preview", find="camera", replace="lens", clips="all")["count"] == 2
    answer = post(client, three, "captions/do", do="replace", find="camera", replace="lens", clips=["c1"])
    assert answer["told"] == "1 caption changed."
    answer = post(client, three, "captions/do", do="around", before="Clay.", after="", clips="all")
    assert answer["told"] == "2 captions changed."


def test_tags_are_listed_changed_and_counted(client: TestClient, three: Project) -> None:
    answer = post(client, three, "captions/do", do="tag", add="night, street", clips=["c0", "c1"])
    assert answer["told"] == "2 clips changed."
    assert [row["tags"] for row in answer["rows"]] == [["night", "street"]] * 2
    assert answer["summary"]["tags"] == {"night": 2, "street": 2}
    assert post(client, three, "captions/do", do="tag", add="night", clips=["c0"])["told"] == (
        "Every one of these clips has it already."
    )
    post(client, three, "captions/do", do="tag", remove="night", clips="all")
    listed = get(client, three, "captions")
    assert [clip["tags"] for clip in listed["clips"]] == [["street"], ["street"], []]
    assert (listed["least_words"], listed["most_words"]) == (20, 200)
    assert "too long" in post(client, three, "captions/do", do="tag", add="x" * 30, clips="all")["problem"]


def test_one_clip_tells_its_past_and_its_buttons(client: TestClient, three: Project) -> None:
    post(client, three, "captions/do", do="fix", rule="opener", clips=["c0"])
    answer = get(client, three, "captions/clip", clip="c0")
    assert [was["text"] for was in answer["past"]] == [TEXTS[0]]
    assert answer["motion"] is None
    post(client, three, "captions/do", do="restore", clip="c0", text=TEXTS[0])
    answer = get(client, three, "captions/clip", clip="c0", measure="1")  # its file is missing: no failure
    assert [(item["rule"], item["fix"]) for item in answer["findings"]] == [
        ("opener", "Start with the action")
    ]


@pytest.mark.parametrize(
    ("route", "sent"),
    [
        ("captions/do", {"do": "nothing"}),
        ("captions/do", {"do": "undo"}),
        ("captions/do", {"do": "around", "clips": "all"}),
        ("captions/preview", {"find": "(", "regex": True, "clips": "all"}),
        ("captions/preview", {"find": "", "clips": "all"}),
        ("captions/do", {"do": "replace", "find": "(", "regex": True, "clips": "all"}),
        ("captioners/do", {"do": "nothing"}),
        ("captioners/do", {"do": "check"}),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    client: TestClient,
    three: Project,
    route: str,
    sent: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    answer = post(client, three, route, **sent)
    assert answer["status"] == 422
    assert answer["problem"]
    assert answer["remedy"]
    assert [clip.caption for clip in read_clips(three)] == list(TEXTS)


def test_the_captioners_are_listed_without_the_key(
    client: TestClient, three: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    post(client, three, "captioners/do", do="server", address="http://localhost:1234/v1", key="sk-secret")
    answer = client.get("/wizard/live/captioners", params={"project": str(three.folder)})
    assert "sk-secret" not in answer.text
    assert answer.json()["server"]["has_key"] is True
    assert "motion" in [choice["name"] for choice in answer.json()["choices"]]
    told = post(client, three, "captioners/do", do="instruction", text="Say it in rhymes. {facts}")
    assert told["instruction"] == "Say it in rhymes. {facts}"


def test_a_clip_that_is_gone_is_said_so(client: TestClient, three: Project) -> None:
    assert get(client, three, "captions/clip", clip="gone")["status"] == 422
