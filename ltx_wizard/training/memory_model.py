"""What measurements say about memory and time: the numbers behind training/budget.py. No torch here.

assets/memory_model.json holds them; benchmarks/fit_budget.py writes it from benchmarks/results/*.json.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import Field

from ltx_wizard.core.documents import Document, Settings, read_document
from ltx_wizard.core.places import MEMORY_MODEL


class Coefficients(Settings):
    """One unit is one bf16 tensor of the shape tokens x width: 2 N d bytes for a clip."""

    weight_bytes: dict[str, float] = Field(
        description="Bytes of a number in a block's matrices, by quantisation; scales included."
    )
    dequantised: dict[str, float] = Field(
        description="Feed-forward matrices (4 d x d, bf16) unpacked at the same time, by quantisation."
    )
    offload_blocks: float = Field(ge=0, description="Blocks on the card when blocks are offloaded.")
    load_blocks: float = Field(ge=0, description="Blocks in bf16 beside the weights while they are loaded.")
    checkpoint_units: float = Field(ge=0, description="Units kept for each block with checkpointing.")
    recompute_units: float = Field(ge=0, description="Units of the one block that is computed again.")
    kept_units: float = Field(ge=0, description="Units kept for each block without checkpointing.")
    first_frame_units: float = Field(
        ge=0, description="Further units for each kept block where a first frame has its own noise level."
    )
    first_frame_once_units: float = Field(
        ge=0, description="The same where one block at a time is in work: recomputed blocks, and samples."
    )
    sample_units: float = Field(ge=0, description="Units of a forward pass without gradients.")
    decode_bytes: float = Field(ge=0, description="Bytes for each pixel of each frame decoded at once.")
    encode_bytes: float = Field(ge=0, description="Bytes for each pixel of each frame encoded at once.")
    text_bytes: float = Field(ge=0, description="Bytes of a number of the text encoder.")
    text_8bit_bytes: float = Field(ge=0, description="The same in 8 bits.")
    reserve_gib: float = Field(ge=0, description="What the allocator holds and cannot use, and small things.")
    context_gib: float = Field(ge=0, description="The driver's own share, outside the allocator.")
    ram_gib: float = Field(ge=0, description="Main memory of the program itself.")
    ram_load_share: float = Field(
        ge=0, description="Of the largest part's weights in bf16: main memory taken while loading."
    )


class StepTime(Settings):
    """A measured step. tokens: of one forward pass, all clips of the batch. step_s: for that one pass."""

    architecture: str
    quantization: str
    offload: str
    gradient_checkpointing: bool
    tokens: int = Field(gt=0)
    step_s: float = Field(gt=0)
    card: str


class StartTime(Settings):
    """Measured seconds before the first step: loading text encoder and model; and encoding one clip of so
    many pixels times frames.
    """

    architecture: str
    loading_s: float = Field(ge=0)
    clip_s: float = Field(ge=0)
    clip_pixels: int = Field(gt=0)


class MemoryModel(Document):
    """The content of memory_model.json."""

    source: str = Field(description="Where the numbers come from, as a sentence.")
    card: str = Field(description="The card that was measured.")
    date: str
    records: int = Field(ge=0, description="Measurements behind the fit; 0: taken from the table of facts.")
    worst_error_fit: float | None = Field(default=None, description="Relative; of those in the fit.")
    worst_error_check: float | None = Field(default=None, description="Relative; of those kept out of it.")
    coefficients: Coefficients
    step_times: tuple[StepTime, ...] = ()
    start_times: tuple[StartTime, ...] = ()


def read_memory_model(path: Path = MEMORY_MODEL) -> MemoryModel:
    """Raises NotFound or BadDocument."""
    return _read_once(path, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.lru_cache(maxsize=8)
def _read_once(path: Path, _modified_ns: int) -> MemoryModel:
    return read_document(path, MemoryModel)
