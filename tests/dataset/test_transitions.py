"""Fades, dissolves and flashes on tiny pictures of real frames: no file is written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ltx_wizard.dataset.transitions import (
    TINY_PX,
    Tiny,
    find_transitions,
    tiny_picture,
    without_flashes,
)
from ltx_wizard.media.video import Frame, read_frames

LENGTH = 40


@pytest.fixture(scope="module")
def shots(real_videos: Path) -> dict[str, list[Frame]]:
    """Forty frames each of a live shot, and of a still that a camera pans over."""
    bunny = [
        cv2.resize(frame, (320, 180)) for frame in read_frames(real_videos / "bigbuckbunny.mp4", 60, 100)
    ]
    street = cv2.resize(next(read_frames(real_videos / "bikes.mp4", 140, 141)), (640, 272))
    pan = [np.asarray(street[40:220, 3 * at : 3 * at + 320], np.uint8) for at in range(LENGTH)]
    return {"bunny": [np.asarray(frame, np.uint8) for frame in bunny], "pan": pan}


def tiny(frames: list[Frame]) -> list[Tiny]:
    return [tiny_picture(frame) for frame in frames]


def mixed(first: list[Frame], second: list[Frame]) -> list[Frame]:
    """A dissolve of two stretches of the same length."""
    shares = np.arange(1, len(first) + 1) / (len(first) + 1)
    return [
        (a * (1 - share) + b * share).astype(np.uint8)
        for a, b, share in zip(first, second, shares, strict=True)
    ]


def dissolve(first: list[Frame], second: list[Frame], length: int) -> list[Frame]:
    return [*first[:-length], *mixed(first[-length:], second[:length]), *second[length:]]


def fade(first: list[Frame], second: list[Frame], length: int, black: int) -> list[Frame]:
    dark = [np.zeros_like(first[0])] * length
    away, back = mixed(first[-length:], dark), mixed(dark, second[:length])
    return [*first[:-length], *away, *[np.zeros_like(first[0])] * black, *back, *second[length:]]


def test_tiny_pictures_are_grey_and_small() -> None:
    assert tiny_picture(np.zeros((144, 256, 3), np.uint8)).shape == (TINY_PX[1], TINY_PX[0])


@pytest.mark.parametrize("black", [1, 3, 12])
def test_a_fade_is_found_with_both_slopes(shots: dict[str, list[Frame]], black: int) -> None:
    (found,) = find_transitions(tiny(fade(shots["bunny"], shots["pan"], 12, black)))
    assert found.start == pytest.approx(LENGTH - 12, abs=2)
    assert found.end == pytest.approx(LENGTH + black + 12, abs=2)


def test_a_black_gap_between_hard_cuts_is_found_to_the_frame(shots: dict[str, list[Frame]]) -> None:
    frames = [*shots["bunny"], *[np.zeros_like(shots["bunny"][0])] * 8, *shots["pan"]]
    (found,) = find_transitions(tiny(frames))
    assert (found.start, found.end) == (LENGTH, LENGTH + 8)


def test_a_video_that_begins_and_ends_in_black_loses_only_that(shots: dict[str, list[Frame]]) -> None:
    black = [np.zeros_like(shots["bunny"][0])] * 5
    found = find_transitions(tiny([*black, *shots["bunny"], *black]))
    assert [(item.start, item.end) for item in found] == [(0, 5), (LENGTH + 5, LENGTH + 10)]


@pytest.mark.parametrize("length", [10, 16, 24])
@pytest.mark.parametrize("order", [("bunny", "pan"), ("pan", "bunny")])
def test_a_dissolve_is_found_where_it_is(
    shots: dict[str, list[Frame]], order: tuple[str, str], length: int
) -> None:
    (found,) = find_transitions(tiny(dissolve(shots[order[0]], shots[order[1]], length)))
    assert found.start == pytest.approx(LENGTH - length, abs=6)
    assert found.end == pytest.approx(LENGTH, abs=6)


def test_shots_and_hard_cuts_hold_no_transition(shots: dict[str, list[Frame]]) -> None:
    assert find_transitions(tiny(shots["bunny"])) == ()
    assert find_transitions(tiny(shots["pan"])) == ()
    assert find_transitions(tiny([*shots["bunny"], *shots["pan"]])) == ()


def test_a_light_that_is_turned_up_is_no_transition(shots: dict[str, list[Frame]]) -> None:
    lit = [
        (frame * (0.3 + 0.7 * index / LENGTH)).astype(np.uint8) for index, frame in enumerate(shots["bunny"])
    ]
    assert find_transitions(tiny(lit)) == ()


def test_transitions_far_into_a_long_video_are_counted_from_its_start(shots: dict[str, list[Frame]]) -> None:
    joined = tiny(dissolve(shots["bunny"], shots["pan"], 16))
    long = [*[joined[0]] * 2030, *joined]
    (found,) = find_transitions(long)
    assert found.start == pytest.approx(2030 + LENGTH - 16, abs=6)


def test_a_video_of_a_few_frames_has_none(shots: dict[str, list[Frame]]) -> None:
    assert find_transitions([]) == ()
    assert find_transitions(tiny(shots["bunny"][:5])) == ()


def test_cuts_of_a_flash_go_and_real_ones_stay(shots: dict[str, list[Frame]]) -> None:
    frames = [*shots["bunny"], *shots["pan"]]
    frames[20:22] = [np.full_like(frames[0], 250)] * 2
    assert without_flashes({20, 22, LENGTH}, tiny(frames)) == {LENGTH}
