"""Every base model that the app knows. Adding one is adding one entry here (and its pictures nowhere).

Names of repositories and files are those of the hub's pages, of Lightricks' own trainer (LTX-Video-Trainer,
model_loader.py) and of the LTX-Video README. Sizes are not guessed: the parameters of each part, counted on
its real configuration, times the bytes of the format that the hub holds it in (2 for bf16, 4 for fp32).
Where the hub's pages state a size, the product is that size (a test compares them). All variants share one
text encoder, as Lightricks' trainer does, so that it is downloaded once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ltx_wizard.core.errors import BadInput, NotFound, WizardError
from ltx_wizard.core.places import EMBEDDED_MODEL, typed_path
from ltx_wizard.models.lookup import recognise_cached
from ltx_wizard.models.recognise import Recognised, recognise
from ltx_wizard.models.spec import Grid, ModelSpec, SamplingDefaults

_LTX_FRAMES = Grid(first=1, step=8)
_LTX_SIZES = Grid(first=32, step=32)

PARAMETERS = {
    "ltxv-2b": 1_923_385_472,
    "ltxv-13b": 13_042_569_344,
    "vae-0.9.0": 419_193_649,
    "vae-0.9.1": 934_976_434,
    "vae-0.9.5": 1_246_913_522,
    "t5-xxl": 4_762_310_656,
}
"""Of each part's real configuration, counted on the meta device. 0.9.5's VAE is that of 0.9.6 to 0.9.8."""

_BF16, _FP32 = 2, 4
_MAIN = "Lightricks/LTX-Video"
_HUB = "https://huggingface.co"
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_LICENCES = f"{_HUB}/{_MAIN}/blob/main"


def _gib(bytes_per_value: int, *parts: str) -> float:
    return bytes_per_value * sum(PARAMETERS[part] for part in parts) / 2**30


_TEXT_PARTS = (f"text_encoder={_MAIN}:text_encoder", f"tokenizer={_MAIN}:tokenizer")
_TEXT_GIB = ("text_encoder", _gib(_FP32, "t5-xxl"))  # the hub holds T5 in fp32: 19 GB

EMBEDDED = ModelSpec(
    id="embedded",
    title="Practice model (comes with the app)",
    family="ltx-video",
    source=str(EMBEDDED_MODEL),
    summary="A small LTX-Video model that draws moving shapes. No download, no GPU: for trying every step in "
    "minutes.",
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
    architecture="ltxv-practice",
    local=True,
    scenes=(
        "A small white star spins in place on a plain cyan background. The camera is static.",
        "A large brown cross bounces up and down on a plain lavender background. The camera is static.",
        "A medium purple ring grows on a plain beige background. The camera is static.",
        "A large cyan heart moves in a circle on a plain white background. The camera is static.",
        "A small black diamond shrinks on a plain pale green background. The camera is static.",
    ),
)

LTXV_2B_096_DEV = ModelSpec(
    id="ltxv-2b-0.9.6-dev",
    title="LTX-Video 2B 0.9.6 dev",
    family="ltx-video",
    source=_MAIN,
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
    min_vram_gib=8.0,
    comfortable_vram_gib=8.0,
    architecture="ltxv-2b",
    licence_url=f"{_LICENCES}/ltxv-2b-0.9.6-dev-04-25.license.txt",
    part_gib=(
        ("transformer", _gib(_BF16, "ltxv-2b", "vae-0.9.5")),  # the file holds its VAE as well
        ("vae", _gib(_BF16, "vae-0.9.5")),
        _TEXT_GIB,
    ),
    files=(
        f"transformer={_MAIN}:ltxv-2b-0.9.6-dev-04-25.safetensors",
        "vae=Lightricks/LTX-Video-0.9.5:vae",
        *_TEXT_PARTS,
        "scheduler=Lightricks/LTX-Video-0.9.7-dev:scheduler",
    ),
)

LTXV_13B_097_DEV = replace(
    LTXV_2B_096_DEV,
    id="ltxv-13b-0.9.7-dev",
    title="LTX-Video 13B 0.9.7 dev",
    source="Lightricks/LTX-Video-0.9.7-dev",
    summary="Production quality; slower to train than the 2B.",
    parameters_text="13 B",
    min_vram_gib=8.0,
    comfortable_vram_gib=16.0,
    architecture="ltxv-13b",
    licence_url=f"{_LICENCES}/LTX-Video-Open-Weights-License-0.X.txt",
    part_gib=(("transformer", _gib(_BF16, "ltxv-13b")), ("vae", _gib(_BF16, "vae-0.9.5")), _TEXT_GIB),
    files=_TEXT_PARTS,
)

_098_DIFFUSERS = "Lightricks/LTX-Video-0.9.8-13B-distilled"

LTXV_13B_098_DEV = replace(
    LTXV_13B_097_DEV,
    id="ltxv-13b-0.9.8-dev",
    title="LTX-Video 13B 0.9.8 dev",
    source=_098_DIFFUSERS,
    summary="The newest 13B, for a LoRA that has to run on 0.9.8.",
    part_gib=(
        ("transformer", _gib(_BF16, "ltxv-13b", "vae-0.9.5")),
        ("vae", _gib(_BF16, "vae-0.9.5")),
        _TEXT_GIB,
    ),
    files=(
        f"transformer={_MAIN}:ltxv-13b-0.9.8-dev.safetensors",
        f"vae={_098_DIFFUSERS}:vae",
        *_TEXT_PARTS,
        f"scheduler={_098_DIFFUSERS}:scheduler",
    ),
)

LTXV_2B_095 = replace(
    LTXV_2B_096_DEV,
    id="ltxv-2b-0.9.5",
    title="LTX-Video 2B 0.9.5",
    source="Lightricks/LTX-Video-0.9.5",
    summary="The version before 0.9.6, for a LoRA that has to run on it.",
    standing="older",
    licence="LTX-Video 2B 0.9.5 Open RAIL-M License",
    licence_url=f"{_LICENCES}/ltx-video-2b-v0.9.5.license.txt",
    part_gib=(("transformer", _gib(_BF16, "ltxv-2b")), ("vae", _gib(_BF16, "vae-0.9.5")), _TEXT_GIB),
    files=_TEXT_PARTS,
)

LTXV_2B_091 = replace(
    LTXV_2B_095,
    id="ltxv-2b-0.9.1",
    title="LTX-Video 2B 0.9.1",
    source="Lightricks/LTX-Video-0.9.1",
    summary="Only for a LoRA that has to run on 0.9.1: other video encoder, other time coordinates.",
    licence="LTX-Video 2B 0.9.1 RAIL-M License",
    licence_url=f"{_LICENCES}/ltx-video-2b-v0.9.1.license.txt",
    coordinates="plain",
    max_caption_tokens=128,
    sampling=SamplingDefaults(steps=50, guidance=3.0),
    part_gib=(("transformer", _gib(_BF16, "ltxv-2b")), ("vae", _gib(_BF16, "vae-0.9.1")), _TEXT_GIB),
)

LTXV_2B_090 = replace(
    LTXV_2B_091,
    id="ltxv-2b-0.9.0",
    title="LTX-Video 2B 0.9.0",
    source=_MAIN,
    summary="The first version. Only for a LoRA that has to run on 0.9.0.",
    licence="LTX-Video 2B 0.9 RAIL-M License",
    licence_url=f"{_LICENCES}/ltx-video-2b-v0.9.license.txt",
    part_gib=(("transformer", _gib(_FP32, "ltxv-2b")), ("vae", _gib(_FP32, "vae-0.9.0")), _TEXT_GIB),
    files=(),
)

_NOT_TRAINABLE = (
    "Distilled models are made for 8 steps without guidance and cannot be trained well. "
    "Train on the dev model; the LoRA then works on the distilled one too."
)


_DISTILLED_LEVELS = (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.4219)
"""What every distilled variant was made for. Source: configs/ltxv-13b-0.9.7-distilled.yaml of LTX-Video
(bc4ab62, Apache-2.0), which the configurations of 0.9.8 repeat: its first pass down to 0.725 and the 0.4219
that its second one ends with. That of 0.9.6 names 8 steps of the linear-quadratic schedule: the same levels.
The documentation of diffusers says 725, 0.03 at the end: that is for a first pass whose video is then
enlarged and gone over again.
"""


def _distilled(dev: ModelSpec, version: str, source: str, files: tuple[str, ...]) -> ModelSpec:
    size = "2B" if dev.architecture == "ltxv-2b" else "13B"
    return replace(
        dev,
        id=f"{dev.architecture}-{version}-distilled",
        title=f"LTX-Video {size} {version} distilled",
        source=source,
        summary="Sample videos in 8 steps, with a LoRA that was trained on the dev model.",
        standing="distilled",
        trainable=False,
        why_not_trainable=_NOT_TRAINABLE,
        sampling=SamplingDefaults(steps=8, guidance=1.0, noise_levels=_DISTILLED_LEVELS),
        files=files,
    )


CATALOG: tuple[ModelSpec, ...] = (
    EMBEDDED,
    LTXV_2B_096_DEV,
    LTXV_13B_097_DEV,
    LTXV_13B_098_DEV,
    LTXV_2B_095,
    LTXV_2B_091,
    LTXV_2B_090,
    _distilled(
        LTXV_2B_096_DEV,
        "0.9.6",
        _MAIN,
        (f"transformer={_MAIN}:ltxv-2b-0.9.6-distilled-04-25.safetensors", *LTXV_2B_096_DEV.files[1:]),
    ),
    _distilled(
        LTXV_2B_096_DEV,
        "0.9.8",
        _MAIN,
        (f"transformer={_MAIN}:ltxv-2b-0.9.8-distilled.safetensors", *LTXV_13B_098_DEV.files[1:]),
    ),
    _distilled(LTXV_13B_097_DEV, "0.9.7", "Lightricks/LTX-Video-0.9.7-distilled", _TEXT_PARTS),
    _distilled(LTXV_13B_097_DEV, "0.9.8", _098_DIFFUSERS, _TEXT_PARTS),
)
"""The practice model first, then by what to choose first."""


def named(typed: str) -> str:
    """What a person typed or pasted as a model, as find_model takes it: an address of the hub's pages becomes
    'owner/name', or the catalog's id of that very file. Raises BadInput for the page of another file or site.
    """
    text = typed.strip()
    lowered = text.lower()
    if any(spec.id == lowered for spec in CATALOG):
        return lowered
    if not lowered.startswith(("http://", "https://")):
        return text
    address = urlsplit(text)
    owner, name, *rest = [*(part for part in unquote(address.path).split("/") if part), "", ""]
    if address.hostname not in _HUB_HOSTS or not _is_repository(f"{owner}/{name}"):
        raise BadInput(
            problem=f"{text} is not the page of a model on the hub.",
            remedy="Download the model's .safetensors file and give its path, or give a hub repository: "
            "owner/name.",
        )
    file = "/".join(part for part in rest[2:] if part)  # after 'blob/main' or 'resolve/main'
    if not file.endswith(".safetensors"):
        return f"{owner}/{name}"
    for spec in CATALOG:
        if spec.address("transformer") == (f"{owner}/{name}", file):
            return spec.id
    raise BadInput(
        problem=f"This is the page of one file, {file}, of {owner}/{name}.",
        remedy="Download it there and give its path here.",
    )


def find_model(model: str) -> ModelSpec:
    """The spec behind a catalog id, a folder or .safetensors file on this computer, or a hub repository.

    Reads headers and configurations only, and asks no server: of a repository that is not in the catalog
    it needs the configuration in the hub's cache. Raises NotFound, BadInput, NoPermission.
    """
    for spec in CATALOG:
        if spec.id == model:
            return spec
    path = _local_path(model)
    if path is not None:
        return _spec_of_path(path, recognise(path))
    if _is_repository(model):
        return _entry_in(model) or _spec_of_repository(model)
    known = ", ".join(spec.id for spec in CATALOG)
    raise NotFound(
        problem=f"There is no model called '{model}'.",
        remedy=f"Choose one of {known}, a model's folder or .safetensors file, or a hub repository.",
    )


def models_for_lora(model: ModelSpec) -> tuple[ModelSpec, ...]:
    """The models of the catalog on which a LoRA trained on `model` works: those of its architecture."""
    return tuple(spec for spec in CATALOG if spec.architecture == model.architecture)


def needs_look_up(model: str) -> bool:
    """Whether it is a hub repository of which nothing is known on this computer yet."""
    return (
        all(spec.id != model for spec in CATALOG)
        and _is_repository(model)
        and _entry_in(model) is None
        and recognise_cached(model) is None
    )


def _is_repository(model: str) -> bool:
    """Whether it can only be 'owner/name' on the hub."""
    is_name = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model) is not None
    return is_name and _local_path(model) is None


def _entry_in(repository: str) -> ModelSpec | None:
    """The catalog's entry whose transformer lies there in diffusers layout."""
    here = (repository, "transformer")
    return next((spec for spec in CATALOG if spec.address("transformer") == here), None)


def _local_path(model: str) -> Path | None:
    """The path that is meant, if it is one: it exists, or it can be nothing else than a path."""
    if not model.strip():
        return None
    try:
        path = typed_path(model)
    except WizardError:
        return None
    looks_like_path = Path(model).is_absolute() or model.startswith(("~", ".")) or "\\" in model
    return path if looks_like_path or path.exists() or path.suffix == ".safetensors" else None


def _spec_of_path(path: Path, found: Recognised) -> ModelSpec:
    base = _base(found)
    changes: dict[str, Any] = {
        "id": str(path),
        "title": path.stem if path.is_file() else path.name,
        "variant": found.variant,
        "recognised": found.title,
    }
    summary = f"Your own model: {found.title}."
    mine = [] if found.layout == "pipeline-folder" else [f"transformer=file:{path}"]
    if mine:
        lacking = [part for part in base.parts if part != "transformer"]
    else:
        changes |= {"source": str(path), "local": True}
        lacking = [part for part in base.parts if not (path / part).is_dir()]
    return replace(
        base,
        **changes,
        summary=summary,
        files=(*mine, *_companions(base, lacking)),
        part_gib=tuple(item for item in base.part_gib if item[0] in lacking),
    )


def _companions(base: ModelSpec, parts: Iterable[str]) -> Iterator[str]:
    """Addresses of the parts that a model of the user's own lacks, from its variant's own repositories."""
    for part in parts:
        repository, inside = base.address(part)
        yield f"{part}={repository}:{inside}"


def _spec_of_repository(repository: str) -> ModelSpec:
    found = recognise_cached(repository)
    if found is None:
        raise NotFound(
            problem=f"{repository} has not been looked up on the hub yet.",
            remedy="Press 'Recognise' below the models in step 1, or run: ltx-wizard models " + repository,
        )
    return replace(
        _base(found),
        id=repository,
        title=repository,
        summary=f"A model from the hub: {found.title}.",
        source=repository,
        variant=found.variant,
        recognised=found.title,
        part_gib=(),
        local=False,
        files=(),
    )


def _base(found: Recognised) -> ModelSpec:
    """What is known of a model of this kind; of an LTX-Video model of another size: what all have in common."""
    for spec in CATALOG:
        if spec.id == found.variant:
            return spec
    return replace(
        LTXV_2B_096_DEV,
        parameters_text="",
        licence="unknown",
        licence_url="",
        architecture=f"ltxv-{found.layers}x{found.width}",
        coordinates=found.coordinates,
        max_caption_tokens=256 if found.coordinates == "causal" else 128,
        part_gib=(),
    )
