"""Cutting scenes into clips, keeping every caption that somebody wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source, told_apart
from ltx_wizard.core.errors import BadMediaFile, NotReady
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import CutJob
from ltx_wizard.dataset.dataset import (
    add_clips,
    caption_changes,
    read_clips,
    read_removed_clips,
    read_scenes,
    read_sources,
    remove_clips,
)
from ltx_wizard.dataset.importing import IMPORTED_SOURCE, caption_for
from ltx_wizard.dataset.left_out import read_left_out, without_left_out
from ltx_wizard.dataset.scenes import Piece, clip_thumbnail, plan_pieces
from ltx_wizard.media.transcode import Cut, WrittenClip, cut_clips

STAGE = "Cutting clips"
SAME_STRETCH_SHARE = 0.8
"""A clip that covers this much of an older one shows the same thing: its caption is a good draft."""


@dataclass
class _Count:
    done: int
    total: int


def run_cut(project: Project, job: CutJob, report: Report) -> dict[str, JsonValue]:
    """Cut the kept scenes into clips. Clips that are there already stay, those whose scene is gone go.

    A clip that goes leaves its caption behind: it comes back with the same stretch, and as a draft with a
    similar one.
    """
    sources = [
        source for source in read_sources(project) if source.kind is MediaKind.VIDEO and not source.whole
    ]
    planned = {source.id: _planned(project, source) for source in sources}
    if sources and all(pieces is None for pieces in planned.values()):
        raise NotReady(problem="No video has scenes yet.", remedy="Press 'Find scenes' first.")
    wanted = {piece.clip_id: piece for pieces in planned.values() for piece in pieces or ()}
    left_out = [item.clip for item in read_left_out(project)]
    earlier = {clip.id: clip for clip in [*read_removed_clips(project), *left_out, *read_clips(project)]}
    _remove_stale(project, planned, wanted)
    there = {clip.id for clip in read_clips(project) if _is_there(project, clip)}
    count = _Count(done=len(there & set(wanted)), total=len(wanted))
    progress(report, STAGE, count.done, count.total)
    kept, problems = count.done, 0
    for source in sources:
        missing = [piece for piece in planned[source.id] or () if piece.clip_id not in there]
        if missing:
            problems += _cut_source(project, source, missing, earlier, count, report)
    return {"clips": count.done, "cut": count.done - kept, "kept": kept, "problems": problems}


def _planned(project: Project, source: Source) -> tuple[Piece, ...] | None:
    """Not what was left out. None where this source has no scenes yet: its clips, if any, are left alone."""
    scenes = read_scenes(project).get(source.id)
    if scenes is None:
        return None
    pieces = plan_pieces(source, scenes.scenes, project.read_settings().scenes)
    return without_left_out(project, pieces)


def _remove_stale(
    project: Project, planned: dict[str, tuple[Piece, ...] | None], wanted: dict[str, Piece]
) -> None:
    remove_clips(
        project,
        [
            clip.id
            for clip in read_clips(project)
            if planned.get(clip.source_id) is not None and clip.id not in wanted
        ],
    )


def _is_there(project: Project, clip: Clip) -> bool:
    """Files appear whole, so one that exists and is recorded needs no second look."""
    path = project.path(clip.file)
    return path.is_file() and path.stat().st_size > 0


def _cut_source(
    project: Project,
    source: Source,
    pieces: Sequence[Piece],
    earlier: dict[str, Clip],
    count: _Count,
    report: Report,
) -> int:
    """Cut the missing clips of one source; gives the number of problems. Raises Cancelled."""
    by_file = {_clip_file(project, piece): piece for piece in pieces}
    cuts = [
        Cut(piece.start_frame, piece.end_frame, file, piece.end_s - piece.start_s, _crop(piece, earlier))
        for file, piece in by_file.items()
    ]
    problems = 0
    try:
        for written in cut_clips(project.path(source.file), cuts, report.stop_requested):
            piece = by_file[written.cut.file]
            add_clips(project, [_with_caption(project, _clip(project, source, piece, written), earlier)])
            clip_thumbnail(project, read_clip_record(project, piece.clip_id))
            count.done += 1
            if written.problem:
                problems += 1
                report.emit(Warned(message=f"{piece.clip_id}: {written.problem}"))
            progress(report, STAGE, count.done, count.total, piece.clip_id)
    except BadMediaFile as error:
        problems += 1
        name = told_apart(read_sources(project)).get(source.id, source.original_name)
        report.emit(Warned(message=f"{name}: {error.problem} {error.remedy}"))
    if report.stop_requested():
        raise Cancelled
    return problems


def _crop(piece: Piece, earlier: dict[str, Clip]) -> tuple[int, int, int, int] | None:
    """A clip that was cropped is cut again cropped."""
    same = earlier.get(piece.clip_id)
    return same.crop if same is not None else None


def read_clip_record(project: Project, clip_id: str) -> Clip:
    return next(clip for clip in read_clips(project) if clip.id == clip_id)


def _clip_file(project: Project, piece: Piece) -> Path:
    return project.clips_folder / f"{piece.clip_id}.mp4"


def _clip(project: Project, source: Source, piece: Piece, written: WrittenClip) -> Clip:
    return Clip(
        id=piece.clip_id,
        source_id=source.id,
        file=project.relative(written.cut.file),
        kind=MediaKind.VIDEO,
        width=written.width,
        height=written.height,
        fps=source.fps,
        frames=written.frames,
        duration_s=written.duration_s,
        start_frame=piece.start_frame,
        end_frame=piece.end_frame,
        start_s=written.start_s,
        has_audio=written.has_audio,
        regularisation=source.regularisation,
        crop=written.cut.crop,
    )


def _with_caption(project: Project, clip: Clip, earlier: dict[str, Clip]) -> Clip:
    """The caption that this clip had, or that came with the video, or a similar clip's; and its tags."""
    same = earlier.get(clip.id)
    similar = _most_similar(clip, earlier.values())
    if known := same or similar:
        clip = clip.model_copy(update={"tags": known.tags})
    if same is not None and same.caption:
        return clip.model_copy(update=caption_changes(same.caption, same.caption_state, same.caption_source))
    imported = caption_for(project, clip.source_id, clip.start_s, clip.start_s + clip.duration_s)
    if similar is not None and (similar.caption_source != IMPORTED_SOURCE or not imported):
        return clip.model_copy(
            update=caption_changes(similar.caption, CaptionState.DRAFT, similar.caption_source)
        )
    return clip.model_copy(update=caption_changes(imported, CaptionState.WRITTEN, IMPORTED_SOURCE))


def _most_similar(clip: Clip, others: Iterable[Clip]) -> Clip | None:
    candidates = [
        other
        for other in others
        if other.source_id == clip.source_id and other.caption and _overlap(clip, other) >= SAME_STRETCH_SHARE
    ]
    return max(candidates, key=lambda other: _overlap(clip, other), default=None)


def _overlap(one: Clip, other: Clip) -> float:
    """Shared frames by the frames of the longer one."""
    shared = min(one.end_frame, other.end_frame) - max(one.start_frame, other.start_frame)
    return max(0, shared) / max(one.frames, other.frames, 1)
