"""Contact sheets: a few frames of many clips in one PNG, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_SHOWN_FRAMES = 5


def save_sheet(
    path: Path, clips: list[np.ndarray], titles: list[str], columns: int = 2, shrink: int = 2
) -> None:
    """Write a PNG with five frames of each clip under its title. clips: uint8 [F, H, W, 3], of one size."""
    cells = [_cell(clip, title, shrink) for clip, title in zip(clips, titles, strict=True)]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def _cell(clip: np.ndarray, title: str, shrink: int) -> np.ndarray:
    chosen = np.linspace(0, len(clip) - 1, _SHOWN_FRAMES).round().astype(int)
    strip = np.concatenate([clip[i][::shrink, ::shrink] for i in chosen], axis=1)
    label = Image.new("RGB", (strip.shape[1], 14))
    ImageDraw.Draw(label).text((2, 1), title[: strip.shape[1] // 6], fill=(255, 255, 255))
    return np.concatenate([np.asarray(label), strip], axis=0)
