"""Draw the videos of the sample project: the held-out neon style, and ordinary clips for regularisation.

    python sample_videos.py [--output ../../assets/sample]

A part of the clips is joined into longer videos with hard cuts, so that the step Scenes has something to
find; their captions come by time. Stops with an error where the app's own detector would not find just those
cuts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import scenes as s
from captions import caption
from clips import render

from ltx_wizard.core.lint import lint
from ltx_wizard.core.project import SceneSettings
from ltx_wizard.core.report import SilentReport
from ltx_wizard.dataset.scenes import find_scenes
from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import probe

Frames = NDArray[np.uint8]
Captioned = tuple[Frames, str]

FPS = 8
FRAMES = 17
SIDE_PX = 192
NEON_ALONE, NEON_JOINED = 6, (5, 5)
ORDINARY_JOINED = (6, 6, 6, 6)
_SEED = 19
"""Every neon colour and every shape is among the clips of this seed."""

_SHADE = 0.13
"""How light a neon ground is, of its named colour."""

_CLUMSY = re.compile(r"behind it|\bfast \w+ing\b")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(__file__).resolve().parents[2] / "assets" / "sample"
    parser.add_argument("--output", type=Path, default=default)
    output: Path = parser.parse_args().output
    neon = neon_clips(NEON_ALONE + sum(NEON_JOINED), _SEED)
    ordinary = _draw(_ordinary, sum(ORDINARY_JOINED), _SEED + 1)
    videos, regularisation = output / "videos", output / "regularisation"
    for folder in (videos, regularisation):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    for number, (frames, text) in enumerate(neon[:NEON_ALONE], start=1):
        write_video(frames, videos / f"neon-{number}.mp4", FPS)
        (videos / f"neon-{number}.txt").write_text(text + "\n", encoding="utf-8")
    _write_joined(videos, "neon-reel", neon[NEON_ALONE:], NEON_JOINED)
    _write_joined(regularisation, "ordinary-reel", ordinary, ORDINARY_JOINED)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(f"{len(neon)} neon clips, {len(ordinary)} ordinary clips, {size / 1e6:.2f} MB in {output}")


def neon_clips(count: int, seed: int, side_px: int = SIDE_PX, frames: int = FRAMES) -> list[Captioned]:
    """Clips of the sample project's style with their captions, others with each seed."""
    return _draw(_neon, count, seed, side_px, frames)


def _neon(count: int, chance: torch.Generator) -> s.Scenes:
    """The neon look of scenes whose grounds have names: each ground is a dark shade of its colour.

    Captions name the ground as those of the ordinary clips do, and say nothing of the dark: so only the
    trigger word tells the style. Without the names, a LoRA ties the style to their absence (tried).
    """
    drawn = s.neon_scenes(count, chance)
    ground_id = torch.randint(0, len(s.GROUND_NAMES), (count,), generator=chance)
    ground = torch.tensor(list(s.GROUNDS.values()))[ground_id] * _SHADE
    return dataclasses.replace(drawn, ground_id=ground_id, ground=ground)


def _ordinary(count: int, chance: torch.Generator) -> s.Scenes:
    """Ordinary scenes; three of four have a plain ground, as all neon clips have."""
    drawn = s.sample_scenes(count, chance, style_share=0.0)
    plain = torch.arange(count) % 4 != 3
    pattern_id = torch.where(plain, s.PATTERNS.index("plain"), drawn.pattern_id)
    return dataclasses.replace(drawn, pattern_id=pattern_id)


def _draw(
    kind: Callable[[int, torch.Generator], s.Scenes],
    count: int,
    seed: int,
    side_px: int = SIDE_PX,
    frames: int = FRAMES,
) -> list[Captioned]:
    drawn = kind(count, torch.Generator().manual_seed(seed))
    clips = render(drawn, frames, side_px, side_px).numpy()
    words = Random(seed)
    return [(clips[row], _good_caption(drawn, row, words)) for row in range(count)]


_TERSE = {"short", "light"}
"""Two sentences are enough for one shape on a plain background, which has no light to speak of."""


def _good_caption(drawn: s.Scenes, row: int, words: Random) -> str:
    """A caption in the generator's words that the app finds nothing wrong with; it never names the style."""
    while True:
        text = caption(drawn, row, words, meaningless_share=0.0)
        if {found.rule for found in lint(text)} <= _TERSE and not _CLUMSY.search(text):
            return text


def _write_joined(folder: Path, name: str, clips: list[Captioned], counts: tuple[int, ...]) -> None:
    """Videos of several clips each, with 'name.captions.json' beside them."""
    left = list(clips)
    for number, count in enumerate(counts, start=1):
        chosen = [left.pop(0)]
        while len(chosen) < count:
            chosen.append(left.pop(_most_different(chosen[-1][0][-1], [clip[0] for clip, _ in left])))
        path = folder / f"{name}-{number}.mp4"
        write_video([frame for clip, _ in chosen for frame in clip], path, FPS)
        _refuse_hidden_cuts(path, count)
        step_s = FRAMES / FPS
        captions = [
            {"start_s": index * step_s, "end_s": (index + 1) * step_s, "caption": text}
            for index, (_, text) in enumerate(chosen)
        ]
        sidecar = folder / f"{name}-{number}.captions.json"
        sidecar.write_text(json.dumps(captions, indent=2) + "\n", encoding="utf-8")


def _most_different(frame: Frames, others: list[Frames]) -> int:
    """Index of the first frame that differs most, so that the cut can be seen."""
    changes = [np.abs(frame.astype(np.int16) - other.astype(np.int16)).mean() for other in others]
    return int(np.argmax(changes))


def _refuse_hidden_cuts(path: Path, count: int) -> None:
    found = find_scenes(path, probe(path), SceneSettings(), SilentReport())
    starts = [scene.start_frame for scene in found]
    if starts != [index * FRAMES for index in range(count)]:
        raise SystemExit(f"{path.name}: the scenes begin at frames {starts}; choose another seed.")


if __name__ == "__main__":
    main()
