"""Where things are: what the project ships, and what belongs to the user."""

from __future__ import annotations

import os
from pathlib import Path

from ltx_wizard.core.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ROOT / "presets"
ASSETS = ROOT / "assets"
SAMPLE_PROJECT = ASSETS / "sample"
EMBEDDED_MODEL = ASSETS / "embedded_model"
MEMORY_MODEL = ASSETS / "memory_model.json"
CAPTIONER_MEASURES = ROOT / "benchmarks" / "results" / "captioners.json"


def typed_path(text: str) -> Path:
    """The whole path that a person typed or pasted, perhaps in quotes or with '~'. Raises BadInput."""
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1]
    return whole_path(Path(bare))


def whole_path(path: Path) -> Path:
    """The path from the root on. Raises BadInput for what cannot be one, e.g. the home of an unknown user."""
    try:
        return path.expanduser().resolve()
    except (ValueError, RuntimeError, OSError) as error:
        shown = str(path).replace("\0", " ")
        raise BadInput(
            problem=f"{shown} cannot be a path on this computer.",
            remedy="Check the spelling, or choose another folder.",
        ) from error


def home() -> Path:
    """The folder of the user's projects and settings: LTX_WIZARD_HOME, or 'LTX-Wizard' in the home folder."""
    chosen = os.environ.get("LTX_WIZARD_HOME", "").strip()
    return Path(chosen).expanduser() if chosen else Path.home() / "LTX-Wizard"


def projects() -> Path:
    return home() / "projects"


def quantized_models() -> Path:
    """Quantised models, kept for the next start; may be deleted at any time."""
    return home() / "cache" / "quantized"
