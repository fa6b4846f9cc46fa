from __future__ import annotations

import errno
import os
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ltx_wizard.core import documents
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Scene, Source, SourceScenes
from ltx_wizard.core.errors import BadSetting, Busy, NoSpace, NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.dataset import dataset
from ltx_wizard.dataset.dataset import (
    add_clips,
    add_source,
    choose_held_out,
    fingerprint,
    read_clips,
    read_removed_clips,
    read_scenes,
    read_sources,
    remove_clips,
    remove_source,
    replace_in_captions,
    set_caption,
    set_regularisation,
    update_clip,
    write_scenes,
)


def make_source(source_id: str, **changes: Any) -> Source:
    fields: dict[str, Any] = {
        "id": source_id,
        "file": f"sources/{source_id}.mp4",
        "original_name": f"{source_id}.mp4",
        "kind": MediaKind.VIDEO,
        "width": 64,
        "height": 64,
        "fps": 8.0,
        "frames": 48,
        "duration_s": 6.0,
    }
    return Source.model_validate({**fields, **changes})


def make_clip(clip_id: str, **changes: Any) -> Clip:
    fields: dict[str, Any] = {
        "id": clip_id,
        "source_id": clip_id.split("-")[0],
        "file": f"clips/{clip_id}.mp4",
        "kind": MediaKind.VIDEO,
        "width": 64,
        "height": 64,
        "fps": 8.0,
        "frames": 24,
        "duration_s": 3.0,
    }
    return Clip.model_validate({**fields, **changes})


@pytest.fixture
def filled(project: Project) -> Project:
    """Two sources and three clips, with files."""
    for source_id in ("a", "b"):
        add_source(project, make_source(source_id))
        file = project.path(f"sources/{source_id}.mp4")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"video " + source_id.encode())
    add_clips(
        project,
        [
            make_clip("b-000000-000024", caption="A dog runs.", caption_state=CaptionState.WRITTEN),
            make_clip("a-000024-000048", start_frame=24),
            make_clip("a-000000-000024", caption="A cat sleeps.", caption_state=CaptionState.DRAFT),
        ],
    )
    project.clips_folder.mkdir()
    for clip in read_clips(project):
        project.path(clip.file).write_bytes(b"clip " + clip.id.encode())
    return project


def test_a_new_project_has_empty_lists(project: Project) -> None:
    assert read_sources(project) == []
    assert read_clips(project) == []
    assert read_scenes(project) == {}


def test_clips_stand_in_the_order_of_sources_and_time(filled: Project) -> None:
    ids = [clip.id for clip in read_clips(filled)]
    assert ids == ["a-000000-000024", "a-000024-000048", "b-000000-000024"]


def test_a_typed_caption_is_written_and_an_emptied_one_missing(filled: Project) -> None:
    clip = set_caption(filled, "a-000024-000048", "A bird\nsings <b>now</b>.")
    assert (clip.caption, clip.caption_state, clip.caption_source) == (
        "A bird\nsings <b>now</b>.",
        CaptionState.WRITTEN,
        "you",
    )
    clip = set_caption(filled, "a-000024-000048", "   ")
    assert (clip.caption, clip.caption_state) == ("", CaptionState.MISSING)
    assert read_clips(filled)[1] == clip


def test_half_an_emoji_does_not_break_the_file(filled: Project) -> None:
    assert set_caption(filled, "a-000024-000048", "A cat \ud83d runs.").caption == "A cat ? runs."
    assert read_clips(filled)[1].caption == "A cat ? runs."


def test_an_unknown_clip_cannot_be_captioned(filled: Project) -> None:
    before = filled.clips_file.read_bytes()
    with pytest.raises(NotFound) as caught:
        set_caption(filled, "nobody", "text")
    assert "nobody" in caught.value.problem
    assert filled.clips_file.read_bytes() == before


def test_a_field_that_does_not_exist_is_refused(filled: Project) -> None:
    with pytest.raises(BadSetting, match="colour"):
        update_clip(filled, "a-000000-000024", colour="red")


def test_a_full_disk_leaves_the_captions_as_they_were(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in filled.folder.rglob("*") if path.is_file()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(documents.os, "fsync", full)
    with pytest.raises(NoSpace) as caught:
        set_caption(filled, "a-000000-000024", "Something new.")
    assert "What was saved before is unchanged" in caught.value.remedy
    assert {path: path.read_bytes() for path in filled.folder.rglob("*") if path.is_file()} == before


def test_captions_typed_in_two_places_at_once_are_both_kept(filled: Project) -> None:
    ids = [clip.id for clip in read_clips(filled)]
    threads = [
        threading.Thread(target=lambda i=index: set_caption(filled, ids[i % 3], f"Caption {i % 3}, {i}."))
        for index in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [clip.caption.split(",")[0] for clip in read_clips(filled)] == [
        "Caption 0",
        "Caption 1",
        "Caption 2",
    ]


def test_a_project_that_stays_locked_says_busy(filled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "LOCK_TIMEOUT_S", 0.05)
    with dataset.project_lock(filled), pytest.raises(Busy):
        set_caption(filled, "a-000000-000024", "text")


def test_replacing_can_be_looked_at_first(filled: Project) -> None:
    wanted = [("a-000000-000024", "A cat sleeps.", "A tabby cat sleeps.")]
    assert replace_in_captions(filled, "A cat", "A tabby cat", preview=True) == wanted
    assert read_clips(filled)[0].caption == "A cat sleeps."
    assert replace_in_captions(filled, "A cat", "A tabby cat") == wanted
    assert read_clips(filled)[0].caption == "A tabby cat sleeps."
    assert read_clips(filled)[0].caption_state is CaptionState.DRAFT


def test_replacing_by_pattern(filled: Project) -> None:
    found = replace_in_captions(filled, r"A (\w+)", r"One \1", regex=True)
    assert [after for _, _, after in found] == ["One cat sleeps.", "One dog runs."]


def test_a_pattern_that_matches_nothing_at_all_writes_no_caption_where_there_is_none(filled: Project) -> None:
    empty = [clip for clip in read_clips(filled) if not clip.caption]
    found = replace_in_captions(filled, "^", "At night: ", regex=True)
    assert [after for _, _, after in found] == ["At night: A cat sleeps.", "At night: A dog runs."]
    assert empty
    assert [clip for clip in read_clips(filled) if not clip.caption] == empty


@pytest.mark.parametrize(("find", "replace"), [("(", "x"), ("a", r"\7"), ("a", r"\g<nope>"), ("", "x")])
def test_a_bad_pattern_changes_nothing(filled: Project, find: str, replace: str) -> None:
    before = filled.clips_file.read_bytes()
    with pytest.raises(BadSetting):
        replace_in_captions(filled, find, replace, regex=True)
    assert filled.clips_file.read_bytes() == before


def test_a_pattern_that_would_search_for_ever_changes_nothing_and_says_so(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_caption(filled, "a-000000-000024", "a" * 60 + "!")
    before = filled.clips_file.read_bytes()
    monkeypatch.setattr(dataset, "substitute", partial(dataset.substitute, longest_s=1.0))
    with pytest.raises(BadSetting, match="takes too long") as caught:
        replace_in_captions(filled, "(a+)+$", "x", regex=True)
    assert "repeat inside a repeat" in caught.value.remedy
    assert filled.clips_file.read_bytes() == before


def test_a_caption_that_replacing_empties_is_missing(filled: Project) -> None:
    replace_in_captions(filled, "A dog runs.", "")
    assert read_clips(filled)[2].caption_state is CaptionState.MISSING


def test_regularisation_marks_the_source_and_its_clips(filled: Project) -> None:
    set_regularisation(filled, "a", True)
    assert [source.regularisation for source in read_sources(filled)] == [True, False]
    assert [clip.regularisation for clip in read_clips(filled)] == [True, True, False]


def test_removed_clips_leave_their_captions_behind(filled: Project) -> None:
    file = filled.path("clips/a-000000-000024.mp4")
    remove_clips(filled, ["a-000000-000024", "a-000024-000048"])
    assert [clip.id for clip in read_clips(filled)] == ["b-000000-000024"]
    assert [clip.caption for clip in read_removed_clips(filled)] == ["A cat sleeps."]
    assert not file.exists()


def test_removing_a_source_takes_its_scenes_and_clips_along(filled: Project) -> None:
    scene = Scene(start_frame=0, end_frame=48, start_s=0, end_s=6)
    write_scenes(filled, SourceScenes.model_validate({"source_id": "a", "scenes": (scene,)}))
    remove_source(filled, "a")
    assert [source.id for source in read_sources(filled)] == ["b"]
    assert [clip.id for clip in read_clips(filled)] == ["b-000000-000024"]
    assert read_scenes(filled) == {}
    assert not filled.path("sources/a.mp4").exists()
    assert filled.path("sources/b.mp4").exists()


def test_the_fingerprint_survives_a_copy_of_the_project(filled: Project, tmp_path: Path) -> None:
    before = fingerprint(filled)
    copy = Project(Path(shutil.copytree(filled.folder, tmp_path / "copy")))
    os.utime(copy.path("clips/a-000000-000024.mp4"), (1, 1))
    assert fingerprint(copy) == before


def test_the_fingerprint_changes_with_captions_and_files(filled: Project) -> None:
    seen = {fingerprint(filled)}
    set_caption(filled, "a-000000-000024", "Another caption.")
    seen.add(fingerprint(filled))
    filled.path("clips/a-000000-000024.mp4").write_bytes(b"longer than it was before")
    seen.add(fingerprint(filled))
    set_regularisation(filled, "b", True)
    seen.add(fingerprint(filled))
    assert len(seen) == 4


def test_held_out_clips_are_the_same_every_time() -> None:
    clips = [make_clip(f"a-{index}") for index in range(20)]
    chosen = choose_held_out(clips, 0.1, 42)
    assert len(chosen) == 2
    assert choose_held_out(list(reversed(clips)), 0.1, 42) == chosen
    assert choose_held_out(clips, 0.1, 43) != chosen


def test_held_out_clips_are_never_regularisation_and_never_all() -> None:
    clips = [make_clip(f"a-{index}", regularisation=index >= 4) for index in range(20)]
    assert len(choose_held_out(clips, 0.1, 1)) == 1
    assert len(choose_held_out(clips, 0.5, 1)) == 2
    assert all(int(clip_id.split("-")[1]) < 4 for clip_id in choose_held_out(clips, 0.5, 1))
    assert choose_held_out(clips[:2], 0.5, 1) == set()
    assert choose_held_out(clips, 0.0, 1) == set()
