"""The training frames of a project as an index, made once for a dataset and kept in the project's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import BadMediaFile, explain_os_error
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Report, progress
from ltx_wizard.dataset.dataset import fingerprint, read_clips
from ltx_wizard.media.video import cover, decode, is_image, read_image, to_rgb
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import VERSION, Shown, TrainingIndex, index_of
from ltx_wizard.sampling.sharpness import sharpness

STAGE = "Looking through the training frames"

FRAMES_PER_S = 30.0
"""As many as models are trained with. At 8 a second, frames of a fast camera fall between those of the index:
the AUC of benchmarks/measures.py on films was 0.892.
"""

_MOST_FRAMES = 6000
"""110 MB of thumbnails at most. A dataset of more than 200 s has fewer frames a second in its index."""

_KEPT_FILES = 2


def training_index(
    project: Project,
    width: int,
    height: int,
    report: Report,
    left_out: Collection[str] = (),
    mirrored: bool = False,
) -> TrainingIndex | None:
    """The frames of all clips but those left out, in the shape of samples of this size; None without any.

    From the cache where the dataset is the same. A clip that cannot be read is not in it. left_out: clips
    that are kept out of training. mirrored: whether they were trained mirrored as well. Raises Cancelled,
    NoSpace or NoPermission.
    """
    clips = [clip for clip in read_clips(project) if clip.id not in left_out]
    path = _index_file(project, clips, width, height, mirrored)
    found = TrainingIndex.load(path)
    if found is not None or not clips:
        return found
    sharp_of_clips: list[float] = []
    made = index_of(_shown(project, clips, width, height, sharp_of_clips, report), mirrored=mirrored)
    if made is None:
        return None
    made = made.with_sharpness(float(np.median(sharp_of_clips)))
    made.save(path)
    _forget_older(path)
    return made


def _index_file(project: Project, clips: Sequence[Clip], width: int, height: int, mirrored: bool) -> Path:
    ids = sorted(clip.id for clip in clips)
    key = repr((VERSION, fingerprint(project), ids, width, height, mirrored))
    name = hashlib.sha256(key.encode("utf-8")).hexdigest()[:24]
    return project.cache_folder / "likeness" / f"{name}.npz"


def _shown(
    project: Project,
    clips: Sequence[Clip],
    width: int,
    height: int,
    sharp: list[float],
    report: Report,
) -> Iterator[Shown]:
    """Frames of all clips in turn; the sharpness of each clip's first one at full size goes to `sharp`."""
    every_s = max(1 / FRAMES_PER_S, sum(clip.duration_s for clip in clips) / _MOST_FRAMES)
    for index, clip in enumerate(clips):
        progress(report, STAGE, index, len(clips))
        try:
            for number, (time_s, picture) in enumerate(_pictures(project.path(clip.training_file), every_s)):
                whole = cover(picture, width, height)
                if number == 0:
                    sharp.append(sharpness(whole[None]))
                yield Shown(clip.id, time_s, whole)
        except BadMediaFile:  # training leaves it out too, and says so
            continue
    progress(report, STAGE, len(clips), len(clips))


def _pictures(path: Path, every_s: float) -> Iterator[tuple[float, Frames]]:
    """Times and frames, a little more than every_s apart at least. Raises BadMediaFile."""
    if is_image(path):
        yield 0.0, read_image(path)
        return
    due = 0.0
    for frame in decode(path):
        if frame.time_s >= due - 1e-3:
            yield frame.time_s, to_rgb(frame)
            due = frame.time_s + every_s


def _forget_older(path: Path) -> None:
    """Indexes of earlier states of the dataset go."""
    try:
        files = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_KEPT_FILES:]:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, path.parent) from error
