from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ltx_wizard.app import settings as app_settings
from ltx_wizard.core import places
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import read_sources
from ltx_wizard.dataset.importing import import_files
from ltx_wizard.ui import media


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=media.media_routes()))


@pytest.fixture
def clip(project: Project) -> str:
    """A file of the project, with content that a range can be checked against."""
    project.clips_folder.mkdir()
    (project.clips_folder / "a b's 🎬.mp4").write_bytes(bytes(range(256)) * 8)
    return "clips/a b's 🎬.mp4"


def test_a_file_of_an_open_project_is_served(client: TestClient, project: Project, clip: str) -> None:
    answer = client.get(media.file_url(project, clip))
    assert answer.status_code == 200
    assert answer.content == bytes(range(256)) * 8
    assert answer.headers["content-type"] == "video/mp4"


def test_addresses_say_nothing_about_where_the_project_lies(project: Project, clip: str) -> None:
    address = media.file_url(project, clip)
    assert project.folder.name not in address
    assert str(project.folder.parent) not in address


def test_what_is_served_can_do_nothing_in_the_page(client: TestClient, project: Project, clip: str) -> None:
    for address in (media.file_url(project, clip), media.download_url(project, clip)):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "sandbox" in headers["content-security-policy"]


def test_a_versioned_address_may_be_kept_and_a_plain_one_must_be_asked_again(
    client: TestClient, project: Project, clip: str
) -> None:
    assert "immutable" in client.get(media.file_url(project, clip, version=3)).headers["cache-control"]
    plain = client.get(media.file_url(project, clip)).headers
    assert "no-cache" in plain["cache-control"]
    assert plain["etag"]


@pytest.mark.parametrize(
    ("asked", "status", "first", "length"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, 1948),
        ("bytes=-5", 206, 2043, 5),
        ("bytes=2047-", 206, 2047, 1),
        ("bytes=0-99999", 206, 0, 2048),
    ],
)
def test_players_can_seek(
    client: TestClient, project: Project, clip: str, asked: str, status: int, first: int, length: int
) -> None:
    answer = client.get(media.file_url(project, clip), headers={"Range": asked})
    assert answer.status_code == status
    assert answer.content == (bytes(range(256)) * 8)[first : first + length]
    assert answer.headers["content-range"] == f"bytes {first}-{first + length - 1}/2048"


def test_a_range_beyond_the_end_is_refused(client: TestClient, project: Project, clip: str) -> None:
    answer = client.get(media.file_url(project, clip), headers={"Range": "bytes=5000-"})
    assert answer.status_code == 416


def test_a_download_arrives_under_its_name(client: TestClient, project: Project, clip: str) -> None:
    disposition = client.get(media.download_url(project, clip)).headers["content-disposition"]
    assert disposition.startswith("attachment")
    assert quote("a b's 🎬.mp4", safe="'") in disposition or quote("a b's 🎬.mp4") in disposition


def test_lora_files_are_downloads_only(client: TestClient, project: Project) -> None:
    project.exports_folder.mkdir()
    (project.exports_folder / "x.safetensors").write_bytes(b"1234")
    answer = client.get(media.file_url(project, "exports/x.safetensors"))
    assert answer.content == b"1234"
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name",
    [
        "project.json",
        "clips.jsonl",
        "page.html",
        "picture.svg",
        "script.js",
        "worker.log",
        "noend",
        "x.mp4.html",
    ],
)
def test_only_videos_pictures_and_loras_are_served(client: TestClient, project: Project, name: str) -> None:
    (project.folder / name).touch()
    assert client.get(media.file_url(project, name)).status_code == 404
    assert client.get(media.download_url(project, name)).status_code == 404


@pytest.mark.parametrize(
    "relative",
    [
        "../secret.mp4",
        "clips/../../secret.mp4",
        "..%2fsecret.mp4",
        "%2e%2e/secret.mp4",
        "%2e%2e%2fsecret.mp4",
        "clips/..%2f..%2fsecret.mp4",
        "..%5csecret.mp4",
        "//secret.mp4",
        "clips%00.mp4",
        "",
        "clips",
        ".",
        "x" * 300 + ".mp4",
        "missing.mp4",
    ],
)
def test_no_path_leads_out_of_the_project(
    client: TestClient, project: Project, clip: str, tmp_path: Path, relative: str
) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    answer = client.get(f"/wizard/media/{media.token_of(project)}/{relative}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content


def test_an_absolute_path_is_not_served(client: TestClient, project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    for path in (f"{tmp_path}/secret.mp4", quote(f"{tmp_path}/secret.mp4", safe="")):
        assert client.get(f"/wizard/media/{media.token_of(project)}/{path}").status_code == 404


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_link_out_of_the_project_is_not_followed(
    client: TestClient, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (project.folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (project.folder / "out").symlink_to(tmp_path)
    for relative in ("link.mp4", "out/secret.mp4"):
        assert client.get(media.file_url(project, relative)).status_code == 404


def test_unknown_projects_are_not_found(client: TestClient, project: Project, clip: str) -> None:
    address = media.file_url(project, clip)
    token = media.token_of(project)
    for wrong in ("0" * 20, "", token[:-1], token.upper() + "x", "..", quote(str(project.folder), safe="")):
        assert client.get(address.replace(token, wrong)).status_code == 404


def test_a_project_that_the_app_does_not_know_is_not_served(
    client: TestClient, project: Project, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = media.file_url(project, clip)
    monkeypatch.setattr(media, "_opened", {})  # as after a restart
    assert client.get(address).status_code == 404
    app_settings.remember_project(project.folder)
    assert client.get(address).status_code == 200


def test_a_project_that_was_removed_is_not_served(client: TestClient, project: Project, clip: str) -> None:
    address = media.file_url(project, clip)
    project.settings_file.unlink()
    assert client.get(address).status_code == 404


def test_files_are_read_only(client: TestClient, project: Project, clip: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, media.file_url(project, clip)).status_code == 405
    assert (project.folder / clip).exists()


def test_pictures_are_made_when_they_are_asked_for(
    client: TestClient, project: Project, make_video: Callable[..., Path]
) -> None:
    import_files(project, [make_video(frames=24)])
    (source,) = read_sources(project)
    answer = client.get(media.source_picture(project, source))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    "rest",
    ["source/unknown", "clip/unknown", "scene/unknown?span=0-3", "planet/x", "source/%2e%2e", "clip/a%00"],
)
def test_pictures_of_what_is_not_there_are_not_found(client: TestClient, project: Project, rest: str) -> None:
    assert client.get(f"/wizard/picture/{media.token_of(project)}/{rest}").status_code == 404


def test_pictures_of_a_damaged_project_are_not_found(client: TestClient, project: Project) -> None:
    project.clips_file.write_text("{")
    assert client.get(f"/wizard/picture/{media.token_of(project)}/clip/x").status_code == 404


def test_our_own_styles_and_scripts_are_served_and_nothing_else_of_assets(client: TestClient) -> None:
    styles = sorted((places.ASSETS / "css").glob("*.css"))
    scripts = sorted((places.ASSETS / "js").glob("*.js"))
    assert styles
    assert scripts
    for path in (*styles, *scripts):
        answer = client.get(f"/wizard/assets/{path.parent.name}/{path.name}")
        assert answer.status_code == 200
        assert answer.content == path.read_bytes()
    for wrong in (
        "css/../../pyproject.toml",
        "css/..%2f..%2fpyproject.toml",
        f"css/{scripts[0].name}",
        "sample/sample.json",
        "css/missing.css",
        "css/..%5cx.css",
        "css/%2e%2e",
        "js/a%00.js",
        "css/" + "x" * 300 + ".css",
    ):
        assert client.get(f"/wizard/assets/{wrong}").status_code == 404
