"""The size of a bucket as text: width x height x frames."""

from __future__ import annotations

import re


def parse_bucket(text: str) -> tuple[int, int, int]:
    """'768x512x49' -> (768, 512, 49), as width, height, frames. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})x([0-9]{1,5})", text.strip().lower())
    if not match or not all(int(part) for part in match.groups()):
        raise ValueError(f"'{text}' is not a size like 768x512x49 (width x height x frames)")
    width, height, frames = (int(part) for part in match.groups())
    return width, height, frames


def bucket_text(width: int, height: int, frames: int) -> str:
    return f"{width}x{height}x{frames}"
