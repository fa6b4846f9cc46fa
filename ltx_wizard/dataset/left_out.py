"""Clips that were left out of the dataset, kept whole so that each can be brought back.

clips_left_out.jsonl holds their records; their files stay where they are. What is left out is not cut,
trained or counted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.core.clip import Clip, Scene, SourceScenes
from ltx_wizard.core.documents import Settings, read_lines, write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.dataset import (
    add_clips,
    project_lock,
    read_clips,
    read_scenes,
    read_sources,
    remember_captions,
    write_scenes,
)

if TYPE_CHECKING:
    from ltx_wizard.dataset.scenes import Piece

_EDITED = "edited"


class LeftOut(Settings):
    """One clip. reason: id of the finding for which it was left out; empty: none. at: when, in seconds since
    1970, the same for all that one click left out.
    """

    clip: Clip
    reason: str = ""
    at: float


@dataclass(frozen=True)
class BroughtBack:
    """back: ids of the clips that are in the dataset again. to_cut: ids of those whose file is gone; their
    scene is kept again, so that cutting makes them.
    """

    back: tuple[str, ...]
    to_cut: tuple[str, ...]


def left_out_file(project: Project) -> Path:
    return project.folder / "clips_left_out.jsonl"


def read_left_out(project: Project) -> list[LeftOut]:
    """Newest last. Not those that are in the dataset again."""
    there = {clip.id for clip in read_clips(project)}
    return [item for item in read_lines(left_out_file(project), LeftOut) if item.clip.id not in there]


def leave_out(project: Project, clips: Sequence[Clip], reason: str = "") -> int:
    """Take clips out of the dataset; gives how many it was. Their files and captions stay.

    A scene that is one of them is no longer kept, which the step Scenes shows.
    """
    chosen = {clip.id for clip in clips}
    with project_lock(project):
        present = read_clips(project)
        gone = [clip for clip in present if clip.id in chosen]
        if not gone:
            return 0
        at = time.time()
        earlier = [item for item in read_lines(left_out_file(project), LeftOut) if item.clip.id not in chosen]
        added = [LeftOut(clip=clip, reason=reason, at=at) for clip in gone]
        write_lines(left_out_file(project), [*earlier, *added])
        write_lines(project.clips_file, [clip for clip in present if clip.id not in chosen])
    _set_kept(project, gone, keep=False)
    return len(gone)


def bring_back(project: Project, clip_ids: Collection[str]) -> BroughtBack:
    """Put clips back into the dataset as they were; their scenes are kept again."""
    ordinary = {source.id: source.regularisation for source in read_sources(project)}
    wanted = set(clip_ids)
    chosen = [item.clip for item in read_left_out(project) if item.clip.id in wanted]
    there = [
        clip.model_copy(update={"regularisation": ordinary.get(clip.source_id, clip.regularisation)})
        for clip in chosen
        if project.path(clip.file).is_file()
    ]
    back = {clip.id for clip in there}
    to_cut = [clip for clip in chosen if clip.id not in back]
    _set_kept(project, chosen, keep=True)
    add_clips(project, there)
    _forget(project, chosen, captions_of=to_cut)
    return BroughtBack(tuple(clip.id for clip in there), tuple(clip.id for clip in to_cut))


def bring_back_within(project: Project, source_id: str, start_frame: int, end_frame: int) -> BroughtBack:
    """Bring back every clip that lies within a stretch of a source."""
    return bring_back(
        project,
        {
            item.clip.id
            for item in read_left_out(project)
            if item.clip.source_id == source_id
            and start_frame <= item.clip.start_frame
            and item.clip.end_frame <= end_frame
        },
    )


def forget_source(project: Project, source_id: str) -> None:
    """Drop what was left out of a source that is removed, with the files that were cut from it."""
    mine = [item.clip for item in read_left_out(project) if item.clip.source_id == source_id]
    _forget(project, mine, captions_of=mine)
    for clip in mine:
        for file in (clip.file, clip.conformed_file):
            if file.startswith(f"{project.clips_folder.name}/"):
                with suppress(OSError):  # an orphan costs room, no more
                    project.path(file).unlink(missing_ok=True)


def without_left_out(project: Project, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The clips to be that were not left out earlier."""
    out = {item.clip.id for item in read_left_out(project)}
    return tuple(piece for piece in pieces if piece.clip_id not in out)


def without_kept(project: Project, source_id: str, scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Scenes that were found anew, those that are left-out clips no longer kept."""
    return _marked(scenes, [item.clip for item in read_left_out(project)], source_id, keep=False)


def _forget(project: Project, clips: Sequence[Clip], captions_of: Sequence[Clip]) -> None:
    """No longer list clips as left out; captions of those without a file are kept as of others that go."""
    gone = {clip.id for clip in clips}
    with project_lock(project):
        remember_captions(project, captions_of)
        known = read_lines(left_out_file(project), LeftOut)
        kept = [item for item in known if item.clip.id not in gone]
        if len(kept) < len(known):
            write_lines(left_out_file(project), kept)


def _set_kept(project: Project, clips: Sequence[Clip], keep: bool) -> None:
    for source_id, known in read_scenes(project).items():
        scenes = _marked(known.scenes, clips, source_id, keep)
        if scenes != known.scenes:
            write_scenes(project, SourceScenes(source_id=source_id, scenes=scenes, detector=_EDITED))


def _marked(scenes: Sequence[Scene], clips: Iterable[Clip], source_id: str, keep: bool) -> tuple[Scene, ...]:
    """Marks the scenes that are exactly these clips. A clip that is a part of its scene needs no mark."""
    stretches = {(clip.start_frame, clip.end_frame) for clip in clips if clip.source_id == source_id}
    return tuple(
        scene.model_copy(update={"keep": keep})
        if (scene.start_frame, scene.end_frame) in stretches
        else scene
        for scene in scenes
    )
