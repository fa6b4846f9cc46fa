"""Where the parts of a base model lie on this computer. No torch here.

A model is five parts: transformer, vae, text_encoder, tokenizer, scheduler. Each is a folder in diffusers
layout, or, for a transformer, a single safetensors file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ltx_wizard.core.documents import read_text
from ltx_wizard.core.errors import BadInput, NotFound
from ltx_wizard.models.spec import ModelSpec

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class ModelFiles:
    """A path for each part: a folder, or a .safetensors file."""

    transformer: Path
    vae: Path
    text_encoder: Path
    tokenizer: Path
    scheduler: Path


def find_files(spec: ModelSpec) -> ModelFiles:
    """The files of a model: local ones as they are, others from the hub's cache, downloaded where missing.

    Raises NotFound for a part that is not there, BadInput for weights that are not safetensors.
    """
    places = {part: _place(spec, part) for part in PARTS}
    for part, place in places.items():
        if not place.exists():
            raise NotFound(
                problem=f"{spec.title} is not complete: its {part.replace('_', ' ')} is missing at {place}.",
                remedy="Get the model again, or choose another folder.",
            )
        _refuse_pickles(spec, place)
    return ModelFiles(**places)


def encoder_id(spec: ModelSpec, files: ModelFiles) -> str:
    """Names what latents and text embeddings depend on: the VAE, the text encoder and how they are used.

    It follows from configurations and file sizes, so that a cache moves along with a copied project.
    """
    digest = hashlib.sha256(f"{spec.max_caption_tokens}".encode())
    for folder in (files.vae, files.text_encoder, files.tokenizer):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".safetensors", ".json", ".model"):
                digest.update(f"{path.name} {path.stat().st_size} ".encode())
            if path.name == "config.json":
                digest.update(path.read_bytes())
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


def _place(spec: ModelSpec, part: str) -> Path:
    for entry in spec.files:
        role, _, address = entry.partition("=")
        if role == part:
            repository, _, inside = address.partition(":")
            return _from_hub(spec, repository, inside)
    if spec.local:
        return Path(spec.source).expanduser() / part
    return _from_hub(spec, spec.source, part)


def _from_hub(spec: ModelSpec, repository: str, inside: str) -> Path:
    """A file or folder of a repository, from the cache where it is there."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        if inside.endswith(".safetensors"):
            return Path(hf_hub_download(repository, inside))
        patterns = [f"{inside}/*.safetensors", f"{inside}/*.json", f"{inside}/*.model", f"{inside}/*.txt"]
        return Path(snapshot_download(repository, allow_patterns=patterns)) / inside
    except GatedRepoError as error:
        raise NotFound(
            problem=f"{spec.title} asks you to accept its terms first.",
            remedy=f"Accept them at https://huggingface.co/{repository}, log in with 'hf auth login', then "
            "try again.",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise NotFound(
            problem=f"{spec.title} is not on this computer and could not be downloaded "
            f"({type(error).__name__}).",
            remedy="Check the connection and the free disk space, or choose a model folder on this computer.",
        ) from error


def _refuse_pickles(spec: ModelSpec, place: Path) -> None:
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
