"""Captioners: what can write a caption for a clip, and the job that does it for a dataset.

A new captioner is one file with a class that fits Captioner, and one line in CAPTIONERS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from ltx_wizard.core.caption import Lint, clean_caption, lint
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import BadSetting, NotReady, WizardError
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.dataset.dataset import read_clips, update_clip

if TYPE_CHECKING:
    from ltx_wizard.captioning.motion import MotionFacts

__all__ = ["CAPTIONERS", "INSTRUCTION", "Captioner", "Lint", "clean_caption", "lint", "run_caption"]

STAGE = "Writing captions"

INSTRUCTION = """\
Describe this clip for training a video model. Write one paragraph of 60 to 180 words in plain English, in
the present tense, in the order in which things happen. Cover, in this order: 1. the main action and
movement: start with it; 2. what the people, animals or objects look like; 3. the background and the place;
4. the camera: its movement, angle and distance; 5. the light; 6. what changes over time. Say only what can
be seen. Do not begin with "The video shows". Do not guess feelings, names or what is outside the picture,
do not say what is absent, and do not describe sound. {facts}"""
"""What vision models are told; {facts} is the line of measured motion, or empty. Six parts: the guide."""


class Captioner(Protocol):
    """Writes captions. Between load and close it may hold a model in memory."""

    name: str
    title: str
    needs: str

    def load(self) -> None:
        """Get ready. Raises WizardError if what it needs is not there."""
        ...

    def caption(self, path: Path, kind: MediaKind, facts: MotionFacts | None) -> str:
        """A caption for one clip. Raises WizardError if there is none to be had for this clip."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


class MotionCaptioner:
    """Drafts from measured motion: works everywhere, but cannot name what it sees."""

    name = "motion"
    title = "Draft from measured motion"
    needs = "Nothing: works offline on any computer. You fill in what is seen."

    def load(self) -> None:
        pass

    def caption(self, path: Path, kind: MediaKind, facts: MotionFacts | None) -> str:
        from ltx_wizard.captioning.motion import draft_caption, measure_motion

        return draft_caption(facts or measure_motion(path))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class CaptionerEntry:
    """A captioner as the app offers it. make: builds it without loading anything heavy."""

    title: str
    needs: str
    make: Callable[[], Captioner]


CAPTIONERS: dict[str, CaptionerEntry] = {
    MotionCaptioner.name: CaptionerEntry(MotionCaptioner.title, MotionCaptioner.needs, MotionCaptioner),
}
"""Every captioner by name. Adding one is adding one line here."""


def make_captioner(name: str) -> Captioner:
    """Raises BadSetting naming the captioners there are."""
    if name not in CAPTIONERS:
        raise BadSetting(
            problem=f"There is no captioner called {name}.",
            remedy=f"Choose one of: {', '.join(CAPTIONERS)}.",
        )
    return CAPTIONERS[name].make()


def run_caption(project: Project, job: CaptionJob, report: Report) -> dict[str, JsonValue]:
    """Caption the clips that have none, or all if job.overwrite. Every caption is saved at once, as a
    draft.

    A clip that fails is a warning and the rest go on. Raises Cancelled.
    """
    captioner = make_captioner(job.captioner)
    clips = _chosen(project, job)
    waiting = [clip for clip in clips if job.overwrite or not clip.caption.strip()]
    done = 0
    captioner.load()
    try:
        for index, clip in enumerate(waiting):
            progress(report, STAGE, index, len(waiting), clip.id)
            done += _caption(project, captioner, clip, job.overwrite, report)
        progress(report, STAGE, len(waiting), len(waiting))
    finally:
        captioner.close()
    return {"captioned": done, "skipped": len(clips) - len(waiting), "failed": len(waiting) - done}


def _chosen(project: Project, job: CaptionJob) -> Sequence[Clip]:
    clips = [clip for clip in read_clips(project) if not job.clip_ids or clip.id in job.clip_ids]
    if not clips:
        raise NotReady(problem="There are no clips to caption.", remedy="Cut your videos in the step Scenes.")
    return clips


def _caption(project: Project, captioner: Captioner, clip: Clip, overwrite: bool, report: Report) -> int:
    """Gives 1 if the clip has a caption afterwards."""
    try:
        text = clean_caption(captioner.caption(project.path(clip.file), clip.kind, None))
        if not text:
            report.emit(Warned(message=f"{clip.id}: {captioner.title} gave an empty caption."))
            return 0
        _save(project, clip, text, captioner.name, overwrite)
    except WizardError as error:
        report.emit(Warned(message=f"{clip.id}: {error.problem} {error.remedy}"))
        return 0
    return 1


def _save(project: Project, clip: Clip, text: str, source: str, overwrite: bool) -> None:
    """Not over what somebody typed while the captioner was thinking."""
    now = next((item for item in read_clips(project) if item.id == clip.id), None)
    if now is None or (now.caption != clip.caption and now.caption.strip() and not overwrite):
        return
    update_clip(project, clip.id, caption=text, caption_state=CaptionState.DRAFT, caption_source=source)
