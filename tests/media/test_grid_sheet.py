"""Sheets of many videos: what is too large for a film is said, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltx_wizard.core.errors import BadInput
from ltx_wizard.media.grid_sheet import SheetBlock, SheetCell, write_film, write_picture

SIZE = (32, 160)


def block(rows: int) -> SheetBlock:
    cell = SheetCell([np.full((160, 32, 3), 90, np.uint8)], "")
    return SheetBlock("A prompt", ["base"], [f"step {row}" for row in range(rows)], [[cell]] * rows)


def test_a_sheet_that_no_video_can_hold_is_refused_and_a_picture_of_it_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="more than 16,384 fit in no video") as found:
        write_film([block(100)], SIZE, 1.0, tmp_path / "sheet.mp4")
    assert "PNG" in found.value.remedy
    assert list(tmp_path.iterdir()) == []
    write_picture([block(100)], SIZE, tmp_path / "sheet.png")
    write_film([block(4)], SIZE, 1.0, tmp_path / "sheet.mp4")
    assert len(list(tmp_path.iterdir())) == 2
