"""Every base model that the app knows. Adding one is adding one entry here (and its pictures nowhere)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ltx_wizard.core.errors import NotFound
from ltx_wizard.core.places import EMBEDDED_MODEL
from ltx_wizard.models.spec import Grid, ModelSpec, SamplingDefaults

_LTX_FRAMES = Grid(first=1, step=8)
_LTX_SIZES = Grid(first=32, step=32)

EMBEDDED = ModelSpec(
    id="embedded",
    title="Practice model (comes with the app)",
    family="ltx-video",
    source=str(EMBEDDED_MODEL),
    summary="A small LTX-Video model that draws moving shapes. No download, no GPU: for trying every step in minutes.",
    parameters_text="12 M",
    licence="Apache-2.0",
    trainable=True,
    why_not_trainable="",
    frame_grid=_LTX_FRAMES,
    size_grid=_LTX_SIZES,
    fps=8.0,
    fps_range=(8.0, 60.0),
    clip_range_s=(2.0, 8.0),
    default_bucket="192x192x17",
    max_area_px=256 * 256,
    coordinates="plain",
    max_caption_tokens=128,
    latent_channels=128,
    spatial_compression=32,
    temporal_compression=8,
    sampling=SamplingDefaults(steps=25, guidance=2.0),
    min_vram_gib=0.0,
    local=True,
)

LTXV_2B_096_DEV = ModelSpec(
    id="ltxv-2b-0.9.6-dev",
    title="LTX-Video 2B 0.9.6 dev",
    family="ltx-video",
    source="Lightricks/LTX-Video",
    summary="Fast to train, for consumer cards and quick experiments.",
    parameters_text="1.9 B",
    licence="LTX-Video Open Weights License",
    trainable=True,
    why_not_trainable="",
    frame_grid=_LTX_FRAMES,
    size_grid=_LTX_SIZES,
    fps=24.0,
    fps_range=(24.0, 30.0),
    clip_range_s=(2.0, 8.0),
    default_bucket="768x512x49",
    max_area_px=720 * 1280,
    coordinates="causal",
    max_caption_tokens=256,
    latent_channels=128,
    spatial_compression=32,
    temporal_compression=8,
    sampling=SamplingDefaults(steps=40, guidance=3.5),
    min_vram_gib=16.0,
    files=(
        "transformer=Lightricks/LTX-Video:ltxv-2b-0.9.6-dev-04-25.safetensors",
        "vae=Lightricks/LTX-Video-0.9.5:vae",
        "text_encoder=Lightricks/LTX-Video:text_encoder",
        "tokenizer=Lightricks/LTX-Video:tokenizer",
        "scheduler=Lightricks/LTX-Video-0.9.7-dev:scheduler",
    ),
)

LTXV_13B_097_DEV = replace(
    LTXV_2B_096_DEV,
    id="ltxv-13b-0.9.7-dev",
    title="LTX-Video 13B 0.9.7 dev",
    source="Lightricks/LTX-Video-0.9.7-dev",
    summary="The quality model, for cards with 24 GB or more.",
    parameters_text="13 B",
    min_vram_gib=24.0,
    files=(),
)

_NOT_TRAINABLE = (
    "Distilled models are made for 8 steps without guidance and cannot be trained well. "
    "Train on the dev model; the LoRA then works on the distilled one too."
)

CATALOG: tuple[ModelSpec, ...] = (
    EMBEDDED,
    LTXV_2B_096_DEV,
    LTXV_13B_097_DEV,
    replace(
        LTXV_2B_096_DEV,
        id="ltxv-2b-0.9.6-distilled",
        title="LTX-Video 2B 0.9.6 distilled",
        summary="For fast sampling only.",
        trainable=False,
        why_not_trainable=_NOT_TRAINABLE,
        sampling=SamplingDefaults(steps=8, guidance=1.0),
        files=(
            "transformer=Lightricks/LTX-Video:ltxv-2b-0.9.6-distilled-04-25.safetensors",
            *LTXV_2B_096_DEV.files[1:],
        ),
    ),
    replace(
        LTXV_13B_097_DEV,
        id="ltxv-13b-0.9.7-distilled",
        title="LTX-Video 13B 0.9.7 distilled",
        source="Lightricks/LTX-Video-0.9.7-distilled",
        summary="For fast sampling only.",
        trainable=False,
        why_not_trainable=_NOT_TRAINABLE,
        sampling=SamplingDefaults(steps=8, guidance=1.0),
    ),
)


def find_model(model: str) -> ModelSpec:
    """The spec behind a catalog id, or behind a folder in diffusers layout.

    Raises NotFound with the known ids.
    """
    for spec in CATALOG:
        if spec.id == model:
            return spec
    folder = Path(model).expanduser()
    if model and (folder / "model_index.json").is_file():
        return replace(
            LTXV_2B_096_DEV,
            id=str(folder),
            title=folder.name,
            source=str(folder),
            summary="A model from a folder on this computer.",
            parameters_text="",
            coordinates="plain",
            local=True,
            files=(),
        )
    known = ", ".join(spec.id for spec in CATALOG)
    raise NotFound(
        problem=f"There is no model called '{model}'.",
        remedy=f"Choose one of {known}, or the folder of a model in diffusers layout.",
    )
