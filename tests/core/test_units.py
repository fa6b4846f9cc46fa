from __future__ import annotations

import pytest

from ltx_wizard.core.units import bytes_text, duration_text, plural, timecode_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42, "42 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (130, "2 min 10 s"),
        (599.7, "10 min"),
        (601, "10 min"),
        (3599, "59 min"),
        (3599.6, "1 h 0 min"),
        (6600, "1 h 50 min"),
        (90_000, "25 h 0 min"),
        (-3, "0 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (4.25, "0:04.2"),
        (75, "1:15.0"),
        (59.96, "1:00.0"),
        (119.99, "2:00.0"),
        (3675.5, "61:15.5"),
        (-1, "0:00.0"),
    ],
)
def test_timecodes(seconds: float, text: str) -> None:
    assert timecode_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KB"),
        (250 * 1024, "250 KB"),
        (1024**2 - 1, "1.0 MB"),
        (28 * 1024**2, "28.0 MB"),
        (1024**3, "1.0 GB"),
        (5000 * 1024**3, "5000 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1200, "1,200 clips")]
)
def test_plurals(count: int, text: str) -> None:
    assert plural(count, "clip") == text
