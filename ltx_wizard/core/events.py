"""What a worker reports, one JSON line each, and how it is read back.

The worker alone writes events.jsonl; everybody may read it. The last event of a job is exactly one of
Finished, Stopped or Failed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Union

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from ltx_wizard.core.documents import Settings
from ltx_wizard.core.errors import explain_os_error
from ltx_wizard.core.measures import SampleMeasures


class _Event(Settings):
    # A loss that is not a number must be seen, not lost.
    model_config = ConfigDict(ser_json_inf_nan="constants")

    time: float = Field(default_factory=time.time, description="Seconds since 1970.")


class Started(_Event):
    """The worker runs. step: the optimizer step that it starts from."""

    kind: Literal["started"] = "started"
    pid: int
    step: int = 0
    steps: int = 0


LOADING_MODEL = "Loading the model"
"""The stage of a training between its encoding and its first validation."""


class Progress(_Event):
    """How far the present stage is: done of total, e.g. clips cut or sampling steps.

    unit: what is counted where that matters to read it. per_second: how many of them lately, 0 if unknown.
    """

    kind: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    message: str = ""
    unit: Literal["", "bytes"] = ""
    per_second: float = 0.0


class StepDone(_Event):
    """One optimizer step. Times in seconds, memory in GiB (0 without a GPU)."""

    kind: Literal["step"] = "step"
    step: int
    steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    step_s: float
    memory_gib: float = 0.0


class StepSkipped(_Event):
    """A step that changed nothing, because its loss or its gradient was not a number.

    in_a_row: how many it is since the last step that counted.
    """

    kind: Literal["step_skipped"] = "step_skipped"
    step: int
    steps: int
    what: Literal["loss", "gradient"]
    in_a_row: int


class WentBack(_Event):
    """The run threw away what came after `step` and goes on from the checkpoint of that step (0: from the
    start). learning_rate_scale: what the recipe's learning rate is multiplied by from now on.
    """

    kind: Literal["went_back"] = "went_back"
    step: int
    from_step: int
    reason: str
    learning_rate_scale: float

    @property
    def text(self) -> str:
        """'At step 152 ... Training goes on from step 150 with ...', as screen and command line say it."""
        start = f"the checkpoint of step {self.step:,}" if self.step else "the start"
        rate = (
            "" if self.learning_rate_scale == 1 else f", at {self.learning_rate_scale:g} x the learning rate"
        )
        return f"{self.reason} The run has gone back to {start}{rate}."


class Validated(_Event):
    """Loss on the fixed validation set: same clips, noise levels and noise every time.

    bands: the mean at each noise level, by its name ('0.2'). each: every single loss, as many for each noise
    level in their order, always the same, so that two steps are compared pair by pair. fixed_set: names
    exactly what was measured; losses of two runs are comparable to the last digit where it is the same.
    learnt: it was measured on clips that are trained on, as there were too few to keep one out, and so shows
    no overfitting. Events of earlier versions have the loss alone.
    """

    kind: Literal["validated"] = "validated"
    step: int
    loss: float
    bands: dict[str, float] = Field(default_factory=dict[str, float])
    each: tuple[float, ...] = ()
    fixed_set: str = ""
    learnt: bool = False


class SampleReady(_Event):
    """A sample video, made with the LoRA of this step (0: the base). file is relative to the run folder.

    measures: against the base's sample of the same prompt; None in events of earlier versions.
    """

    kind: Literal["sample"] = "sample"
    step: int
    prompt_index: int
    prompt: str
    seed: int
    file: str
    measures: SampleMeasures | None = None


class CheckpointSaved(_Event):
    """A checkpoint that training can continue from; file is relative to the run folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    file: str


class SettingChanged(_Event):
    """The worker had to change a setting, and why."""

    kind: Literal["setting_changed"] = "setting_changed"
    setting: str
    value: str
    reason: str

    @property
    def text(self) -> str:
        """'Gradient checkpointing is now on. ...', as screen and command line say it."""
        return f"{setting_words(self.setting)} is now {self.value}. {self.reason}"


def setting_words(key: str) -> str:
    """'memory.vae_tiling' as the screen names it: 'Vae tiling'."""
    return key.rpartition(".")[2].replace("_", " ").capitalize()


class Warned(_Event):
    """Something that the user should know and that does not stop the job."""

    kind: Literal["warned"] = "warned"
    message: str


class ClipDone(_Event):
    """A clip of the job is done and saved: who goes on with the job leaves it out."""

    kind: Literal["clip_done"] = "clip_done"
    clip: str


class Finished(_Event):
    """The job is done. result: what it made, by kind of job."""

    kind: Literal["finished"] = "finished"
    step: int = 0
    result: dict[str, JsonValue] = Field(default_factory=dict)


class Stopped(_Event):
    """The user stopped the job; it can be resumed."""

    kind: Literal["stopped"] = "stopped"
    step: int = 0


class Failed(_Event):
    """The job ended with an error."""

    kind: Literal["failed"] = "failed"
    problem: str
    remedy: str
    step: int = 0


Event = Annotated[
    Union[  # noqa: UP007 - a runtime expression, so that Python 3.10 and pydantic agree
        Started,
        Progress,
        StepDone,
        StepSkipped,
        WentBack,
        Validated,
        SampleReady,
        CheckpointSaved,
        SettingChanged,
        Warned,
        ClipDone,
        Finished,
        Stopped,
        Failed,
    ],
    Field(discriminator="kind"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)

FINAL_EVENTS = (Finished, Stopped, Failed)


class EventWriter:
    """Appends events to a file, one flushed line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._end_torn_line()
            self._file = path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise explain_os_error(error, path) from error

    def write(self, event: Event) -> None:
        """Append one event. Raises NoSpace where the disk is full."""
        try:
            self._file.write(event.model_dump_json() + "\n")
            self._file.flush()
        except OSError as error:
            raise explain_os_error(error, self._path) from error

    def close(self) -> None:
        self._file.close()

    def _end_torn_line(self) -> None:
        """A worker that was killed may have left half a line: end it, so that the next event stands alone."""
        if not self._path.exists() or self._path.stat().st_size == 0:
            return
        with self._path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")


class EventReader:
    """Reads a growing events file; every call gives the events that are new since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read_new(self) -> list[Event]:
        """Whole lines only: an incomplete last line is not an event yet."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        end = chunk.rfind(b"\n") + 1
        self._offset += end
        return list(parse_events(chunk[:end].splitlines()))


def parse_events(lines: Iterable[bytes]) -> Iterable[Event]:
    """Skips kinds that this version does not know, and lines that a crash tore."""
    for line in lines:
        try:
            yield _EVENT.validate_json(line)
        except ValidationError:
            continue


def read_events(path: Path) -> list[Event]:
    """All events of a file that may still grow."""
    return EventReader(path).read_new()
