from __future__ import annotations

import pytest

from ltx_wizard.media.timing import average_fps, frames_at, frames_shown_at, is_variable, usual_step_s


def even_times(count: int, fps: float) -> list[float]:
    return [index / fps for index in range(count)]


def test_a_clip_at_its_own_rate_gives_all_its_frames() -> None:
    assert frames_at(49 / 24, 24) == 49


def test_two_seconds_at_24_fps_do_not_fill_49_frames() -> None:
    assert frames_at(2.0, 24) == 48


def test_frames_rounded_to_milliseconds_are_still_counted() -> None:
    assert frames_at(2.0416, 24) == 49
    assert frames_at(2.042, 24) == 49


def test_resampling_takes_the_last_frame_that_has_begun() -> None:
    assert frames_shown_at(even_times(30, 30), 1.0, 24)[:6] == [0, 1, 2, 3, 5, 6]


def test_a_slower_source_repeats_frames() -> None:
    assert frames_shown_at(even_times(8, 8), 1.0, 16) == [index // 2 for index in range(16)]


def test_resampling_uneven_times_follows_the_clock_not_the_count() -> None:
    times = [0.0, 0.1, 0.5, 0.6]
    assert frames_shown_at(times, 0.7, 10) == [0, 1, 1, 1, 1, 2, 3]


def test_the_rate_of_film_is_told_from_24() -> None:
    film = even_times(100, 24000 / 1001)
    assert average_fps(film, 0.0) == pytest.approx(24000 / 1001, abs=1e-9)
    assert average_fps(even_times(100, 24), 0.0) == 24.0


def test_millisecond_ticks_do_not_look_like_a_variable_rate() -> None:
    times = [round(index / 24, 3) for index in range(200)]
    assert not is_variable(times)
    assert average_fps(times, 24.0) == 24.0


def test_a_change_of_rate_inside_is_variable() -> None:
    assert is_variable([*even_times(40, 30), *(40 / 30 + index / 15 for index in range(40))])


def test_the_usual_step_ignores_a_pause() -> None:
    assert usual_step_s([0.0, 0.1, 0.2, 3.0, 3.1], 10) == pytest.approx(0.1)
