from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ltx_wizard.core.clip import CaptionState, MediaKind, told_apart
from ltx_wizard.core.errors import NoPermission, NoSpace, NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, SilentReport
from ltx_wizard.dataset import importing
from ltx_wizard.dataset.dataset import read_clips, read_rejected, read_sources
from ltx_wizard.dataset.importing import caption_for, import_files, media_files_in

MakeVideo = Callable[..., Path]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_video_becomes_a_source(project: Project, make_video: MakeVideo, inbox: Path) -> None:
    path = make_video("My Holiday.mp4", folder=inbox)
    report = import_files(project, [path])
    (source,) = report.added
    assert read_sources(project) == [source]
    assert source.id.startswith("My-Holiday-")
    assert source.original_name == "My Holiday.mp4"
    assert (source.kind, source.frames, source.fps) == (MediaKind.VIDEO, 24, 8.0)
    assert project.path(source.file).read_bytes() == path.read_bytes()
    assert read_clips(project) == []
    assert path.exists()


def test_importing_takes_no_space_where_it_can(project: Project, make_video: MakeVideo, inbox: Path) -> None:
    path = make_video(folder=inbox)
    (source,) = import_files(project, [path]).added
    assert project.path(source.file).samefile(path)


def test_importing_copies_where_it_cannot_link(
    project: Project, make_video: MakeVideo, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(importing.os, "link", refuse)
    path = make_video(folder=inbox)
    (source,) = import_files(project, [path]).added
    assert project.path(source.file).read_bytes() == path.read_bytes()
    assert not project.path(source.file).samefile(path)


@pytest.mark.parametrize(
    "name", ["a b  c.mp4", 'it\'s "mine".mp4', "😀🎬.mp4", "x" * 196 + ".mp4", "..%2f<b>.mp4", "-rf.mp4"]
)
def test_any_name_becomes_a_safe_one(project: Project, make_video: MakeVideo, inbox: Path, name: str) -> None:
    path = inbox / name
    shutil.move(make_video(), path)
    (source,) = import_files(project, [path]).added
    stored = project.path(source.file)
    assert stored.is_file()
    assert stored.name.isascii()
    assert len(stored.name) < 70
    assert not set(stored.name) & set(" '\"<>%\\/:")
    assert not stored.name.startswith("-")
    assert source.original_name == name


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes only there")
def test_names_that_are_not_text_are_imported_and_rejected_like_others(
    project: Project, make_video: MakeVideo, inbox: Path
) -> None:
    good, bad = (
        Path(os.fsdecode(bytes(inbox) + b"/\xffgood.mp4")),
        Path(os.fsdecode(bytes(inbox) + b"/\xff.mp4")),
    )
    shutil.move(make_video(), good)
    bad.touch()
    report = import_files(project, [good, bad, Path("nul\0byte.mp4")])
    assert [source.original_name for source in report.added] == ["?good.mp4"]
    assert [item.name for item in report.rejected] == ["?.mp4", "nul\0byte.mp4"]
    assert read_sources(project) == report.added


def test_the_same_content_is_imported_once(project: Project, make_video: MakeVideo, inbox: Path) -> None:
    path = make_video("one.mp4", folder=inbox)
    twin = inbox / "two.mp4"
    shutil.copy(path, twin)
    assert import_files(project, [path, twin]).skipped_duplicates == ["two.mp4"]
    assert import_files(project, [path]).skipped_duplicates == ["one.mp4"]
    assert len(read_sources(project)) == 1


def test_broken_files_are_listed_with_the_reason_and_the_rest_go_on(
    project: Project, make_video: MakeVideo, inbox: Path
) -> None:
    (inbox / "empty.mp4").touch()
    (inbox / "page.mp4").write_text("hello")
    good = make_video("good.mp4", folder=inbox)
    report = import_files(project, [inbox / "empty.mp4", inbox / "page.mp4", inbox / "gone.mov", inbox, good])
    assert [source.original_name for source in report.added] == ["good.mp4"]
    assert [item.name for item in report.rejected] == ["empty.mp4", "page.mp4", "gone.mov", "inbox"]
    assert all(item.problem and item.remedy for item in report.rejected)
    assert read_rejected(project) == report.rejected
    assert len(list(project.sources_folder.iterdir())) == 1
    import_files(project, [inbox / "empty.mp4"])
    assert len(read_rejected(project)) == 4


def test_an_image_is_a_clip_at_once(project: Project, inbox: Path) -> None:
    path = inbox / "Photo 1.PNG"
    Image.new("RGB", (80, 60), "red").save(path)
    path.with_suffix(".txt").write_text("A red\nwall.\n")
    (source,) = import_files(project, [path]).added
    (clip,) = read_clips(project)
    assert (clip.id, clip.kind, clip.frames, clip.file) == (source.id, MediaKind.IMAGE, 1, source.file)
    assert (clip.caption, clip.caption_state, clip.caption_source) == (
        "A red wall.",
        CaptionState.WRITTEN,
        "imported",
    )


def test_a_png_named_mp4_is_stored_under_its_true_kind(project: Project, inbox: Path) -> None:
    path = inbox / "picture.mp4"
    Image.new("RGB", (80, 60), "red").save(path, format="PNG")
    (source,) = import_files(project, [path]).added
    assert source.file.endswith(".png")
    assert source.kind is MediaKind.IMAGE


def test_regularisation_is_marked(project: Project, inbox: Path) -> None:
    path = inbox / "p.png"
    Image.new("RGB", (80, 60), "red").save(path)
    import_files(project, [path], regularisation=True)
    assert read_sources(project)[0].regularisation
    assert read_clips(project)[0].regularisation


def test_captions_by_time_go_to_the_clip_they_cover_most(
    project: Project, make_video: MakeVideo, inbox: Path
) -> None:
    path = make_video("v.mp4", folder=inbox)
    timed = [
        {"start_s": 0, "end_s": 2, "caption": "First\nthis."},
        {"start_s": 2, "end_s": 5, "caption": "Then that.", "note": "ignored"},
    ]
    path.with_name("v.captions.json").write_text(json.dumps(timed))
    path.with_suffix(".txt").write_text("All of it.")
    (source,) = import_files(project, [path]).added
    assert source.warnings == ()
    assert caption_for(project, source.id, 0.0, 2.0) == "First this."
    assert caption_for(project, source.id, 1.5, 4.0) == "Then that."
    assert caption_for(project, source.id, 1.0, 3.0) in ("First this.", "Then that.")
    assert caption_for(project, source.id, 4.5, 9.0) == "All of it."


@pytest.mark.parametrize("content", [b"not json", b"[{}]", b'{"a": 1}', b"\xff\xfe\x00broken"])
def test_a_broken_sidecar_is_a_warning(
    project: Project, make_video: MakeVideo, inbox: Path, content: bytes
) -> None:
    path = make_video("v.mp4", folder=inbox)
    path.with_name("v.captions.json").write_bytes(content)
    (source,) = import_files(project, [path]).added
    assert source.warnings[0].startswith("Its captions were not used: v.captions.json is")
    assert caption_for(project, source.id, 0, 3) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_sidecar_is_read_in_the_encodings_that_editors_write(
    project: Project, make_video: MakeVideo, inbox: Path, encoding: str
) -> None:
    path = make_video("v.mp4", folder=inbox)
    path.with_name("v.txt").write_bytes("Ein Hund läuft.\r\nEr bellt.\r\n".encode(encoding))
    (source,) = import_files(project, [path]).added
    assert source.warnings == ()
    assert caption_for(project, source.id, 0, 3) == "Ein Hund läuft. Er bellt."


@pytest.mark.parametrize("name", ["v.txt", "V.TXT", "v.mp4.txt", "v.caption"])
def test_captions_beside_a_file_may_be_called_as_trainers_call_them(
    project: Project, make_video: MakeVideo, inbox: Path, name: str
) -> None:
    path = make_video("v.mp4", folder=inbox)
    (inbox / name).write_text("A dog\nruns.")
    (source,) = import_files(project, [path]).added
    assert caption_for(project, source.id, 0, 3) == "A dog runs."


def test_a_sidecar_in_an_unknown_encoding_says_what_to_do(
    project: Project, make_video: MakeVideo, inbox: Path
) -> None:
    path = make_video("v.mp4", folder=inbox)
    path.with_name("v.txt").write_bytes("Ein Hund läuft.".encode("latin-1"))
    (source,) = import_files(project, [path]).added
    assert source.warnings[0].startswith("Its captions were not used: v.txt is not UTF-8 text")
    assert "save it with the encoding UTF-8" in source.warnings[0]


def test_a_sidecar_may_be_given_from_another_folder(
    project: Project, make_video: MakeVideo, inbox: Path, tmp_path: Path
) -> None:
    """Uploaded files arrive each in a folder of its own."""
    path = make_video("v.mp4", folder=inbox)
    other = tmp_path / "other"
    other.mkdir()
    (other / "v.txt").write_text("Caption.")
    report = import_files(project, [other / "v.txt", path])
    assert report.rejected == []
    assert caption_for(project, report.added[0].id, 0, 3) == "Caption."


def test_captions_without_their_file_are_not_lost_in_silence(
    project: Project, make_video: MakeVideo, inbox: Path
) -> None:
    path = make_video("v.mp4", folder=inbox)
    for name in ("v.txt", "other.txt"):
        (inbox / name).write_text("Caption.")
    report = import_files(project, [path, inbox / "v.txt", inbox / "other.txt"])
    assert (len(report.added), [item.name for item in report.rejected]) == (1, ["other.txt"])
    again = import_files(project, [path, inbox / "v.txt"])  # the video is here already
    assert [item.name for item in again.rejected] == ["v.txt"]
    assert [item.name for item in read_rejected(project)] == ["other.txt", "v.txt"]


def test_files_of_one_name_keep_the_captions_that_lie_beside_them(
    project: Project, make_video: MakeVideo, tmp_path: Path, numbered: Callable
) -> None:
    given: list[Path] = []
    for number, place in enumerate(("Paris", "Rome")):
        (tmp_path / place).mkdir()
        given.append(make_video("v.mp4", folder=tmp_path / place, frames=numbered(24, first=number)))
        given.append(tmp_path / place / "v.TXT")
        given[-1].write_text(f"In {place}.")
    report = import_files(project, given)
    assert report.rejected == []
    assert [caption_for(project, source.id, 0, 3) for source in report.added] == ["In Paris.", "In Rome."]
    assert list(told_apart(read_sources(project)).values()) == ["Paris/v.mp4", "Rome/v.mp4"]


def test_captions_that_may_belong_to_several_files_are_given_to_none_and_listed(
    project: Project, make_video: MakeVideo, tmp_path: Path, numbered: Callable
) -> None:
    """Uploads lie each in a folder of its own, which is named by a hash."""
    given: list[Path] = []
    for number in range(4):
        folder = tmp_path / f"{number:064x}"
        folder.mkdir()
        if number < 2:
            given.append(make_video("v.mp4", folder=folder, frames=numbered(24, first=number)))
        else:
            given.append(folder / "v.txt")
            given[-1].write_text("Whose?")
    report = import_files(project, given)
    assert [caption_for(project, source.id, 0, 3) for source in report.added] == ["", ""]
    assert ["not certain" in item.problem for item in report.rejected] == [True, True]
    assert list(told_apart(read_sources(project)).values()) == ["v.mp4", "v.mp4 (2)"]


def test_broken_files_of_one_name_are_both_listed(project: Project, tmp_path: Path) -> None:
    given = [tmp_path / place / "v.mp4" for place in ("Paris", "Rome")]
    for path in given:
        path.parent.mkdir()
        path.write_bytes(b"")
    import_files(project, given)
    assert [item.name for item in read_rejected(project)] == ["Paris/v.mp4", "Rome/v.mp4"]


def test_a_full_disk_stops_the_import_and_leaves_nothing_half(
    project: Project, make_video: MakeVideo, inbox: Path, numbered: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_video("first.mp4", folder=inbox)
    second = make_video("second.mp4", frames=numbered(16, first=9), folder=inbox)
    import_files(project, [first])
    before = contents(project.folder)

    def cross_device(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(_: Path, target: Path) -> None:
        target.write_bytes(b"half a vid")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(importing.os, "link", cross_device)
    monkeypatch.setattr(importing.shutil, "copyfile", full)
    with pytest.raises(NoSpace) as caught:
        import_files(project, [second])
    assert "is full" in caught.value.problem
    assert contents(project.folder) == before


def test_a_full_disk_while_writing_the_list_takes_the_file_back(
    project: Project, make_video: MakeVideo, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(folder=inbox)
    before = contents(project.folder)

    def full(*_: object) -> None:
        raise NoSpace(problem="The disk is full.", remedy="Free some space.")

    monkeypatch.setattr(importing, "add_source", full)
    with pytest.raises(NoSpace):
        import_files(project, [path])
    assert contents(project.folder) == before
    assert path.exists()


def test_cancelling_keeps_what_is_imported(
    project: Project, make_video: MakeVideo, inbox: Path, numbered: Callable
) -> None:
    class StopsAfterOne(SilentReport):
        def stop_requested(self) -> bool:
            return bool(read_sources(project))

    paths = [make_video(f"{i}.mp4", frames=numbered(10 + i), folder=inbox) for i in range(3)]
    with pytest.raises(Cancelled):
        import_files(project, paths, report=StopsAfterOne())
    assert len(read_sources(project)) == 1


def test_a_folder_gives_its_media_by_name(inbox: Path) -> None:
    for name in ("b.MP4", "a.jpg", "c.txt", ".hidden.mp4", "d.gif"):
        (inbox / name).touch()
    (inbox / "folder.mp4").mkdir()
    assert [path.name for path in media_files_in(inbox)] == ["a.jpg", "b.MP4", "d.gif"]


def test_files_of_cameras_and_older_programs_are_found_in_a_folder(inbox: Path) -> None:
    names = ["a.MTS", "b.m2ts", "c.mpg", "d.wmv", "e.3gp", "f.flv", "g.bmp"]
    for name in [*names, "notes.doc"]:
        (inbox / name).touch()
    assert [path.name for path in media_files_in(inbox)] == names


def test_a_folder_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        media_files_in(tmp_path / "gone")
    assert "does not exist" in caught.value.problem
    assert "spelling" in caught.value.remedy


def test_a_folder_without_media_says_so(inbox: Path) -> None:
    with pytest.raises(NotFound, match="no video or image"):
        media_files_in(inbox)


def test_a_folder_of_folders_names_those_with_media(inbox: Path) -> None:
    for name in ("a/v.mp4", "b/c/v.mp4", "d/v.JPG"):
        (inbox / name).parent.mkdir(parents=True)
        (inbox / name).touch()
    with pytest.raises(NotFound, match="directly in") as caught:
        media_files_in(inbox)
    assert caught.value.remedy == "Choose one of its folders that hold some: a, d."


def test_a_folder_without_permission_says_so(inbox: Path, without_rights: Callable) -> None:
    inbox.chmod(0)
    with without_rights(), pytest.raises(NoPermission) as caught:
        media_files_in(inbox)
    inbox.chmod(0o700)
    assert "does not let LTX Wizard use" in caught.value.problem
    assert "permissions" in caught.value.remedy


def test_a_project_that_may_not_be_written_is_left_alone(
    project: Project, make_video: MakeVideo, without_rights: Callable
) -> None:
    path = make_video()
    for folder in (project.folder, *project.folder.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    project.folder.chmod(0o555)
    before = contents(project.folder)
    with without_rights(), pytest.raises(NoPermission):
        import_files(project, [path])
    project.folder.chmod(0o755)
    assert contents(project.folder) == before
