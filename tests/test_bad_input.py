"""Everything bad that a person can give, and which test holds that it gets a remedy and loses nothing.

| case | tests |
|---|---|
| zero-byte file | media/test_video.py::test_an_empty_file_is_refused |
| text named .mp4 | media/test_video.py::test_a_text_file_named_mp4_is_refused |
| truncated video | media/test_video.py::test_a_truncated_video_is_used_as_far_as_it_goes |
| 1-frame video | media/test_video.py::test_a_video_of_one_frame_is_refused |
| 7-pixel-wide video | media/test_video.py::test_a_video_seven_pixels_wide_is_refused |
| audio only | media/test_video.py::test_sound_alone_is_refused |
| any of these through the app | test_bad_input.py::test_bad_files_are_listed_with_the_reason_and_the_good_one_goes_on |
| odd names of files | dataset/test_importing.py::test_any_name_becomes_a_safe_one |
| odd names, from file to clip | test_bad_input.py::test_a_file_of_any_name_becomes_a_clip_that_is_shown |
| odd names of projects | test_bad_input.py::test_a_project_of_any_name_is_made_and_opened |
| folder without permission | dataset/test_importing.py::test_a_folder_without_permission_says_so |
| project without permission | core/test_project.py::test_a_project_in_a_folder_without_permission_says_so |
| path that does not exist | dataset/test_importing.py::test_a_folder_that_does_not_exist_says_so |
| path typed in the window | test_bad_input.py::test_a_bad_path_typed_in_the_window_is_a_card |
| full disk: documents | core/test_documents.py::test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it |
| full disk: import | dataset/test_importing.py::test_a_full_disk_stops_the_import_and_leaves_nothing_half |
| full disk: clips | dataset/test_cutting.py::test_a_full_disk_keeps_clips_and_captions |
| full disk: encoder | media/test_transcode.py::test_the_encoder_meeting_a_full_device_is_named_as_such |
| full disk: captions | ui/test_live.py::test_a_full_disk_keeps_the_old_caption_and_says_so |
| full disk: worker | test_worker.py::test_a_full_disk_is_explained_although_no_event_can_be_written |
| full disk: a new project | test_bad_input.py::test_a_project_that_finds_no_room_leaves_nothing_behind |
| port in use | ui/test_server.py::test_a_port_in_use_ends_the_app_with_the_remedy_and_no_traceback |
| caption with HTML and newlines | ui/test_live.py::test_a_typed_caption_is_on_disk_before_the_answer |
| the same, shown | test_bad_input.py::test_names_with_html_are_shown_as_text_in_every_step |
| unknown key in a preset | core/test_recipe.py::test_unknown_keys_and_wrong_values_of_a_preset_are_named_all_at_once |
"""

# ruff: noqa: E501 - the table

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.app import datasets, projects, workbench
from ltx_wizard.core import places
from ltx_wizard.core.errors import NoSpace
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import CutJob, FindScenesJob
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.scenes import run_find_scenes

MakeVideo = Callable[..., Path]
EVIL = '<script>alert(1)</script>\n<b>"A dog"</b> it\'s\r\nrunning & <img src=x onerror=alert(1)>'
NAMES = (
    "with spaces.mp4",
    'it\'s a "quoted" one.mp4',
    "emoji 👩‍👩‍👧 🎬.mp4",
    "<b>bold</b> & more.mp4".replace("/", "-"),
    "n" * 200 + ".mp4",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))


def plain(frames: int = 24, width: int = 128, height: int = 64) -> np.ndarray:
    return np.full((frames, height, width, 3), 90, np.uint8)


def test_every_case_of_the_table_is_a_test_that_exists() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\S+)::(test_\w+) \|$", __doc__ or "", re.MULTILINE)
    assert len(rows) == (__doc__ or "").count("::")
    for file, name in rows:
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_bad_files_are_listed_with_the_reason_and_the_good_one_goes_on(
    project: Project, make_video: MakeVideo, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    good = make_video("good.mp4", plain(), folder=inbox)
    make_video("one frame.mp4", plain(1), folder=inbox)
    (inbox / "zero.mp4").touch()
    (inbox / "text.mp4").write_text("This is not a video.")
    (inbox / "cut off.mp4").write_bytes(good.read_bytes()[:100])
    before = {path.name: path.read_bytes() for path in inbox.iterdir()}
    report = datasets.import_folder(project, inbox)
    assert [source.original_name for source in report.added] == ["good.mp4"]
    listed = {item.name: item for item in datasets.rejected(project)}
    assert set(listed) == {"one frame.mp4", "zero.mp4", "text.mp4", "cut off.mp4"}
    assert all(item.problem.endswith(".") and item.remedy for item in listed.values())
    assert {path.name: path.read_bytes() for path in inbox.iterdir()} == before
    assert [path.suffix for path in project.sources_folder.iterdir()] == [".mp4"]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow all of these names")
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_becomes_a_clip_that_is_shown(
    project: Project, make_video: MakeVideo, tmp_path: Path, name: str
) -> None:
    from ltx_wizard.ui.steps import videos

    inbox = tmp_path / "in box 🎬"
    inbox.mkdir()
    make_video(f"{'v' * 8}.mp4", plain(), folder=inbox).rename(inbox / name)
    project.change_settings(scenes={"min_clip_s": 1.0})
    outcome = videos._import_folder(str(project.folder), f'"{inbox}"', False)
    assert "1 file added" in outcome.message
    assert datasets.sources(project)[0].original_name == name
    run_find_scenes(project, FindScenesJob(), SilentReport())
    run_cut(project, CutJob(), SilentReport())
    (clip,) = datasets.clips(project)
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", clip.file)
    assert project.path(clip.file).is_file()


@pytest.mark.parametrize("name", [name.removesuffix(".mp4")[:80] for name in NAMES])
def test_a_project_of_any_name_is_made_and_opened(name: str) -> None:
    made = projects.create_project(name, Goal.STYLE)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", made.folder.name)
    assert projects.open_project(made.folder).read_settings().name == " ".join(name.split())
    twin = projects.create_project(name, Goal.STYLE)
    assert twin.folder != made.folder
    assert [card.name for card in projects.recent()] == [" ".join(name.split())] * 2


@pytest.mark.parametrize(
    "typed",
    ["", "   ", "/does/not/exist", "~nobody-of-this-name/x", "a\0b", "x" * 5000, "/dev/null/x", "<b>x</b>"],
)
def test_a_bad_path_typed_in_the_window_is_a_card(project: Project, typed: str) -> None:
    from ltx_wizard.ui.boundary import attempt
    from ltx_wizard.ui.steps import videos

    outcome = attempt(lambda: videos._import_folder(str(project.folder), typed, False))
    assert outcome.failed
    assert "Something went wrong inside" not in outcome.message
    assert "<b>x" not in outcome.message
    assert datasets.sources(project) == []


def test_a_project_that_finds_no_room_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = projects.create_project("Old", Goal.STYLE)
    parent = made.folder.parent
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", full)
        with pytest.raises(NoSpace):
            projects.duplicate_project(made, "Copy")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(NoSpace):
            projects.create_project("New", Goal.STYLE)
    assert [str(path.relative_to(parent)) for path in parent.rglob("*") if path.is_file()] == [
        "Old/project.json"
    ]
    assert projects.create_project("New", Goal.STYLE).folder.name == "New"
    assert [card.name for card in projects.recent()] == ["New", "Old"]


def test_scripts_put_no_text_into_the_page_as_html() -> None:
    """Captions and names reach the page as JSON, and what scripts make of them is text."""
    for script in sorted((places.ASSETS / "js").glob("*.js")):
        text = script.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "ContextualFragment"):
            assert way not in text, f"{script.name}: {way}"


def test_names_with_html_are_shown_as_text_in_every_step(project: Project, make_video: MakeVideo) -> None:
    from ltx_wizard.ui.wizard import build

    project.change_settings(name="<i>Name</i>", trigger_word="<u>t</u>", scenes={"min_clip_s": 1.0})
    datasets.import_paths(project, [make_video("<s>x<s>.mp4", plain())])
    run_find_scenes(project, FindScenesJob(), SilentReport())
    run_cut(project, CutJob(), SilentReport())
    workbench.save(project, datasets.clips(project)[0].id, EVIL)
    shown = shown_html(build(), project)
    assert "&lt;i&gt;Name" in shown
    assert "&lt;u&gt;t" in shown
    for markup in ("<script>alert", "<img src=x", "<i>Name", "<u>t<", "<s>x"):
        assert markup not in shown


def shown_html(blocks: object, project: Project) -> str:
    """All HTML that the page puts in for this project, over all steps."""
    import gradio as gr

    load = next(
        function.fn
        for function in blocks.fns.values()  # pyright: ignore[reportAttributeAccessIssue]
        if getattr(function.fn, "__name__", "") == "show"
    )
    parts: list[str] = []
    for step in ("goal", "videos", "scenes", "captions", "check", "recipe", "train", "lab", "export"):
        updates = load(str(project.folder), step)
        for component, value in updates.items():
            if not isinstance(component, gr.HTML):
                continue
            text = value.get("value", "") if isinstance(value, dict) else value
            if isinstance(text, str) and not text.startswith(("{", "[")):  # JSON is shown by the scripts
                parts.append(text)
    return "\n".join(parts)
