"""What the rest of the program needs to know about a base model. No torch here.

A model that needs an `if` elsewhere lacks a field here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
"""What a base model consists of."""

EVERYDAY_SCENES = (
    "A lighthouse stands on a rocky coast at dusk while slow waves roll in. The camera stays still.",
    "A red tram drives through a rainy city street at night, past lit shop windows. The camera follows it.",
    "A baker in a white apron kneads dough on a wooden table in a sunny kitchen. The camera stays still.",
    "A hot air balloon rises over green hills in the early morning fog. The camera tilts up slowly.",
    "A goldfish swims in circles in a glass bowl on a window sill. The camera stays still.",
    "A steam train crosses a stone bridge in a snowy valley. The camera pans to the right.",
)
"""Scenes that have little in common with one another, described as captions are."""

_ESSENTIAL = {
    "tokenizer": (("tokenizer.json", "spiece.model"),),
    "scheduler": (("scheduler_config.json",),),
}


@dataclass(frozen=True)
class Grid:
    """Allowed numbers: first + k * step, k = 0, 1, 2, ..."""

    first: int
    step: int

    def allows(self, value: int) -> bool:
        return value >= self.first and (value - self.first) % self.step == 0

    def round_down(self, value: int) -> int:
        """The largest allowed number not above value; `first` where there is none."""
        return self.first + max(0, (value - self.first) // self.step) * self.step

    def nearest(self, value: float) -> int:
        return self.first + max(0, round((value - self.first) / self.step)) * self.step


@dataclass(frozen=True)
class SamplingDefaults:
    """Settings with which the model's authors, or our measurements, recommend to sample.

    noise_levels: of each step, from 1 down, without the 0 at the end; the only ones that a distilled model
    knows. Empty: any will do.
    """

    steps: int
    guidance: float
    negative_prompt: str = "worst quality, inconsistent motion, blurry, jittery, distorted"
    noise_levels: tuple[float, ...] = ()

    def levels_of(self, steps: int) -> tuple[float, ...]:
        """The noise levels for so many steps, evenly out of those known; empty: as the pipeline chooses."""
        known = len(self.noise_levels)
        return self.noise_levels[:: known // steps] if known and known % steps == 0 else ()


class Downloadable(Protocol):
    """What can be fetched from the hub and found in its cache: a base model, or a captioner's model.

    step: where in the window it is downloaded.
    """

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def step(self) -> str: ...

    @property
    def parts(self) -> tuple[str, ...]: ...

    def address(self, role: str) -> tuple[str, str]:
        """(repository, path inside it) of a part; '' is the repository's own folder."""
        ...

    def has_weights(self, part: str) -> bool:
        """Whether a part is of no use without .safetensors."""
        ...

    def essential(self, part: str) -> tuple[tuple[str, ...], ...]:
        """A folder of this part is whole if it holds, besides weights, one file of each of these groups."""
        ...


@dataclass(frozen=True)
class ModelSpec:
    """One variant of a base model.

    source: a hub repository id, or a folder in diffusers layout when local.
    architecture: models of one architecture take each other's LoRAs.
    variant, recognised: of a model of the user's own, the catalog id that it is treated as, and what it is in
    words; '' for the catalog's entries.
    standing: 'current' is what to choose; 'older' is kept for those who need that version; 'distilled'
    models draw with few steps and are not trained.
    part_gib: what each part weighs on the hub, in GiB; see catalog.py for how it is known.
    fps: the frame rate at which clips are trained and sampled. fps_range: what the check accepts in a
    dataset. coordinates: 'causal' or 'plain', the time coordinates that the model's sampling pipeline uses
    (plain: diffusers LTXPipeline; causal: LTXConditionPipeline). size_grid: width and height.
    """

    id: str
    title: str
    family: str
    source: str
    summary: str
    parameters_text: str
    licence: str
    trainable: bool
    why_not_trainable: str
    frame_grid: Grid
    size_grid: Grid
    fps: float
    fps_range: tuple[float, float]
    clip_range_s: tuple[float, float]
    default_bucket: str
    max_area_px: int
    coordinates: Literal["plain", "causal"]
    max_caption_tokens: int
    latent_channels: int
    spatial_compression: int
    temporal_compression: int
    sampling: SamplingDefaults
    min_vram_gib: float
    comfortable_vram_gib: float = 0.0
    architecture: str = ""
    variant: str = ""
    recognised: str = ""
    standing: Literal["current", "older", "distilled"] = "current"
    licence_url: str = ""
    part_gib: tuple[tuple[str, float], ...] = ()
    local: bool = False
    scenes: tuple[str, ...] = EVERYDAY_SCENES
    """What the model can draw, as different as can be: for words unlike those of a dataset."""
    files: tuple[str, ...] = field(default_factory=tuple)
    """Parts that do not lie in `source` as usual: 'role=repo:path' on the hub, 'role=file:/path' here."""

    @property
    def step(self) -> str:
        return "Goal"

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS

    def has_weights(self, part: str) -> bool:
        return part not in _ESSENTIAL

    def essential(self, part: str) -> tuple[tuple[str, ...], ...]:
        return _ESSENTIAL.get(part, (("config.json",),))

    @property
    def masks_padding(self) -> bool:
        """Whether the text encoder is kept from seeing a prompt's padding: LTXConditionPipeline does so,
        LTXPipeline does not.
        """
        return self.coordinates == "causal"

    @property
    def download_gib(self) -> float:
        """All parts that come from the hub, in GiB; 0 for a model that is on this computer."""
        return sum(gib for _, gib in self.part_gib)

    @property
    def public_name(self) -> str:
        """Names the model in files that leave this computer: no paths."""
        return self.variant or self.family if Path(self.id).is_absolute() else self.id

    def address(self, role: str) -> tuple[str, str]:
        """(repository, path inside it) of a part on the hub; ('file', path) for one on this computer."""
        for entry in self.files:
            name, _, address = entry.partition("=")
            if name == role:
                repository, _, inside = address.partition(":")
                return repository, inside
        return ("file", f"{self.source}/{role}") if self.local else (self.source, role)
