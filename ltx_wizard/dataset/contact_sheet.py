"""One picture of all clips with their names, to see a dataset at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.quality_checks import clip_label
from ltx_wizard.dataset.scenes import clip_thumbnail

_TILE_PX = (192, 120)
_NAME_PX, _GAP_PX = 20, 12
_FEWEST, _MOST = 4, 10
_PAPER, _INK, _EMPTY = (250, 250, 252), (40, 42, 52), (224, 226, 232)


def sheet_file(project: Project) -> Path:
    return project.exports_folder / "contact-sheet.png"


def write_contact_sheet(project: Project, clips: Sequence[Clip]) -> Path:
    """Write exports/contact-sheet.png; a clip without a readable picture is a grey box. Raises NotReady."""
    if not clips:
        raise NotReady(problem="There are no clips yet.", remedy="Cut your videos in the step Scenes.")
    columns = min(_MOST, max(_FEWEST, round(len(clips) ** 0.5)), len(clips))
    rows = -(-len(clips) // columns)
    step = (_TILE_PX[0] + _GAP_PX, _TILE_PX[1] + _NAME_PX + _GAP_PX)
    sheet = Image.new("RGB", (columns * step[0] + _GAP_PX, rows * step[1] + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for index, clip in enumerate(clips):
        left = _GAP_PX + index % columns * step[0]
        top = _GAP_PX + index // columns * step[1]
        sheet.paste(_tile(project, clip), (left, top))
        name = _fitted(clip_label(clip), draw, font)
        draw.text((left, top + _TILE_PX[1] + 3), name, fill=_INK, font=font)
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes_atomically(sheet_file(project), buffer.getvalue())
    return sheet_file(project)


def _tile(project: Project, clip: Clip) -> Image.Image:
    tile = Image.new("RGB", _TILE_PX, _EMPTY)
    try:
        with Image.open(clip_thumbnail(project, clip)) as picture:
            shown = ImageOps.contain(picture.convert("RGB"), _TILE_PX)
    except (WizardError, OSError):
        return tile
    tile.paste(shown, ((_TILE_PX[0] - shown.width) // 2, (_TILE_PX[1] - shown.height) // 2))
    return tile


def _fitted(name: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The name, shortened in its middle where it is wider than its picture."""
    shown = name
    while len(shown) > 3 and draw.textlength(shown, font=font) > _TILE_PX[0]:
        half = (len(shown) - 2) // 2
        shown = f"{shown[:half].rstrip('.')}...{shown[-half:].lstrip('.')}"[: len(shown) - 1]
    return shown
