"""Measured motion of the clips of a project, kept beside its other caches: measured once, then read.

Captioners, the check of captions and the check of the dataset all ask here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.documents import Settings, is_file, read_text, write_text_atomically
from ltx_wizard.core.errors import BadMediaFile, WizardError
from ltx_wizard.core.lint import MEASURED_METHOD, Measured
from ltx_wizard.core.project import Project, safe_file_stem

if TYPE_CHECKING:
    from pathlib import Path

    from ltx_wizard.captioning.motion import MotionFacts


_MOST_AT_ONCE = 4


class Kept(Settings):
    """What is kept of one clip. size_bytes: of the file that was measured."""

    method: int
    size_bytes: int
    subject_moves: bool = False
    kind: MediaKind = MediaKind.VIDEO
    duration_s: float = 0.0
    camera: tuple[str, ...] = ()
    camera_speed: str = ""
    camera_sure: bool = False
    subject_share: float = 0.0
    subject_direction: str = ""
    subject_place: str = ""
    subject_speed: float = 0.0
    subject_trend: str = ""
    light: tuple[str, ...] = ()
    light_change: str = ""
    cuts_s: tuple[float, ...] = Field(default=(), description="Cuts left inside the clip, in seconds.")
    bars: float = 0.0
    sharpness: float = 0.0

    def facts(self) -> MotionFacts:
        """What was measured, as when it was."""
        from ltx_wizard.captioning.motion import MotionFacts

        return MotionFacts(**{item.name: getattr(self, item.name) for item in fields(MotionFacts)})


def known_motion(project: Project, clip: Clip) -> Kept | None:
    """What was measured before; None if nothing was, or the file is another one now."""
    path = motion_file(project, clip)
    try:
        if not is_file(path):
            return None
        kept = Kept.model_validate_json(read_text(path))
        size = project.path(clip.file).stat().st_size
    except (WizardError, ValidationError, OSError):
        return None
    return kept if (kept.method, kept.size_bytes) == (MEASURED_METHOD, size) else None


def measure_clip(project: Project, clip: Clip) -> Kept:
    """Measure a clip now, about 0.2 s for each second of it, and keep what was found. Raises BadMediaFile."""
    from ltx_wizard.captioning.motion import measure_motion

    path = project.path(clip.file)
    facts = measure_motion(path)
    kept = Kept(
        method=MEASURED_METHOD,
        size_bytes=path.stat().st_size,
        subject_moves=facts.subject_moves,
        **asdict(facts),
    )
    # A disk that is full costs only measuring again.
    with suppress(WizardError):
        write_text_atomically(motion_file(project, clip), kept.model_dump_json())
    return kept


class MeasuredAhead:
    """Clips measured in the order in which they will be needed, several at once, ahead of who waits for them.

    Each measurement is on disk as soon as it is made. Close it, or use it in a `with`: what has not begun by
    then is left out.
    """

    def __init__(self, project: Project, clips: Iterable[Clip], at_once: int = 0) -> None:
        """at_once: how many; 0: as many as there are processors, up to four."""
        self._project = project
        self._pool = ThreadPoolExecutor(
            at_once or min(_MOST_AT_ONCE, os.cpu_count() or 1), thread_name_prefix="motion"
        )
        self._found: dict[str, Future[Kept | BadMediaFile]] = {
            clip.id: self._pool.submit(self._of, clip) for clip in clips
        }

    def __enter__(self) -> MeasuredAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, clip: Clip) -> Kept | None:
        """Waits for one of the clips. None where nothing can be measured: it is damaged, or too short.

        Raises concurrent.futures.CancelledError after close, for a clip that was left out.
        """
        found = self._found[clip.id].result()
        return None if isinstance(found, BadMediaFile) else found

    def close(self) -> None:
        """Waits for what has begun: well under a second."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _of(self, clip: Clip) -> Kept | BadMediaFile:
        try:
            return known_motion(self._project, clip) or measure_clip(self._project, clip)
        except BadMediaFile as error:
            return error


def camera_moves(project: Project, clip: Clip) -> tuple[str, ...]:
    """What the camera does in a clip; empty where that is not sure. Raises BadMediaFile."""
    kept = known_motion(project, clip) or measure_clip(project, clip)
    return kept.camera if kept.camera_sure else ()


def as_measured(kept: Kept | None) -> Measured | None:
    """In the form that the lint compares with."""
    return Measured(kept.camera, kept.camera_sure, kept.light) if kept else None


def motion_file(project: Project, clip: Clip) -> Path:
    """Where a clip's measurement is kept."""
    return project.cache_folder / "motion" / f"{safe_file_stem(clip.id, 120)}.json"
