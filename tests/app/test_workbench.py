"""Bulk changes of captions, undo and redo, findings with measured motion: what the workbench's buttons do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.app import workbench
from ltx_wizard.captioning.measured import known_motion, motion_file
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.core.lint import Part
from ltx_wizard.core.project import Project, TriggerPlacement
from ltx_wizard.dataset.dataset import fingerprint, read_clips, set_caption, update_clip

TEXTS = {
    "cat": "The video shows a cat that jumps over a red wall in a garden. The camera is static. Warm light "
    "from the left.",
    "dog": "A dog runs over a meadow with tall grass. It is brown. The camera is static. Low evening sun "
    "from behind.",
    "fox": "",
}  # fmt: skip


@pytest.fixture
def three(project: Project) -> Project:
    clips = [
        Clip(
            id=name, source_id="s", file=f"clips/{name}.mp4", kind=MediaKind.VIDEO, width=64, height=64,
            fps=8, frames=9, duration_s=1.1, caption=text, caption_source="motion" if text else "",
            caption_state=CaptionState.DRAFT if text else CaptionState.MISSING,
        )
        for name, text in TEXTS.items()
    ]  # fmt: skip
    write_lines(project.clips_file, clips)
    return project


def captions(project: Project) -> dict[str, str]:
    return {clip.id: clip.caption for clip in read_clips(project)}


def rules(project: Project, clip_id: str) -> set[str]:
    (row,) = [row for row in workbench.read(project).rows if row.clip.id == clip_id]
    return {item.rule for item in row.findings}


def test_rows_carry_findings_and_parts_and_the_dataset_counts_them(three: Project) -> None:
    shown = workbench.read(three)
    assert shown.findings == {"opener": 1, "missing": 1}
    assert shown.captioned == 2
    assert shown.parts[Part.CAMERA] == 2
    assert (shown.undo, shown.redo) == ("", "")


def test_accepting_marks_drafts_as_written_and_can_be_undone(three: Project) -> None:
    assert workbench.accept(three, ["cat", "dog", "fox"]) == 2
    states = [clip.caption_state for clip in read_clips(three)]
    assert states == [CaptionState.WRITTEN, CaptionState.WRITTEN, CaptionState.MISSING]
    assert workbench.undo(three) == "Undone: accepted 2 captions."
    assert read_clips(three)[0].caption_state is CaptionState.DRAFT


def test_a_fix_keeps_a_draft_a_draft(three: Project) -> None:
    assert workbench.fix(three, ["cat", "dog", "fox"], "opener") == 1
    assert captions(three)["cat"].startswith("A cat that jumps")
    assert read_clips(three)[0].caption_state is CaptionState.DRAFT
    assert "opener" not in rules(three, "cat")


def test_everything_that_can_be_fixed_is_one_step(three: Project) -> None:
    set_caption(three, "dog", TEXTS["dog"] + " The camera is static. The light fades and the")
    assert workbench.fix_everything(three, ["cat", "dog"]) == 2
    assert captions(three)["dog"] == TEXTS["dog"]
    workbench.undo(three)
    assert captions(three)["cat"] == TEXTS["cat"]


def test_undo_and_redo_walk_through_all_steps(three: Project) -> None:
    workbench.replace_all(three, ["cat", "dog"], "static", "fixed", regex=False)
    workbench.add_around(three, ["cat", "dog", "fox"], "Film grain.", "")
    workbench.accept(three, ["cat"])
    after = three.clips_file.read_text()
    assert captions(three)["fox"] == ""
    for _ in range(3):
        workbench.undo(three)
    assert captions(three) == TEXTS
    with pytest.raises(BadInput):
        workbench.undo(three)
    for _ in range(3):
        workbench.redo(three)
    assert three.clips_file.read_text() == after
    with pytest.raises(BadInput):
        workbench.redo(three)


def test_a_new_change_ends_what_could_be_done_again(three: Project) -> None:
    set_caption(three, "cat", "One.")
    workbench.undo(three)
    set_caption(three, "dog", "Two.")
    assert workbench.read(three).redo == ""
    workbench.undo(three)
    assert captions(three) == TEXTS


def test_a_clip_that_was_removed_since_does_not_stop_undo(three: Project) -> None:
    workbench.replace_all(three, ["cat"], "cat", "lynx", regex=False)
    set_caption(three, "dog", "Two.")
    write_lines(three.clips_file, [clip for clip in read_clips(three) if clip.id != "dog"])
    workbench.undo(three)
    workbench.undo(three)
    assert captions(three) == {"cat": TEXTS["cat"], "fox": ""}


def test_prefix_and_suffix_are_added_once(three: Project) -> None:
    assert workbench.add_around(three, ["dog", "fox"], "Clay style.", "35 mm film.") == 1
    assert workbench.add_around(three, ["dog"], "Clay style.", "35 mm film.") == 0
    assert captions(three)["dog"] == f"Clay style. {TEXTS['dog']} 35 mm film."
    with pytest.raises(BadInput):
        workbench.add_around(three, ["dog"], "  ", "")


def test_an_older_caption_comes_back(three: Project) -> None:
    set_caption(three, "dog", "Other.")
    ((_, was),) = workbench.past_of(three, "dog")
    workbench.restore(three, "dog", was.text)
    assert captions(three)["dog"] == TEXTS["dog"]


def test_the_trigger_word_is_judged_as_it_is_trained(three: Project) -> None:
    three.change_settings(trigger_word="zorb", trigger_placement=TriggerPlacement.NONE)
    assert "trigger_missing" in rules(three, "dog")
    update_clip(three, "dog", regularisation=True)
    assert "trigger_missing" not in rules(three, "dog")
    assert workbench.fix(three, ["cat"], "trigger_missing") == 1
    assert captions(three)["cat"].startswith("zorb The video")


def test_measured_motion_is_kept_and_contradicts(project: Project, make_video: Callable[..., Path]) -> None:
    """A still picture full of corners for two seconds: its camera is static, whatever the caption says."""
    from ltx_wizard.dataset.importing import import_files

    squares = np.random.default_rng(1).integers(0, 255, (8, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    source = import_files(project, [make_video(frames=np.stack([squares] * 16), fps=8)]).added[0]
    clip = Clip(
        id="one", source_id=source.id, file=source.file, kind=MediaKind.VIDEO, width=128, height=64, fps=8,
        frames=16, duration_s=2, caption=TEXTS["dog"].replace("is static", "pans left"),
    )  # fmt: skip
    write_lines(project.clips_file, [clip])
    assert workbench.motion_of(project, "one") is None
    assert "contradiction" not in rules(project, "one")
    kept = workbench.motion_of(project, "one", measure=True)
    assert kept is not None
    assert known_motion(project, clip) == kept
    assert "contradiction" in rules(project, "one")
    motion_file(project, clip).write_text("{ broken")
    assert known_motion(project, clip) is None


def test_a_contradiction_is_replaced_by_what_was_measured(three: Project) -> None:
    from ltx_wizard.captioning.measured import Kept
    from ltx_wizard.core.lint import MEASURED_METHOD

    cat = read_clips(three)[0]
    (three.folder / "clips").mkdir(exist_ok=True)
    three.path(cat.file).write_bytes(b"x" * 10)
    kept = Kept(
        method=MEASURED_METHOD, size_bytes=10, camera=("pans left",), camera_sure=True, light=("warm",)
    )
    motion_file(three, cat).parent.mkdir(parents=True)
    motion_file(three, cat).write_text(kept.model_dump_json())
    assert "contradiction" in rules(three, "cat")
    assert workbench.fix(three, ["cat", "dog"], "contradiction") == 1
    assert "The camera pans left." in captions(three)["cat"]
    assert "contradiction" not in rules(three, "cat")
    three.path(cat.file).write_bytes(b"another file")
    assert known_motion(three, cat) is None


def tags(project: Project) -> dict[str, tuple[str, ...]]:
    return {clip.id: clip.tags for clip in read_clips(project)}


def test_tags_are_added_and_removed_in_bulk_and_undone(three: Project) -> None:
    assert workbench.tag(three, ["cat", "dog"], add="Night, close-up #night") == 2
    assert tags(three)["cat"] == tags(three)["dog"] == ("night", "close-up")
    assert workbench.tag(three, ["cat", "dog"], add="night") == 0
    assert workbench.tag(three, ["dog"], add="harbour", remove="night") == 1
    assert tags(three)["dog"] == ("close-up", "harbour")
    assert workbench.read(three).tags == {"night": 1, "close-up": 2, "harbour": 1}
    assert workbench.read(three).undo == "tagged 1 clip harbour"
    workbench.undo(three)
    assert tags(three)["dog"] == ("night", "close-up")
    workbench.undo(three)
    assert set(tags(three).values()) == {()}
    workbench.redo(three)
    assert tags(three)["cat"] == ("night", "close-up")
    assert captions(three)["cat"] == TEXTS["cat"]


def test_undoing_a_caption_leaves_later_tags_alone(three: Project) -> None:
    workbench.save(three, "dog", "Another text.")
    workbench.tag(three, ["dog"], add="night")
    set_caption(three, "cat", "Typed since.")
    workbench.undo(three)  # the cat's text
    workbench.undo(three)  # the tag
    assert tags(three)["dog"] == ()
    workbench.tag(three, ["dog"], add="day")
    workbench.undo(three)
    workbench.undo(three)
    assert captions(three)["dog"] == TEXTS["dog"]
    assert [was.text for _, was in workbench.past_of(three, "dog")] == ["Another text."]


@pytest.mark.parametrize(
    ("add", "remove"), [("", ""), (" , ", ""), ("x" * 25, ""), (" ".join(f"t{n}" for n in range(13)), "")]
)
def test_what_cannot_be_a_tag_is_refused(three: Project, add: str, remove: str) -> None:
    before = three.clips_file.read_bytes()
    with pytest.raises(BadInput):
        workbench.tag(three, ["cat"], add=add, remove=remove)
    assert three.clips_file.read_bytes() == before


def test_clips_and_history_of_before_there_were_tags_are_read(three: Project) -> None:
    workbench.save(three, "dog", "Another text.")
    for path in (three.clips_file, three.folder / "captions_history.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("tags", None)
            for change in line.get("changes", ()):
                del change["tags"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert set(tags(three).values()) == {()}
    workbench.undo(three)
    assert captions(three)["dog"] == TEXTS["dog"]


def test_tags_are_no_part_of_what_is_trained(three: Project) -> None:
    before = fingerprint(three)
    workbench.tag(three, ["cat"], add="night")
    assert fingerprint(three) == before
    assert all("night" not in row.trained for row in workbench.read(three).rows)


def test_a_clip_that_is_not_there_is_said_so(three: Project) -> None:
    with pytest.raises(NotFound):
        workbench.find_clip(three, "wolf")
