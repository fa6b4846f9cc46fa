"""Captioner models of some hundred thousand random parameters, as the benchmarks build them at full size."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from random_captioners import put_in_cache

__all__ = ["put_in_cache"]
