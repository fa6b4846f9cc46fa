"""The services of the step Check, on records and pictures made on the spot."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ltx_wizard.app import checking, datasets, jobs, recipes
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import NotFound, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import ContactSheetJob, CutJob
from ltx_wizard.dataset.contact_sheet import run_contact_sheet, sheet_file
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, set_caption
from ltx_wizard.dataset.quality import ClipQuality, quality_file

SIDE = "A red bus drives from left to right along a street with trees. The camera is static. It is noon."
TEXT = "A man holds a sign with big letters in a park. The camera is static. Sunlight falls on the grass."
PLAIN = "A grey rabbit hops over a green hill in the wind. The camera is static. The morning sun is low."


@pytest.fixture
def many(project: Project) -> Project:
    """Twelve clips from two videos with what was measured of them; 4 and 5 show the same, 6 nearly so."""
    project.clips_folder.mkdir(parents=True)
    dice = np.random.default_rng(3)
    clips = [_clip(project, number) for number in range(12)]
    looks = [_look(dice, number) for number in range(12)]
    looks[5] = {**looks[4]}
    looks[6] = {**looks[4], "tiny": looks[7]["tiny"]}
    rows = [
        ClipQuality.model_validate(
            {
                "file": clip.file, "size_bytes": 4, "content": str(number), **looks[number],
                "modified_ns": project.path(clip.file).stat().st_mtime_ns,
                "brightness": 0.1, "sharpness": 0.2, "changing": 0.2, "motion": 0.05 * (1 + number % 4),
                "camera": ("static",),
            }
        )
        for number, clip in enumerate(clips)
    ]  # fmt: skip
    write_lines(project.clips_file, clips)
    write_lines(
        project.sources_file,
        [
            Source(id=name, file=f"sources/{name}.mp4", original_name=f"{name}.mp4", kind=MediaKind.VIDEO,
                   width=768, height=512, fps=24, frames=480, duration_s=20)
            for name in ("bus", "hill")
        ],
    )  # fmt: skip
    write_lines(quality_file(project), rows)
    return project


def _clip(project: Project, number: int) -> Clip:
    clip = Clip(
        id=f"clip-{number:02d}", source_id="bus" if number < 6 else "hill", file=f"clips/{number}.mp4",
        kind=MediaKind.VIDEO, width=768, height=512, fps=24, frames=73, duration_s=73 / 24,
        caption=f"{(SIDE, TEXT, PLAIN, PLAIN)[number % 4]} Take {number}.",
        caption_state=CaptionState.WRITTEN, caption_source="you",
    )  # fmt: skip
    project.path(clip.file).write_bytes(b"clip")
    return clip


def _look(dice: np.random.Generator, number: int) -> dict[str, Any]:
    tiny = dice.integers(0, 255, (3, 12, 20), dtype=np.uint8)
    return {
        "hashes": tuple(dice.bytes(8).hex() for _ in range(3)),
        "tiny": base64.b64encode(tiny.tobytes()).decode(),
    }


def test_one_look_shows_what_is_alike_and_how_the_clips_differ(many: Project) -> None:
    checked = checking.look(many)
    (group,) = checked.groups
    assert group.kept.id == "clip-04"
    assert [clip.id for clip in group.same] == ["clip-05"]
    assert [clip.id for clip in group.near] == ["clip-06"]
    tallies = {tally.title: tally for tally in checked.variety}
    assert dict(tallies["Videos and images"].counts) == {"bus.mp4": 6, "hill.mp4": 6}
    assert not tallies["Videos and images"].note
    assert tallies["Light"].note and "All clips are dark" in tallies["Light"].said
    assert tallies["Camera"].note and "static" in tallies["Camera"].said
    assert dict(tallies["Captions name"].counts)["the camera"] == 12
    assert dict(tallies["Captions name"].counts)["what happens one after the other"] == 0  # not judged
    assert not tallies["Captions name"].note
    assert [finding.id for finding in checked.findings] == [item.id for item in datasets.check(many)]


def test_captions_that_leave_out_the_light_are_a_note(many: Project) -> None:
    for clip in read_clips(many)[:6]:
        set_caption(many, clip.id, "A grey rabbit hops over a green hill. The camera is static.")
    (captions,) = (tally for tally in checking.look(many).variety if tally.title == "Captions name")
    assert captions.note
    assert captions.said == "6 of 12 clips do not name the light: it is tied to what you teach."


def test_clips_for_validation_are_automatic_until_chosen_and_again_after(many: Project) -> None:
    automatic = checking.look(many).held_out
    assert automatic.automatic
    assert {clip.id for clip in automatic.clips} == checking.held_out(many) != set()
    checking.choose_held_out(many, ["clip-05", "clip-01"])
    chosen = checking.look(many).held_out
    assert not chosen.automatic
    assert [clip.id for clip in chosen.clips] == ["clip-01", "clip-05"]
    assert {kept: trained.id for kept, trained in chosen.doubles.items()} == {"clip-05": "clip-04"}
    checking.choose_held_out(many, [])
    assert checking.look(many).held_out == automatic
    assert len(checking.candidates(many)) == 12


def test_what_is_left_out_from_a_finding_is_what_was_chosen_of_it_and_comes_back(many: Project) -> None:
    finding = checking.find_finding(many, "doubles")
    assert finding.clip_ids == ("clip-05",)
    assert checking.leave_out(many, finding, ["clip-05", "clip-01"]) == 1  # 01 is no part of the finding
    checked = checking.look(many)
    assert [(item.clip.id, item.reason) for item in checked.left_out] == [("clip-05", "doubles")]
    assert checking.newest_left_out(many) == ["clip-05"]
    with pytest.raises(NotFound, match="fixed already"):
        checking.leave_out(many, checking.find_finding(many, "still-not-there"), [])
    assert checking.bring_back(many, ["clip-05"]).back == ("clip-05",)
    assert len(read_clips(many)) == 12
    with pytest.raises(NotFound, match="back already"):
        checking.bring_back(many, ["clip-05"])


def test_copies_say_how_many_captions_name_a_side_or_writing(many: Project) -> None:
    checking.choose_held_out(many, ["clip-11"])
    off = checking.look(many).copies
    assert (off.clips, off.total, off.examples) == (11, 11, ())
    assert (off.with_side, off.with_text) == (3, 3)
    recipes.change_settings(many, {"data.mirror": "safe", "data.colour_copies": 2})
    safe = checking.look(many).copies
    assert (safe.mirrored, safe.recoloured, safe.total) == (5, 22, 38)
    recipes.change_settings(many, {"data.mirror": "all"})
    every = checking.look(many).copies
    assert (every.mirrored, every.total) == (11, 44)
    assert "from right to left" in every.examples[0].caption
    assert {name for name, _ in every.not_offered} >= {"Other speeds", "Hard crops"}


def test_the_picture_of_a_copy_is_drawn_as_training_sees_it(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    clip = read_clips(filmed)[0]
    set_caption(filmed, clip.id, PLAIN)
    assert checking.copy_picture(filmed, clip.id, "mirrored") is None  # the recipe makes no such copy
    recipes.change_settings(filmed, {"data.mirror": "safe", "data.colour_copies": 1})
    thumbnail = datasets.clip_thumbnail(filmed, clip)
    assert thumbnail is not None
    plain, mirrored, recoloured = (
        np.asarray(Image.open(source).convert("RGB")).astype(int)
        for source in (
            thumbnail,
            *(
                BytesIO(checking.copy_picture(filmed, clip.id, name) or b"")
                for name in ("mirrored", "colour-1")
            ),
        )
    )
    assert np.abs(mirrored - plain[:, ::-1]).mean() < 3
    assert np.abs(mirrored - plain).mean() > 10
    assert 0.5 < np.abs(recoloured - plain).mean() < 40
    assert checking.copy_picture(filmed, "no-clip", "mirrored") is None


def test_the_contact_sheet_says_when_the_clips_have_changed(filmed: Project) -> None:
    with pytest.raises(NotReady):
        jobs.start_contact_sheet(filmed)
    run_cut(filmed, CutJob(), SilentReport())
    assert checking.look(filmed).sheet is None
    report = SilentReport()
    run_contact_sheet(filmed, ContactSheetJob(), report)
    assert len(report.events) == 3
    sheet = checking.look(filmed).sheet
    assert sheet is not None and sheet.current and sheet.size_bytes > 1000
    datasets.remove_clip(filmed, read_clips(filmed)[0].id)
    sheet = checking.look(filmed).sheet
    assert sheet is not None and not sheet.current
    sheet_file(filmed).write_bytes(b"no picture")
    broken = checking.look(filmed).sheet
    assert broken is not None and not broken.current


def test_taking_a_scene_in_again_brings_its_clip_back_and_the_plan_knows(filmed: Project) -> None:
    run_cut(filmed, CutJob(), SilentReport())
    first = read_clips(filmed)[0]
    datasets.remove_clip(filmed, first.id)
    assert datasets.planned_clips(filmed) == len(read_clips(filmed)) == 1
    datasets.toggle_scene(filmed, first.source_id, 0)
    assert datasets.planned_clips(filmed) == len(read_clips(filmed)) == 2
    datasets.remove_clip(filmed, first.id)
    file = filmed.path(first.file)
    assert file.is_file()
    datasets.remove_source(filmed, first.source_id)
    assert checking.look(filmed).left_out == [] and not file.exists()
