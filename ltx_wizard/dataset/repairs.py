"""What the step Check offers for clips: splitting them at cuts, cropping black bars."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

from pydantic import JsonValue

from ltx_wizard.core.clip import Clip, MediaKind, Scene, Source, SourceScenes
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.errors import BadMediaFile, explain_os_error
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import CropJob
from ltx_wizard.dataset.dataset import (
    project_lock,
    read_clips,
    read_scenes,
    read_sources,
    update_clip,
    write_scenes,
)
from ltx_wizard.dataset.quality import Box, ClipQuality, measured_clips
from ltx_wizard.media.transcode import Cut, cut_clips, write_png
from ltx_wizard.media.video import read_image

CROPPING = "Cropping clips"
Boxes = Mapping[str, Box | None]
"""What is to be shown of each clip's original, by clip id; None: all."""

_EDITED = "edited"


def split_at_cuts(project: Project, clips: Sequence[Clip]) -> int:
    """Cut the scenes of these clips where shots change; gives how many clips it was. Cutting then makes the
    new clips. A clip that came whole is cut like any other video from now on.
    """
    measured = measured_clips(project, clips)
    sources = {source.id: source for source in read_sources(project)}
    split = [
        clip for clip in clips if clip.id in measured and measured[clip.id].cuts and clip.source_id in sources
    ]
    for source_id, group in groupby(split, key=lambda clip: clip.source_id):
        source = sources[source_id]
        known = read_scenes(project).get(source_id)
        if source.whole or known is None:
            scenes: tuple[Scene, ...] = (
                Scene(start_frame=0, end_frame=source.frames, start_s=0, end_s=source.duration_s),
            )
        else:
            scenes = known.scenes
        for clip in group:
            scenes = _split(scenes, clip, measured[clip.id])
        write_scenes(project, SourceScenes(source_id=source_id, scenes=scenes, detector=_EDITED))
        if source.whole:
            _set_cut(project, source_id)
    return len(split)


def run_crop(project: Project, job: CropJob, report: Report) -> dict[str, JsonValue]:
    """Write clips again from their originals, without their black bars or whole. Raises Cancelled."""
    wanted = set(job.clip_ids)
    chosen = [clip for clip in read_clips(project) if not wanted or clip.id in wanted]
    boxes = {clip.id: None for clip in chosen if clip.crop} if job.whole else _without_bars(project, chosen)
    changing = sorted((clip for clip in chosen if clip.id in boxes), key=lambda clip: clip.source_id)
    sources = {source.id: source for source in read_sources(project)}
    before = cropped = 0
    progress(report, CROPPING, 0, len(changing))
    for source_id, group in groupby(changing, key=lambda clip: clip.source_id):
        clips = list(group)
        try:
            for done in _cropped(project, sources.get(source_id), clips, boxes, report):
                cropped += 1
                progress(report, CROPPING, before + done, len(changing))
        except BadMediaFile as error:
            report.emit(Warned(message=f"{clips[0].id}: {error.problem} {error.remedy}"))
        before += len(clips)
        progress(report, CROPPING, before, len(changing))
    return {"clips": cropped}


def _without_bars(project: Project, clips: Sequence[Clip]) -> Boxes:
    by_id = {clip.id: clip for clip in clips}
    measured = measured_clips(project, clips)
    return {
        clip_id: _in_source(by_id[clip_id], row.picture)
        for clip_id, row in measured.items()
        if row.picture is not None
    }


def _cropped(
    project: Project, source: Source | None, clips: Sequence[Clip], boxes: Boxes, report: Report
) -> Iterator[int]:
    """Crops all clips of one source; gives how many are done after each. Raises BadMediaFile, Cancelled."""
    if source is None:
        raise BadMediaFile(problem="The original is gone.", remedy="Import it again.")
    if source.kind is MediaKind.VIDEO:
        yield from _crop_videos(project, source, clips, boxes, report)
        return
    for done, clip in enumerate(clips, start=1):
        _crop_image(project, source, clip, boxes[clip.id])
        yield done


def _split(scenes: tuple[Scene, ...], clip: Clip, row: ClipQuality) -> tuple[Scene, ...]:
    """The scenes with edges at both ends of the clip and at its cuts. Its neighbours stay what they are."""
    first = clip.start_frame
    blends = {first + frame for frame in row.blends}
    edges = sorted({first, clip.end_frame, *(first + frame for frame in row.cuts)})
    parts: list[Scene] = []
    for scene in scenes:
        inside = [edge for edge in edges if scene.start_frame < edge < scene.end_frame]
        bounds = [scene.start_frame, *inside, scene.end_frame]
        for start, end in pairwise(bounds):
            parts.append(
                scene.model_copy(
                    update={
                        "start_frame": start,
                        "end_frame": end,
                        "start_s": _time_at(scene, start),
                        "end_s": _time_at(scene, end),
                        "keep": scene.keep and start not in blends,
                    }
                )
            )
    return tuple(parts)


def _time_at(scene: Scene, frame: int) -> float:
    if frame >= scene.end_frame:
        return scene.end_s
    return scene.start_s + (frame - scene.start_frame) / max(scene.frames, 1) * scene.duration_s


def _set_cut(project: Project, source_id: str) -> None:
    with project_lock(project):
        sources = read_sources(project)
        write_lines(
            project.sources_file,
            [item.model_copy(update={"whole": False}) if item.id == source_id else item for item in sources],
        )


def _crop_videos(
    project: Project, source: Source, clips: Sequence[Clip], boxes: Boxes, report: Report
) -> Iterator[int]:
    """All clips of one source in one pass over it; gives how many are done after each."""
    wanted: dict[Path, tuple[Clip, Box | None]] = {}
    cuts: list[Cut] = []
    for clip in clips:
        box = boxes[clip.id]
        file = _cropped_file(project, clip, box, ".mp4")
        is_part = clip.end_frame - clip.start_frame == clip.frames
        start, end = (clip.start_frame, clip.end_frame) if is_part else (0, clip.frames)
        cuts.append(Cut(start, end, file, clip.duration_s, crop=box))
        wanted[file] = (clip, box)
    written_clips = cut_clips(project.path(source.file), cuts, report.stop_requested)
    for done, written in enumerate(written_clips, start=1):
        clip, box = wanted[written.cut.file]
        _record(project, clip, box, written.cut.file, written.width, written.height)
        yield done
    if report.stop_requested():
        raise Cancelled


def _crop_image(project: Project, source: Source, clip: Clip, box: Box | None) -> None:
    if box is None:
        _record(project, clip, None, project.path(source.file), source.width, source.height)
        return
    left, top, width, height = box
    file = _cropped_file(project, clip, box, ".png")
    write_png(read_image(project.path(source.file))[top : top + height, left : left + width], file)
    _record(project, clip, box, file, width, height)


def _record(project: Project, clip: Clip, box: Box | None, file: Path, width: int, height: int) -> None:
    """The clip as it is now; what was made of the old picture goes."""
    update_clip(
        project,
        clip.id,
        file=project.relative(file),
        crop=box,
        width=width,
        height=height,
        conformed_file="",
        bucket="",
    )
    thumbnails = project.thumbnails_folder.glob(f"{glob.escape(clip.id)}-??????.jpg")
    old = [project.path(name) for name in (clip.file, clip.conformed_file) if name.startswith("clips/")]
    for path in (*thumbnails, *old):
        if path != file:
            _delete(path)


def _in_source(clip: Clip, box: Box) -> Box:
    """Where a part of the clip lies in its original."""
    left, top = clip.crop[:2] if clip.crop else (0, 0)
    return left + box[0], top + box[1], box[2], box[3]


def _cropped_file(project: Project, clip: Clip, box: Box | None, suffix: str) -> Path:
    """Another name for another picture: browsers keep what they have seen under a name."""
    place = f".{box[2]}x{box[3]}+{box[0]}+{box[1]}" if box else ""
    return project.clips_folder / f"{clip.id}{place}{suffix}"


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error
