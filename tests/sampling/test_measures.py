"""What can be read off a clip, on clips drawn so that the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from ltx_wizard.sampling.measures import (
    COLOUR_VALUES,
    Frames,
    dark_border_share,
    mean_absolute_change,
    object_colours,
    object_has_colour,
)

GREY = (0.6, 0.6, 0.6)
NIGHT = (0.05, 0.04, 0.08)
ON_GREY = list(COLOUR_VALUES)
GLOWING = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white"]


def drawn_clip(
    ground: tuple[float, float, float],
    colour: tuple[float, float, float] | None = None,
    hollow: bool = False,
    centre_x: int = 48,
) -> Frames:
    """Four frames of 96 x 96 with a circle of radius 26 that moves right, filled or as a line."""
    clip = np.empty((4, 96, 96, 3), dtype=np.float32)
    clip[:] = ground
    rows, columns = np.mgrid[:96, :96]
    for index in range(4):
        distance = np.hypot(rows - 48, columns - centre_x - 2 * index)
        inside = np.abs(distance - 26) < 4 if hollow else distance < 26
        if colour is not None:
            clip[index][inside] = colour
    return (clip * 255 + 0.5).astype(np.uint8)


def test_a_dark_ground_has_a_dark_border_whatever_is_in_the_middle() -> None:
    assert dark_border_share(drawn_clip(NIGHT, COLOUR_VALUES["yellow"])) == 1.0


def test_a_light_ground_has_no_dark_border_even_with_a_black_object() -> None:
    assert dark_border_share(drawn_clip(GREY, COLOUR_VALUES["black"])) == 0.0


def test_the_border_is_counted_by_pixels_and_frames() -> None:
    clip = drawn_clip(GREY)
    clip[:2] = 0
    assert dark_border_share(clip) == 0.5


@pytest.mark.parametrize("name", ON_GREY)
def test_a_filled_object_has_its_own_colour_and_no_other(name: str) -> None:
    clip = drawn_clip(GREY, COLOUR_VALUES[name])
    assert object_colours(clip) == [name]
    assert object_has_colour(clip, name)
    assert not object_has_colour(clip, "red" if name != "red" else "blue")


@pytest.mark.parametrize("name", GLOWING)
def test_a_pale_glowing_outline_on_a_dark_ground_keeps_its_colour(name: str) -> None:
    colour = COLOUR_VALUES[name]
    pale = tuple(value + 0.2 * (1 - value) for value in colour)
    assert object_has_colour(drawn_clip(NIGHT, pale, hollow=True), name)  # pyright: ignore[reportArgumentType]


def test_nothing_has_a_colour_where_nothing_stands_out() -> None:
    assert object_colours(drawn_clip(GREY)) == []
    assert not object_has_colour(drawn_clip(GREY), "white")


def test_two_objects_have_two_colours_the_larger_one_first() -> None:
    clip = drawn_clip(GREY, COLOUR_VALUES["blue"], centre_x=40)
    clip[:, 60:80, 70:92] = np.round(np.array(COLOUR_VALUES["yellow"]) * 255)
    clip[:, 16:36, 70:92] = np.round(np.array(COLOUR_VALUES["yellow"]) * 255)
    assert object_colours(clip) == ["blue", "yellow"]


def test_an_unknown_colour_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        object_has_colour(drawn_clip(GREY, COLOUR_VALUES["red"]), "mauve")


def test_change_is_the_mean_difference_and_does_not_wrap_around() -> None:
    low, high = drawn_clip((0.0, 0.0, 0.0)), drawn_clip((1.0, 1.0, 1.0))
    assert mean_absolute_change(low, high) == mean_absolute_change(high, low) == 255.0
    assert mean_absolute_change(high, high) == 0.0
