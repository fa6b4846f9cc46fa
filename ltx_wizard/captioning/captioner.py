"""Captioners: what can write a caption for a clip, and the job that does it for a dataset.

A new captioner is one file with a class that fits Captioner, and one line in CAPTIONERS.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from ltx_wizard.captioning.answer import caption_in
from ltx_wizard.captioning.measured import Kept, MeasuredAhead
from ltx_wizard.core.caption import flatten
from ltx_wizard.core.clip import CaptionState, Clip, MediaKind
from ltx_wizard.core.errors import (
    BadSetting,
    CaptionerFailed,
    NotReady,
    OutOfGpuMemory,
    WizardError,
)
from ltx_wizard.core.events import ClipDone, Progress, Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import CaptionJob
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.dataset import read_clips, update_clip
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, CaptionerModel

if TYPE_CHECKING:
    from ltx_wizard.captioning.motion import MotionFacts

STAGE = "Writing captions"

INSTRUCTION = """\
Describe this clip for training a video model. Write one paragraph of 60 to 180 words in plain English, in
the present tense, in the order in which things happen. Cover, in this order: 1. the main action and
movement: start with it; 2. what the people, animals or objects look like; 3. the background and the place;
4. the camera: its movement, angle and distance; 5. the light; 6. what changes over time. Say only what can
be seen. Do not begin with "The video shows". Do not guess feelings, names or what is outside the picture,
do not say what is absent, and do not describe sound. {facts}"""
"""What vision models are told; {facts} is the line of measured motion, or empty. Six parts: the guide."""

FACTS_PLACE = "{facts}"
_STILL = "This is a single still picture: describe no movement of the camera and no change over time."
_SAME_IN_A_ROW = 3
"""So many clips that fail one after the other for the same reason: the rest would fail too."""

_ASKED_EVERY_S = 0.2
_SHOWN_LETTERS = 80


@dataclass(frozen=True)
class ToCaption:
    """A clip as a captioner gets it. facts: None where no motion could be measured. instruction: complete."""

    path: Path
    kind: MediaKind
    facts: MotionFacts | None
    instruction: str


class Captioner(Protocol):
    """Writes captions. Between load and close it may hold a model in memory.

    batch: how many clips it takes at once, known after load. parallel: how many calls of `caption` may run
    at the same time. remote: the work is done elsewhere, so that a call can be left alone when the user
    stops.
    """

    name: str
    title: str
    batch: int
    parallel: int
    remote: bool

    def load(self) -> None:
        """Get ready. Raises WizardError if what it needs is not there."""
        ...

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        """A caption for each clip. Raises CaptionerFailed or OutOfGpuMemory if no clip can be captioned, and
        another WizardError for what is wrong with one of these clips.
        """
        ...

    def close(self) -> None:
        """Give memory back; calls that still run may end with any WizardError."""
        ...


class MotionCaptioner:
    """Drafts from measured motion: works everywhere, but cannot name what it sees."""

    name = "motion"
    title = "Draft from measured motion"
    batch = 1
    parallel = 1
    remote = False

    def load(self) -> None:
        pass

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        from ltx_wizard.captioning.motion import draft_caption, measure_motion

        return [draft_caption(clip.facts or measure_motion(clip.path)) for clip in clips]

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class CaptionerEntry:
    """A captioner as the app offers it. needs: what it does, or what it needs. make: builds it without
    loading anything heavy. model: what it takes from the hub.
    """

    title: str
    needs: str
    make: Callable[[CaptionJob], Captioner]
    model: CaptionerModel | None = None


def _florence2(model: CaptionerModel) -> Captioner:
    from ltx_wizard.captioning.florence2 import Florence2Captioner

    return Florence2Captioner(model)


def _vision_llm(model: CaptionerModel) -> Captioner:
    from ltx_wizard.captioning.vision_llm import VisionCaptioner

    return VisionCaptioner(model)


_LOCAL = {
    "florence2": (
        _florence2,
        "Describes single pictures; measured motion is added to its text. Small and quick.",
    ),
    "qwen3vl": (
        _vision_llm,
        "Watches the clip: sees frames with their times, and writes what happens in order.",
    ),
}


def _local(model: CaptionerModel) -> CaptionerEntry:
    """The captioner of a model that runs on this computer."""
    make, does = _LOCAL[model.family]
    return CaptionerEntry(model.title, does, lambda _: make(model), model)


def _server(job: CaptionJob) -> Captioner:
    from ltx_wizard.captioning.openai_api import ServerCaptioner

    return ServerCaptioner(job.server, job.model)


CAPTIONERS: dict[str, CaptionerEntry] = {
    MotionCaptioner.name: CaptionerEntry(
        MotionCaptioner.title,
        "Measures what camera and subject do, and how the light is. You fill in what is seen.",
        lambda _: MotionCaptioner(),
    ),
    **{model.id: _local(model) for model in CAPTIONER_MODELS},
    "server": CaptionerEntry(
        "A model on a server",
        "Ollama, LM Studio, vLLM or a cloud service that speaks OpenAI's protocol, with a model that sees.",
        _server,
    ),
}
"""Every captioner by name. Adding one is adding one line here."""


def make_captioner(job: CaptionJob) -> Captioner:
    """Raises BadSetting naming the captioners there are."""
    if job.captioner not in CAPTIONERS:
        raise BadSetting(
            problem=f"There is no captioner called {job.captioner}.",
            remedy=f"Choose one of: {', '.join(CAPTIONERS)}.",
        )
    return CAPTIONERS[job.captioner].make(job)


def uses_card(job: CaptionJob) -> bool:
    """Whether it needs the graphics card for itself."""
    return job.captioner in CAPTIONERS and CAPTIONERS[job.captioner].model is not None


def run_caption(project: Project, job: CaptionJob, report: Report) -> dict[str, JsonValue]:
    """Caption the clips that have none, or all if job.overwrite. Every caption is saved at once, as a
    draft.

    A clip that fails is a warning and the rest go on. Raises Cancelled, and what would go wrong with every
    clip: CaptionerFailed, OutOfGpuMemory, or what three clips in a row failed with.
    """
    captioner = make_captioner(job)
    clips = _chosen(project, job)
    waiting = [clip for clip in clips if job.overwrite or not clip.caption.strip()]
    work = _Work(project, captioner, job, report, len(waiting))
    if waiting:
        progress(report, f"Getting ready: {captioner.title}", 0, 0)
        work.run(waiting)
    progress(report, STAGE, len(waiting), len(waiting))
    return {"captioned": work.written, "skipped": len(clips) - len(waiting), "failed": work.failed}


def filled_instruction(project: Project, facts: MotionFacts | None, kind: MediaKind) -> str:
    """The project's instruction, or ours, with what was measured."""
    from ltx_wizard.captioning.motion import facts_sentence

    known = _STILL if kind is MediaKind.IMAGE else facts_sentence(facts) if facts else ""
    asked = project.read_settings().caption_instruction.strip() or INSTRUCTION
    return asked.replace(FACTS_PLACE, known).strip()


class _Work:
    """Clips on their way through a captioner. Calls run in threads; saving and reporting happen here."""

    def __init__(
        self, project: Project, captioner: Captioner, job: CaptionJob, report: Report, total: int
    ) -> None:
        self.written = 0
        self.failed = 0
        self._project = project
        self._captioner = captioner
        self._overwrite = job.overwrite
        self._report = report
        self._total = total
        self._began = time.monotonic()
        self._same: deque[str] = deque(maxlen=_SAME_IN_A_ROW)

    def run(self, clips: Sequence[Clip]) -> None:
        """Raises Cancelled, or what would go wrong with every clip."""
        pool: ThreadPoolExecutor | None = None
        try:
            self._captioner.load()
            self._began = time.monotonic()
            pool = ThreadPoolExecutor(self._captioner.parallel)
            with MeasuredAhead(self._project, clips) as motion:
                self._go_through(clips, pool, motion)
        except (CaptionerFailed, OutOfGpuMemory) as error:
            raise type(error)(error.problem, self._remedy(error)) from error
        finally:
            if pool is not None and not self._captioner.remote:
                pool.shutdown(wait=True, cancel_futures=True)
            self._captioner.close()
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    def _go_through(self, clips: Sequence[Clip], pool: ThreadPoolExecutor, motion: MeasuredAhead) -> None:
        size = max(1, self._captioner.batch)
        groups = deque(clips[start : start + size] for start in range(0, len(clips), size))
        running: set[Future[list[tuple[Clip, str | WizardError]]]] = set()
        self._tell()
        while groups or running:
            while groups and len(running) < self._captioner.parallel:
                running.add(pool.submit(self._answers, groups.popleft(), motion))
            done, running = wait(running, timeout=_ASKED_EVERY_S, return_when=FIRST_COMPLETED)
            for future in done:
                for clip, answer in future.result():
                    self._take(clip, answer)
                    self._tell()
            if self._report.stop_requested():
                raise Cancelled

    def _answers(self, clips: Sequence[Clip], motion: MeasuredAhead) -> list[tuple[Clip, str | WizardError]]:
        """In a thread: wait for what is measured, then ask. A damaged clip costs its batch nothing."""
        try:
            items = [self._to_caption(clip, motion.of(clip)) for clip in clips]
            return list(zip(clips, self._captioner.caption(items), strict=True))
        except (CaptionerFailed, OutOfGpuMemory):
            raise
        except WizardError as error:
            if len(clips) == 1:
                return [(clips[0], error)]
            return [answer for clip in clips for answer in self._answers([clip], motion)]

    def _to_caption(self, clip: Clip, kept: Kept | None) -> ToCaption:
        """kept: None for what cannot be measured; a captioner says what else is wrong with it."""
        facts = kept.facts() if kept else None
        asked = filled_instruction(self._project, facts, clip.kind)
        return ToCaption(self._project.path(clip.file), clip.kind, facts, asked)

    def _take(self, clip: Clip, answer: str | WizardError) -> None:
        """Save a caption, or say why there is none."""
        text, wrong = self._read(answer)
        if wrong is None:
            self._save(clip, text)
            self.written += 1
            self._same.clear()
            self._report.emit(ClipDone(clip=clip.id))
            return
        self.failed += 1
        said = "" if isinstance(answer, WizardError) else _shown(answer)
        self._report.emit(
            Warned(message=" ".join(filter(None, (f"{clip.id}: {wrong.problem}", wrong.remedy, said))))
        )
        self._same.append(wrong.problem)
        if len(self._same) == _SAME_IN_A_ROW == self._same.count(wrong.problem) and self.failed < self._total:
            raise CaptionerFailed(
                problem=f"{_SAME_IN_A_ROW} clips in a row failed: {wrong.problem} {said}".rstrip(),
                remedy=wrong.remedy or "Choose another captioner.",
            )

    def _read(self, answer: str | WizardError) -> tuple[str, WizardError | None]:
        """The caption, or what is wrong."""
        if isinstance(answer, WizardError):
            return "", answer
        text, wrong = caption_in(answer)
        return text, CaptionerFailed(f"{self._captioner.title} gave {wrong}.", "") if wrong else None

    def _save(self, clip: Clip, text: str) -> None:
        """Not over what somebody typed while the captioner was thinking."""
        now = next((item for item in read_clips(self._project) if item.id == clip.id), None)
        if now is None or (now.caption != clip.caption and now.caption.strip() and not self._overwrite):
            return
        update_clip(
            self._project,
            clip.id,
            caption=text,
            caption_state=CaptionState.DRAFT,
            caption_source=self._captioner.name,
        )

    def _tell(self) -> None:
        """How far, and how quick."""
        done, seconds = self.written + self.failed, time.monotonic() - self._began
        rate = done / seconds if done and seconds > 0 else 0.0
        self._report.emit(Progress(stage=STAGE, done=done, total=self._total, per_second=rate))

    def _remedy(self, error: WizardError) -> str:
        if not self.written:
            return error.remedy
        kept = f"{plural(self.written, 'caption')} {'is' if self.written == 1 else 'are'} written"
        return f"{error.remedy} {kept}; started again, it goes on with the others."


def _shown(answer: str) -> str:
    """The beginning of what a model said, where it said something."""
    text = flatten(answer)
    return f"It said: {text[:_SHOWN_LETTERS]}{'...' if len(text) > _SHOWN_LETTERS else ''}" if text else ""


def _chosen(project: Project, job: CaptionJob) -> Sequence[Clip]:
    clips = [clip for clip in read_clips(project) if not job.clip_ids or clip.id in job.clip_ids]
    if not clips:
        raise NotReady(problem="There are no clips to caption.", remedy="Cut your videos in the step Scenes.")
    return clips
