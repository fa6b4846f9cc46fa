"""Scenes: where a video is cut, proposed by PySceneDetect and edited by hand, and the clips that follow."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import JsonValue
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from ltx_wizard.core.clip import Clip, MediaKind, Scene, Source, SourceScenes, told_apart
from ltx_wizard.core.errors import BadInput, BadSetting, NotFound, NotReady, WizardError
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project, SceneSettings
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import FindScenesJob
from ltx_wizard.dataset.dataset import read_scenes, read_sources, write_scenes
from ltx_wizard.dataset.left_out import without_kept
from ltx_wizard.dataset.transitions import (
    Tiny,
    Transition,
    find_transitions,
    tiny_picture,
    without_flashes,
)
from ltx_wizard.media.timing import usual_step_s
from ltx_wizard.media.video import MediaFacts, decode, quick_frame_times, to_rgb, write_thumbnails

STAGE = "Finding scenes"
_DETECTION_HEIGHT_PX = 144
"""Scaling down changes neither cuts found nor false alarms (measured: 1/4 and 1/8 of 360 lines)."""

_SAME_JOIN_FRAMES = 6
"""A cut this near to the edge of a fade or dissolve is the same join, found by another means."""

_REPORT_EVERY_FRAMES = 25
_LENGTH_TOLERANCE_S = 0.011
"""A scene that is a tick of its container short of two seconds still counts as two seconds."""


@dataclass(frozen=True)
class Piece:
    """A clip to be: frames start_frame (included) to end_frame (excluded) of a source."""

    source_id: str
    clip_id: str
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame


def find_scenes(
    path: Path, facts: MediaFacts | Source, settings: SceneSettings, report: Report
) -> tuple[Scene, ...]:
    """Propose cuts; the scenes together cover the whole video. Frame numbers are those of our own decoding.

    Hard cuts come from the detector of the settings. A fade through black or a dissolve is a scene of its
    own that is not kept, so that no clip shows half of it.

    Raises BadMediaFile, and Cancelled from the report.
    """
    fps = facts.fps or 25.0
    detector = _detector(settings, fps)
    times: list[float] = []
    cuts: set[int] = set()
    pictures: list[Tiny] = []
    for frame in decode(path):
        small = to_rgb(frame, min(_DETECTION_HEIGHT_PX, facts.height))
        bgr = np.ascontiguousarray(small[:, :, ::-1])
        cuts.update(cut.frame_num for cut in detector.process_frame(FrameTimecode(frame.index, fps), bgr))
        pictures.append(tiny_picture(small))
        times.append(frame.time_s)
        if frame.index % _REPORT_EVERY_FRAMES == 0:
            progress(report, STAGE, min(frame.index, facts.frames), facts.frames, path.name)
    if not times:
        return ()
    cuts.update(cut.frame_num for cut in detector.post_process(FrameTimecode(len(times) - 1, fps)))
    end_s = max(times[-1] + usual_step_s(times, fps), facts.duration_s)
    transitions = find_transitions(pictures)
    bounds = _bounds(without_flashes(cuts, pictures), transitions, len(times), _min_frames(settings, fps))
    dropped = {transition.start for transition in transitions}
    return tuple(
        Scene(
            start_frame=start,
            end_frame=end,
            start_s=times[start],
            end_s=times[end] if end < len(times) else end_s,
            keep=start not in dropped,
        )
        for start, end in pairwise(bounds)
    )


def merge_with_next(scenes: Sequence[Scene], index: int) -> tuple[Scene, ...]:
    """Join a scene with the one after it. Kept if either was. Raises BadInput for the last one."""
    _refuse_wrong_index(scenes, index)
    if index + 1 >= len(scenes):
        raise BadInput(
            problem="The last scene has no next scene to merge with.", remedy="Choose an earlier one."
        )
    first, second = scenes[index], scenes[index + 1]
    merged = first.model_copy(
        update={
            "end_frame": second.end_frame,
            "end_s": second.end_s,
            "keep": first.keep or second.keep,
        }
    )
    return (*scenes[:index], merged, *scenes[index + 2 :])


def frame_at(path: Path, source: Source, scene: Scene, at_s: float) -> tuple[int, float]:
    """Which frame begins the second part of a scene that is cut at a time, and when it is shown.

    Of uneven frames it is the one that a player shows then, of a scene's first one the next.
    Raises BadMediaFile.
    """
    if source.variable_frame_rate:
        times = quick_frame_times(path, source.frames)
        if len(times) == source.frames:
            shown = bisect_right(times, at_s + _LENGTH_TOLERANCE_S) - 1
            first = scene.start_frame
            inside = (
                min(max(shown, first + 1), scene.end_frame - 1)
                if scene.start_s < at_s < scene.end_s
                else shown
            )
            return inside, times[max(0, inside)]
    share = (at_s - scene.start_s) / max(scene.duration_s, 1e-9)
    frame = scene.start_frame + round(share * scene.frames)
    return frame, _time_at(scene, frame)


def split_at(scenes: Sequence[Scene], index: int, frame: int, at_s: float | None = None) -> tuple[Scene, ...]:
    """Cut a scene in two; `frame` begins the second part. at_s: when it is shown; None: frames come evenly.

    Raises BadInput if it is not inside the scene.
    """
    _refuse_wrong_index(scenes, index)
    scene = scenes[index]
    if not scene.start_frame < frame < scene.end_frame:
        raise BadInput(
            problem="The cut is not inside this scene.",
            remedy="Choose a time between its start and its end.",
        )
    at_s = _time_at(scene, frame) if at_s is None else at_s
    before = scene.model_copy(update={"end_frame": frame, "end_s": at_s})
    after = scene.model_copy(update={"start_frame": frame, "start_s": at_s})
    return (*scenes[:index], before, after, *scenes[index + 1 :])


def toggle_keep(scenes: Sequence[Scene], index: int) -> tuple[Scene, ...]:
    """Leave a scene out, or take it back in."""
    _refuse_wrong_index(scenes, index)
    scene = scenes[index]
    return (*scenes[:index], scene.model_copy(update={"keep": not scene.keep}), *scenes[index + 1 :])


def plan_pieces(source: Source, scenes: Sequence[Scene], settings: SceneSettings) -> tuple[Piece, ...]:
    """The clips that cutting would make: kept scenes, the long ones in equal parts, the short ones left out.

    Where equal parts would be shorter than the shortest clip, there is one part fewer, as long as allowed,
    and the end is left out. Raises BadSetting where the shortest clip is longer than the longest.
    """
    if settings.min_clip_s > settings.max_clip_s:
        raise BadSetting(
            problem=f"The shortest clip ({settings.min_clip_s:g} s) is longer than the longest "
            f"({settings.max_clip_s:g} s).",
            remedy="Raise the longest clip length, or lower the shortest.",
        )
    return tuple(
        _piece(source.id, scene, start, end)
        for scene in scenes
        if scene.keep
        for start, end in _parts(scene, settings)
    )


def clip_id(source_id: str, start_frame: int, end_frame: int) -> str:
    """Readable, and the same whenever the same stretch is cut: 'bikes-1a2b3c4d5e-000120-000180'."""
    return f"{source_id}-{start_frame:06d}-{end_frame:06d}"


def run_find_scenes(project: Project, job: FindScenesJob, report: Report) -> dict[str, JsonValue]:
    """Propose cuts for the videos of a project and make a thumbnail of each scene.

    A video whose scenes were found with these settings is skipped: a stopped job goes on where it was.
    """
    settings = project.read_settings().scenes
    sources = _videos(project, job.source_ids)
    known, names = read_scenes(project), told_apart(read_sources(project))
    label = detector_label(settings)
    found = 0
    for source in sources:
        scenes = known.get(source.id)
        if scenes is None or scenes.detector != label:
            try:
                found_now = find_scenes(project.path(source.file), source, settings, report)
                scenes = SourceScenes(
                    source_id=source.id,
                    scenes=without_kept(project, source.id, found_now),
                    detector=label,
                )
            except WizardError as error:
                report.emit(
                    Warned(message=f"{names[source.id]}: {error.problem} {error.remedy} It was left out.")
                )
                continue
            write_scenes(project, scenes)
        _write_scene_thumbnails(project, source, scenes.scenes)
        found += len(scenes.scenes)
        if report.stop_requested():
            raise Cancelled
    return {"videos": len(sources), "scenes": found}


def detector_label(settings: SceneSettings) -> str:
    """What proposed the cuts, e.g. 'adaptive 3, at least 0.6 s'."""
    threshold = settings.adaptive_threshold if settings.detector == "adaptive" else settings.content_threshold
    return f"{settings.detector} {threshold:g}, at least {settings.min_scene_s:g} s"


def scene_thumbnail(project: Project, source_id: str, scene: Scene) -> Path:
    """The picture in the middle of a scene; made if it is missing."""
    source = next((item for item in read_sources(project) if item.id == source_id), None)
    if source is None:
        raise NotFound(problem="This video is no longer in the project.", remedy="Reload the page.")
    return write_thumbnails(
        project.path(source.file), [_middle(scene)], project.thumbnails_folder, stem=source.id
    )[0]


def clip_thumbnail(project: Project, clip: Clip) -> Path:
    """The picture in the middle of a clip; made if it is missing."""
    return write_thumbnails(
        project.path(clip.file), [clip.frames // 2], project.thumbnails_folder, stem=clip.id
    )[0]


def _bounds(
    cuts: Collection[int], transitions: Sequence[Transition], frames: int, min_frames: int
) -> list[int]:
    """Where scenes begin and end: hard cuts, and both sides of each transition.

    A detector sees a transition as cuts inside of it, or soon after: these are left out.
    """
    edges = {edge for transition in transitions for edge in (transition.start, transition.end)}
    apart = [
        cut
        for cut in cuts
        if all(cut < item.start or cut > item.end for item in transitions)
        and all(abs(cut - edge) >= min(min_frames, _SAME_JOIN_FRAMES) for edge in edges)
    ]
    return sorted({0, frames, *apart, *edges})


def _min_frames(settings: SceneSettings, fps: float) -> int:
    return max(1, round(settings.min_scene_s * fps))


def _detector(settings: SceneSettings, fps: float) -> AdaptiveDetector | ContentDetector:
    min_frames = _min_frames(settings, fps)
    if settings.detector == "adaptive":
        return AdaptiveDetector(adaptive_threshold=settings.adaptive_threshold, min_scene_len=min_frames)
    return ContentDetector(threshold=settings.content_threshold, min_scene_len=min_frames)


def _parts(scene: Scene, settings: SceneSettings) -> list[tuple[int, int]]:
    duration_s = scene.duration_s
    if duration_s + _LENGTH_TOLERANCE_S < settings.min_clip_s:
        return []
    count = max(1, math.ceil((duration_s - _LENGTH_TOLERANCE_S) / settings.max_clip_s))
    part_s = duration_s / count
    if count > 1 and part_s + _LENGTH_TOLERANCE_S < settings.min_clip_s:
        count -= 1
        part_s = settings.max_clip_s
    frames_per_s = scene.frames / max(duration_s, 1e-9)
    edges = [scene.start_frame + round(index * part_s * frames_per_s) for index in range(count + 1)]
    edges[-1] = min(edges[-1], scene.end_frame)
    return list(pairwise(edges))


def _piece(source_id: str, scene: Scene, start: int, end: int) -> Piece:
    return Piece(
        source_id=source_id,
        clip_id=clip_id(source_id, start, end),
        start_frame=start,
        end_frame=end,
        start_s=_time_at(scene, start),
        end_s=_time_at(scene, end),
    )


def _time_at(scene: Scene, frame: int) -> float:
    """Exact at the ends of a scene; in between as if frames came evenly. The cutter goes by frames."""
    if frame >= scene.end_frame:
        return scene.end_s
    share = (frame - scene.start_frame) / max(scene.frames, 1)
    return scene.start_s + share * scene.duration_s


def _middle(scene: Scene) -> int:
    return (scene.start_frame + scene.end_frame) // 2


def _write_scene_thumbnails(project: Project, source: Source, scenes: Sequence[Scene]) -> None:
    write_thumbnails(
        project.path(source.file),
        [_middle(scene) for scene in scenes],
        project.thumbnails_folder,
        stem=source.id,
    )


def _videos(project: Project, source_ids: Sequence[str]) -> list[Source]:
    videos = [source for source in read_sources(project) if source.kind is MediaKind.VIDEO]
    if videos and all(source.whole for source in videos):
        raise NotReady(
            problem="Every video here is a clip already: it came in a dataset.",
            remedy="Go on to the captions, or add longer videos to cut.",
        )
    chosen = [source for source in videos if not source.whole and (not source_ids or source.id in source_ids)]
    if not chosen:
        raise NotReady(
            problem="There is no video to look through.", remedy="Add videos in the step Videos first."
        )
    return chosen


def _refuse_wrong_index(scenes: Sequence[Scene], index: int) -> None:
    if not 0 <= index < len(scenes):
        raise BadInput(
            problem=f"There is no scene {index + 1}; this video has {len(scenes)}.",
            remedy="Reload the page: another window may have changed the scenes.",
        )
