"""A grid of small videos with its labels, as one picture or as one video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ltx_wizard.core.errors import BadInput
from ltx_wizard.media.lettering import Font, lettering
from ltx_wizard.media.transcode import write_png, write_video

Picture = NDArray[np.uint8]

_PAPER, _INK, _FAINT, _EMPTY = (250, 250, 252), (30, 33, 43), (110, 116, 130), (226, 228, 234)
_LABEL_PX, _HEAD_PX, _NOTE_PX, _TITLE_PX, _GAP_PX = 110, 22, 18, 24, 8
_FONT_PX, _SMALL_PX = 13, 11
_MOST_FILM_PX = 16_384
"""x264 refuses more."""


@dataclass(frozen=True)
class SheetCell:
    """pictures: uint8 [H, W, 3], evenly over the length of the video; empty: not made. note: under it."""

    pictures: Sequence[Picture]
    note: str


@dataclass(frozen=True)
class SheetBlock:
    """A titled table. cells: rows of columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[str]
    cells: Sequence[Sequence[SheetCell]]


def write_picture(blocks: Sequence[SheetBlock], size: tuple[int, int], path: Path) -> None:
    """The middle of each video. size: of a cell, width and height. Raises NoSpace or NoPermission."""
    write_png(_frame(blocks, size, 0.5), path)


def write_film(blocks: Sequence[SheetBlock], size: tuple[int, int], seconds: float, path: Path) -> None:
    """All of them at once, in step. seconds: of the whole.

    Raises BadInput where no video is so large, NoSpace or NoPermission.
    """
    count = max((len(cell.pictures) for block in blocks for row in block.cells for cell in row), default=1)
    write_video(_frames(blocks, size, max(1, count)), path, max(1, count) / seconds)


def _frames(blocks: Sequence[SheetBlock], size: tuple[int, int], count: int) -> Iterator[Picture]:
    """The labels are drawn once."""
    paper = _frame(blocks, size, None)
    height, width = paper.shape[:2]
    if max(height, width) > _MOST_FILM_PX:
        raise BadInput(
            problem=f"This sheet has {width:,} x {height:,} pixels: more than {_MOST_FILM_PX:,} "
            "fit in no video.",
            remedy="Save it as PNG, or take some LoRAs, strengths, prompts or seeds out.",
        )
    paper = np.pad(paper, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # H.264 needs even sizes
    for index in range(count):
        picture = paper.copy()
        _paste_all(picture, blocks, size, (index + 0.5) / count)
        yield picture


def _frame(blocks: Sequence[SheetBlock], size: tuple[int, int], moment: float | None) -> Picture:
    """moment: 0 to 1; None: without the videos."""
    columns = max((len(block.columns) for block in blocks), default=1)
    width = _LABEL_PX + columns * (size[0] + _GAP_PX) + _GAP_PX
    height = sum(_block_height(block, size) for block in blocks) + _GAP_PX
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP_PX
    for number, block in enumerate(blocks, start=1):
        title, font = lettering(block.title, _FONT_PX, f"Grid {number}")
        draw.text((_GAP_PX, top), _fitted(title, draw, font, width - 2 * _GAP_PX), _INK, font)
        for column, name in enumerate(block.columns):
            centre = _left(column, size) + size[0] / 2
            shown, small = lettering(name, _SMALL_PX, f"Column {column + 1}")
            draw.text((centre, top + _TITLE_PX), shown, _FAINT, small, anchor="ma")
        for row, name in enumerate(block.rows):
            y = _top(top, row, size)
            shown, small = lettering(name, _SMALL_PX, f"Row {row + 1}")
            draw.multiline_text((_GAP_PX, y + 4), _wrapped(shown, draw, small), _INK, small)
            for column, cell in enumerate(block.cells[row]):
                left = _left(column, size)
                draw.rectangle((left, y, left + size[0] - 1, y + size[1] - 1), _EMPTY)
                note, small = lettering(cell.note, _SMALL_PX)
                draw.text((left, y + size[1] + 2), _fitted(note, draw, small, size[0]), _FAINT, small)
        top += _block_height(block, size)
    picture = np.array(sheet)
    if moment is not None:
        _paste_all(picture, blocks, size, moment)
    return picture


def _paste_all(sheet: Picture, blocks: Sequence[SheetBlock], size: tuple[int, int], moment: float) -> None:
    top = _GAP_PX
    for block in blocks:
        for row, cells in enumerate(block.cells):
            y = _top(top, row, size)
            for column, cell in enumerate(cells):
                if cell.pictures:
                    index = min(len(cell.pictures) - 1, int(moment * len(cell.pictures)))
                    left = _left(column, size)
                    sheet[y : y + size[1], left : left + size[0]] = cell.pictures[index]
        top += _block_height(block, size)


def _left(column: int, size: tuple[int, int]) -> int:
    return _LABEL_PX + column * (size[0] + _GAP_PX)


def _top(block_top: int, row: int, size: tuple[int, int]) -> int:
    return block_top + _TITLE_PX + _HEAD_PX + row * (size[1] + _NOTE_PX + _GAP_PX)


def _block_height(block: SheetBlock, size: tuple[int, int]) -> int:
    return _top(0, len(block.rows), size) + _GAP_PX


def _fitted(text: str, draw: ImageDraw.ImageDraw, font: Font, width: float) -> str:
    """The text, cut at its end where it is wider."""
    shown = text
    while shown and draw.textlength(shown, font=font) > width:
        shown = shown[:-4].rstrip() + "..." if len(shown) > 4 else ""
    return shown


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: Font) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) > _LABEL_PX - 2 * _GAP_PX and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(_fitted(line, draw, font, _LABEL_PX - 2 * _GAP_PX) for line in lines)
