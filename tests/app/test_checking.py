"""The services of the step Check, on records and pictures made on the spot."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from looked_at import PLAIN, write_looked_at
from PIL import Image

from ltx_wizard.app import checking, datasets, jobs, recipes
from ltx_wizard.core.errors import NotFound, NotReady
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import SilentReport
from ltx_wizard.core.run import ContactSheetJob, CutJob
from ltx_wizard.dataset.contact_sheet import run_contact_sheet, sheet_file
from ltx_wizard.dataset.cutting import run_cut
from ltx_wizard.dataset.dataset import read_clips, remove_clips, set_caption


@pytest.fixture
def many(project: Project) -> Project:
    return write_looked_at(project)


def test_one_look_shows_what_is_alike_and_how_the_clips_differ(many: Project) -> None:
    checked = checking.look(many)
    (group,) = checked.groups
    assert group.kept.id == "clip-004"
    assert [clip.id for clip in group.same] == ["clip-005"]
    assert [clip.id for clip in group.near] == ["clip-006"]
    tallies = {tally.title: tally for tally in checked.variety}
    assert dict(tallies["Videos and images"].counts) == {"bus.mp4": 6, "hill.mp4": 6}
    assert not tallies["Videos and images"].note
    assert tallies["Light"].note and "All clips are dark" in tallies["Light"].said
    assert tallies["Camera"].note and "All clips are filmed with a static camera" in tallies["Camera"].said
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
    checking.choose_held_out(many, ["clip-005", "clip-001"])
    chosen = checking.look(many).held_out
    assert not chosen.automatic
    assert [clip.id for clip in chosen.clips] == ["clip-001", "clip-005"]
    assert {kept: trained.id for kept, trained in chosen.doubles.items()} == {"clip-005": "clip-004"}
    finding = checking.find_finding(many, "held_out")
    assert (finding.level, finding.clip_ids) == ("should", ("clip-005",))
    assert "bus.mp4 at 0:50.0 like bus.mp4 at 0:40.0" in finding.remedy
    assert jobs.apply_fix(many, finding) is None
    swapped = checking.look(many).held_out
    assert {clip.id for clip in swapped.clips} > {"clip-001"}
    assert (len(swapped.clips), swapped.doubles) == (2, {})
    checking.choose_held_out(many, [])
    assert checking.look(many).held_out == automatic
    assert len(checking.candidates(many)) == 12


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_the_automatic_choice_never_divides_clips_that_look_alike(many: Project, share: float) -> None:
    recipes.change_settings(many, {"data.held_out_share": share})
    held = checking.look(many).held_out
    assert held.automatic and held.clips and not held.doubles
    assert not any(finding.id == "held_out" for finding in datasets.check(many))
    assert len({clip.id for clip in held.clips} & {"clip-004", "clip-005", "clip-006"}) in (0, 3)


def test_where_every_choice_divides_a_group_it_is_a_note_and_a_swap_says_what_to_do(many: Project) -> None:
    alike = {"clip-004", "clip-005", "clip-006"}
    remove_clips(many, [clip.id for clip in read_clips(many) if clip.id not in alike])
    finding = checking.find_finding(many, "held_out")
    assert (finding.level, finding.fix) == ("fine", "")
    assert "add other videos" in finding.remedy
    with pytest.raises(NotReady, match="Every other clip"):
        checking.swap_doubles(many)


def test_what_is_left_out_from_a_finding_is_what_was_chosen_of_it_and_comes_back(many: Project) -> None:
    finding = checking.find_finding(many, "doubles")
    assert finding.clip_ids == ("clip-005",)
    assert checking.leave_out(many, finding, ["clip-005", "clip-001"]) == 1  # 01 is no part of the finding
    checked = checking.look(many)
    assert [(item.clip.id, item.reason) for item in checked.left_out] == [("clip-005", "doubles")]
    with pytest.raises(NotFound, match="fixed already"):
        checking.leave_out(many, checking.find_finding(many, "still-not-there"), [])
    assert checking.bring_back(many, ["clip-005"]).back == ("clip-005",)
    assert len(read_clips(many)) == 12
    with pytest.raises(NotFound, match="back already"):
        checking.bring_back(many, ["clip-005"])
    assert jobs.apply_fix(many, finding) is None  # all of it at once, as the command line does
    assert [(item.clip.id, item.reason) for item in checking.look(many).left_out] == [("clip-005", "doubles")]


def test_copies_say_how_many_captions_name_a_side_or_writing(many: Project) -> None:
    checking.choose_held_out(many, ["clip-011"])
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
