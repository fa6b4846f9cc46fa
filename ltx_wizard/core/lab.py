"""The Lab: checkpoints x strengths x prompts x seeds, and the videos made of them so far.

lab/lab.json says what is asked for. A cell is one video: its name follows from everything that decides its
pixels, so what is on disk is never made again, whatever grid asks for it. The base model is the cell of
strength 0, one for each prompt and seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ltx_wizard.core.documents import Document, Settings, is_file, read_document, write_document
from ltx_wizard.core.errors import WizardError
from ltx_wizard.core.measures import SampleMeasures
from ltx_wizard.core.project import Project, filled_prompt
from ltx_wizard.core.recipe import MemorySettings
from ltx_wizard.core.recipe_groups import LARGEST_SEED

USUAL_STRENGTHS = (0.0, 0.55, 0.75, 1.0, 2.0)
"""Of the guide: 0.55 to 0.75 is where most LoRAs work best, above 0.8 artifacts come, 2 is the test."""

TestName = Literal["strength", "unlike", "first_frame"]
MAIN = "main"


class LabLora(Settings):
    """One LoRA that can be looked at: a checkpoint of a run, or a file made elsewhere."""

    id: str
    title: str
    file: str = Field(description="Relative to the project.")
    digest: str = Field(description="Of the file's content: two files with the same weights are the same.")
    scale: float = Field(default=1.0, gt=0, description="Alpha / rank, where the weights do not hold it.")
    run: str = ""
    step: int = 0
    rank: int = 0
    form: str = Field(default="", description="Of a file made elsewhere: how its weights are named.")


class LabPrompt(Settings):
    """What a video shows. first_frame: id of the clip whose first frame it starts from; empty: from words."""

    text: str = Field(min_length=1, max_length=4000)
    first_frame: str = ""


class LabSampling(Settings):
    """How the videos are made."""

    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    frames: int = Field(ge=1, le=1024)
    fps: float = Field(gt=0)
    steps: int = Field(ge=2, le=200, description="The samplers' schedule is not defined for one step.")
    guidance: float = Field(ge=1, le=20)
    first_frame_guidance: float = Field(ge=1, le=20)
    negative_prompt: str = ""


class LabGrid(Settings):
    """A grid of videos. loras: ids."""

    loras: tuple[str, ...] = ()
    strengths: tuple[float, ...] = USUAL_STRENGTHS
    prompts: tuple[LabPrompt, ...] = ()
    seeds: tuple[int, ...] = (42,)

    @field_validator("strengths")
    @classmethod
    def _with_base(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        """Sorted, each once, and the base model always: everything is measured against it."""
        return tuple(sorted({0.0, *(round(_within(item, -4, 4), 3) for item in value)}))

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(int(_within(item, 0, LARGEST_SEED)) for item in value))


class LabChoice(Settings):
    """A LoRA at a strength."""

    lora: str
    strength: float


class Lab(Document):
    """The content of lab.json. tests: grids of the one-click tests, the last asked for first."""

    model: str
    loras: tuple[LabLora, ...] = ()
    grid: LabGrid = LabGrid()
    tests: dict[TestName, LabGrid] = Field(default_factory=dict[TestName, LabGrid])
    sampling: LabSampling
    memory: MemorySettings = MemorySettings()
    recommended: str = Field(default="", description="Id of the LoRA that is rendered first.")
    kept: LabChoice | None = None

    def lora(self, lora_id: str) -> LabLora | None:
        return next((lora for lora in self.loras if lora.id == lora_id), None)


class CellRequest(Settings):
    """Everything that decides the pixels of one video. lora: digest of its file, empty for the base model."""

    model: str
    lora: str
    scale: float
    strength: float
    prompt: str
    first_frame: str
    seed: int
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    negative_prompt: str
    precision: str
    quantization: str
    text_encoder_8bit: bool

    @property
    def key(self) -> str:
        """The name of its files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:24]


class Strip(Settings):
    """Pictures of a video side by side in one file, row by row: what a grid plays. Sizes in pixels.

    fps: of the pictures, which may be fewer than the frames.
    """

    count: int
    columns: int
    width: int
    height: int
    fps: float


class LabCell(Document):
    """A video that is made: the content of lab/cells/<key>.json, written after its other files.

    base: key of the base model's video that it is measured against. seconds: what making it took.
    """

    request: CellRequest
    base: str
    strip: Strip
    measures: SampleMeasures
    seconds: float
    created: float
    device: str = ""


@dataclass(frozen=True)
class Wanted:
    """One place in a grid. lora: None for the base model. pair: which prompt and seed of its grid."""

    grid: str
    lora: LabLora | None
    strength: float
    prompt: LabPrompt
    seed: int
    pair: int
    request: CellRequest

    @property
    def key(self) -> str:
        return self.request.key


class LabFolder:
    """Where the Lab of a project lies."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder / "lab"

    @property
    def lab_file(self) -> Path:
        return self.folder / "lab.json"

    @property
    def cells_folder(self) -> Path:
        return self.folder / "cells"

    @property
    def loras_folder(self) -> Path:
        return self.folder / "loras"

    @property
    def sheets_folder(self) -> Path:
        return self.folder / "sheets"

    def video(self, key: str) -> Path:
        return self.cells_folder / f"{key}.mp4"

    def strip(self, key: str) -> Path:
        return self.cells_folder / f"{key}.jpg"

    def cell_file(self, key: str) -> Path:
        return self.cells_folder / f"{key}.json"

    def exists(self) -> bool:
        return is_file(self.lab_file)

    def read(self) -> Lab:
        """Raises NotFound or BadDocument."""
        return read_document(self.lab_file, Lab)

    def write(self, lab: Lab) -> None:
        write_document(self.lab_file, lab)

    def made(self, key: str) -> bool:
        """Whether this video is whole on disk: its document is written last."""
        return is_file(self.cell_file(key)) and is_file(self.video(key)) and is_file(self.strip(key))

    def read_cell(self, key: str) -> LabCell | None:
        """None where it is not made, or damaged: then it is made again."""
        try:
            return read_document(self.cell_file(key), LabCell) if self.made(key) else None
        except WizardError:
            return None


def wanted(lab: Lab, trigger_word: str) -> list[Wanted]:
    """Every place of every grid, tests first. The base model stands once for each prompt and seed."""
    found: list[Wanted] = []
    for name, grid in [*lab.tests.items(), (MAIN, lab.grid)]:
        found += _places(lab, name, grid, trigger_word)
    return found


def in_order_of_use(lab: Lab, trigger_word: str) -> list[Wanted]:
    """Each video once, in the order in which it helps most.

    The tests first: they are few, and somebody has just asked. Then for each prompt and seed the base model
    and the recommended LoRA at full strength. Then coarse to fine: the corners of checkpoints x strengths,
    their middles, and so on. Of one prompt and seed the base model is always first.
    """
    places = wanted(lab, trigger_word)
    first: dict[str, Wanted] = {}
    for place in sorted(places, key=lambda place: _use(lab, place)):  # places of equal use keep their order
        first.setdefault(place.key, place)
    return list(first.values())


def coarse_to_fine(count: int) -> list[int]:
    """A level for each of `count` places in a row: 0 for both ends, 1 the middle, 2 the quarters, ..."""
    levels = [-1] * count
    spans: list[tuple[int, int]] = [(0, count - 1)]
    for end in {0, count - 1} if count else set[int]():
        levels[end] = 0
    level = 1
    while -1 in levels:
        halves: list[tuple[int, int]] = []
        for low, high in spans:
            middle = (low + high) // 2
            if levels[middle] < 0:
                levels[middle] = level
            halves += [(low, middle), (middle, high)]
        spans = [(low, high) for low, high in halves if high - low > 1]
        level += 1
    return levels


def _places(lab: Lab, name: str, grid: LabGrid, trigger_word: str) -> Iterator[Wanted]:
    loras = [lora for lora in map(lab.lora, grid.loras) if lora is not None]
    pairs = [(prompt, seed) for prompt in grid.prompts for seed in grid.seeds]
    for pair, (prompt, seed) in enumerate(pairs):
        choices: list[tuple[LabLora | None, float]] = [(None, 0.0)]
        choices += [(lora, strength) for lora in loras for strength in grid.strengths if strength]
        for lora, strength in choices:
            request = _request(lab, lora, strength, prompt, seed, trigger_word)
            yield Wanted(name, lora, strength, prompt, seed, pair, request)


def _request(
    lab: Lab, lora: LabLora | None, strength: float, prompt: LabPrompt, seed: int, trigger_word: str
) -> CellRequest:
    sampling = lab.sampling
    return CellRequest(
        model=lab.model,
        lora=lora.digest if lora else "",
        scale=lora.scale if lora else 1.0,
        strength=strength,
        prompt=filled_prompt(prompt.text, trigger_word),
        first_frame=prompt.first_frame,
        seed=seed,
        width=sampling.width,
        height=sampling.height,
        frames=sampling.frames,
        fps=sampling.fps,
        steps=sampling.steps,
        guidance=sampling.first_frame_guidance if prompt.first_frame else sampling.guidance,
        negative_prompt=sampling.negative_prompt,
        precision=lab.memory.precision,
        quantization=lab.memory.quantization,
        text_encoder_8bit=lab.memory.text_encoder_8bit,
    )


def _use(lab: Lab, place: Wanted) -> tuple[int, int, int]:
    """Smaller helps more: what kind of place, which prompt and seed, and the base before the others."""
    if place.grid != MAIN:
        return -1, place.pair, int(place.lora is not None)
    if place.lora is None:
        return 0, place.pair, 0
    grid = lab.grid
    strengths = [strength for strength in grid.strengths if strength]
    first = min(strengths, key=lambda strength: abs(strength - 1.0))
    if place.lora.id == lab.recommended and place.strength == first:
        return 0, place.pair, 1
    row = _level(grid.loras, place.lora.id)
    column = _level(strengths, place.strength)
    return 1 + max(row, column), place.pair, row + column


def _level(row: Sequence[object], item: object) -> int:
    return coarse_to_fine(len(row))[row.index(item)]


def missing(folder: LabFolder, places: Iterable[Wanted]) -> list[Wanted]:
    """Those that are not made yet, in the order given."""
    return [place for place in places if not folder.made(place.key)]


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(f"{value:g} is not between {low:g} and {high:g}")
    return value
