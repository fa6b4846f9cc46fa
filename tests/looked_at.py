"""Clips with what was measured of them, without a video: for what only reads the records."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ltx_wizard.core.clip import CaptionState, Clip, MediaKind, Source
from ltx_wizard.core.documents import write_lines
from ltx_wizard.core.project import Project
from ltx_wizard.dataset.quality import ClipQuality, quality_file

SIDE = "A red bus drives from left to right along a street with trees. The camera is static. It is noon."
TEXT = "A man holds a sign with big letters in a park. The camera is static. Sunlight falls on the grass."
PLAIN = "A grey rabbit hops over a green hill in the wind. The camera is static. The morning sun is low."


def write_looked_at(project: Project, count: int = 12) -> Project:
    """Clips clip-000 and so on, half from bus.mp4, half from hill.mp4; 4 and 5 show the same, 6 nearly so."""
    project.clips_folder.mkdir(parents=True)
    dice = np.random.default_rng(3)
    clips = [_clip(project, number, count) for number in range(count)]
    looks = [_look(dice) for _ in range(count)]
    looks[5] = {**looks[4]}
    looks[6] = {**looks[4], "tiny": looks[7]["tiny"]}
    rows = [
        ClipQuality.model_validate(
            {
                "file": clip.file, "size_bytes": 4, "content": str(number), **looks[number],
                "modified_ns": project.path(clip.file).stat().st_mtime_ns,
                "brightness": 0.1, "sharpness": 0.2, "changing": 0.2, "motion": 0.05 * (1 + number % 4),
                "camera": ("static",),
            }
        )
        for number, clip in enumerate(clips)
    ]  # fmt: skip
    write_lines(project.clips_file, clips)
    write_lines(
        project.sources_file,
        [
            Source(id=name, file=f"sources/{name}.mp4", original_name=f"{name}.mp4", kind=MediaKind.VIDEO,
                   width=768, height=512, fps=24, frames=480, duration_s=20)
            for name in ("bus", "hill")
        ],
    )  # fmt: skip
    write_lines(quality_file(project), rows)
    return project


def _clip(project: Project, number: int, count: int) -> Clip:
    clip = Clip(
        id=f"clip-{number:03d}", source_id="bus" if number < count / 2 else "hill",
        file=f"clips/{number}.mp4", kind=MediaKind.VIDEO, width=768, height=512, fps=24, frames=73,
        duration_s=73 / 24, start_s=10.0 * number,
        caption=f"{(SIDE, TEXT, PLAIN, PLAIN)[number % 4]} Take {number}.",
        caption_state=CaptionState.WRITTEN, caption_source="you",
    )  # fmt: skip
    project.path(clip.file).write_bytes(b"clip")
    return clip


def _look(dice: np.random.Generator) -> dict[str, Any]:
    tiny = dice.integers(0, 255, (3, 12, 20), dtype=np.uint8)
    return {
        "hashes": tuple(dice.bytes(8).hex() for _ in range(3)),
        "tiny": base64.b64encode(tiny.tobytes()).decode(),
    }
