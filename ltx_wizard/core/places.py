"""Where things are: what the project ships, and what belongs to the user."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ROOT / "presets"
ASSETS = ROOT / "assets"
SAMPLE_PROJECT = ASSETS / "sample"
EMBEDDED_MODEL = ASSETS / "embedded_model"


def home() -> Path:
    """The folder of the user's projects and settings: LTX_WIZARD_HOME, or 'LTX-Wizard' in the home folder."""
    chosen = os.environ.get("LTX_WIZARD_HOME", "").strip()
    return Path(chosen).expanduser() if chosen else Path.home() / "LTX-Wizard"


def projects() -> Path:
    return home() / "projects"
