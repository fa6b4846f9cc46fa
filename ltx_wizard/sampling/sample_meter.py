"""Measuring samples as they lie on disk, so that the same video measures the same now and after a restart.
Worker-side.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ltx_wizard.core.documents import write_document
from ltx_wizard.core.errors import BadMediaFile
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Report
from ltx_wizard.media.video import read_frames
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import TrainingIndex
from ltx_wizard.sampling.measures import measure_sample
from ltx_wizard.sampling.prompt_agreement import PromptJudge, find_judge
from ltx_wizard.sampling.training_frames import training_index


class SampleMeter:
    """Measures the samples of one size against the base model's and against the training frames.

    left_out: clips that are kept out of training. mirrored: whether clips are trained mirrored as well.
    """

    def __init__(
        self,
        project: Project,
        width: int,
        height: int,
        fps: float,
        left_out: Collection[str] = (),
        mirrored: bool = False,
    ) -> None:
        self._project, self._size, self._fps = project, (width, height), fps
        self._left_out, self._mirrored = left_out, mirrored
        self._ready: tuple[TrainingIndex | None, PromptJudge | None] | None = None

    def get_ready(self, report: Report) -> tuple[TrainingIndex | None, PromptJudge | None]:
        """The index of training frames, and a CLIP model where there is one; made or loaded once.

        Raises Cancelled, NoSpace or NoPermission.
        """
        if self._ready is None:
            width, height = self._size
            index = training_index(self._project, width, height, report, self._left_out, self._mirrored)
            self._ready = index, find_judge(report)
        return self._ready

    def measure(
        self, video: Path, base: Path | None, prompt: str, report: Report, started_from: str = ""
    ) -> SampleMeasures:
        """base: the base model's video of the same prompt and seed; None for the base itself. prompt: without
        the trigger word, which no CLIP model knows. started_from: the clip whose first frame was given.

        Raises BadMediaFile for a video that cannot be read, Cancelled, NoSpace or NoPermission.
        """
        index, judge = self.get_ready(report)
        frames, base_frames = _read(video), _read_if_good(base)
        measures = measure_sample(frames, base_frames, index, self._fps, started_from)
        if judge is None or not prompt:
            return measures
        agreed = judge.agreement(prompt, frames)
        of_base = judge.agreement(prompt, base_frames) if base_frames is not None else None
        return measures.model_copy(update={"prompt_agreement": agreed, "prompt_agreement_of_base": of_base})


def measures_file(video: Path) -> Path:
    """Where the measures of a sample are kept: beside it."""
    return video.with_suffix(".json")


def keep_measures(video: Path, measures: SampleMeasures) -> None:
    """Raises NoSpace or NoPermission."""
    write_document(measures_file(video), measures)


def _read(video: Path) -> Frames:
    """Raises BadMediaFile."""
    frames = list(read_frames(video))
    if not frames:
        raise BadMediaFile(problem=f"{video.name} cannot be read.", remedy="Make this sample again.")
    return np.stack(frames)


def _read_if_good(video: Path | None) -> Frames | None:
    try:
        return _read(video) if video is not None and video.is_file() else None
    except BadMediaFile:
        return None
