"""models: the catalog, and what a model of one's own is."""

from __future__ import annotations

import argparse

from ltx_wizard.app import datasets
from ltx_wizard.app.datasets import ModelSpec
from ltx_wizard.commands.console import Console
from ltx_wizard.core.units import GIB, bytes_text

_HEADINGS = {"current": "To train", "older": "Older versions", "distilled": "For sampling only"}


def models(given: argparse.Namespace, console: Console) -> int:
    """Without a model: the whole catalog. With one: what it is."""
    if given.model:
        return _recognise(given.model, console)
    specs = datasets.models()
    for standing, heading in _HEADINGS.items():
        console.say(heading)
        for spec in specs:
            if spec.standing == standing:
                console.say(f"  {spec.id:<26} {spec.title}, {_size(spec)}")
                console.say(f"  {'':<26} {spec.summary}")
    console.say("Sizes are those of all files on the hub. All large models share one text encoder.")
    console.result({"models": [_facts(spec) for spec in specs]})
    return 0


def _recognise(model: str, console: Console) -> int:
    spec = datasets.recognise_model(model)
    console.say(f"{spec.title}: {spec.recognised or spec.summary}")
    if spec.variant:
        console.say(f"It is treated as {spec.variant}.")
    if not spec.trainable:
        console.say(spec.why_not_trainable)
    console.say(f"From the hub: {_size(spec)}.")
    console.result({"model": _facts(spec)})
    return 0


def _size(spec: ModelSpec) -> str:
    if spec.part_gib:
        return f"{bytes_text(round(spec.download_gib * GIB))} to download"
    return "nothing to download" if spec.local else "a size that the hub tells before the download"


def _facts(spec: ModelSpec) -> dict[str, object]:
    return {
        "id": spec.id,
        "title": spec.title,
        "recognised": spec.recognised,
        "variant": spec.variant,
        "family": spec.family,
        "architecture": spec.architecture,
        "standing": spec.standing,
        "trainable": spec.trainable,
        "why_not_trainable": spec.why_not_trainable,
        "coordinates": spec.coordinates,
        "source": spec.source,
        "files": list(spec.files),
        "download_gib": round(spec.download_gib, 2),
        "part_gib": {part: round(gib, 2) for part, gib in spec.part_gib},
        "licence": spec.licence,
        "licence_url": spec.licence_url,
        "summary": spec.summary,
    }
