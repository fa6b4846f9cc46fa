"""The job that brings a dataset of another trainer into a project: each file is a clip with its caption."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from pydantic import JsonValue

from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Rejected, Source
from ltx_wizard.core.documents import is_file, write_lines, write_text_atomically
from ltx_wizard.core.errors import BadMediaFile, NoSpace, WizardError
from ltx_wizard.core.project import Project, TriggerPlacement, safe_file_stem
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import ImportDatasetJob
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.dataset import (
    add_clips,
    add_rejected,
    add_source,
    caption_changes,
    project_lock,
    read_clips,
    read_rejected,
    read_scenes,
    read_sources,
    update_clip,
)
from ltx_wizard.dataset.formats.archives import unpack
from ltx_wizard.dataset.formats.entries import Entry, left_out
from ltx_wizard.dataset.formats.reading import read_dataset
from ltx_wizard.dataset.formats.triggers import without_trigger
from ltx_wizard.dataset.importing import IMPORTED_SOURCE, bring_in_source, image_clip, source_with_content_of
from ltx_wizard.dataset.scenes import clip_id, clip_thumbnail
from ltx_wizard.media.transcode import Cut, cut_clips
from ltx_wizard.media.video import plays_in_browsers

STAGE = "Importing the dataset"

_PLAYS_EVERYWHERE = (".mp4", ".m4v", ".mov", ".webm")
"""Files that a browser plays: a clip in another one is written anew as MP4, so that it can be watched."""

_LISTED = 500
"""So many files that could not be used are listed one by one; of more, the number is told."""


@dataclass
class _Counts:
    added: int = 0
    captioned: int = 0
    known: int = 0
    done: set[str] = field(default_factory=set[str])
    out: list[Rejected] = field(default_factory=list[Rejected])


def run_import_dataset(project: Project, job: ImportDatasetJob, report: Report) -> dict[str, JsonValue]:
    """Import every clip of a dataset that is not here yet. What is done stays when it is stopped.

    A file whose content is in the project is not imported twice: its clip takes the caption where it has none
    or a draft. Raises NotFound, BadDocument, NoSpace, and Cancelled from the report.
    """
    found = read_dataset(Path(job.path))
    if job.trigger:
        project.change_settings(trigger_word=job.trigger, trigger_placement=TriggerPlacement.FIRST)
    trigger = project.read_settings().trigger_word
    counts = _Counts(out=list(found.left_out))
    try:
        for index, entry in enumerate(found.entries):
            progress(report, STAGE, index, len(found.entries), entry.file_name)
            try:
                _import_entry(project, entry, without_trigger(entry.caption, trigger), job, counts, report)
                counts.done.add(storable(entry.named))
            except NoSpace:
                raise
            except WizardError as error:
                counts.out.append(left_out(entry.named, error))
    finally:
        _forget_rejected(project, counts.done)
        add_rejected(project, _listed(counts.out))
    progress(report, STAGE, len(found.entries), len(found.entries))
    return {
        "title": found.title,
        "added": counts.added,
        "captioned": counts.captioned,
        "known": counts.known,
        "problems": len(counts.out),
        "unused": list(found.unused),
        "notes": list(found.notes),
    }


def _import_entry(
    project: Project, entry: Entry, caption: str, job: ImportDatasetJob, counts: _Counts, report: Report
) -> None:
    if entry.packed is None:
        _import_file(project, entry.file, entry.file, caption, job, counts, report)
        return
    name = PurePosixPath(entry.file_name)
    unpacked = project.cache_folder / "unpacked" / f"{safe_file_stem(name.stem)}{name.suffix.lower()}"
    try:
        unpack(entry.file, entry.packed, unpacked)
        origin = entry.file.with_suffix("") / entry.packed.member
        _import_file(project, unpacked, origin, caption, job, counts, report)
    finally:
        with suppress(OSError):
            unpacked.unlink(missing_ok=True)


def _import_file(
    project: Project,
    file: Path,
    origin: PurePath,
    caption: str,
    job: ImportDatasetJob,
    counts: _Counts,
    report: Report,
) -> None:
    known = source_with_content_of(project, file)
    if known is None:
        source = bring_in_source(project, file, job.regularisation, origin)
        source = source.model_copy(update={"whole": source.kind is MediaKind.VIDEO})
        clip = _captioned(_whole_clip(project, source, report.stop_requested), caption)
        add_source(project, source, clip)
        counts.added += 1
    elif _can_become_clip(project, known):
        clip = _captioned(_whole_clip(project, known, report.stop_requested), caption)
        _mark_whole(project, known)
        add_clips(project, [clip])
        counts.added += 1
    else:
        _caption_known(project, known, caption, counts)
        return
    with suppress(WizardError):  # a clip without a picture is a clip
        clip_thumbnail(project, clip)


def _can_become_clip(project: Project, source: Source) -> bool:
    """A source that nobody has cut, or whose clip was removed."""
    if any(clip.source_id == source.id for clip in read_clips(project)):
        return False
    return source.whole or source.kind is MediaKind.IMAGE or source.id not in read_scenes(project)


def _mark_whole(project: Project, source: Source) -> None:
    if source.kind is MediaKind.IMAGE or source.whole:
        return
    with project_lock(project):
        sources = read_sources(project)
        whole = source.model_copy(update={"whole": True})
        write_lines(project.sources_file, [whole if item.id == source.id else item for item in sources])


def _caption_known(project: Project, source: Source, caption: str, counts: _Counts) -> None:
    """The same file again. What somebody wrote stays; a missing or drafted caption is replaced."""
    clips = [clip for clip in read_clips(project) if clip.source_id == source.id]
    whole = [clip for clip in clips if clip.kind is MediaKind.IMAGE or clip.frames == source.frames]
    waiting = [clip for clip in whole if clip.caption_state is not CaptionState.WRITTEN]
    if caption and waiting:
        changes = caption_changes(caption, CaptionState.WRITTEN, IMPORTED_SOURCE)
        update_clip(project, waiting[0].id, **changes)
        counts.captioned += 1
        return
    beside = project.sources_folder / f"{source.id}.txt"
    if caption and not whole and not is_file(beside):
        write_text_atomically(beside, caption)  # for the clips that will be cut from it
    counts.known += 1


def _whole_clip(project: Project, source: Source, is_stopped: Callable[[], bool]) -> Clip:
    """The clip that a file is. Raises BadMediaFile, or Cancelled while it is written anew."""
    image = image_clip(project, source)
    if image is not None:
        return image
    clip = Clip(
        id=clip_id(source.id, 0, source.frames),
        source_id=source.id,
        file=source.file,
        kind=source.kind,
        width=source.width,
        height=source.height,
        fps=source.fps,
        frames=source.frames,
        duration_s=source.duration_s,
        start_frame=0,
        end_frame=source.frames,
        has_audio=source.has_audio,
        regularisation=source.regularisation,
    )
    if source.file.lower().endswith(_PLAYS_EVERYWHERE) and plays_in_browsers(project.path(source.file)):
        return clip
    return _written_anew(project, source, clip, is_stopped)


def _written_anew(project: Project, source: Source, clip: Clip, is_stopped: Callable[[], bool]) -> Clip:
    file = project.clips_folder / f"{clip.id}.mp4"
    cut = Cut(0, source.frames, file, source.duration_s)
    written = next(iter(cut_clips(project.path(source.file), [cut], is_stopped)), None)
    if written is None:
        if is_stopped():
            raise Cancelled
        raise BadMediaFile(
            problem=f"{source.original_name} could not be read to its end.",
            remedy="Save it as MP4 and import it again.",
        )
    return clip.model_copy(
        update={
            "file": project.relative(file),
            "width": written.width,
            "height": written.height,
            "frames": written.frames,
            "duration_s": written.duration_s,
            "has_audio": written.has_audio,
        }
    )


def _forget_rejected(project: Project, names: set[str]) -> None:
    """What could not be used in an earlier import, and is here now."""
    with project_lock(project):
        rejected = read_rejected(project)
        kept = [item for item in rejected if item.name not in names]
        if len(kept) < len(rejected):
            write_lines(project.rejected_file, kept)


def _captioned(clip: Clip, caption: str) -> Clip:
    return clip.model_copy(update=caption_changes(caption, CaptionState.WRITTEN, IMPORTED_SOURCE))


def _listed(out: list[Rejected]) -> list[Rejected]:
    if len(out) <= _LISTED:
        return out
    rest = Rejected(
        name=f"{plural(len(out) - _LISTED, 'more file')}",
        problem="They could not be used either.",
        remedy="Look at the reasons of the others first.",
    )
    return [*out[:_LISTED], rest]
