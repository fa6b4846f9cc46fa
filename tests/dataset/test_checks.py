from __future__ import annotations

from typing import Any

import pytest

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadInput
from ltx_wizard.core.lint import lint
from ltx_wizard.core.project import Goal, Project, ProjectSettings
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.checks import CHECKS, FIXES, Finding, apply_fix, check_dataset, count_trigger
from ltx_wizard.dataset.dataset import add_clips, read_clips
from ltx_wizard.models.catalog import EMBEDDED, LTXV_2B_096_DEV
from ltx_wizard.models.spec import ModelSpec

SPEC = LTXV_2B_096_DEV
GOOD = "A {} dog runs along a sandy beach at noon, past blue boats and a white pier. The camera is static."


def a_clip(index: int = 0, caption: str | None = None, **changes: Any) -> Clip:
    """By default nothing about it is worth a finding for a model at 24 fps."""
    fields: dict[str, Any] = {
        "id": f"c{index}",
        "source_id": "s",
        "file": f"clips/c{index}.mp4",
        "kind": MediaKind.VIDEO,
        "width": 768,
        "height": 512,
        "fps": 24.0,
        "frames": 49,
        "duration_s": 49 / 24,
        "caption": GOOD.format(f"number {index}") if caption is None else caption,
        "caption_state": CaptionState.WRITTEN,
    }
    return Clip.model_validate({**fields, **changes})


def clips_of(count: int) -> list[Clip]:
    return [a_clip(index) for index in range(count)]


def check(
    clips: list[Clip],
    spec: ModelSpec = SPEC,
    wanted: tuple[str, ...] = (),
    project: Project | None = None,
    **settings: Any,
) -> dict[str, Finding]:
    chosen = ProjectSettings.model_validate({"name": "Test", "trigger_word": "zorblax", **settings})
    findings = check_dataset(chosen, clips, spec, plan_buckets(clips, spec, wanted), project=project)
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


def levels(findings: dict[str, Finding]) -> set[str]:
    return {finding.level for finding in findings.values()}


def test_a_good_dataset_has_nothing_to_fix() -> None:
    assert levels(check([*clips_of(20), a_clip(99, regularisation=True)])) == {"fine"}


def test_no_clips_is_the_one_finding_there_is() -> None:
    findings = check([])
    assert list(findings) == ["no_clips"]
    assert findings["no_clips"].level == "must"


def test_what_must_be_fixed_comes_first_and_says_what_to_do() -> None:
    findings = check_dataset(
        ProjectSettings.model_validate({"name": "Test"}),
        [a_clip(0, ""), a_clip(1, "Short.")],
        SPEC,
        plan_buckets([], SPEC),
    )
    order = [finding.level for finding in findings]
    assert order == sorted(order, key=["must", "should", "fine"].index)
    assert order[0] == "must"
    for finding in findings:
        assert finding.title
        assert finding.level == "fine" or (finding.why and finding.remedy)
        assert bool(finding.fix) == bool(finding.fix_label)


@pytest.mark.parametrize(
    ("goal", "fewest", "enough"),
    [(Goal.STYLE, 5, 20), (Goal.CHARACTER, 15, 50), (Goal.MOTION, 20, 100), (Goal.CONTROL, 100, 500)],
)
def test_the_count_is_held_against_the_goal(goal: Goal, fewest: int, enough: int) -> None:
    too_few = check(clips_of(fewest - 1), goal=goal)["count"]
    assert too_few.level == "should"
    assert f"{fewest}" in too_few.why
    assert check(clips_of(fewest), goal=goal)["count"].level == "fine"
    assert "enough for" in check(clips_of(enough), goal=goal)["count"].title


def test_regularisation_clips_do_not_count_as_material() -> None:
    clips = [*clips_of(4), *(a_clip(10 + index, regularisation=True) for index in range(20))]
    assert check(clips)["count"].level == "should"


def test_only_regularisation_clips_must_be_fixed() -> None:
    assert check([a_clip(0, regularisation=True)])["only_regularisation"].level == "must"


def test_sizes_and_rates_that_need_conforming_offer_it() -> None:
    finding = check([*clips_of(20), a_clip(30, width=770), a_clip(31, fps=25.0)])["sizes"]
    assert (finding.level, finding.fix) == ("should", "conform")
    assert finding.clip_ids == ("c30", "c31")
    assert "multiples of 32, and frames 8n + 1" in finding.why
    assert finding.fix_label == "Conform 2 clips"


def test_low_frame_rates_are_named_and_high_ones_conformed() -> None:
    findings = check([*clips_of(20), a_clip(30, fps=12.0), a_clip(31, fps=60.0)])
    assert findings["low_fps"].clip_ids == ("c30",)
    assert findings["low_fps"].level == "should"
    assert findings["high_fps"].clip_ids == ("c31",)
    assert findings["high_fps"].fix == "conform"


def test_rates_come_from_the_model() -> None:
    clips = [
        a_clip(index, width=192, height=192, fps=8.0, frames=17, duration_s=17 / 8) for index in range(20)
    ]
    findings = check(clips, spec=EMBEDDED)
    assert findings["low_fps"].level == "fine"
    assert findings["sizes"].level == "fine"


def test_that_every_length_is_right_is_said_of_what_is_trained_only() -> None:
    short = a_clip(30, frames=8, duration_s=8 / 24)  # fits no training size, which is a finding of its own
    assert check([*clips_of(20), short])["length"].title == "Every video that is trained is 2 to 8 s long"
    assert "length" not in check([short])


def test_lengths_outside_two_to_eight_seconds_are_named() -> None:
    clips = [*clips_of(20), a_clip(30, duration_s=1.0, frames=24), a_clip(31, duration_s=9.0, frames=216)]
    assert check(clips)["length"].clip_ids == ("c30", "c31")
    assert check(clips_of(20))["length"].level == "fine"


def test_clips_longer_than_training_uses_are_told_how_much_is_seen() -> None:
    finding = check([a_clip(index, duration_s=6.0, frames=144) for index in range(20)])["used_length"]
    assert finding.level == "should"
    assert finding.title == "Training sees 41 of 120 s of your clips"
    assert check([*clips_of(20), a_clip(30, duration_s=3.0, frames=72)])["used_length"].level == "fine"


def test_clips_that_fit_no_size_are_named() -> None:
    findings = check([*clips_of(20), a_clip(30, duration_s=0.2, frames=5)])
    assert findings["fit"].level == "should"
    assert findings["fit"].clip_ids == ("c30",)
    none = check([a_clip(0, duration_s=0.2, frames=5)])
    assert none["fit"].level == "must"
    assert "sizes" not in none  # that every clip has its size would contradict it


def test_a_bucket_that_the_model_cannot_take_must_be_fixed() -> None:
    finding = check(clips_of(20), wanted=("768x512x49", "768x500x49"))["buckets"]
    assert finding.level == "must"
    assert "Use 768x512x49." in finding.why


def test_small_pictures_and_huge_buckets_are_named() -> None:
    assert check([*clips_of(20), a_clip(30, width=320, height=240)])["upscaling"].clip_ids == ("c30",)
    large = check([a_clip(0, width=1920, height=1088)], wanted=("1920x1088x49",))["area"]
    assert large.level == "should"


def test_missing_captions_must_be_written_and_can_be_drafted() -> None:
    finding = check([*clips_of(20), a_clip(30, "  ")])["captions"]
    assert (finding.level, finding.fix, finding.clip_ids) == ("must", "draft_captions", ("c30",))


def test_long_captions_are_held_against_words_and_tokens() -> None:
    long = "word " * 190
    assert check([a_clip(0, long + "word " * 20)])["long_captions"].level == "should"
    assert check([a_clip(0, long)])["long_captions"].level == "fine"
    assert check([a_clip(0, long)], spec=EMBEDDED)["long_captions"].level == "should"


@pytest.mark.parametrize(
    ("caption", "finding"),
    [
        ("A dog.", "short_captions"),
        ("A <b>dog</b> runs along a sandy beach at noon.", "markup"),
        ("A dog runs\nalong a sandy beach at noon.", "markup"),
        ("A dog runs along a sandy beach &amp; barks.", "markup"),
        ("A dog runs along a sandy\u200b beach at noon\x07.", "markup"),
        ("[subject] moves slowly to the left in [setting].", "slots"),
        ("A zorblax dog, zorblax, runs along a sandy beach.", "trigger_doubled"),
        ("**A dog** runs along a sandy beach at noon.", "markup"),
        ("I'm sorry, but I cannot describe this video.", "no_captions"),
        ("Ein Hund läuft am Strand und die Sonne scheint auf das Meer.", "no_captions"),
        ("1girl, solo, long hair, blue eyes, outdoors, best quality", "no_captions"),
    ],
)
def test_captions_worth_changing_are_named(caption: str, finding: str) -> None:
    found = check([*clips_of(20), a_clip(30, caption)])[finding]
    assert found.level == "should"
    assert found.clip_ids == ("c30",)


@pytest.mark.parametrize("words", [19, 20])
def test_a_caption_is_short_for_the_check_where_it_is_short_in_the_workbench(words: int) -> None:
    caption = "A dog runs. " + " ".join(["Waves"] * (words - 3))
    is_short = "short" in {item.rule for item in lint(caption)}
    assert ("short_captions" in check([*clips_of(20), a_clip(30, caption)])) is is_short is (words < 20)


def test_what_is_no_caption_is_not_called_too_short_as_well() -> None:
    tags = "1girl, solo, long hair, blue eyes, outdoors, best quality"
    found = check([*clips_of(20), a_clip(30, "一位女士走过石桥。"), a_clip(31, tags)])
    assert "short_captions" not in found
    assert found["no_captions"].why.startswith("1 in another language, 1 as a list of tags.")


def test_ordinary_text_is_not_taken_for_markup() -> None:
    for caption in (
        "A cat & a dog: 3 < 5, 7 > 2!",
        "Ein Hund läuft — schnell. 日本 👩‍👩‍👧",
        "R&D at AT&T, I <3 you",
    ):
        assert "markup" not in check([a_clip(0, caption)])


def test_drafts_without_slots_are_only_mentioned() -> None:
    finding = check([*clips_of(20), a_clip(30, caption_state=CaptionState.DRAFT)])["drafts"]
    assert finding.level == "fine"


def test_equal_captions_are_named() -> None:
    clips = [
        *clips_of(20),
        a_clip(30, "The same words in both of these."),
        a_clip(31, "The  same words in both of these."),
    ]
    assert check(clips)["duplicate_captions"].clip_ids == ("c30", "c31")


def test_a_goal_that_needs_a_trigger_word_asks_for_one() -> None:
    assert check(clips_of(20), trigger_word="")["trigger"].level == "should"
    assert "trigger" not in check(clips_of(20), trigger_word="", goal=Goal.CONTROL)


def test_without_automatic_placement_every_caption_needs_the_trigger() -> None:
    clips = [a_clip(0, "A dog runs along a sandy beach."), a_clip(1, "Zorblax, a dog runs along a beach.")]
    assert "trigger_missing" not in check(clips)
    finding = check(clips, trigger_placement="none")["trigger_missing"]
    assert (finding.clip_ids, finding.fix) == (("c0",), "add_trigger")


def test_a_regularisation_clip_with_the_trigger_is_named() -> None:
    clips = [*clips_of(20), a_clip(30, "A zorblax dog runs along a sandy beach.", regularisation=True)]
    finding = check(clips)["regularisation_trigger"]
    assert (finding.clip_ids, finding.fix) == (("c30",), "remove_trigger")


def test_missing_regularisation_is_only_mentioned() -> None:
    assert check(clips_of(20))["regularisation"].level == "fine"


def test_clips_without_files_must_be_fixed(project: Project) -> None:
    clips = clips_of(3)
    add_clips(project, clips)
    project.clips_folder.mkdir()
    project.path("clips/c0.mp4").write_bytes(b"video")
    project.path("clips/c1.mp4").touch()
    finding = check(clips, project=project)["files"]
    assert (finding.level, finding.clip_ids, finding.fix) == ("must", ("c1", "c2"), "remove_missing")
    assert apply_fix(project, finding.fix, finding.clip_ids) == 2
    assert [clip.id for clip in read_clips(project)] == ["c0"]


@pytest.mark.parametrize(
    ("fix", "before", "after"),
    [
        ("flatten_captions", "A <b>dog</b>\nruns &amp; barks.", "A dog runs & barks."),
        ("flatten_captions", "**A dog** runs\n- fast\n- far", "A dog runs. Fast. Far."),
        ("add_trigger", "A dog runs.", "zorblax A dog runs."),
        ("add_trigger", "A Zorblax dog.", "A Zorblax dog."),
        ("remove_trigger", "Zorblax, a dog. A zorblax.", "A dog. A"),
        ("remove_trigger", "A dog zorblaxes.", "A dog zorblaxes."),
        ("single_trigger", "zorblax A dog, zorblax, runs. Zorblax!", "zorblax A dog, runs."),
    ],
)
def test_fixes_change_the_text_and_nothing_else(project: Project, fix: str, before: str, after: str) -> None:
    project.change_settings(trigger_word="zorblax")
    add_clips(project, [a_clip(0, before, caption_state=CaptionState.DRAFT), a_clip(1, "Other zorblax <i>.")])
    assert apply_fix(project, fix, ["c0"]) == (before != after)
    clips = read_clips(project)
    assert clips[0].caption == after
    assert clips[0].caption_state is CaptionState.DRAFT
    assert clips[1].caption == "Other zorblax <i>."


def test_every_fix_solves_its_finding(project: Project) -> None:
    project.change_settings(trigger_word="zorblax style.", trigger_placement="none")
    clips = [
        a_clip(0, "A <b>dog</b> runs along\nthe sandy beach."),
        a_clip(1, "Zorblax style. A dog zorblax style. runs along the beach."),
        a_clip(2, "Zorblax style. A dog runs along the beach.", regularisation=True),
    ]
    add_clips(project, clips)
    names = ("markup", "trigger_missing", "trigger_doubled", "regularisation_trigger")

    def found() -> dict[str, Finding]:
        now = read_clips(project)
        findings = check_dataset(project.read_settings(), now, SPEC, plan_buckets(now, SPEC))
        return {finding.id: finding for finding in findings if finding.id in names}

    assert set(found()) == set(names)
    for name in names:
        finding = found()[name]
        apply_fix(project, finding.fix, finding.clip_ids)
    assert found() == {}


def test_an_unknown_fix_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="no fix called magic"):
        apply_fix(project, "magic")


def test_every_offered_fix_exists() -> None:
    everything_wrong = [
        a_clip(0, ""),
        a_clip(1, "<b>zorblax zorblax</b>", fps=60.0, width=900),
        a_clip(2, "zorblax", regularisation=True),
    ]
    fixes = {finding.fix for finding in check(everything_wrong).values() if finding.fix}
    assert fixes <= {*FIXES, "conform", "draft_captions"}
    assert len(CHECKS) >= 20


def test_the_trigger_is_counted_as_a_word() -> None:
    assert count_trigger("NEONWIZ style. A neonwiz style, neonwizstyle", "NEONWIZ style.") == 2
    assert count_trigger("anything", "") == 0
