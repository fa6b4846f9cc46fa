"""What stands in the header of an exported LoRA file, so that a file explains itself. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ltx_wizard import __version__
from ltx_wizard.models.spec import ModelSpec


@dataclass(frozen=True)
class LoraFacts:
    """What is known of a LoRA when it is exported. alpha: as trained; it is folded into the weights.

    made_from: name of a file made elsewhere; what its trainer did is then not known here.
    """

    title: str
    rank: int
    alpha: float
    strength: float
    target_modules: tuple[str, ...]
    trigger_word: str
    step: int
    clips: int
    buckets: tuple[str, ...]
    fps: float
    made_from: str = ""


_KEPT = ("modelspec.author", "modelspec.license", "modelspec.description", "modelspec.usage_hint", "license")
"""Of the header of a file made elsewhere: who made it and what may be done with it."""


def trigger_in(metadata: Mapping[str, str]) -> str:
    """The trigger word that a file's header names; empty: none."""
    return (metadata.get("trigger_word") or metadata.get("modelspec.trigger_phrase") or "").strip()


def converted_header(facts: LoraFacts, spec: ModelSpec, metadata: Mapping[str, str]) -> dict[str, str]:
    """Of a file made elsewhere: what its own header says of maker and licence, and nothing of how it was
    trained. An alpha or adapter settings in it are left out: both are folded into the weights.
    """
    unknown = (
        "alpha",
        "target_modules",
        "training_steps",
        "dataset_clips",
        "buckets",
        "fps",
        "ss_tag_frequency",
    )
    made = {name: value for name, value in header(facts, spec).items() if name not in unknown}
    kept = {name: metadata[name] for name in _KEPT if metadata.get(name)}
    return {**kept, **made, "converted_from": facts.made_from}


def header(facts: LoraFacts, spec: ModelSpec) -> dict[str, str]:
    """Text by key, as safetensors headers hold it. Names that other tools read: modelspec.* and ss_*."""
    trigger = facts.trigger_word.strip()
    return {
        "format": "pt",
        "tool": f"ltx-wizard {__version__}",
        "base_model": spec.public_name,
        "base_model_source": spec.source.rsplit("/", 1)[-1] if spec.local else spec.source,
        "base_model_licence": spec.licence,
        "family": spec.family,
        "rank": str(facts.rank),
        "alpha": f"{facts.alpha:g}",
        "alpha_folded": "true",
        "strength_folded": f"{facts.strength:g}",
        "target_modules": " ".join(facts.target_modules),
        "trigger_word": trigger,
        "training_steps": str(facts.step),
        "dataset_clips": str(facts.clips),
        "buckets": " ".join(facts.buckets),
        "fps": f"{facts.fps:g}",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{spec.family}/lora",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": facts.title,
        "modelspec.trigger_phrase": trigger,
        "ss_network_dim": str(facts.rank),
        "ss_network_alpha": str(facts.rank),
        "ss_base_model_version": spec.family if spec.local else spec.public_name,
        "ss_tag_frequency": json.dumps({"dataset": {trigger: facts.clips}}) if trigger else "{}",
    }
