"""Datasets of other trainers: looking at one, bringing it in, and writing one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app import jobs
from ltx_wizard.core.clip import Rejected
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.project import Project
from ltx_wizard.core.run import ExportDatasetJob, ImportDatasetJob, JobFolder, JobStatus
from ltx_wizard.core.units import plural

if TYPE_CHECKING:
    from ltx_wizard.dataset.formats.entries import FoundDataset

# ruff: noqa: PLC0415 - the modules of `dataset` load the video library: imported where they are used


@dataclass(frozen=True)
class DatasetLook:
    """What lies somewhere, before anything is imported. trigger: the word that its captions begin with."""

    path: Path
    summary: str
    clips: int
    captions: int
    trigger: str
    left_out: tuple[Rejected, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class FormatChoice:
    """A format for people. with_trigger: whether captions usually hold the trigger word in it."""

    name: str
    title: str
    with_trigger: bool


def look_at(project: Project, path: Path) -> DatasetLook:
    """Read a dataset without importing it. Raises NotFound, BadDocument, BadInput or NoPermission."""
    from ltx_wizard.dataset.formats.reading import read_dataset

    found = read_dataset(whole_path(path))
    return DatasetLook(
        path=whole_path(path),
        summary=found.summary,
        clips=len(found.entries),
        captions=found.captions,
        trigger=_trigger_of(project, found),
        left_out=found.left_out,
        remarks=_remarks(found),
    )


def table_in(folder: Path) -> str:
    """What a folder holds besides plain videos, in words, where a table or list of captions lies in it; else
    empty. Captions beside the videos are no table: they come along with the videos.
    """
    from ltx_wizard.dataset.formats.folders import BESIDE
    from ltx_wizard.dataset.formats.reading import read_dataset

    try:
        found = read_dataset(folder)
    except WizardError:
        return ""
    return found.summary if found.captions and not found.title.startswith(BESIDE) else ""


def start_import(project: Project, path: Path, trigger: str = "", regularisation: bool = False) -> JobFolder:
    """Import a dataset in the background. trigger: becomes the project's, and leaves the captions; empty: no
    change. Raises NotReady where nothing of it can be used, Busy, and what look_at raises.
    """
    look = look_at(project, path)
    if not look.clips:
        first = look.left_out[0]
        raise NotReady(
            problem=f"Nothing here can be used. {first.name}: {first.problem}", remedy=first.remedy
        )
    return jobs.start(
        project,
        ImportDatasetJob(path=str(look.path), trigger=trigger, regularisation=regularisation),
    )


def formats() -> list[FormatChoice]:
    """Every format that a dataset can be written in."""
    from ltx_wizard.dataset.formats.writing import FORMATS

    return [FormatChoice(item.name, item.title, not item.trainer_adds_trigger) for item in FORMATS]


def default_folder(project: Project, name: str) -> Path:
    """A new folder for a dataset in this format, among the project's exports."""
    parent = project.exports_folder
    folder, number = parent / f"dataset-{name}", 2
    while folder.exists():
        folder = parent / f"dataset-{name}-{number}"
        number += 1
    return folder


def start_export(
    project: Project, name: str, folder: Path | None = None, with_trigger: bool | None = None
) -> JobFolder:
    """Write the dataset in the background. folder: None: default_folder. with_trigger: None: as is usual.

    Raises BadSetting for an unknown format, NotReady without captioned clips, BadInput for a folder in use,
    and Busy.
    """
    from ltx_wizard.dataset.formats.hand_out import refuse_unusable
    from ltx_wizard.dataset.formats.writing import find_format

    known = find_format(name)
    written = not known.trainer_adds_trigger if with_trigger is None else with_trigger
    place = refuse_unusable(project, known, folder or default_folder(project, name), written)
    return jobs.start(project, ExportDatasetJob(format=name, folder=str(place), with_trigger=written))


def import_text(status: JobStatus) -> str:
    """What a finished import did, in one sentence or two."""
    result = status.result
    parts = [f"{result['title']}: {plural(_count(status, 'added'), 'clip')} added"]
    if _count(status, "captioned"):
        parts.append(f"{plural(_count(status, 'captioned'), 'clip')} here already got a caption")
    if _count(status, "known"):
        parts.append(f"{plural(_count(status, 'known'), 'file')} already here")
    if _count(status, "problems"):
        parts.append(f"{plural(_count(status, 'problems'), 'file')} could not be used: see the reasons")
    return ". ".join(parts) + "."


def export_text(status: JobStatus) -> str:
    """What a finished export wrote."""
    left_out = status.result.get("left_out")
    parts = [f"{plural(_count(status, 'clips'), 'clip')} written for {status.result['title']}"]
    if isinstance(left_out, list) and left_out:
        parts.append(f"Left out: {', '.join(str(item) for item in left_out)}")
    return ". ".join(parts) + "."


def _count(status: JobStatus, key: str) -> int:
    value = status.result.get(key)
    return value if isinstance(value, int) else 0


def _trigger_of(project: Project, found: FoundDataset) -> str:
    """A word to propose as trigger word; empty where it is the project's already or there is none."""
    from ltx_wizard.dataset.formats.triggers import find_trigger

    word = find_trigger([entry.caption for entry in found.entries])
    return "" if word.lower() == project.read_settings().trigger_word.lower() else word


def _remarks(found: FoundDataset) -> tuple[str, ...]:
    without = len(found.entries) - found.captions
    remarks = list(found.notes)
    if without and found.captions:
        remarks.append(f"{plural(without, 'file')} without a caption: you can write it later.")
    if found.unused:
        remarks.append(f"Not used here: {', '.join(found.unused[:12])}.")
    return tuple(remarks)
