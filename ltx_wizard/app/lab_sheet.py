"""The Lab's grid as one picture or one video, to show or to keep. Loads the video library."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ltx_wizard.app.lab_view import view as view_of
from ltx_wizard.core.documents import make_folder
from ltx_wizard.core.errors import BadInput, NotReady
from ltx_wizard.core.lab import MAIN, LabCell, LabFolder, LabLora
from ltx_wizard.core.project import Project
from ltx_wizard.media.grid_sheet import Picture, SheetBlock, SheetCell, write_film, write_picture

if TYPE_CHECKING:
    from ltx_wizard.app.lab_view import LabView, Place


_LEAST_PX = 160
"""Below that the figures under a video do not fit."""


def write(project: Project, kind: str) -> Path:
    """lab/sheets/<time>.png or .mp4, of what is made so far. Raises NotReady where nothing is."""
    if kind not in ("png", "mp4"):
        raise BadInput(problem=f"{kind} is no form of a sheet.", remedy="Choose png or mp4.")
    view = view_of(project)
    cells = [place.cell for place in _places(view) if place.cell is not None]
    if not cells:
        raise NotReady(problem="No video of the grid is made yet.", remedy="Make the videos first.")
    folder = LabFolder(project)
    first = cells[0]
    factor = max(1.0, _LEAST_PX / first.strip.width)
    size = (round(first.strip.width * factor), round(first.strip.height * factor))
    file = folder.sheets_folder / f"lab-{time.strftime('%Y-%m-%d-%H%M%S')}.{kind}"
    make_folder(file.parent)
    blocks = _blocks(folder, view, size)
    if kind == "png":
        write_picture(blocks, size, file)
    else:
        write_film(blocks, size, first.request.frames / first.request.fps, file)
    return file


def _places(view: LabView) -> list[Place]:
    return [place for place in view.places if place.wanted.grid == MAIN]


def _blocks(folder: LabFolder, view: LabView, size: tuple[int, int]) -> list[SheetBlock]:
    """One for each prompt and seed; the base model's video stands in every row."""
    grid = view.lab.grid
    loras = [lora for lora in map(view.lab.lora, grid.loras) if lora is not None]
    strengths = [strength for strength in grid.strengths if strength]
    blocks: list[SheetBlock] = []
    places = _places(view)
    for pair in range(1 + max(place.wanted.pair for place in places)):
        mine = [place for place in places if place.wanted.pair == pair]
        by_key = {_key(place.wanted.lora, place.wanted.strength): place for place in mine}
        base = _cell(folder, mine[0], size)
        rows = [
            [base, *(_cell(folder, by_key[_key(lora, strength)], size) for strength in strengths)]
            for lora in loras
        ]
        blocks.append(
            SheetBlock(
                title=f"{mine[0].wanted.request.prompt} (seed {mine[0].wanted.seed})",
                columns=("base model", *(_strength(strength) for strength in strengths)),
                rows=[lora.title for lora in loras] or ["base model"],
                cells=rows or [[base]],
            )
        )
    return blocks


def _strength(value: float) -> str:
    text = f"{value:g}"
    return text if "." in text else f"{text}.0"


def _key(lora: LabLora | None, strength: float) -> tuple[str, float]:
    return (lora.id if lora else "", strength)


def _cell(folder: LabFolder, place: Place, size: tuple[int, int]) -> SheetCell:
    if place.cell is None:
        return SheetCell((), "")
    return SheetCell(_pictures(folder, place, place.cell, size), _note(place.cell))


def _note(cell: LabCell) -> str:
    measures = cell.measures
    parts = [
        f"change {measures.change:.0f}" if measures.change is not None else "",
        f"motion {100 * measures.motion:.0f} %" if measures.motion is not None else "",
        f"like {measures.likeness:.2f}" if measures.likeness is not None else "",
    ]
    return " · ".join(part for part in parts if part)


def _pictures(folder: LabFolder, place: Place, cell: LabCell, size: tuple[int, int]) -> Sequence[Picture]:
    """The pictures of a strip. Those of another size are scaled to the sheet's."""
    layout = cell.strip
    with Image.open(folder.strip(place.wanted.key)) as opened:
        strip = opened.convert("RGB")
    found: list[Picture] = []
    for index in range(layout.count):
        left, top = index % layout.columns * layout.width, index // layout.columns * layout.height
        picture = strip.crop((left, top, left + layout.width, top + layout.height))
        found.append(np.array(picture if picture.size == size else picture.resize(size)))
    return found
