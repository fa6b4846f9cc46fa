"""The job that writes a project's clips as a dataset for another trainer."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadInput, NotReady, WizardError, explain_os_error
from ltx_wizard.core.events import Warned
from ltx_wizard.core.places import whole_path
from ltx_wizard.core.project import Project, safe_file_stem, trained_caption
from ltx_wizard.core.recipe import parse_bucket
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import ExportDatasetJob
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.dataset import read_clips
from ltx_wizard.dataset.formats.entries import one_line
from ltx_wizard.dataset.formats.writing import Example, Format, Target, find_format
from ltx_wizard.dataset.importing import place_file
from ltx_wizard.models.catalog import EMBEDDED, find_model

STAGE = "Writing the dataset"


@dataclass(frozen=True)
class Choice:
    """The clips that a format takes, and why others are left out, in words."""

    clips: tuple[Clip, ...]
    left_out: tuple[str, ...]


def choose_clips(clips: list[Clip], known: Format, with_trigger: bool) -> Choice:
    """Clips with a caption that the trainer can use.

    Ordinary clips go along only where the captions say which have the trigger word: a trainer that adds it by
    itself would add it to them too.
    """
    captioned = [clip for clip in clips if clip.caption.strip()]
    videos = [clip for clip in captioned if clip.kind is MediaKind.VIDEO]
    kinds = captioned if known.mixes or not videos else videos
    chosen = [clip for clip in kinds if with_trigger or not clip.regularisation]
    reasons = (
        (len(clips) - len(captioned), "clip", "without a caption"),
        (len(captioned) - len(kinds), "image", "that this trainer keeps in a dataset of their own"),
        (len(kinds) - len(chosen), "ordinary clip", "to which the trainer would add the trigger word too"),
    )
    return Choice(
        tuple(chosen), tuple(f"{plural(count, what)} {why}" for count, what, why in reasons if count)
    )


def refuse_unusable(project: Project, known: Format, folder: Path, with_trigger: bool) -> Path:
    """The folder's whole path. Raises NotReady where no clip can be written, BadInput for a folder in use."""
    choice = choose_clips(read_clips(project), known, with_trigger)
    if not choice.clips:
        raise NotReady(
            problem="There is no clip that could be written"
            + (f": left out are {', '.join(choice.left_out)}." if choice.left_out else "."),
            remedy="Cut clips and write captions first.",
        )
    place = whole_path(folder)
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise BadInput(
                problem=f"{place} is there already, and not an empty folder.",
                remedy="Name a new folder for the dataset.",
            )
    except OSError as error:
        raise explain_os_error(error, place) from error
    return place


def run_export_dataset(project: Project, job: ExportDatasetJob, report: Report) -> dict[str, JsonValue]:
    """Write the dataset into a folder, whole or not at all. Files are linked where the disk allows it.

    Raises BadSetting, NotReady, BadInput, NoSpace, and Cancelled from the report.
    """
    known = find_format(job.format)
    place = refuse_unusable(project, known, Path(job.folder), job.with_trigger)
    choice = choose_clips(read_clips(project), known, job.with_trigger)
    partial = place.with_name(f".{place.name[:60]}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        examples, missing = _place_files(project, choice, known, job.with_trigger, partial, report)
        known.write(_target(project, choice, partial, place), examples)
        if place.exists():
            place.rmdir()
        partial.replace(place)
    except OSError as error:
        raise explain_os_error(error, place) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    trigger = project.read_settings().trigger_word
    return {
        "folder": str(place),
        "title": known.title,
        "clips": len(examples),
        "left_out": [*choice.left_out, *missing],
        "hint": known.hint.replace("{trigger}", trigger or "your word"),
    }


def _place_files(
    project: Project, choice: Choice, known: Format, with_trigger: bool, folder: Path, report: Report
) -> tuple[list[Example], list[str]]:
    """The examples, and the names of clips whose file is gone. Raises NotReady where all are."""
    examples: list[Example] = []
    missing: list[str] = []
    for index, clip in enumerate(choice.clips):
        progress(report, STAGE, index, len(choice.clips), clip.id)
        source = project.path(clip.file)
        relative = known.layout(f"{clip.id}{source.suffix.lower()}", clip.kind)
        if not os.path.lexists(source):
            missing.append(f"{clip.id}: its file is missing")
            report.emit(Warned(message=missing[-1]))
            continue
        place_file(source, folder / relative)
        examples.append(Example(relative, _caption(project, clip, with_trigger), clip.kind))
    if not examples:
        raise NotReady(
            problem="The files of all clips are missing.", remedy="Import or cut them again, then export."
        )
    return examples, missing


def _caption(project: Project, clip: Clip, with_trigger: bool) -> str:
    if not with_trigger or clip.regularisation:
        return one_line(clip.caption)
    settings = project.read_settings()
    return one_line(
        trained_caption(
            clip.caption, settings.trigger_word, settings.trigger_placement, settings.trigger_pattern
        )
    )


def _target(project: Project, choice: Choice, folder: Path, place: Path) -> Target:
    settings = project.read_settings()
    try:
        spec = find_model(settings.model) if settings.model else EMBEDDED
    except WizardError:
        spec = EMBEDDED  # a model that is gone must not keep the dataset here
    width, height, frames = parse_bucket(spec.default_bucket)
    rates = {round(clip.fps, 3) for clip in choice.clips if clip.kind is MediaKind.VIDEO}
    fps = rates.pop() if len(rates) == 1 else 0.0
    return Target(folder, place, safe_file_stem(settings.name), width, height, frames, fps)
