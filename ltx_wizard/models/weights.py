"""Where the parts of a base model lie on this computer. No torch here, and no network: models/download.py
fetches what is missing.

A model is five parts: transformer, vae, text_encoder, tokenizer, scheduler. Each is a folder in diffusers
layout, or, for a transformer or vae, a single safetensors file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.core.documents import read_text
from ltx_wizard.core.errors import BadInput, NotFound, WizardError, explain_os_error
from ltx_wizard.models.headers import shards_of
from ltx_wizard.models.spec import Downloadable, ModelSpec

ON_THIS_COMPUTER = "file"
"""Stands for the repository in the address of a part that is no part of the hub."""

_LARGEST_HEADER = 100 * 1024 * 1024


@dataclass(frozen=True)
class ModelFiles:
    """A path for each part: a folder, or a .safetensors file."""

    transformer: Path
    vae: Path
    text_encoder: Path
    tokenizer: Path
    scheduler: Path


def find_files(spec: ModelSpec) -> ModelFiles:
    """The files of a model: those of this computer as they are, others in the hub's cache.

    Nothing is downloaded. Raises NotFound for a part that is not there or not whole, BadInput for weights
    that are not safetensors.
    """
    return ModelFiles(**find_parts(spec))


def find_parts(spec: Downloadable) -> dict[str, Path]:
    """As find_files, for whatever comes from the hub."""
    places = {part: _place(spec, part) for part in spec.parts}
    missing = [part for part in spec.parts if places[part] is None]
    if missing:
        raise NotFound(
            problem=f"{spec.title} is not on this computer yet: {_part_names(missing)} missing.",
            remedy=f"Download it in the step {spec.step}, or with: ltx-wizard download {spec.id}",
        )
    refuse_incomplete(spec)
    return {part: place for part, place in places.items() if place is not None}


def refuse_incomplete(spec: Downloadable) -> None:
    """Look through the parts that lie on this computer and do not come from the hub. Raises as find_files."""
    for part in spec.parts:
        repository, inside = spec.address(part)
        if repository != ON_THIS_COMPUTER:
            continue
        place = Path(inside).expanduser()
        _refuse_pickles(spec, place)
        lacking = _lacking(place, spec, part)
        if lacking:
            raise NotFound(
                problem=f"{spec.title} is not complete: its {part.replace('_', ' ')} has no {lacking} in "
                f"{place}."
                if place.exists()
                else f"{spec.title} is not complete: its {part.replace('_', ' ')} is missing at {place}.",
                remedy="Get the model again, or choose another one.",
            )


def missing_parts(spec: Downloadable) -> tuple[str, ...]:
    """Parts that come from the hub and are not, or not whole, in its cache."""
    return tuple(part for part in spec.parts if _place(spec, part) is None)


def hub_parts(spec: Downloadable) -> tuple[tuple[str, str, str], ...]:
    """(part, repository, path inside it) of all parts that come from the hub."""
    addresses = ((part, *spec.address(part)) for part in spec.parts)
    return tuple(item for item in addresses if item[1] != ON_THIS_COMPUTER)


def hub_cache() -> Path:
    """Where the hub's library keeps what it fetched; it follows HF_HOME and HF_HUB_CACHE."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def encoder_id(spec: ModelSpec, files: ModelFiles) -> str:
    """Names what latents and text embeddings depend on: the VAE, the text encoder and how they are used.

    It follows from configurations and file sizes, and for a single file from its header, so that a cache
    moves along with a copied project.
    """
    digest = hashlib.sha256(f"{spec.max_caption_tokens}".encode())
    for place in (files.vae, files.text_encoder, files.tokenizer):
        for path in sorted(place.iterdir()) if place.is_dir() else [place]:
            if path.suffix in (".safetensors", ".json", ".model"):
                digest.update(f"{path.name} {path.stat().st_size} ".encode())
            if path.name == "config.json":
                digest.update(path.read_bytes())
        if not place.is_dir():
            digest.update(_header(place))
    return f"{spec.family}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class ShiftRange:
    """How far noise levels are shifted upwards for a number of tokens; from the model's own scheduler."""

    base_shift: float
    max_shift: float
    base_tokens: int
    max_tokens: int

    def at(self, tokens: int, clamp: bool = False) -> float:
        """mu(N): linear in the tokens, beyond both ends too unless clamped."""
        slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens)
        shift = self.base_shift + slope * (tokens - self.base_tokens)
        return min(max(shift, self.base_shift), self.max_shift) if clamp else shift


LTX_SHIFT = ShiftRange(base_shift=0.95, max_shift=2.05, base_tokens=1024, max_tokens=4096)
"""For a scheduler that does not shift (one variant of 13B 0.9.7): what the LTX models were trained with."""


def shift_range(files: ModelFiles) -> ShiftRange:
    """Read from scheduler_config.json. Raises BadDocument or NotFound."""
    config = json.loads(read_text(files.scheduler / "scheduler_config.json"))
    if not config.get("use_dynamic_shifting"):
        return LTX_SHIFT
    return ShiftRange(
        base_shift=float(config.get("base_shift", LTX_SHIFT.base_shift)),
        max_shift=float(config.get("max_shift", LTX_SHIFT.max_shift)),
        base_tokens=int(config.get("base_image_seq_len", LTX_SHIFT.base_tokens)),
        max_tokens=int(config.get("max_image_seq_len", LTX_SHIFT.max_tokens)),
    )


def _place(spec: Downloadable, part: str) -> Path | None:
    """Where a part lies; None for one that is to be downloaded."""
    repository, inside = spec.address(part)
    if repository == ON_THIS_COMPUTER:
        return Path(inside).expanduser()
    places = (snapshot / inside for snapshot in _snapshots(repository))
    return next((place for place in places if _is_whole(place, spec, part)), None)


def _snapshots(repository: str) -> Iterator[Path]:
    """Folders of a repository in the cache: the newest commit of 'main' that was fetched, then all others.

    A part that did not change since an older commit is linked from that one only.
    """
    from huggingface_hub.file_download import repo_folder_name

    storage = hub_cache() / repo_folder_name(repo_id=repository, repo_type="model")
    try:
        main = (storage / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        main = ""
    if main:
        yield storage / "snapshots" / main
    try:
        others = [path for path in (storage / "snapshots").iterdir() if path.name != main]
        yield from sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, storage) from error


def _is_whole(place: Path, spec: Downloadable, part: str) -> bool:
    return not _lacking(place, spec, part)


def _lacking(place: Path, spec: Downloadable, part: str) -> str:
    """The first thing that a part needs and that is not there: a file, a shard that the index names, or
    weights at all. Empty: it is whole.
    """
    if place.is_file():
        return ""
    for group in spec.essential(part):
        if not any((place / name).is_file() for name in group):
            return " or ".join(group)
    if not spec.has_weights(part):
        return ""
    indexes = sorted(place.glob("*.safetensors.index.json"))
    if not indexes:
        return "" if any(path.is_file() for path in place.glob("*.safetensors")) else ".safetensors file"
    lacking = [
        next((shard for shard in sorted(_shards(index)) if not (place / shard).is_file()), "")
        for index in indexes
    ]
    return "" if "" in lacking else lacking[0]


def _shards(index: Path) -> set[str]:
    try:
        return shards_of(index)
    except WizardError:
        return {f"readable {index.name}"}


def _header(file: Path) -> bytes:
    """The names, types and shapes of a safetensors file as its first bytes say them."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        return opened.read(min(size, _LARGEST_HEADER))


def _part_names(parts: list[str]) -> str:
    """'the vae is', 'the transformer and the vae are'."""
    names = [f"the {part.replace('_', ' ')}" for part in parts]
    *first, last = names
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"


def _refuse_pickles(spec: Downloadable, place: Path) -> None:
    """Only safetensors are loaded: a pickle can run code."""
    if not place.is_dir():
        return
    names = {path.name for path in place.iterdir()}
    has_weights = any(name.endswith(".safetensors") for name in names)
    pickles = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt")))
    if pickles and not has_weights:
        raise BadInput(
            problem=f"{spec.title} has its weights in {pickles[0]}, a format that can run code on your "
            "computer.",
            remedy="Get the safetensors version of this model.",
        )
