"""What the rest of the program needs to know about a base model. No torch here.

A model that needs an `if` elsewhere lacks a field here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
    """Settings with which the model's authors, or our measurements, recommend to sample."""

    steps: int
    guidance: float
    negative_prompt: str = "worst quality, inconsistent motion, blurry, jittery, distorted"


@dataclass(frozen=True)
class ModelSpec:
    """One variant of a base model.

    source: a hub repository id, or a folder in diffusers layout when local.
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
    download_gib: float = 0.0
    local: bool = False
    files: tuple[str, ...] = field(default_factory=tuple)
    """Single-file checkpoint and companions, as 'role=repo:path'; empty: a folder in diffusers layout."""
