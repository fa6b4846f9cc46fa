from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.recipe import DataSettings
from ltx_wizard.dataset.augment import (
    NOT_OFFERED,
    Change,
    blurred,
    changed,
    is_mirrored,
    mirrored_caption,
    names_side,
    names_text,
    plan_copies,
)

PLAIN = "A dog runs along the beach. The camera is static."


def a_clip(clip_id: str, caption: str = PLAIN, **changes: Any) -> Clip:
    return Clip.model_validate(
        {
            "id": clip_id,
            "source_id": "s",
            "file": f"clips/{clip_id}.mp4",
            "kind": MediaKind.VIDEO,
            "width": 64,
            "height": 64,
            "fps": 8,
            "frames": 17,
            "duration_s": 2.1,
            "caption": caption,
            **changes,
        }
    )


def noise_clip() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (5, 24, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("The camera pans left to right.", "The camera pans right to left."),
        ("Left of the door stands a RIGHT-handed man.", "Right of the door stands a LEFT-handed man."),
        ("She drifts leftwards, then rightward.", "She drifts rightwards, then leftward."),
        (
            "In the leftmost corner, on the right-hand side.",
            "In the rightmost corner, on the left-hand side.",
        ),
        ("The camera rolls clockwise.", "The camera rolls counter-clockwise."),
        ("It spins Counterclockwise.", "It spins Clockwise."),
        ("A left-to-right wipe.", "A right-to-left wipe."),
        (
            "A man who has left the room stands right behind.",
            "A man who has left the room stands right behind.",
        ),
        ("It is left of the tree.", "It is right of the tree."),
        ("A bright, upright copyright mark.", "A bright, upright copyright mark."),
        ("She left the room to the left.", "She left the room to the right."),
        ("It turns counter clockwise.", "It turns clockwise."),
        ("It turns anti-clockwise.", "It turns clockwise."),
        (PLAIN, PLAIN),
    ],
)
def test_left_and_right_are_exchanged_in_the_caption_of_a_mirrored_clip(caption: str, mirrored: str) -> None:
    assert mirrored_caption(caption) == mirrored


def test_exchanging_twice_gives_the_caption_back() -> None:
    caption = "Right at dawn, a fox trots from the left to the right, clockwise around the pond."
    assert mirrored_caption(mirrored_caption(caption)) == caption
    assert mirrored_caption(caption) != caption


def test_the_trigger_word_is_never_exchanged() -> None:
    assert (
        mirrored_caption("left style. A car turns left.", "left style.") == "left style. A car turns right."
    )
    assert mirrored_caption("A cat runs to the right.", "ri") == "A cat runs to the left."


def test_what_a_caption_names_is_found() -> None:
    assert names_side("He turns LEFT.") and names_side("It rolls clockwise.")
    assert not names_side("She has left the bright room.") and not names_side(PLAIN)
    for text in (
        'The wall says "open".',
        "A neon sign glows.",
        "White letters appear.",
        "A car's number plate.",
    ):
        assert names_text(text), text
    assert not names_text(PLAIN)


def test_safe_mirroring_leaves_clips_with_sides_and_writing_alone() -> None:
    captions = [PLAIN, "He turns left.", "A neon sign glows."]
    safe, all_of_them = DataSettings(mirror="safe"), DataSettings(mirror="all")
    assert [is_mirrored(caption, safe) for caption in captions] == [True, False, False]
    assert all(is_mirrored(caption, all_of_them) for caption in captions)
    assert not any(is_mirrored(caption, DataSettings()) for caption in captions)


def test_by_default_there_are_no_copies() -> None:
    assert plan_copies([a_clip("a"), a_clip("b")], DataSettings(), 1) == []


def test_copies_follow_from_the_seed_alone() -> None:
    clips = [a_clip("a"), a_clip("b", "He turns left."), a_clip("c", regularisation=True), a_clip("d")]
    data = DataSettings(mirror="safe", colour_copies=2)
    copies = plan_copies(clips, data, 7, held_out={"d"})
    assert [copy.id for copy in copies] == [
        *("a~mirrored", "a~colour-1", "a~colour-2", "b~colour-1", "b~colour-2")
    ]
    assert copies == plan_copies(clips, data, 7, held_out={"d"})
    assert [copy for copy in copies if copy.clip_id == "b"] == plan_copies([clips[1]], data, 7)
    assert copies != plan_copies(clips, data, 8, held_out={"d"})
    assert len({copy.change.key for copy in copies}) == len(copies)
    for copy in copies:
        assert all(abs(value - 1) <= 0.1 for value in (copy.change.brightness, copy.change.contrast))
        assert abs(copy.change.saturation - 1) <= 0.05


def test_a_mirrored_clip_is_each_frame_turned_around() -> None:
    frames = noise_clip()
    mirrored = changed(frames, Change(mirrored=True))
    assert np.array_equal(mirrored, frames[:, :, ::-1])
    assert np.array_equal(changed(mirrored, Change(mirrored=True)), frames)
    assert mirrored.flags.c_contiguous


def test_brightness_contrast_and_saturation_change_as_much_as_they_say() -> None:
    frames = noise_clip()
    before = frames.copy()
    brighter = changed(frames, Change(brightness=1.1))
    assert brighter.mean() == pytest.approx(1.1 * frames.mean(), rel=0.01)
    flatter = changed(frames, Change(contrast=0.9))
    assert flatter.mean() == pytest.approx(frames.mean(), rel=0.01)
    assert flatter.std() == pytest.approx(0.9 * frames.std(), rel=0.02)
    paler = changed(frames, Change(saturation=0.9))
    spread = np.ptp(frames.astype(float), axis=3).mean()
    assert np.ptp(paler.astype(float), axis=3).mean() == pytest.approx(0.9 * spread, rel=0.02)
    assert np.array_equal(frames, before)
    assert all(clip.dtype == np.uint8 and clip.shape == frames.shape for clip in (brighter, flatter, paler))


def test_a_change_is_the_same_for_every_frame() -> None:
    still = np.repeat(noise_clip()[:1], 4, axis=0)
    shown = changed(still, Change(brightness=0.93, contrast=1.08, saturation=1.04))
    assert all(np.array_equal(shown[0], frame) for frame in shown)


def test_blur_takes_fine_detail_and_keeps_the_light() -> None:
    picture = noise_clip()[0]
    soft = blurred(picture, 1.0)
    assert soft.std() < 0.6 * picture.std()
    assert soft.mean() == pytest.approx(picture.mean(), rel=0.02)


def test_what_is_not_offered_has_a_reason() -> None:
    assert all(what and why for what, why in NOT_OFFERED)
    fields = " ".join(DataSettings.model_fields)
    assert not any(word in fields for word in ("speed", "crop", "hue"))
