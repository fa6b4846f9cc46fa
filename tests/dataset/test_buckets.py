from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.recipe import parse_bucket
from ltx_wizard.dataset.buckets import needs_conforming, plan_buckets, proposed_buckets, used_s, valid_bucket
from ltx_wizard.models.catalog import CATALOG, EMBEDDED, LTXV_2B_096_DEV
from ltx_wizard.models.spec import Grid

BIG = LTXV_2B_096_DEV


def a_clip(
    clip_id: str = "c", width: int = 1280, height: int = 720, seconds: float = 4.0, **more: Any
) -> Clip:
    fps = more.pop("fps", 24.0)
    fields: dict[str, Any] = {
        "id": clip_id,
        "source_id": "s",
        "file": f"clips/{clip_id}.mp4",
        "kind": MediaKind.VIDEO,
        "width": width,
        "height": height,
        "fps": fps,
        "frames": round(seconds * fps),
        "duration_s": seconds,
    }
    return Clip.model_validate({**fields, **more})


def an_image(clip_id: str = "i", width: int = 640, height: int = 480) -> Clip:
    return a_clip(clip_id, width, height, 0.0, kind=MediaKind.IMAGE, fps=0.0, frames=1)


def assigned(clip: Clip, *wanted: str, spec: Any = BIG) -> str | None:
    return plan_buckets([clip], spec, wanted).assignment.get(clip.id)


def test_the_shape_nearest_to_the_clip_wins() -> None:
    wanted = ("768x512x49", "512x768x49", "640x640x49")
    assert assigned(a_clip(width=1920, height=1080), *wanted) == "768x512x49"
    assert assigned(a_clip(width=720, height=1280), *wanted) == "512x768x49"
    assert assigned(a_clip(width=500, height=500), *wanted) == "640x640x49"


def test_then_most_frames_then_the_largest_area() -> None:
    wanted = ("384x256x25", "768x512x49", "384x256x49", "768x512x97")
    assert assigned(a_clip(width=768, height=512, seconds=3.0), *wanted) == "768x512x49"
    assert assigned(a_clip(width=768, height=512, seconds=1.5), *wanted) == "384x256x25"
    assert assigned(a_clip(width=768, height=512, seconds=5.0), *wanted) == "768x512x97"


def test_a_clip_too_short_for_every_bucket_says_why() -> None:
    plan = plan_buckets([a_clip(seconds=2.0)], BIG, ("768x512x49",))
    assert plan.assignment == {}
    assert plan.unfit == {"c": "It gives 48 frames at 24 fps; the shortest bucket has 49."}


def test_frames_are_counted_at_the_training_rate() -> None:
    slow = a_clip(seconds=2.1, fps=12.5)
    assert assigned(slow, "768x512x49") == "768x512x49"


def test_images_get_one_frame_at_the_same_sizes() -> None:
    plan = plan_buckets([a_clip(), an_image()], BIG, ("768x512x49", "640x640x49"))
    assert plan.assignment == {"c": "768x512x49", "i": "768x512x1"}
    assert assigned(an_image(), "768x512x1", "768x512x49") == "768x512x1"


def test_a_video_never_lands_in_an_image_bucket() -> None:
    assert assigned(a_clip(), "768x512x1", "512x512x49") == "512x512x49"


def test_wanted_buckets_that_the_model_cannot_take_are_named() -> None:
    plan = plan_buckets([a_clip()], BIG, ("760x512x49", "768x512x49"))
    assert "Use 768x512x49." in plan.invalid["760x512x49"]
    assert plan.assignment == {"c": "768x512x49"}


@pytest.mark.parametrize("spec", CATALOG, ids=lambda spec: spec.id)
def test_proposals_fit_the_model(spec: Any) -> None:
    width, height, frames = parse_bucket(spec.default_bucket)
    for clip in (a_clip(seconds=9.0), a_clip(width=300, height=900, seconds=3.0), an_image()):
        for bucket in proposed_buckets(clip, spec):
            assert spec.size_grid.allows(bucket[0])
            assert spec.size_grid.allows(bucket[1])
            assert spec.frame_grid.allows(bucket[2])
            assert 0.75 * width * height <= bucket[0] * bucket[1] <= 1.12 * width * height
            assert bucket[2] <= frames


def test_with_nothing_wanted_clips_keep_their_shape() -> None:
    clips = [
        a_clip("wide", 1920, 1080),
        a_clip("tall", 1080, 1920),
        a_clip("square", 800, 800),
        a_clip("default", 768, 512),
    ]
    assigned_to = plan_buckets(clips, BIG).assignment
    for clip in clips:
        width, height, frames = parse_bucket(assigned_to[clip.id])
        assert abs(width / height / (clip.width / clip.height) - 1) < 0.06
        assert frames == 49
    assert assigned_to["default"] == "768x512x49"


def test_with_nothing_wanted_a_clip_takes_the_frames_that_it_fills() -> None:
    clips = [a_clip("long", seconds=6.0), a_clip("two", seconds=2.0), a_clip("tiny", seconds=0.3)]
    plan = plan_buckets(clips, BIG)
    assert parse_bucket(plan.assignment["long"])[2] == 49
    assert parse_bucket(plan.assignment["two"])[2] == 41
    assert plan.unfit == {"tiny": "It gives 8 frames at 24 fps; the shortest bucket has 9."}


def test_the_practice_model_gets_its_own_size() -> None:
    clip = a_clip(width=192, height=192, seconds=3.0, fps=8.0)
    assert plan_buckets([clip], EMBEDDED).assignment == {"c": EMBEDDED.default_bucket}


def test_planning_again_with_the_planned_buckets_changes_nothing() -> None:
    clips = [
        a_clip(f"c{index}", width, height, seconds)
        for index, (width, height, seconds) in enumerate(
            [(1920, 1080, 5), (1080, 1920, 2), (640, 272, 1.2), (500, 500, 3), (768, 512, 0.5)]
        )
    ]
    clips.append(an_image())
    plan = plan_buckets(clips, BIG)
    again = plan_buckets(clips, BIG, tuple(dict.fromkeys(plan.assignment.values())))
    assert again.assignment == plan.assignment


def test_boxes_count_their_clips() -> None:
    clips = [a_clip("a"), a_clip("b"), a_clip("c", 1080, 1920)]
    boxes = plan_buckets(clips, BIG, ("768x512x49", "512x768x49")).boxes
    assert [(box.bucket, box.clips) for box in boxes] == [("768x512x49", 2), ("512x768x49", 1)]


@pytest.mark.parametrize(
    ("bucket", "nearest"),
    [
        ("770x512x49", "768x512x49"),
        ("768x500x49", "768x512x49"),
        ("768x512x48", "768x512x49"),
        ("10x10x2", "32x32x1"),
        ("word", "768x512x49"),
        ("768x512", "768x512x49"),
    ],
)
def test_an_invalid_bucket_names_the_nearest_valid_one(bucket: str, nearest: str) -> None:
    with pytest.raises(BadSetting) as caught:
        valid_bucket(bucket, BIG)
    assert nearest in caught.value.remedy


def test_the_grid_comes_from_the_model() -> None:
    other = replace(BIG, frame_grid=Grid(first=1, step=4), size_grid=Grid(first=64, step=64))
    assert valid_bucket("448x448x13", other) == (448, 448, 13)
    with pytest.raises(BadSetting, match="multiples of 64, and frames 4n"):
        valid_bucket("480x448x13", other)


def test_a_clip_is_conformed_once_it_is_exactly_its_bucket() -> None:
    exact = a_clip(width=768, height=512, seconds=49 / 24)
    assert not needs_conforming(exact, "768x512x49", BIG)
    assert needs_conforming(exact, "768x512x41", BIG)
    assert needs_conforming(a_clip(width=768, height=512, seconds=49 / 25, fps=25.0), "768x512x49", BIG)
    done = a_clip(conformed_file="clips/conformed/c.mp4", bucket="768x512x49")
    assert not needs_conforming(done, "768x512x49", BIG)
    assert needs_conforming(done, "512x512x49", BIG)


def test_training_sees_only_the_beginning_of_a_long_clip() -> None:
    assert used_s(a_clip(seconds=6.0), "768x512x49", BIG) == pytest.approx(49 / 24)
    assert used_s(a_clip(seconds=1.0), "768x512x25", BIG) == 1.0
