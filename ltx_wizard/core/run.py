"""A job folder: what a worker is told, what it reports, and what that amounts to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Union

from pydantic import Field, JsonValue

from ltx_wizard.core.documents import Document, Settings, is_file, read_document, write_document
from ltx_wizard.core.errors import NotFound
from ltx_wizard.core.events import (
    CheckpointSaved,
    ClipDone,
    Event,
    Failed,
    Finished,
    Progress,
    SampleReady,
    SettingChanged,
    Started,
    StepDone,
    StepSkipped,
    Stopped,
    Validated,
    Warned,
    WentBack,
    read_events,
)
from ltx_wizard.core.project import safe_file_stem
from ltx_wizard.core.recipe import MemorySettings, Recipe

JOB_FILE = "job.json"


class FindScenesJob(Settings):
    """Propose cuts for these sources (all videos if empty), with the project's scene settings."""

    kind: Literal["find_scenes"] = "find_scenes"
    source_ids: tuple[str, ...] = ()


class CutJob(Settings):
    """Cut the kept scenes into clips. Clips that exist already are left alone."""

    kind: Literal["cut"] = "cut"


class CaptionJob(Settings):
    """Write captions. clip_ids empty: all clips. overwrite: also those that have one.

    server, model: address and model of the captioner 'server'. Its key is in no job: the worker takes it
    from the user's folder.
    """

    kind: Literal["caption"] = "caption"
    captioner: str = "motion"
    clip_ids: tuple[str, ...] = ()
    overwrite: bool = False
    server: str = ""
    model: str = ""


class ConformJob(Settings):
    """Write each clip at the size, length and frame rate of its bucket."""

    kind: Literal["conform"] = "conform"
    buckets: tuple[str, ...]
    fps: float


class CheckClipsJob(Settings):
    """Look at the pictures of every clip that was not looked at yet."""

    kind: Literal["check_clips"] = "check_clips"


class CropJob(Settings):
    """Write clips again without the black bars found in them. clip_ids empty: all that have some.

    whole: the other way: those that are cropped, with all that their originals show.
    """

    kind: Literal["crop"] = "crop"
    clip_ids: tuple[str, ...] = ()
    whole: bool = False


class ContactSheetJob(Settings):
    """Draw one picture of all clips."""

    kind: Literal["contact_sheet"] = "contact_sheet"


class ImportDatasetJob(Settings):
    """Bring a dataset of another trainer into the project, each file as one clip with its caption."""

    kind: Literal["import_dataset"] = "import_dataset"
    path: str = Field(description="Its folder, or the file that lists it.")
    trigger: str = Field(
        default="",
        max_length=100,
        description="Becomes the project's trigger word and is taken out of the captions; empty: none.",
    )
    regularisation: bool = False


class ExportDatasetJob(Settings):
    """Write the project's clips as a dataset for another trainer."""

    kind: Literal["export_dataset"] = "export_dataset"
    format: str = Field(description="Name of the format.")
    folder: str = Field(description="A new or empty folder.")
    with_trigger: bool = Field(description="Whether the captions hold the trigger word.")


class TrainJob(Settings):
    """Train the recipe on the project's dataset."""

    kind: Literal["train"] = "train"
    recipe: Recipe
    dataset_fingerprint: str
    held_out: tuple[str, ...] | None = Field(
        default=None,
        description="Ids of the clips kept out of training, chosen at the start: what was trained is never "
        "measured on after a resume. None, in runs of earlier versions: chosen anew, whatever looks alike.",
    )


class SampleJob(Settings):
    """Make sample videos with a LoRA file (empty: the base model)."""

    kind: Literal["sample"] = "sample"
    model: str
    lora_file: str = ""
    strength: float = Field(default=1.0, ge=-4, le=4)
    scale: float = Field(default=1.0, gt=0, description="Alpha / rank, where the file does not hold it.")
    prompts: tuple[str, ...]
    seed: int = 42
    width: int
    height: int
    frames: int
    fps: float
    sampling_steps: int = Field(ge=2, description="The samplers' schedule is not defined for one step.")
    guidance: float
    negative_prompt: str = ""
    memory: MemorySettings = Field(
        default=MemorySettings(),
        description="How the model is kept: as in training, so that the card holds it.",
    )
    first_frame: str = Field(
        default="",
        description="The videos start from the first frame of this: the id of a clip, or a picture or video "
        "file. Empty: from words alone.",
    )


class ExportJob(Settings):
    """Write LoRA files from a checkpoint of a run, or from a file made elsewhere, and verify them against the
    model.
    """

    kind: Literal["export"] = "export"
    run: str = Field(default="", description="Name of the run folder.")
    step: int = 0
    lora_file: str = Field(default="", description="Made elsewhere, in place of a checkpoint; its full path.")
    model: str = Field(default="", description="Of lora_file: the model that it must fit.")
    strength: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Folded into the file, so that 1.0 in the other program is this strength.",
    )
    name: str


class MeasurePrompt(Settings):
    """A prompt with {trigger} in it, and what its samples must show."""

    text: str
    object_colour: str = ""


class MeasureJob(Settings):
    """Measure what a LoRA does: each prompt with and without trigger word, with and without LoRA, same seeds.

    measure: the name of the concept's measure, a number from 0 to 1.
    """

    kind: Literal["measure"] = "measure"
    model: str
    lora_file: str
    measure: str
    trigger_word: str
    prompts: tuple[MeasurePrompt, ...]
    seeds: tuple[int, ...] = (42,)
    width: int
    height: int
    frames: int
    fps: float
    sampling_steps: int = Field(ge=2, description="The samplers' schedule is not defined for one step.")
    guidance: float
    negative_prompt: str = ""
    memory: MemorySettings = MemorySettings()


class LabJob(Settings):
    """Make the videos that the project's Lab asks for and that are not made yet. What it asks for may grow
    meanwhile: it is read again before each video.
    """

    kind: Literal["lab"] = "lab"


class DownloadJob(Settings):
    """Fetch what is missing of a model. It belongs to no project.

    model: as find_model takes it. endpoint: address of a mirror; empty: the hub library's own choice.
    """

    kind: Literal["download"] = "download"
    model: str
    endpoint: str = ""


JobSettings = Annotated[
    Union[  # noqa: UP007
        FindScenesJob,
        CutJob,
        CaptionJob,
        ConformJob,
        CheckClipsJob,
        CropJob,
        ContactSheetJob,
        ImportDatasetJob,
        ExportDatasetJob,
        TrainJob,
        SampleJob,
        ExportJob,
        MeasureJob,
        LabJob,
        DownloadJob,
    ],
    Field(discriminator="kind"),
]


class Job(Document):
    """The content of job.json: written once, before the start."""

    settings: JobSettings
    created: float
    versions: dict[str, str] = Field(default_factory=dict)


class WorkerIdentity(Settings):
    """The content of worker.json: which process runs this job, so that a reused pid is not taken for it."""

    pid: int
    process_start_time: float
    host: str


class JobFolder:
    """The folder of one job or run: the whole interface between the app and its worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, parent: Path, name: str, job: Job) -> JobFolder:
        """Make the next numbered folder, e.g. runs/0003-balanced, and write job.json."""
        parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path) for path in parent.iterdir()), default=0)
        while True:
            folder = cls(parent / f"{number:04d}-{safe_file_stem(name, 40)}")
            try:
                folder.folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            write_document(folder.job_file, job)
            return folder

    @classmethod
    def open(cls, folder: Path) -> JobFolder:
        opened = cls(folder)
        if not is_file(opened.job_file):
            raise NotFound(problem=f"There is no job in {folder}.", remedy="Choose a run of this project.")
        return opened

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def job_file(self) -> Path:
        return self.folder / JOB_FILE

    @property
    def worker_file(self) -> Path:
        return self.folder / "worker.json"

    @property
    def events_file(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def stop_file(self) -> Path:
        return self.folder / "stop"

    @property
    def pause_file(self) -> Path:
        return self.folder / "pause"

    @property
    def log_file(self) -> Path:
        return self.folder / "worker.log"

    @property
    def checkpoints_folder(self) -> Path:
        return self.folder / "checkpoints"

    def checkpoint_folder(self, step: int) -> Path:
        return self.checkpoints_folder / f"step-{step:06d}"

    def saved_steps(self) -> list[int]:
        """Steps with a checkpoint on disk, oldest first. A folder appears whole, so its name is enough."""
        if not self.checkpoints_folder.is_dir():
            return []
        found = (re.fullmatch(r"step-(\d+)", path.name) for path in self.checkpoints_folder.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    @property
    def samples_folder(self) -> Path:
        return self.folder / "samples"

    @property
    def lora_folder(self) -> Path:
        return self.folder / "lora"

    def read_job(self) -> Job:
        return read_document(self.job_file, Job)

    def status(self) -> JobStatus:
        """Everything that the events so far amount to."""
        return fold(read_events(self.events_file))


def list_job_folders(parent: Path) -> list[JobFolder]:
    """All jobs under a folder, oldest first."""
    if not parent.is_dir():
        return []
    folders = [JobFolder(path) for path in parent.iterdir() if (path / JOB_FILE).is_file()]
    return sorted(folders, key=lambda job: (_number(job.folder), job.name))


class JobState(str, Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class JobStatus:
    """A fold over events. Lists are in the order in which things happened."""

    state: JobState = JobState.WAITING
    step: int = 0
    steps: int = 0
    started_at: float = 0.0
    updated_at: float = 0.0
    progress: Progress | None = None
    losses: tuple[StepDone, ...] = ()
    validations: tuple[Validated, ...] = ()
    samples: tuple[SampleReady, ...] = ()
    checkpoints: tuple[CheckpointSaved, ...] = ()
    changes: tuple[SettingChanged, ...] = ()
    skipped: tuple[StepSkipped, ...] = ()
    returns: tuple[WentBack, ...] = ()
    warnings: tuple[str, ...] = ()
    done_clips: tuple[str, ...] = ()
    result: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    problem: str = ""
    remedy: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in (JobState.FINISHED, JobState.STOPPED, JobState.FAILED)


def fold(events: Iterable[Event], start: JobStatus | None = None) -> JobStatus:
    """Pure: the same events give the same status. A resumed job drops what came after its starting step."""
    builder = _Builder(start or JobStatus())
    for event in events:
        builder.add(event)
    return builder.status()


class _Builder:
    """Collects in lists, because appending to a tuple for each of thousands of steps is quadratic."""

    def __init__(self, start: JobStatus) -> None:
        self._last = start
        self._losses = list(start.losses)
        self._validations = list(start.validations)
        self._samples = list(start.samples)
        self._checkpoints = list(start.checkpoints)
        self._done_clips = list(start.done_clips)
        self._newest: StepDone | None = None

    def add(self, event: Event) -> None:
        if isinstance(event, StepDone):  # by far the most: what follows from it is written down once
            self._losses.append(event)
            self._newest = event
            return
        self._settle()
        self._last = replace(self._last, updated_at=event.time)
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Progress):
            if self._last.is_over:  # a new worker, which waits for its turn before it starts
                self._last = replace(self._last, state=JobState.WAITING, result={}, problem="", remedy="")
            self._last = replace(self._last, progress=event)
        elif isinstance(event, Validated):
            self._validations.append(event)
        elif isinstance(event, SampleReady):
            self._samples.append(event)
        elif isinstance(event, CheckpointSaved):
            self._checkpoints.append(event)
        elif isinstance(event, SettingChanged):
            self._last = replace(self._last, changes=(*self._last.changes, event))
        elif isinstance(event, StepSkipped):
            skipped = (*self._last.skipped, event)
            self._last = replace(
                self._last, step=event.step, steps=event.steps, progress=None, skipped=skipped
            )
        elif isinstance(event, WentBack):
            self._last = replace(self._last, returns=(*self._last.returns, event))
        elif isinstance(event, ClipDone):
            self._done_clips.append(event.clip)
        elif isinstance(event, Warned):
            self._last = replace(self._last, warnings=(*self._last.warnings, event.message))
        else:
            self._end(event)

    def _settle(self) -> None:
        """What the newest step means for the status."""
        event, self._newest = self._newest, None
        if event is not None:
            self._last = replace(
                self._last, updated_at=event.time, step=event.step, steps=event.steps, progress=None
            )

    def status(self) -> JobStatus:
        self._settle()
        return replace(
            self._last,
            losses=tuple(self._losses),
            validations=tuple(self._validations),
            samples=tuple(self._samples),
            checkpoints=tuple(self._checkpoints),
            done_clips=tuple(self._done_clips),
        )

    def _start(self, event: Started) -> None:
        self._losses = [item for item in self._losses if item.step <= event.step]
        self._validations = [item for item in self._validations if item.step <= event.step]
        self._samples = [item for item in self._samples if item.step <= event.step]
        self._checkpoints = [item for item in self._checkpoints if item.step <= event.step]
        self._last = replace(
            self._last,
            state=JobState.RUNNING,
            step=event.step,
            steps=event.steps or self._last.steps,
            started_at=event.time,
            progress=None,
            skipped=tuple(item for item in self._last.skipped if item.step <= event.step),
            result={},
            problem="",
            remedy="",
        )

    def _end(self, event: Finished | Stopped | Failed) -> None:
        step = (
            max(event.step, self._last.step) if isinstance(event, Failed) else event.step or self._last.step
        )
        self._last = replace(self._last, step=step, progress=None)
        if isinstance(event, Finished):
            self._last = replace(self._last, state=JobState.FINISHED, result=event.result)
        elif isinstance(event, Stopped):
            self._last = replace(self._last, state=JobState.STOPPED)
        else:
            self._last = replace(
                self._last, state=JobState.FAILED, problem=event.problem, remedy=event.remedy
            )


def _number(path: Path) -> int:
    match = re.match(r"(\d+)-", path.name)
    return int(match.group(1)) if match else 0
