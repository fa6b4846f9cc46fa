"""The step Check as JSON: small whatever the size of the dataset, and every clip on request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from looked_at import write_looked_at
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.app import checking, jobs, recipes
from ltx_wizard.core.events import EventWriter, Failed, Finished, Started, Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import ContactSheetJob, CropJob
from ltx_wizard.ui.live import live_routes
from ltx_wizard.ui.media import media_routes
from ltx_wizard.ui.steps.check import outcome_card
from ltx_wizard.ui.steps.check_data import check_json


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=[*live_routes(), *media_routes()]))


def shown(project: Project) -> dict[str, Any]:
    return json.loads(json.dumps(check_json(project, checking.look(project), "")))


def ask(client: TestClient, project: Project, of: str, finding: str = "") -> Any:
    query = {"project": str(project.folder), "of": of, "id": finding}
    return client.get("/wizard/live/check/clips", params=query)


def test_what_the_page_gets_does_not_grow_with_the_clips(project: Project, client: TestClient) -> None:
    write_looked_at(project, 500)
    data = shown(project)
    assert len(json.dumps(data)) < 60_000
    findings = {item["id"]: item for item in data["findings"]}
    assert (findings["sizes"]["count"], findings["sizes"]["tiles"]) == (500, [])  # true of all: no picture
    assert [tile["id"] for tile in findings["doubles"]["tiles"]] == ["clip-005"]
    assert (data["held"]["count"], len(data["held"]["tiles"])) == (50, 14)
    assert len(ask(client, project, "candidates").json()["items"]) == 500


def test_copies_stand_beside_the_clip_that_stays(project: Project, client: TestClient) -> None:
    write_looked_at(project)
    items = ask(client, project, "finding", "doubles").json()["items"]
    assert [(item["id"], item.get("stays", False), item["on"]) for item in items] == [
        ("clip-004", True, False),
        ("clip-005", False, True),
    ]
    alike = ask(client, project, "finding", "alike").json()["items"]
    assert [(item["id"], item["on"]) for item in alike] == [("clip-004", False), ("clip-006", False)]
    gone = ask(client, project, "finding", "readable")
    assert gone.status_code == 422 and "fixed already" in gone.json()["problem"]


def test_candidates_for_validation_say_which_are_kept_now(project: Project, client: TestClient) -> None:
    write_looked_at(project)
    checking.choose_held_out(project, ["clip-002", "clip-005"])
    items = ask(client, project, "candidates").json()["items"]
    assert [item["id"] for item in items if item["on"]] == ["clip-002", "clip-005"]
    held = shown(project)["held"]
    assert not held["automatic"] and held["doubtful"] == 1
    assert held["tiles"][0]["id"] == "clip-005" and held["tiles"][0]["like"] == "bus.mp4 at 0:40.0"


def test_what_was_left_out_keeps_its_picture_and_the_newest_comes_first(project: Project) -> None:
    write_looked_at(project)
    checking.leave_out(project, checking.find_finding(project, "doubles"), ["clip-005"])
    checking.leave_out(project, checking.find_finding(project, "alike"), ["clip-006"])
    left = shown(project)["left"]
    assert left["count"] == 2
    assert [(batch["reason"], batch["ids"]) for batch in left["batches"]] == [
        ("alike", ["clip-006"]),
        ("doubles", ["clip-005"]),
    ]
    assert checking.find_clip(project, "clip-005") is not None


def test_a_job_that_did_not_end_well_says_so_until_another_one_starts(project: Project) -> None:
    write_looked_at(project)
    assert outcome_card(project, "") == ""
    job = jobs.create_job(project, CropJob())
    writer = EventWriter(job.events_file)
    for event in (
        Started(pid=1),
        *(Warned(message=f"clip-{number:03d}: The original is <gone>.") for number in range(5)),
        Finished(result={"clips": 0}),
    ):
        writer.write(event)
    card = outcome_card(project, "")
    assert "5 problems while cropping clips" in card and "and 2 more" in card
    assert "&lt;gone&gt;" in card
    assert outcome_card(project, "check_clips") == ""
    failed = jobs.create_job(project, ContactSheetJob())
    EventWriter(failed.events_file).write(Failed(problem="The disk is full.", remedy="Make room.", step=0))
    assert "Drawing the contact sheet ended early: The disk is full." in outcome_card(project, "")


def test_a_copy_without_a_picture_is_not_found(project: Project, client: TestClient) -> None:
    write_looked_at(project)
    recipes.change_settings(project, {"data.mirror": "all"})
    examples = shown(project)["copies"]["examples"]
    assert {example["name"] for example in examples} == {"mirrored"}
    assert client.get(examples[0]["after"]).status_code == 404  # the clip's file is no video
    assert client.get("/wizard/copy/unknown/clip-000/mirrored").status_code == 404
