"""One picture of all clips with their names, to see a dataset at a glance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from pydantic import JsonValue

from ltx_wizard.core.clip import Clip, MediaKind, told_apart
from ltx_wizard.core.documents import write_bytes_atomically
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Report, SilentReport, progress
from ltx_wizard.core.run import ContactSheetJob
from ltx_wizard.core.units import timecode_text
from ltx_wizard.dataset.dataset import read_clips, read_sources
from ltx_wizard.dataset.quality_checks import clip_label
from ltx_wizard.dataset.scenes import clip_thumbnail
from ltx_wizard.media.lettering import Font, lettering

STAGE = "Drawing clips"

_TILE_PX = (192, 120)
_NAME_PX, _GAP_PX, _FONT_PX = 20, 12, 12
_FEWEST, _MOST = 4, 10
_MOST_ROWS = 400
"""A JPEG has at most 65,535 lines."""

_QUALITY = 88
_PAPER, _INK, _EMPTY = (250, 250, 252), (40, 42, 52), (224, 226, 232)


def sheet_file(project: Project) -> Path:
    return project.exports_folder / "contact-sheet.jpg"


def run_contact_sheet(project: Project, job: ContactSheetJob, report: Report) -> dict[str, JsonValue]:
    """Raises NotReady without clips, and Cancelled; then the sheet that was there stays."""
    clips = read_clips(project)
    write_contact_sheet(project, clips, report)
    return {"clips": len(clips)}


def write_contact_sheet(project: Project, clips: Sequence[Clip], report: Report | None = None) -> Path:
    """Write exports/contact-sheet.jpg; a clip without a readable picture is a grey box. Raises NotReady, and
    Cancelled from the report.
    """
    if not clips:
        raise NotReady(problem="There are no clips yet.", remedy="Cut your videos in the step Scenes.")
    columns = min(max(_columns(len(clips)), -(-len(clips) // _MOST_ROWS)), len(clips))
    rows = -(-len(clips) // columns)
    step = (_TILE_PX[0] + _GAP_PX, _TILE_PX[1] + _NAME_PX + _GAP_PX)
    sheet = Image.new("RGB", (columns * step[0] + _GAP_PX, rows * step[1] + _GAP_PX), _PAPER)
    draw, names = ImageDraw.Draw(sheet), told_apart(read_sources(project))
    told = report or SilentReport()
    progress(told, STAGE, 0, len(clips))
    for index, clip in enumerate(clips):
        left = _GAP_PX + index % columns * step[0]
        top = _GAP_PX + index // columns * step[1]
        sheet.paste(_tile(project, clip), (left, top))
        name, font = lettering(clip_label(clip, names), _FONT_PX, _numbered(clip, index))
        draw.text((left, top + _TILE_PX[1] + 3), _fitted(name, draw, font), fill=_INK, font=font)
        progress(told, STAGE, index + 1, len(clips))
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY, comment=_stamp(clips, names))
    write_bytes_atomically(sheet_file(project), buffer.getvalue())
    return sheet_file(project)


def is_current(project: Project, clips: Iterable[Clip]) -> bool:
    """Whether the sheet shows these clips as they are: it says in its comment what it was made of."""
    try:
        with Image.open(sheet_file(project)) as sheet:
            return sheet.info.get("comment") == _stamp(clips, told_apart(read_sources(project))).encode()
    except OSError:
        return False


def _columns(clips: int) -> int:
    return min(_MOST, max(_FEWEST, round(clips**0.5)))


def _numbered(clip: Clip, index: int) -> str:
    """For a name whose letters no font here has."""
    at = "" if clip.kind is MediaKind.IMAGE else f" at {timecode_text(clip.start_s)}"
    return f"Clip {index + 1}{at}"


def _stamp(clips: Iterable[Clip], names: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(repr((clip.id, clip.file, names.get(clip.source_id))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _tile(project: Project, clip: Clip) -> Image.Image:
    tile = Image.new("RGB", _TILE_PX, _EMPTY)
    try:
        with Image.open(clip_thumbnail(project, clip)) as picture:
            shown = ImageOps.contain(picture.convert("RGB"), _TILE_PX)
    except (WizardError, OSError):
        return tile
    tile.paste(shown, ((_TILE_PX[0] - shown.width) // 2, (_TILE_PX[1] - shown.height) // 2))
    return tile


def _fitted(name: str, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The name, shortened in its middle where it is wider than its picture."""
    shown = name
    while len(shown) > 3 and draw.textlength(shown, font=font) > _TILE_PX[0]:
        half = (len(shown) - 2) // 2
        shown = f"{shown[:half].rstrip('.')}...{shown[-half:].lstrip('.')}"[: len(shown) - 1]
    return shown
