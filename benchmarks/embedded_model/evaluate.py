"""Measure the embedded model: does it draw what a prompt says?

    python evaluate.py --model FOLDER [--sheets FOLDER] [--guidance 2.0] [--device cpu]

Prints one line per measure and writes contact sheets. The goals are those of the model card.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXPipeline
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import scenes as s
from clips import render
from shapes import SHAPES
from sheets import save_sheet
from train import decode, encode, psnr

from ltx_wizard.sampling.measures import dark_border_share, mean_absolute_change, object_colours

Frames = NDArray[np.uint8]
_COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
_DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
_SHORT = {"right": "to the right", "left": "to the left", "up": "up", "down": "down"}
_LONG = {
    "right": "from left to right",
    "left": "from right to left",
    "up": "from bottom to top",
    "down": "from top to bottom",
}
_STANDS_OUT = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--sheets", default="sheets")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="a quarter of the prompts")
    arguments = parser.parse_args()
    sheets = Path(arguments.sheets)
    sheets.mkdir(parents=True, exist_ok=True)
    pipeline = LTXPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32).to(arguments.device)
    pipeline.set_progress_bar_config(disable=True)
    results = evaluate(pipeline, arguments.guidance, sheets, 4 if arguments.quick else 1)
    (sheets / f"results_{arguments.guidance}.json").write_text(json.dumps(results, indent=2) + "\n")


def evaluate(pipeline: LTXPipeline, guidance: float, sheets: Path, skip: int = 1) -> dict[str, float]:
    """All measures as one flat table; prints each as it is known."""
    results: dict[str, float] = {"guidance": guidance}

    def note(name: str, value: float) -> None:
        results[name] = round(value, 3)
        print(f"{name}: {value:.3f}", flush=True)

    for name, value in vae_quality(pipeline).items():
        note(name, value)
    for kind, words in (("short", _SHORT), ("long", _LONG)):
        for name, value in colour_and_direction(
            pipeline, guidance, words, sheets / f"direction_{kind}.png", skip
        ).items():
            note(f"{name} ({kind} sentence)", value)
    note("shape right", shapes_right(pipeline, guidance, sheets / "shapes.png", skip))
    note("two objects, both right", pairs_right(pipeline, guidance, sheets / "pairs.png", skip))
    for name, value in made_up_word_effect(pipeline, guidance, sheets / "words.png").items():
        note(name, value)
    note("sampling one clip, s", sampling_time(pipeline, guidance))
    return results


def sample(
    pipeline: LTXPipeline,
    prompts: list[str],
    guidance: float,
    *,
    seed: int = 0,
    frames: int = 17,
    steps: int = 25,
) -> list[Frames]:
    """One 192x192 clip per prompt, uint8 [F, H, W, 3]; a prompt's noise depends on the seed and its place."""
    clips: list[Frames] = []
    for start in range(0, len(prompts), 16):
        chosen = prompts[start : start + 16]
        generators = [
            torch.Generator("cpu").manual_seed(seed * 10_000 + start + i) for i in range(len(chosen))
        ]
        shown = pipeline(
            prompt=chosen, width=192, height=192, num_frames=frames, frame_rate=8, num_inference_steps=steps,
            guidance_scale=guidance, generator=generators, output_type="np",
        ).frames  # fmt: skip
        clips += [(clip * 255.0 + 0.5).astype(np.uint8) for clip in shown]
    return clips


def vae_quality(pipeline: LTXPipeline) -> dict[str, float]:
    """PSNR of decoded against drawn clips, mean over 24 clips of each kind."""
    chance = torch.Generator().manual_seed(99)
    device = pipeline.vae.device
    kinds: dict[str, Callable[[int, torch.Generator], s.Scenes]] = {
        "base": s.sample_scenes,
        "neon": s.neon_scenes,
        "character": s.character_scenes,
    }
    result = {}
    for name, draw in kinds.items():
        clips = render(draw(24, chance), 17, 192, 192, device)
        latents = encode(pipeline.vae, clips, batch=8)
        result[f"PSNR {name}, dB"] = psnr(clips, decode(pipeline.vae, latents, batch=8))
    return result


def colour_and_direction(
    pipeline: LTXPipeline, guidance: float, words: dict[str, str], sheet: Path, skip: int
) -> dict[str, float]:
    """48 prompts 'A large C circle moves D on a plain grey background.'"""
    cases = list(itertools.product(_COLOURS, _DIRECTIONS, range(2)))[::skip]
    prompts = [f"A large {c} circle moves {words[d]} on a plain grey background." for c, d, _ in cases]
    clips = sample(pipeline, prompts, guidance, seed=1)
    save_sheet(sheet, clips[:24], prompts[:24], columns=3)
    colours = [case[0] in object_colours(clip)[:1] for case, clip in zip(cases, clips, strict=True)]
    directions = [_moves(clip, _DIRECTIONS[case[1]]) for case, clip in zip(cases, clips, strict=True)]
    return {
        f"colour right of {len(cases)}": float(sum(colours)),
        f"direction right of {len(cases)}": float(sum(directions)),
        "plain ground, standard deviation of 255": float(np.mean([ground_deviation(clip) for clip in clips])),
    }


def shapes_right(pipeline: LTXPipeline, guidance: float, sheet: Path, skip: int) -> float:
    """Share of 40 prompts whose object's outline matches its template better than any other shape's."""
    cases = list(itertools.product(s.SHAPE_NAMES, ("red", "blue", "green", "purple", "black")))[::skip]
    prompts = [f"A large {c} {shape} stays still on a plain grey background." for shape, c in cases]
    clips = sample(pipeline, prompts, guidance, seed=2)
    save_sheet(sheet, clips, prompts, columns=4)
    return float(np.mean([shape_of(clip) == case[0] for case, clip in zip(cases, clips, strict=True)]))


def pairs_right(pipeline: LTXPipeline, guidance: float, sheet: Path, skip: int) -> float:
    """Share of 40 two-object prompts with the right colour on each side."""
    chance = np.random.default_rng(3)
    cases = []
    while len(cases) < 40 // skip:
        first, second = chance.choice(_COLOURS, 2, replace=False)
        shapes = chance.choice(s.SHAPE_NAMES, 2)
        verb = chance.choice(("stays still", "moves up", "moves down", "grows"))
        cases.append((str(first), str(second), str(shapes[0]), str(shapes[1]), str(verb)))
    prompts = [
        f"A medium {a} {one} on the left {verb} and a medium {b} {two} on the right stays still"
        " on a plain grey background."
        for a, b, one, two, verb in cases
    ]
    clips = sample(pipeline, prompts, guidance, seed=3)
    save_sheet(sheet, clips, prompts, columns=4)
    half = clips[0].shape[2] // 2
    good = [
        case[0] in object_colours(clip[:, :, :half])[:1] and case[1] in object_colours(clip[:, :, half:])[:1]
        for case, clip in zip(cases, clips, strict=True)
    ]
    return float(np.mean(good))


def made_up_word_effect(pipeline: LTXPipeline, guidance: float, sheet: Path) -> dict[str, float]:
    """What a word that no caption had does to a clip before any LoRA: nothing, if all is well."""
    plain = [
        f"A large {c} {shape} moves to the right on a plain grey background."
        for c, shape in zip(_COLOURS, s.SHAPE_NAMES, strict=False)
    ]
    worded = [f"nobuzik style. {prompt}" for prompt in plain]
    without, with_word = sample(pipeline, plain, guidance, seed=4), sample(pipeline, worded, guidance, seed=4)
    save_sheet(
        sheet,
        [c for pair in zip(without, with_word, strict=True) for c in pair],
        [p for pair in zip(plain, worded, strict=True) for p in pair],
    )
    change = np.mean([mean_absolute_change(a, b) for a, b in zip(without, with_word, strict=True)])
    kept = [_COLOURS[i] in object_colours(clip)[:1] for i, clip in enumerate(with_word)]
    return {
        "made-up word: mean change of 255": float(change),
        "made-up word: colour right of 6": float(sum(kept)),
        "made-up word: dark border": float(np.mean([dark_border_share(clip) for clip in with_word])),
    }


def sampling_time(pipeline: LTXPipeline, guidance: float) -> float:
    """Seconds for one clip of 192x192x17, 25 steps, after a warm-up."""
    sample(pipeline, ["A red circle."], guidance, steps=2)
    begun = time.monotonic()
    sample(pipeline, ["A large red circle moves to the right on a plain grey background."], guidance)
    return time.monotonic() - begun


def object_mask(frame: Frames) -> NDArray[np.bool_]:
    """Pixels of one frame [H, W, 3] that stand out from its ground, the median of its border."""
    pixels = frame.astype(np.float32) / 255.0
    border = np.concatenate([pixels[:8].reshape(-1, 3), pixels[-8:].reshape(-1, 3)])
    distance = np.linalg.norm(pixels - np.median(border, axis=0), axis=-1)
    return distance > max(_STANDS_OUT, 0.5 * float(np.quantile(distance, 0.98)))


def ground_deviation(clip: Frames) -> float:
    """Standard deviation, of 255, of each channel of the ground: at least 12 px away from the object."""
    deviations = []
    for frame in clip[::4]:
        near = object_mask(frame)
        for _ in range(12):
            near = (
                near | np.roll(near, 1, 0) | np.roll(near, -1, 0) | np.roll(near, 1, 1) | np.roll(near, -1, 1)
            )
        if (~near).sum() > 100:
            deviations.append(frame[~near].astype(np.float32).std(axis=0).mean())
    return float(np.mean(deviations)) if deviations else math.nan


def shape_of(clip: Frames) -> str:
    """The shape whose template overlaps best with the object in the middle frame; '' without object."""
    mask = _standard_mask(object_mask(clip[len(clip) // 2]))
    if mask is None:
        return ""
    overlaps = {
        name: max(float((mask & t).sum()) / float((mask | t).sum()) for t in templates)
        for name, templates in _templates().items()
    }
    return max(overlaps, key=lambda name: overlaps[name])


def _moves(clip: Frames, direction: tuple[int, int]) -> bool:
    """Whether the object's centre goes at least 12 px along the direction, and that more than across."""
    first, last = (_centre(object_mask(clip[i])) for i in (1, -2))
    if first is None or last is None:
        return False
    moved = last - first
    along = float(moved @ np.array(direction))
    across = float(abs(moved @ np.array(direction[::-1])))
    return along > 12.0 and along > across


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Centre of the mask as (x, y), or None for an empty one."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) if len(rows) > 20 else None


def _standard_mask(mask: NDArray[np.bool_], cells: int = 64) -> NDArray[np.bool_] | None:
    """The mask moved and scaled so that its centre lies in the middle and its area is a fixed one."""
    centre = _centre(mask)
    if centre is None:
        return None
    reach = 1.1 * math.sqrt(float(mask.sum()))
    steps = (np.arange(cells) + 0.5) / cells * 2.0 - 1.0
    columns = np.clip(np.round(centre[0] + steps * reach), 0, mask.shape[1] - 1).astype(int)
    rows = np.clip(np.round(centre[1] + steps * reach), 0, mask.shape[0] - 1).astype(int)
    return mask[rows[:, None], columns[None]]


def _templates() -> dict[str, list[NDArray[np.bool_]]]:
    """Standard masks of every shape at a few small tilts."""
    steps = torch.linspace(-1.4, 1.4, 181)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij")[::-1], dim=-1)
    result: dict[str, list[NDArray[np.bool_]]] = {}
    for name, distance in SHAPES.items():
        result[name] = []
        for tilt in (-0.1, 0.0, 0.1):
            turn = torch.tensor([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
            mask = _standard_mask((distance(grid @ turn) < 0).numpy())
            assert mask is not None
            result[name].append(mask)
    return result


if __name__ == "__main__":
    main()
